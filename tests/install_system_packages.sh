#!/bin/sh
# Make sure that the programs which tests run are there. Where they cannot be installed, the tests
# that need them fail with a clear message.
set -u

# install PACKAGE...: for whoever may.
install() {
	if command -v apt-get >/dev/null 2>&1 && [ "$(id -u)" = 0 ]; then
		echo "installing $* for the tests"
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$@" >/dev/null && return
	fi
	echo "no $* found and it could not be installed: the tests that need it will fail;" \
		"install it with 'apt-get install $*'" >&2
}

# ensure PACKAGE COMMAND...: the package is there when one of the commands is.
ensure() {
	package=$1
	shift
	for name in "$@"; do
		command -v "$name" >/dev/null 2>&1 && return
	done
	install "$package"
}

ensure chromium chromium chromium-browser google-chrome # a caller
ensure firefox-esr firefox-esr firefox                  # another caller
ensure pulseaudio pulseaudio                            # its sound device
ensure coturn turnserver                                # a TURN server
ensure iproute2 ip                                      # networks of the tests' own
ensure procps sysctl
ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || ensure postgresql initdb # a store
# The clock that steps is compiled by its test; a compiler alone lacks the C library's headers.
[ -e /usr/include/stdio.h ] && command -v cc >/dev/null 2>&1 || install gcc libc6-dev
exit 0
