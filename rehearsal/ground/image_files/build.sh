#!/bin/sh
# Turns a bare Debian into the disk of a small cloud server. Runs once, inside the container that becomes the
# image; the package names are the arguments.
set -eu
export DEBIAN_FRONTEND=noninteractive

# A bare Debian has no CA store, yet the mirror may be https: the machine's own bundle serves until then.
if [ -s /rehearsal/bundle.pem ] && [ ! -s /etc/ssl/certs/ca-certificates.crt ]; then
    mkdir -p /etc/ssl/certs
    cp /rehearsal/bundle.pem /etc/ssl/certs/ca-certificates.crt
fi

# Container images throw away what apt downloads; a server keeps it.
rm -f /etc/apt/apt.conf.d/docker-*
if [ -s /rehearsal/rehearsal.sources ]; then
    rm -f /etc/apt/sources.list /etc/apt/sources.list.d/*
    cp /rehearsal/rehearsal.sources /etc/apt/sources.list.d/rehearsal.sources
fi
cp /rehearsal/apt.conf /etc/apt/apt.conf.d/80rehearsal
if [ -d /rehearsal/auth.conf.d ]; then
    cp /rehearsal/auth.conf.d/* /etc/apt/auth.conf.d/
fi

printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d
chmod 0755 /usr/sbin/policy-rc.d
echo force-unsafe-io > /etc/dpkg/dpkg.cfg.d/rehearsal-build
apt-get update
apt-get --yes dist-upgrade
apt-get --yes install --no-install-recommends "$@"
rm -f /usr/sbin/policy-rc.d /etc/dpkg/dpkg.cfg.d/rehearsal-build /var/cache/apt/archives/*.deb

if [ -d /rehearsal/ca ]; then
    cp /rehearsal/ca/*.crt /usr/local/share/ca-certificates/
fi
update-ca-certificates

echo LANG=C.UTF-8 > /etc/default/locale
# The background updates would take the dpkg lock in the middle of a test.
systemctl mask apt-daily.timer apt-daily-upgrade.timer
install -D -m 0755 /rehearsal/prepare.sh /usr/local/lib/rehearsal/prepare.sh
install -D -m 0755 /rehearsal/keep-packages.sh /usr/local/lib/rehearsal/keep-packages.sh
install -D -m 0644 /rehearsal/rehearsal-prepare.service /etc/systemd/system/rehearsal-prepare.service
systemctl enable rehearsal-prepare.service

# What makes a server this very server is put in when a host is created.
rm -f /etc/ssh/ssh_host_*
: > /etc/machine-id
rm -f /var/lib/dbus/machine-id
ln -s /etc/machine-id /var/lib/dbus/machine-id
# Kept on purpose: the package lists and apt's own cache of them, so that installing is quick.
apt-cache gencaches
rm -rf /rehearsal
