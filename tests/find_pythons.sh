#!/bin/sh
# Find the Pythons that the project supports.
#
#   tests/find_pythons.sh newest    print the path of the newest one on PATH; `make setup` takes it
#   tests/find_pythons.sh all       print "VERSION PATH" of one per version, from PATH and from the
#                                   version manager's folder (PYENV_ROOT), newest first
#   tests/find_pythons.sh PYTHON    print the path of this one, or refuse it
#
# Where none is found the error names what was found and what is needed.
set -u
SUPPORTED='3.14 3.13 3.12 3.11'
VERSIONS=${PYENV_ROOT:-${HOME:-/nonexistent}/.pyenv}/versions
NEEDED='CPython 3.11 to 3.14 with its venv module (Debian: apt install python3 python3-venv)'
found=''

# Any Python reads this, so that an old one can be named. In a virtual environment the Python below
# it is taken: that one stays when the environment is made anew.
PROBE='
import sys
version = "%d.%d" % sys.version_info[:2]
try:
    import ensurepip, venv
except ImportError:
    version += " without-venv"
path = getattr(sys, "_base_executable", None) or sys.executable
print("%s %s" % (version if sys.version_info >= (3, 11) else version + " too-old", path))
'

# probe COMMAND: set `version` and `path`, and fail unless it can be used. A shim of a version manager
# is a command even where no version is behind it: only an answer counts.
probe() {
	command -v "$1" >/dev/null 2>&1 || return
	answer=$("$1" -c "$PROBE" 2>/dev/null) || return
	version=${answer%% *}
	path=${answer#* }
	case $path in
	/*) ;;
	*)
		one="$1 ($version, $(echo "${path%% *}" | tr - ' '))"
		case $found in *"$one"*) ;; *) found="$found${found:+, }$one" ;; esac
		return 1
		;;
	esac
}

# find_version VERSION COMMAND...: print "VERSION PATH" of the first command that is this version.
find_version() {
	wanted=$1
	shift
	for command in "$@"; do
		if probe "$command" && [ "$version" = "$wanted" ]; then
			echo "$version $path"
			return
		fi
	done
	return 1
}

refuse() {
	echo "Parley needs $NEEDED." >&2
	echo "Found: ${found:-no Python}. Name another one with: make PYTHON=/path/to/python setup" >&2
	exit 1
}

case ${1:?newest, all or a Python} in
newest)
	for supported in $SUPPORTED; do
		probe "python$supported" && echo "$path" && exit
	done
	probe python3 && echo "$path" && exit
	refuse
	;;
all)
	is_any=false
	for supported in $SUPPORTED; do
		find_version "$supported" "python$supported" python3 "$VERSIONS/$supported".*/bin/python3 &&
			is_any=true
	done
	$is_any || refuse
	;;
*)
	probe "$1" && echo "$path" && exit
	found=${found:-"no Python that runs as $1"}
	refuse
	;;
esac
