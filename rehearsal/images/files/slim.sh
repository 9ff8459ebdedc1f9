#!/bin/sh
# Makes a bare Debian small: what a container never needs goes, and dpkg leaves it out from now on.
set -eu
cat > /etc/dpkg/dpkg.cfg.d/slim <<'SETTINGS'
path-exclude=/usr/share/doc/*
path-exclude=/usr/share/man/*
path-exclude=/usr/share/info/*
path-exclude=/usr/share/lintian/*
path-exclude=/usr/share/locale/*
path-exclude=/usr/share/i18n/*
SETTINGS
for directory in doc man info lintian locale i18n; do
    rm -rf "/usr/share/${directory:?}"
    mkdir "/usr/share/$directory"
done
rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/* /var/cache/ldconfig/aux-cache
# Official images make apt throw away what it downloads, which the rehearsal shares.
rm -f /etc/apt/apt.conf.d/docker-*
if [ -d /rehearsal/sources.list.d ]; then
    # Every build brings the mirrors of its machine.
    rm -rf /etc/apt/sources.list /etc/apt/sources.list.d/*
fi
