#!/usr/bin/env bash
# Builds promtool from the Go module proxy, pinned by tools/promtool/go.sum: it proves alerting rules and metrics in
# tests. Safe to repeat: a build that is there is kept.
#
# Usage: scripts/promtool.sh
#
# Where: .tools/promtool/bin/promtool.
# Exit:  0 it is there; 1 the build failed; 3 this machine has no Go.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly MODULE=github.com/prometheus/prometheus
version=$(awk -v module="$MODULE" '$1 == "require" && $2 == module { print $3 } $1 == module { print $2 }' tools/promtool/go.mod)
digest=$(cat tools/promtool/go.mod tools/promtool/go.sum scripts/promtool.sh scripts/go-build.sh | sha256sum | cut -d' ' -f1)
readonly version digest
readonly built=.tools/promtool/bin/promtool stamp=.tools/promtool/digest

if [ -x "$built" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$digest" ]; then
  echo "promtool: $version is there: $built"
  exit 0
fi
if ! command -v go >/dev/null; then
  echo "promtool: Go is not installed, and promtool is built with it; tests/monitoring skips what needs it" >&2
  exit 3
fi
echo "promtool: building $version with $(go version | cut -d' ' -f3) (a few minutes the first time)"
# Without service discovery: the clients of a dozen clouds are most of the build, and no test discovers anything.
scripts/go-build.sh promtool "" "$built" "$MODULE/cmd/promtool" -- -tags remove_all_sd
echo "$digest" >"$stamp"
echo "promtool: built $built"
