#!/usr/bin/env bash
# Make the virtual environment $1 with the first Python 3.11 to 3.13 that works here; say plainly what is missing.
set -euo pipefail
folder=$1
found=""
tried=${PYTHON:-python3.11 python3.12 python3.13 python3 python}
for python in $tried; do
    "$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null || continue
    found=$python
    "$python" -c 'import ensurepip, venv' 2>/dev/null || continue
    "$python" -m venv "$folder" && exit 0
    rm -rf "$folder"
done
if [ -n "$found" ]; then
    echo "error: $found cannot make virtual environments" >&2
    echo "  fix: install its venv module (Debian, Ubuntu: apt-get install python3-venv), then run make again" >&2
else
    echo "error: no Python 3.11, 3.12 or 3.13 was found" >&2
    echo "  got: none of these is one: $tried" >&2
    echo "  fix: install one, or name it: make setup PYTHON=/path/to/python3.12" >&2
fi
exit 1
