#!/usr/bin/env bash
# Builds the real Pulumi CLI from the Go module proxy, pinned by tools/engine/go.sum, for tests and for `make demo` on
# machines that reach package registries only. Safe to repeat: a build that is there is kept.
#
# Usage: scripts/engine.sh [--if-built]
#   --if-built  only say where it is; build nothing
#
# Where: .tools/engine/bin/pulumi. Not .tools/bin: it has no language host, so it is no full installation. It runs a
#        program through the Automation API, in whose process the program then runs.
# Exit:  0 it is there; 1 the build failed; 3 this machine has no Go, or (--if-built) it was never built.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly MODULE=github.com/pulumi/pulumi/pkg/v3
version=$(awk -v module="$MODULE" '$1 == "require" && $2 == module { print $3 } $1 == module { print $2 }' tools/engine/go.mod)
digest=$(cat tools/engine/go.mod tools/engine/go.sum scripts/engine.sh scripts/go-build.sh | sha256sum | cut -d' ' -f1)
readonly version digest
readonly built=.tools/engine/bin/pulumi stamp=.tools/engine/digest

if [ -x "$built" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$digest" ]; then
  echo "engine: Pulumi CLI $version is there: $built"
  exit 0
fi
if [ "${1:-}" = --if-built ]; then
  echo "engine: not built; \`make engine\` builds it" >&2
  exit 3
fi
if ! command -v go >/dev/null; then
  echo "engine: Go is not installed, and the CLI is built with it; install Go, or the CLI by scripts/install-pulumi.sh" >&2
  exit 3
fi
echo "engine: building Pulumi CLI $version with $(go version | cut -d' ' -f3) (three to six minutes the first time)"
scripts/go-build.sh engine "-X github.com/pulumi/pulumi/sdk/v3/go/common/version.Version=$version" "$built" \
  "$MODULE/cmd/pulumi"
echo "$digest" >"$stamp"
echo "engine: built $built"
