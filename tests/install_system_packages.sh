#!/bin/sh
# Make sure that the programs which tests run are there: Chromium as a caller, coturn as a TURN
# server, PostgreSQL as a store. Where they cannot be installed, the tests that need them fail with a clear message.
set -u

# ensure PACKAGE COMMAND...: the package is there when one of the commands is.
ensure() {
	package=$1
	shift
	for name in "$@"; do
		command -v "$name" >/dev/null 2>&1 && return
	done
	if command -v apt-get >/dev/null 2>&1 && [ "$(id -u)" = 0 ]; then
		echo "installing $package for the tests"
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$package" >/dev/null && return
	fi
	echo "no $package found and it could not be installed: the tests that need it will fail;" \
		"install it with 'apt-get install $package'" >&2
}

ensure chromium chromium chromium-browser google-chrome
ensure coturn turnserver
ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || ensure postgresql initdb
exit 0
