#!/bin/sh
# Make sure a Chromium is there for the browser tests; those fail with a clear message without one.
set -u
for name in chromium chromium-browser google-chrome; do
	command -v "$name" >/dev/null 2>&1 && exit 0
done
if command -v apt-get >/dev/null 2>&1 && [ "$(id -u)" = 0 ]; then
	echo "installing chromium for the browser tests"
	apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium >/dev/null && exit 0
fi
echo "no Chromium found and it could not be installed: the browser tests will fail;" \
	"install it with 'apt-get install chromium'" >&2
exit 0
