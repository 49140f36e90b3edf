# The two commands a newcomer needs: `make run` and `make test`. Each sets up what it needs itself.
# PYTHON names the interpreter of a new virtual environment; empty: the newest supported one on PATH.
PYTHON ?=
VENV := .venv
BIN := $(VENV)/bin
SOURCES := .
# `make run LLM=embedded` answers with the packaged language model, whatever .env says of another.
LLM ?=
# Further speech engines, as `make run SPEECH="multilingual kokoro noise"`: set up, and chosen.
SPEECH :=
SPEECH_REQUIREMENTS := $(wildcard requirements-speech-*.txt)
# Left out of `make test-pythons`, and with the others out of `make check`; folders and files of tests/.
LONG_TESTS := browser chaos fuzz soak speech
SLOW_TESTS := $(LONG_TESTS) deploy examples load loopback processes scenarios \
	bench/peers cli control/provider_check control/http/test_http_semantics.py control/supervisor/test_loopback_server.py \
	control/test_contract.py line/test_contract.py parley/compat parley/in_process parley/test_doc_code.py \
	parley/test_examples.py realtime_calls rtc/peer test_main.py toolsets/test_mcp.py
# What `make unit` runs; empty: every test.
TESTS :=

.PHONY: run setup test test-pythons check lint types unit bench soak system-packages clean

ifeq ($(LLM),embedded)
run: export LLM_MODEL := embedded
run: export LLM_BASE_URL :=
else ifneq ($(LLM),)
$(error LLM=$(LLM): embedded, or leave it out and set LLM_BASE_URL and LLM_MODEL)
endif
ifneq ($(filter multilingual,$(SPEECH)),)
run: export STT_ENGINE := whisper-base
endif
ifneq ($(filter kokoro,$(SPEECH)),)
run: export TTS_ENGINE := kokoro
endif
ifneq ($(filter noise,$(SPEECH)),)
run: export STT_NOISE_SUPPRESSION := 1
endif

run: setup
	@exec $(BIN)/python -m main server

setup: $(VENV)/.runtime $(if $(LLM),$(VENV)/.embedded) $(SPEECH:%=$(VENV)/.speech-%)

test: $(VENV)/.dev system-packages lint types unit

# Before every commit, in 4 minutes: what needs no process of ours, no sound, no browser and no thousand requests.
check: $(VENV)/.dev lint types
	$(BIN)/python -m pytest -q -n 2 --dist loadfile $(addprefix --ignore=tests/,$(SLOW_TESTS))

# Unit, process and loopback tests on each supported Python of this machine; PYTHONS="3.12 3.13" names some.
test-pythons:
	@sh tests/test_pythons.sh $(addprefix --ignore=tests/,$(LONG_TESTS))

lint: $(VENV)/.dev
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/ruff check $(SOURCES)
	@# These two rules are about handlers of cancellation: a file without the words has none.
	grep -rlE 'Cancel|BaseException|except *[:*]' --include='*.py' --exclude-dir='.venv*' . | \
		xargs -P 2 -n 30 $(BIN)/flake8-async --enable=ASYNC103,ASYNC104
	$(BIN)/lint-imports --no-cache

types: $(VENV)/.dev
	$(BIN)/mypy $(SOURCES)

# Two workers: most of the time goes by waiting for real processes and real sound.
unit: $(VENV)/.dev system-packages
	$(BIN)/python -m pytest -n 2 --dist loadfile $(TESTS)

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
	@sh tests/make_venv.sh $(VENV) $(PYTHON)
	@touch $@

$(VENV)/.runtime: requirements.txt requirements-speech.txt requirements-turns.txt constraints.txt | $(VENV)/.venv
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.txt -r requirements-speech.txt
	$(BIN)/python -m speech.turns.install
	@touch $@

$(VENV)/.embedded: requirements-embedded.txt $(VENV)/.runtime
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps -r requirements-embedded.txt
	@touch $@

$(VENV)/.speech-%: requirements-speech-%.txt $(VENV)/.runtime
	$(BIN)/pip install --quiet --disable-pip-version-check -r $<
	@touch $@

$(VENV)/.dev: requirements-dev.txt $(SPEECH_REQUIREMENTS) requirements-otel.txt requirements-vertex.txt examples/fastapi_backend/requirements.txt $(VENV)/.runtime $(VENV)/.embedded
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@

system-packages:
	@sh tests/install_system_packages.sh

clean:
	rm -rf .venv .venv-* .mypy_cache .ruff_cache .pytest_cache .hypothesis
