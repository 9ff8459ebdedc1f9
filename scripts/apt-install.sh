#!/usr/bin/env bash
# Installs packages on this machine, as root on Debian or Ubuntu: the one way in which make and rehearsals do it.
#
# Usage: scripts/apt-install.sh PACKAGE...
#
# Another apt that is at work is waited for, ten minutes at most: on a fresh machine that is unattended-upgrades, or
# another checkout. apt-get's own DPkg::Lock::Timeout does not wait for the lists of packages.
# Exit: 0; else apt-get's own code, after its words on standard error. 2: wrong call.
set -euo pipefail
[ $# -gt 0 ] || { sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//p}' "$0" >&2; exit 2; }
readonly LONGEST=600 PAUSE=2
export DEBIAN_FRONTEND=noninteractive LC_ALL=C

apt() { # ARGUMENTS...: silent where it goes through
  local said code
  while true; do
    code=0
    said=$(apt-get -q "$@" 2>&1 >/dev/null </dev/null) || code=$?
    [ "$code" -ne 0 ] || return 0
    if [ $SECONDS -ge $LONGEST ] || ! grep -qE 'Could not get lock|Unable to (acquire|lock)' <<<"$said"; then
      printf '%s\n' "$said" >&2
      return "$code"
    fi
    sleep $PAUSE
  done
}

# What is known of packages is mostly enough, and an update takes longer than most installations.
apt install --yes --no-install-recommends "$@" 2>/dev/null || {
  apt update
  apt install --yes --no-install-recommends "$@"
}
