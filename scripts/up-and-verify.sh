#!/usr/bin/env bash
# `pulumi up` of a stack as it is checked out, with the policies, and then the look from outside.
#
# Usage: scripts/up-and-verify.sh STACK
# Exit:  0 it is up, and the world sees what was declared; 1 one of both is not so; 2 wrong call.
set -euo pipefail
cd "$(dirname "$0")/.."
[ $# -eq 1 ] || { echo "usage: scripts/up-and-verify.sh STACK" >&2; exit 2; }
readonly stack=$1 python=${MAILSTACK_PYTHON:-.venv/bin/python}
export PATH=${MAILSTACK_TOOLS:-$PWD/.tools}/bin:$PATH
[ "$stack" != local ] || { echo "up-and-verify: stack local is brought up by \`make demo\`, not deployed" >&2; exit 2; }

# Levels and exceptions of this stack, where it has some (docs/how-to/policy.md).
policies=(--policy-pack policy)
[ ! -e "policies-$stack.json" ] || policies+=(--policy-pack-config "policies-$stack.json")
PULUMI_SKIP_UPDATE_CHECK=true pulumi up --stack "$stack" --yes --non-interactive "${policies[@]}"
report=$(mktemp)
trap 'rm -f "$report"' EXIT
code=0
# DNS may need as long as the old records' TTL to show the new ones.
"$python" -m cli verify --stack "$stack" --wait --deadline 30m --format markdown >"$report" || code=$?
cat "$report"
[ -z "${GITHUB_STEP_SUMMARY:-}" ] || cat "$report" >>"$GITHUB_STEP_SUMMARY"
[ "$code" -eq 0 ] || exit 1
