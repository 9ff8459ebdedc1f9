#!/usr/bin/env bash
# Builds programs of a module below tools/, pinned by its go.sum, as cheaply as the compiler can: nothing is inlined and
# nothing kept for a debugger, which is a third of its work (measured on client-go). All are built with the same
# arguments, so that what two of them use, the standard library first, is compiled once.
#
# Usage: scripts/go-build.sh MODULE VALUES OUTPUT PACKAGE... [-- ARGUMENT...]
#   MODULE    a folder of tools/
#   VALUES    what the linker writes into variables (-X ...), or ""
#   OUTPUT    file, or with a slash at its end folder, of the programs; it is made
#   PACKAGE   one or more; ARGUMENT: more arguments of `go build`
#
# Environment: CGO_ENABLED    1 for what is partly C (default: 0)
#              KUBERNETES_JOBS  processors the compiler may use (default: all)
# Exit:  that of `go build`.
set -euo pipefail
cd "$(dirname "$0")/.."

module=$1 values=$2 output=$PWD/$3
shift 3
packages=()
while [ $# -gt 0 ] && [ "$1" != -- ]; do
  packages+=("$1")
  shift
done
[ $# -eq 0 ] || shift
[ -z "${KUBERNETES_JOBS:-}" ] || export GOMAXPROCS=$KUBERNETES_JOBS
export CGO_ENABLED=${CGO_ENABLED:-0}
case $output in
  */) mkdir -p "$output" ;;
  *) mkdir -p "$(dirname "$output")" ;;
esac
cd "tools/$module"
exec go build -mod=readonly -trimpath '-gcflags=all=-l -dwarf=false' -ldflags "-s -w $values" "$@" \
  -o "$output" "${packages[@]}"
