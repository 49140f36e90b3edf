#!/bin/sh
# Run tests on each supported Python that is found, in a virtual environment for each (.venv-3.12 and
# so on), and print at the end which passed. It fails when one failed or a version that is named in
# PYTHONS ("3.12 3.13"; default: all found) was not found.
#
#   tests/test_pythons.sh [ARGUMENT...]     of pytest (default: every test)
set -u
cd "$(dirname "$0")/.." || exit
passed='' failed='' missing=''

all=$(sh tests/find_pythons.sh all) || exit
for version in ${PYTHONS:-$(echo "$all" | cut -d' ' -f1)}; do
	python=$(echo "$all" | sed -n "s/^$version //p")
	if [ -z "$python" ]; then
		missing="$missing $version"
	elif make VENV=".venv-$version" PYTHON="$python" TESTS="$*" unit; then
		passed="$passed $version"
	else
		failed="$failed $version"
	fi
done
echo "passed:${passed:- none}; failed:${failed:- none}; not found:${missing:- none}"
[ -z "$failed$missing" ]
