#!/usr/bin/env bash
# What a branch declares otherwise, and which policies that keeps, for a pull request of anybody: no secret, no engine and
# no host is needed.
#
# Usage: scripts/pr-declared.sh STACK BASE FOLDER
#   BASE    what it is compared with, such as HEAD^1 or origin/main
#   FOLDER  where diff.txt goes, with the mistakes of the settings where there are some
# Exit:  0 there is an answer, differences or none, or that BASE does not keep the branch's rules; 1 the settings are wrong
#        or could not be read, or a mandatory policy is not kept; 2 wrong call.
set -euo pipefail
cd "$(dirname "$0")/.."
[ $# -eq 3 ] || { echo "usage: scripts/pr-declared.sh STACK BASE FOLDER" >&2; exit 2; }
readonly stack=$1 base=$2 folder=$3 python=${MAILSTACK_PYTHON:-.venv/bin/python}

mkdir -p "$folder"
readonly told=$folder/diff.txt said=$folder/said.txt
code=0
"$python" -m cli diff --stack "$stack" --base "$base" --format text >"$told" 2>"$said" || code=$?
cat "$said" >&2
# Rules and stack file may change together: then BASE, by the branch's rules, is what is wrong.
[ "$code" -ne 3 ] || { cp "$said" "$told"; code=0; }
# A wrong call ends with 2 too, but says nothing.
if [ "$code" -ne 0 ] && { [ "$code" -ne 2 ] || [ ! -s "$told" ]; }; then
  cat "$said" >>"$told"
  exit 1
fi
[ -s "$told" ] || echo "Nothing that stack $stack declares differs from $base." >"$told"

# A stack whose file the branch removes has nothing that a policy could be asked about.
[ -e "Pulumi.$stack.yaml" ] || exit 0
code=0
"$python" -m cli policy --stack "$stack" >"$folder/policy.txt" 2>&1 || code=$?
{ echo && cat "$folder/policy.txt"; } >>"$told"
[ "$code" -eq 0 ] || exit 1
