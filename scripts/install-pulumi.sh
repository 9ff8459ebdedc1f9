#!/usr/bin/env bash
# Installs the pinned Pulumi CLI and the provider plugins of this project. Safe to repeat.
#
# Usage: scripts/install-pulumi.sh [--if-missing]
#   --if-missing  do nothing when there is a pulumi on PATH already
#
# Where:  the CLI goes to $MAILSTACK_TOOLS/pulumi-vX with the link $MAILSTACK_TOOLS/bin/pulumi (default: .tools in this
#         checkout), the plugins to the plugin cache of the CLI ($PULUMI_HOME/plugins, default ~/.pulumi/plugins).
# Exit:   0 installed, or nothing to do; 1 this machine or an archive is not what it takes; 3 no download (the site cannot
#         be reached, or does not have the file); 4 a file does not have the digest below. With 3 and 4 nothing is installed.
# Mirror: MAILSTACK_PULUMI_BASE_URL is used instead of https://get.pulumi.com/releases, MAILSTACK_PULUMI_DIGESTS (a file of
#         "SHA256  NAME" lines) instead of the digests below.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly PULUMI_VERSION=3.259.0
# The engine accepts only the very version that the Python SDK of the plugin has, so each is pinned to its SDK.
readonly COMMAND_VERSION=1.2.1
readonly CLOUDFLARE_VERSION=6.18.0
readonly CONNECT_TIMEOUT_SECONDS=5
readonly STALL_SECONDS=30 # gives up when less than 1 KiB a second came in for that long

# SHA-256 of the archives, collected in public places away from the download site. So a download is refused when the site,
# or anything between it and us, hands out other bytes than it did when these were published. They say nothing about what
# Pulumi put into the release itself.
# - pulumi: Formula/pulumi.rb in github.com/pulumi/homebrew-tap, commit 51fb494f9549, written by Pulumi's own release job.
# - command: nix/extra-pulumi-packages.nix in github.com/canton-network/splice, commit cdbef7afda47.
# - cloudflare, amd64: a public Nix derivation that pins it next to CLI 3.254.0, whose digest there is the one in
#   Pulumi's Homebrew tap. No digest was found for arm64: there the plugin is left out.
digests() {
  if [ -n "${MAILSTACK_PULUMI_DIGESTS:-}" ]; then
    cat -- "$MAILSTACK_PULUMI_DIGESTS"
    return
  fi
  cat <<'DIGESTS'
94ba357acac23d01474084c4b00098dc0f7bc70ce13f34c777459254a5f718e5  pulumi-v3.259.0-linux-x64.tar.gz
edc8327463a72160bb36cf82cf5062da9c8a244290a706d9980988e7bf486853  pulumi-v3.259.0-linux-arm64.tar.gz
71377999d1da39f54e94d9fe2950f6bb9a0a090a577094866373397dcad2e800  pulumi-resource-command-v1.2.1-linux-amd64.tar.gz
d294ee36cc97499bc8c5d7905c6affeb4b768af50c26d6aeaa9a8f38d06fa558  pulumi-resource-command-v1.2.1-linux-arm64.tar.gz
947492ba6ce02bc71637fd6c6279e43decdea8918234370a22f4a3615a381478  pulumi-resource-cloudflare-v6.18.0-linux-amd64.tar.gz
DIGESTS
}

fail() { # EXIT-CODE SENTENCE
  echo "install-pulumi: $2" >&2
  exit "$1"
}

digest_of() { # NAME
  digests | awk -v name="$1" '$2 == name { print $1 }'
}

download() { # DIRECTORY-ON-THE-SITE NAME
  local url=$base_url/$1/$2 file=$work/$2 expected actual reason
  expected=$(digest_of "$2")
  [ -n "$expected" ] || fail 1 "no SHA-256 is known for $2, so it is not downloaded; add it to scripts/install-pulumi.sh."
  echo "install-pulumi: downloading $url" >&2
  reason=$(curl --fail --silent --show-error --location --proto-redir '=https' --connect-timeout "$CONNECT_TIMEOUT_SECONDS" \
    --speed-limit 1024 --speed-time "$STALL_SECONDS" --output "$file" "$url" 2>&1) ||
    fail 3 "cannot download $url (${reason:-no reason given}); nothing was installed."
  actual=$(sha256sum "$file" | cut -d' ' -f1)
  if [ "$actual" != "$expected" ]; then
    rm -f "$file"
    fail 4 "$2 has SHA-256 $actual, expected $expected; the file was removed and nothing was installed."
  fi
}

