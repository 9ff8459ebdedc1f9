#!/usr/bin/env bash
# What a branch declares otherwise, for a pull request of anybody: no secret, no engine, no host is needed.
#
# Usage: scripts/pr-declared.sh STACK BASE FOLDER
#   BASE    what it is compared with, such as HEAD^1 or origin/main
#   FOLDER  where diff.txt goes, with the mistakes of the settings where there are some
# Exit:  0 there is an answer, differences or none; 1 the settings are wrong, or could not be read; 2 wrong call.
set -euo pipefail
cd "$(dirname "$0")/.."
[ $# -eq 3 ] || { echo "usage: scripts/pr-declared.sh STACK BASE FOLDER" >&2; exit 2; }
readonly stack=$1 base=$2 folder=$3 python=${MAILSTACK_PYTHON:-.venv/bin/python}

mkdir -p "$folder"
code=0
"$python" -m cli diff --stack "$stack" --base "$base" --format text >"$folder/diff.txt" 2>"$folder/said.txt" || code=$?
cat "$folder/said.txt" >&2
# A wrong call ends with 2 too, but says nothing.
if [ "$code" -eq 0 ] || { [ "$code" -eq 2 ] && [ -s "$folder/diff.txt" ]; }; then
  [ -s "$folder/diff.txt" ] || echo "Nothing that stack $stack declares differs from $base." >"$folder/diff.txt"
else
  cat "$folder/said.txt" >>"$folder/diff.txt"
  exit 1
fi
