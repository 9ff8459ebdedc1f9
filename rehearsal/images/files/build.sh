#!/bin/sh
# Runs once inside the container that becomes an image layer: installs the packages named before "--", then runs
# what comes after it. Mirror, proxy and authorities of this machine are in /rehearsal only and go with it.
set -eu
export DEBIAN_FRONTEND=noninteractive
export APT_CONFIG=/rehearsal/apt.conf
shared=/var/cache/rehearsal-packages
archives=/var/cache/apt/archives

packages=
while [ "$1" != -- ]; do
    packages="$packages $1"
    shift
done
shift

if [ -n "$packages" ]; then
    printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d
    chmod 0755 /usr/sbin/policy-rc.d
    mkdir -p "$archives/partial"
    for package in "$shared"/*.deb; do
        if [ -e "$package" ]; then
            ln -s "$package" "$archives/"
        fi
    done
    apt-get update -qq
    # shellcheck disable=SC2086 # a list of package names
    apt-get --yes install --no-install-recommends $packages
    for package in "$archives"/*.deb; do
        if [ -f "$package" ] && [ ! -L "$package" ] && [ ! -e "$shared/${package##*/}" ]; then
            # Hosts read this volume at the same time: only whole files may appear under their final name.
            cp "$package" "$shared/.build.${package##*/}"
            mv "$shared/.build.${package##*/}" "$shared/${package##*/}"
        fi
    done
    rm -f /usr/sbin/policy-rc.d
fi
if [ $# -gt 0 ]; then
    "$@"
fi
rm -rf /rehearsal /var/log/apt /var/log/dpkg.log /var/log/alternatives.log /var/cache/debconf/*-old /var/lib/dpkg/*-old