plugin_archive() { # NAME VERSION
  echo "pulumi-resource-$1-v$2-linux-$plugin_arch.tar.gz"
}

plugin_present() { # NAME VERSION
  [ -x "$plugin_cache/resource-$1-v$2/pulumi-resource-$1" ]
}

cli_present() {
  [ -x "$cli/pulumi" ] && [ "$tools/bin/pulumi" -ef "$cli/pulumi" ]
}

install_cli() {
  mkdir "$work/cli"
  # The archive holds one directory, "pulumi", with the CLI and the language hosts it expects next to itself.
  tar -xzf "$work/$cli_archive" -C "$work/cli" --strip-components=1 --no-same-owner
  [ -x "$work/cli/pulumi" ] || fail 1 "$cli_archive holds no pulumi/pulumi."
  rm -rf "$cli"
  mv "$work/cli" "$cli"
  mkdir -p "$tools/bin"
  ln -sfn "../pulumi-v$PULUMI_VERSION/pulumi" "$tools/bin/pulumi"
}

install_plugin() { # NAME VERSION
  PULUMI_SKIP_UPDATE_CHECK=true "$cli/pulumi" plugin install resource "$1" "v$2" \
    --file "$work/$(plugin_archive "$1" "$2")" >&2
  plugin_present "$1" "$2" || fail 1 "the CLI did not put plugin $1 v$2 into $plugin_cache."
}

case "${1:-}" in
  '') ;;
  --if-missing)
    if command -v pulumi >/dev/null; then
      echo "install-pulumi: there is a pulumi on PATH already: $(command -v pulumi)"
      exit 0
    fi
    ;;
  *) fail 1 "unknown argument '$1'; the only one is --if-missing." ;;
esac

for tool in curl tar sha256sum awk; do
  command -v "$tool" >/dev/null || fail 1 "$tool is not installed; install it first."
done
case "$(uname -s)/$(uname -m)" in
  Linux/x86_64) cli_arch=x64 plugin_arch=amd64 ;;
  Linux/aarch64 | Linux/arm64) cli_arch=arm64 plugin_arch=arm64 ;;
  *) fail 1 "no pinned Pulumi for $(uname -s) on $(uname -m); see https://www.pulumi.com/docs/install/." ;;
esac

if [ -n "${MAILSTACK_PULUMI_DIGESTS:-}" ] && [ ! -r "$MAILSTACK_PULUMI_DIGESTS" ]; then
  fail 1 "MAILSTACK_PULUMI_DIGESTS names $MAILSTACK_PULUMI_DIGESTS, which cannot be read."
fi
base_url=${MAILSTACK_PULUMI_BASE_URL:-https://get.pulumi.com/releases}
plugin_cache=${PULUMI_HOME:-$HOME/.pulumi}/plugins
tools=${MAILSTACK_TOOLS:-.tools}
mkdir -p "$tools"
tools=$(cd "$tools" && pwd)
cli=$tools/pulumi-v$PULUMI_VERSION
cli_archive=pulumi-v$PULUMI_VERSION-linux-$cli_arch.tar.gz
work=$(mktemp -d "$tools/.download.XXXXXX")
trap 'rm -rf "$work"; rmdir "$tools" 2>/dev/null || true' EXIT

plugins=("command $COMMAND_VERSION")
left_out=""
if [ -n "$(digest_of "$(plugin_archive cloudflare "$CLOUDFLARE_VERSION")")" ]; then
  plugins+=("cloudflare $CLOUDFLARE_VERSION")
else
  left_out="; plugin cloudflare v$CLOUDFLARE_VERSION left out, no SHA-256 is known for $plugin_arch"
fi

# Everything is downloaded and checked before anything is installed.
missing_plugins=()
for plugin in "${plugins[@]}"; do
  read -r name version <<<"$plugin"
  plugin_present "$name" "$version" || missing_plugins+=("$plugin")
done
state="nothing to do, there is"
if ! cli_present; then
  state="installed"
  download sdk "$cli_archive"
fi
for plugin in ${missing_plugins[@]+"${missing_plugins[@]}"}; do
  state="installed"
  read -r name version <<<"$plugin"
  download plugins "$(plugin_archive "$name" "$version")"
done
cli_present || install_cli
for plugin in ${missing_plugins[@]+"${missing_plugins[@]}"}; do
  read -r name version <<<"$plugin"
  install_plugin "$name" "$version"
done

listed=$(printf ', plugin %s' "${plugins[@]/ / v}")
echo "install-pulumi: $state $tools/bin/pulumi v$PULUMI_VERSION$listed$left_out"
