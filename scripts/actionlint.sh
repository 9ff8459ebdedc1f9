#!/usr/bin/env bash
# Lints the workflows with actionlint, built from the Go module proxy and pinned by tools/actionlint/go.sum. Safe to repeat:
# a build that is there is kept.
#
# Usage: scripts/actionlint.sh [FILE...]    without files: all workflows
#
# Where: .tools/actionlint/bin/actionlint.
# Exit:  0 nothing is wrong; 1 something is, or the build failed; 3 this machine has no Go, and nothing was looked at.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly MODULE=github.com/rhysd/actionlint
version=$(awk -v module="$MODULE" '$1 == module { print $2 }' tools/actionlint/go.mod)
digest=$(cat tools/actionlint/go.mod tools/actionlint/go.sum scripts/actionlint.sh scripts/go-build.sh | sha256sum | cut -d' ' -f1)
readonly version digest
readonly built=.tools/actionlint/bin/actionlint stamp=.tools/actionlint/digest

if [ ! -x "$built" ] || [ "$(cat "$stamp" 2>/dev/null)" != "$digest" ]; then
  if ! command -v go >/dev/null; then
    echo "actionlint: skipped: Go is not installed, and actionlint is built with it" >&2
    exit 3
  fi
  echo "actionlint: building $version with $(go version | cut -d' ' -f3)" >&2
  scripts/go-build.sh actionlint "" "$built" "$MODULE/cmd/actionlint"
  echo "$digest" >"$stamp"
fi
exec "$built" "$@"
