#!/bin/sh
# Prints the Python that .venv is made from: the one named (PYTHON=…), else python3, else the newest that will do.
# Says what is missing where none does.
low=11 high=13
[ $# -gt 0 ] && named=yes candidates=$* || named='' candidates="python3 python3.13 python3.12 python3.11 python"

seen=''
for python in $candidates; do
    # A version manager's stand-in is on the PATH for versions that it does not run: so each is run.
    if ! minor=$("$python" -c 'import sys; print(sys.version_info[1] * (sys.version_info[0] == 3))' 2>/dev/null); then
        [ -z "$named" ] || seen=" $python is not there, or does not run."
        continue
    fi
    if [ "$minor" -lt $low ] || { [ "$minor" -gt $high ] && [ -z "$named" ]; }; then
        seen="$seen $python is Python 3.$minor."
        continue
    fi
    if ! "$python" -c 'import venv, ensurepip' 2>/dev/null; then
        seen="$seen $python lacks venv or ensurepip (on Debian and Ubuntu: apt install python3.$minor-venv)."
        continue
    fi
    [ "$minor" -gt $high ] && echo "Python 3.$minor is newer than any that the suite was run with." >&2
    echo "$python"
    exit 0
done
echo "No Python from 3.$low to 3.$high was found among: $candidates.$seen" >&2
echo "Install one, or name the one that you have: make PYTHON=/path/to/python3.12 …" >&2
exit 1
