#!/usr/bin/env bash
# Fetches the script that draws the diagrams of the site, from the npm registry, pinned by the digest of its package. So
# the site asks nobody for it, and shows its diagrams without a network. Safe to repeat.
#
# Where: .tools/mermaid/mermaid.min.js. docs/conf.py takes it from there; without it a page loads it from a network.
# Exit:  0 it is there; 1 the package is not the pinned one; 3 there is no npm, or it reaches no registry.
set -euo pipefail
cd "$(dirname "$0")/.."

# The version that sphinxcontrib-mermaid was made for (its mermaid_version).
readonly VERSION=11.12.1
readonly DIGEST=UlIZrRariB11TY1RtTgUWp65tphtBv4CSq7vyS2ZZ2TgoMjs2nloq+wFqxiwcxlhHUvs7DPGgMjs2aeQxz5h9g==
readonly folder=.tools/mermaid
readonly script=$folder/mermaid.min.js

if [ -s "$script" ] && [ "$(cat "$folder/version" 2>/dev/null)" = "$VERSION" ]; then
  exit 0
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
archive=$work/mermaid-$VERSION.tgz
# npm knows where packages come from here: the registry of everybody, or a company's mirror.
npm pack --silent --pack-destination "$work" "mermaid@$VERSION" >/dev/null 2>&1 || {
  echo "mermaid: npm is not there or reaches no registry; the site's diagrams will be drawn with a network only" >&2
  exit 3
}
actual=$(openssl dgst -sha512 -binary "$archive" | openssl base64 -A)
if [ "$actual" != "$DIGEST" ]; then
  echo "mermaid: mermaid-$VERSION.tgz has SHA-512 $actual, expected $DIGEST; nothing was taken from it" >&2
  exit 1
fi
tar -xzf "$archive" -C "$work" package/dist/mermaid.min.js
mkdir -p "$folder"
mv "$work/package/dist/mermaid.min.js" "$script"
echo "$VERSION" >"$folder/version"
echo "mermaid: $script, $VERSION"
