#!/usr/bin/env bash
# Builds the real kubernetes plugin of Pulumi from the Go module proxy, pinned by tools/pulumi-kubernetes/go.sum, for
# tests and rehearsals on machines that reach package registries only. Safe to repeat: a build that is there is kept.
#
# Usage: scripts/pulumi-kubernetes.sh [--if-built]
#   --if-built  only say where it is; build nothing
#
# Where: .tools/plugins/bin/pulumi-resource-kubernetes. Not on the user's PATH: only rehearsal/engine.py looks there.
# Environment: KUBERNETES_JOBS  processors the compiler may use (default: all); it is niced in any case
# Exit:  0 it is there; 1 the build failed; 3 this machine has no Go, or (--if-built) it was never built.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly MODULE=github.com/pulumi/pulumi-kubernetes/provider/v4 SOURCE=tools/pulumi-kubernetes
version=$(awk -v module="$MODULE" '$1 == "require" && $2 == module { print $3 } $1 == module { print $2 }' $SOURCE/go.mod)
digest=$(
  { find $SOURCE -type f -print0 | sort -z | xargs -0 cat && cat scripts/pulumi-kubernetes.sh scripts/go-build.sh; } |
    sha256sum | cut -d' ' -f1
)
readonly version digest
readonly built=.tools/plugins/bin/pulumi-resource-kubernetes stamp=.tools/plugins/kubernetes.digest

if [ -x "$built" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$digest" ]; then
  echo "pulumi-kubernetes: plugin $version is there: $built"
  exit 0
fi
if [ "${1:-}" = --if-built ]; then
  echo "pulumi-kubernetes: not built; \`make kubernetes-plugin\` builds it" >&2
  exit 3
fi
if ! command -v go >/dev/null; then
  echo "pulumi-kubernetes: Go is not installed, and the plugin is built with it" >&2
  exit 3
fi
mkdir -p "$(dirname "$built")"
exec 9>.tools/plugins/kubernetes.lock
flock 9
echo "pulumi-kubernetes: building plugin $version with $(go version | cut -d' ' -f3) (two minutes the first time)"
overlay=$(mktemp)
trap 'rm -f "$overlay"' EXIT
# The provider's own main embeds two files that only its Makefile makes, so ours takes their sources from its module.
# They belong to the very release, and nothing has to be copied: the overlay is of this build alone.
provider=$(cd $SOURCE && go mod download -json "$MODULE" | sed -n 's/^\t"Dir": "\(.*\)",\{0,1\}$/\1/p')/cmd/pulumi-resource-kubernetes
printf '{"Replace": {"%s": "%s", "%s": "%s"}}\n' \
  "$PWD/$SOURCE/schema.json" "$provider/schema.json" \
  "$PWD/$SOURCE/terraform-mapping.json" "$provider/terraform-mapping.json" >"$overlay"
nice scripts/go-build.sh pulumi-kubernetes "-X $MODULE/pkg/version.Version=${version#v}" .tools/plugins/kubernetes.new \
  . -- -overlay "$overlay"
mv .tools/plugins/kubernetes.new "$built"
echo "$digest" >"$stamp"
echo "pulumi-kubernetes: built $built"
