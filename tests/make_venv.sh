#!/bin/sh
# Make a virtual environment, unless there is one that works: an existing one keeps its Python.
#
#   tests/make_venv.sh FOLDER [PYTHON]      (default: the newest supported Python on PATH)
set -eu
folder=${1:?usage: tests/make_venv.sh FOLDER [PYTHON]}
is_usable='import pip, sys; sys.exit(sys.version_info < (3, 11))'
if [ -e "$folder" ] && "$folder/bin/python" -c "$is_usable" 2>/dev/null; then
	exit
fi
python=$(sh "$(dirname "$0")/find_pythons.sh" "${2:-newest}")
echo "making $folder with $python"
"$python" -m venv --clear "$folder"
