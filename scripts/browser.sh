#!/usr/bin/env bash
# Debian's Chromium and its driver, for the tests that open a report in a browser. Exits with 3, and says so, where
# they are not there and cannot be installed: those tests then say why they are left out.
set -euo pipefail

if command -v chromium >/dev/null && command -v chromedriver >/dev/null; then
  exit 0
fi
# Ubuntu's package of that name is a snap, which no driver of Debian's fits.
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null || ! grep -q '^ID=debian' /etc/os-release; then
  echo "browser: no Chromium here; tests of the report in a browser are left out" >&2
  exit 3
fi
echo "browser: installing Chromium and its driver"
"$(dirname "$0")/apt-install.sh" chromium chromium-driver
