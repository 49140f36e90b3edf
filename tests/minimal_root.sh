#!/bin/sh
# Run make targets on a clone of this checkout in a fresh, minimal Debian: what a newcomer's machine
# has and no more, so that a missing step of the set-up shows. Needs root, git and debootstrap.
#
#   tests/minimal_root.sh FOLDER [SUITE [TARGET...]]      (default: trixie test)
#
# FOLDER keeps the Debian, for the next time; the clone in it is made anew. Settings of pip and of
# certificates come along from here.
set -eu
root=${1:?usage: tests/minimal_root.sh FOLDER [SUITE [TARGET...]]}
suite=${2:-trixie}
[ $# -lt 2 ] || shift
shift
source=$(git rev-parse --show-toplevel)

if [ ! -e "$root/etc/debian_version" ]; then
	debootstrap --variant=minbase --include=python3,python3-venv,make,ca-certificates "$suite" "$root"
fi
rm -rf "$root/srv/parley"
git clone --quiet "$source" "$root/srv/parley"

# Mounts and processes end with this namespace, whatever happens in it.
exec unshare --mount --pid --fork --kill-child sh -eu -c '
	root=$1
	shift
	mount --make-rprivate /
	mount -t proc proc "$root/proc"
	mount --rbind /sys "$root/sys"
	mount --rbind /dev "$root/dev"
	mount -t tmpfs tmpfs "$root/tmp"
	mount -t tmpfs tmpfs "$root/run"
	cp /etc/resolv.conf "$root/etc/resolv.conf"
	mount --bind /etc/ssl/certs "$root/etc/ssl/certs"
	[ ! -e /etc/pip.conf ] || cp /etc/pip.conf "$root/etc/pip.conf"
	exec chroot "$root" /usr/bin/env --chdir=/srv/parley PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root \
		make "${@:-test}"
' minimal_root "$root" "$@"
