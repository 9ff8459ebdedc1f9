#!/usr/bin/env bash
# Brings a checkout to where make can work: system packages (as root on Debian or Ubuntu) and .venv from the locked
# requirements. Does nothing when both are there.
set -euo pipefail
cd "$(dirname "$0")/.."

need=()
command -v ssh >/dev/null || need+=(openssh-client)
command -v openssl >/dev/null || need+=(openssl)
command -v shellcheck >/dev/null || need+=(shellcheck)
command -v git >/dev/null || need+=(git)
python=""
for candidate in python3.13 python3.12 python3.11 python3; do
  if command -v "$candidate" >/dev/null && "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    python=$candidate
    break
  fi
done
if [ -z "$python" ]; then
  need+=(python3 python3-venv)
elif ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
  need+=(python3-venv)
fi
if [ "${#need[@]}" -gt 0 ]; then
  if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
    echo "setup: install these first: ${need[*]}" >&2
    exit 1
  fi
  echo "setup: installing ${need[*]}"
  scripts/apt-install.sh "${need[@]}"
  python=${python:-python3}
fi

wanted=$(sha256sum requirements-dev.txt | cut -d' ' -f1)
if [ "$(cat .venv/.requirements 2>/dev/null)" != "$wanted" ]; then
  echo "setup: Python packages into .venv (about a minute the first time)"
  [ -x .venv/bin/python ] || "$python" -m venv .venv
  .venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
  echo "$wanted" >.venv/.requirements
fi
if ! grep -q " -m cli " .venv/bin/mailstack 2>/dev/null; then
  # The project is a Pulumi program, not a package: the command just runs the module of this checkout.
  # shellcheck disable=SC2016 # expanded when the command runs
  printf '#!/bin/sh\nhere=$(dirname "$0")\nPYTHONPATH="$here/../.." exec "$here/python" -m cli "$@"\n' >.venv/bin/mailstack
  chmod +x .venv/bin/mailstack
fi
