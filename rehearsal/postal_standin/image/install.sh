#!/bin/sh
# Run once, as root, while the stand-in image is built: packages.txt is installed, this folder is at /opt/postal/app.
# Usage: install.sh [VERSION]     VERSION is what the image will call itself (default: the VERSION file as it is).
set -eu

app=/opt/postal/app
version=${1:-}
# The real image's user; the files in /config must be readable by it. A base image with systemd has given these numbers
# to others already, which does no harm: only the number counts.
postal_id=999

if [ -n "$version" ]; then
    printf '%s\n' "$version" >"$app/VERSION"
fi

groupadd --system --non-unique --gid "$postal_id" postal
useradd --system --non-unique --uid "$postal_id" --gid postal --shell /bin/bash \
    --home-dir /opt/postal --no-create-home postal
mkdir -p /opt/postal/config /config
chown -R postal:postal /opt/postal

install -m 0755 "$app/docker-entrypoint.sh" /docker-entrypoint.sh
chmod 0755 "$app"/bin/*
for program in "$app"/bin/*; do
    ln -sf "$program" "/usr/local/bin/$(basename "$program")"
done

# As in the real image: port 25 is bound through this file capability. A container without NET_BIND_SERVICE in its
# bounding set cannot execute ruby at all, and no-new-privileges switches the capability off.
setcap cap_net_bind_service=+ep "$(readlink -f /usr/bin/ruby)"
