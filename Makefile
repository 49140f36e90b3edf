# The two commands a newcomer needs: `make run` and `make test`. Each sets up what it needs itself.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
SOURCES := .
SLOW_TESTS := browser chaos fuzz loopback processes soak speech

.PHONY: run setup test check lint types unit bench soak system-packages clean

run: setup
	@set -a; if [ -f .env ]; then . ./.env; fi; exec $(BIN)/python -m main server

setup: $(VENV)/.runtime

test: $(VENV)/.dev system-packages lint types unit

# Before every commit: what needs no process of ours, no sound and no browser.
check: $(VENV)/.dev lint types
	$(BIN)/python -m pytest -q -n 2 --dist loadfile $(addprefix --ignore=tests/,$(SLOW_TESTS))

lint: $(VENV)/.dev
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/ruff check $(SOURCES)
	find . -name '*.py' -not -path './$(VENV)/*' | xargs -P 2 -n 400 $(BIN)/flake8-async --enable=ASYNC103,ASYNC104
	$(BIN)/lint-imports --no-cache

types: $(VENV)/.dev
	$(BIN)/mypy $(SOURCES)

# Two workers: most of the time goes by waiting for real processes and real sound.
unit: $(VENV)/.dev system-packages
	$(BIN)/python -m pytest -n 2 --dist loadfile

# Hours of what `make test` does in small: docs/testing.md.
soak: $(VENV)/.dev system-packages
	CONTRACT_EXAMPLES=200 $(BIN)/python -m pytest tests/control/test_contract.py --timeout 1800
	PROPERTY_EXAMPLES=2000 $(BIN)/python -m pytest -m hypothesis --timeout 1800
	CHAOS=long $(BIN)/python -m pytest tests/chaos
	$(BIN)/python -m tests.fuzz
	$(BIN)/python -m tests.soak

bench: $(VENV)/.dev
	$(BIN)/python -m bench

# Stamps: an install happens once, and again when a requirements file changes.
$(VENV)/.venv:
	$(PYTHON) -m venv $(VENV) || python3 -m venv $(VENV)
	@$(BIN)/python -c 'import sys; assert sys.version_info[:2] >= (3, 11), "Parley needs Python 3.11 or newer"'
	@touch $@

$(VENV)/.runtime: requirements.txt requirements-speech.txt constraints.txt | $(VENV)/.venv
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.txt -r requirements-speech.txt
	@touch $@

$(VENV)/.dev: requirements-dev.txt requirements-otel.txt $(VENV)/.runtime
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@

system-packages:
	@sh tests/install_system_packages.sh

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
