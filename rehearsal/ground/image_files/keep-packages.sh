#!/bin/sh
# After every dpkg run: gives what this host downloaded to the shared volume (see prepare.sh).
shared=/var/cache/rehearsal-packages
[ -d "$shared" ] || exit 0
for package in /var/cache/apt/archives/*.deb; do
    if [ -f "$package" ] && [ ! -L "$package" ] && [ ! -e "$shared/${package##*/}" ]; then
        # Another host may be doing the same: only whole files may appear under their final name.
        partial="$shared/.$(hostname).${package##*/}"
        cp "$package" "$partial" && mv "$partial" "$shared/${package##*/}"
    fi
done
exit 0
