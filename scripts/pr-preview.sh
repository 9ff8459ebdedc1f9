#!/usr/bin/env bash
# The engine's preview of a branch, and the comment on it. It needs the stack's secrets, so no fork's branch gets here.
#
# Usage: scripts/pr-preview.sh STACK BASE FOLDER
#   BASE    what `mailstack diff` compares with, such as HEAD^1 or origin/main
#   FOLDER  where comment.md goes; preview.json, events.json and diff.json are beside it
#   COMMIT, in the environment: the commit that the comment names
# Exit:  0 `pulumi up` would go through; 1 it would not, or there was no preview; 2 wrong call.
set -euo pipefail
cd "$(dirname "$0")/.."
[ $# -eq 3 ] || { echo "usage: scripts/pr-preview.sh STACK BASE FOLDER" >&2; exit 2; }
readonly stack=$1 base=$2 folder=$3 python=${MAILSTACK_PYTHON:-.venv/bin/python}
export PATH=${MAILSTACK_TOOLS:-$PWD/.tools}/bin:$PATH

mkdir -p "$folder"
rm -f "$folder"/{comment.md,preview.json,events.json}
# Levels and exceptions of this stack, where it has some (docs/how-to/policy.md).
policies=(--policy-pack policy)
[ ! -e "policies-$stack.json" ] || policies+=(--policy-pack-config "policies-$stack.json")
# The document has no word of policies; the log of events does, and is there with PULUMI_DEBUG_COMMANDS only. A preview
# that fails has a document too: the comment tells why.
PULUMI_DEBUG_COMMANDS=true PULUMI_SKIP_UPDATE_CHECK=true pulumi preview --stack "$stack" --non-interactive --json \
  --event-log "$folder/events.json" "${policies[@]}" >"$folder/preview.json" || true
# What could lose mail, and what restarts exactly. It ends with 2 where something differs. Where it has no answer, why is
# what the comment says: no word of risks would read as none.
"$python" -m cli diff --stack "$stack" --base "$base" --format json >"$folder/diff.json" 2>"$folder/said.txt" || true
cat "$folder/said.txt" >&2
[ -s "$folder/diff.json" ] || cp "$folder/said.txt" "$folder/diff.json"

options=(--stack "$stack" --preview "$folder/preview.json" --output "$folder/comment.md")
[ ! -s "$folder/events.json" ] || options+=(--events "$folder/events.json")
[ ! -s "$folder/diff.json" ] || options+=(--diff "$folder/diff.json")
[ -z "${COMMIT:-}" ] || options+=(--commit "$COMMIT")
code=0
"$python" -m cli pr comment "${options[@]}" || code=$?
[ ! -s "$folder/comment.md" ] || [ -z "${GITHUB_STEP_SUMMARY:-}" ] || cat "$folder/comment.md" >>"$GITHUB_STEP_SUMMARY"
exit "$code"
