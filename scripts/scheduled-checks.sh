#!/usr/bin/env bash
# Drift and verify of a stack, for a job that runs by the clock. What is not well is left as a file.
#
# Usage: scripts/scheduled-checks.sh STACK FOLDER
#   FOLDER  one file for each check that is not well: drift.txt; verify.json, or verify.txt where there was no report. File
#           `looked` says that both were made
# Exit:  0 both were made, whatever they found; 2 wrong call. A check that could not be made is not well either.
set -euo pipefail
cd "$(dirname "$0")/.."
[ $# -eq 2 ] || { echo "usage: scripts/scheduled-checks.sh STACK FOLDER" >&2; exit 2; }
readonly stack=$1 folder=$2 python=${MAILSTACK_PYTHON:-.venv/bin/python}
export PATH=${MAILSTACK_TOOLS:-$PWD/.tools}/bin:$PATH

mkdir -p "$folder"
rm -f "$folder"/{drift.txt,verify.txt,verify.json,looked}
said=$(mktemp)
trap 'rm -f "$said"' EXIT
check() { # CHECK ARGUMENT...
  local name=$1 code=0
  "$python" -m cli "$@" --stack "$stack" >"$folder/$name.txt" 2>"$said" || code=$?
  cat "$said" "$folder/$name.txt"
  # What is said beside the findings is progress, in another order every time: no news for people. Alone it is a reason.
  [ -s "$folder/$name.txt" ] || cp "$said" "$folder/$name.txt"
  if [ "$code" -eq 0 ]; then
    rm "$folder/$name.txt"
  else
    echo "($name ended with exit code $code)" >>"$folder/$name.txt"
  fi
}
check drift
# The report itself goes to a file; what is printed says why there is none.
check verify --format json --output "$folder/verify.json"
if [ ! -e "$folder/verify.txt" ]; then
  rm -f "$folder/verify.json"
elif [ -s "$folder/verify.json" ]; then
  rm "$folder/verify.txt"
fi
date -u +%FT%TZ >"$folder/looked"
