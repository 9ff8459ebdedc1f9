#!/bin/sh
# First thing a host does at every boot: makes a container look like a server.
set -eu
first_boot=/etc/rehearsal/first-boot

# Docker mounts these three files, and a mount point can be neither renamed over nor replaced (EBUSY), which a
# server's files can. At later boots the file of this host stays as it was left.
for file in /etc/hosts /etc/hostname /etc/resolv.conf; do
    if mountpoint -q "$file"; then
        cp "$file" /run/rehearsal-file
        umount "$file"
        if [ -e "$first_boot" ]; then
            cat /run/rehearsal-file > "$file"
            chmod 0644 "$file"
        fi
    fi
done
rm -f /run/rehearsal-file
# systemd took the name from the mounted file before this ran.
hostname -F /etc/hostname

# Test mail must never reach the world: outside its own network a host reaches no mail port.
# A routing rule, not a packet filter: the firewall of this host belongs to what is under test.
if [ -s /etc/rehearsal/network ]; then
    read -r network reach < /etc/rehearsal/network
    if [ "$reach" = isolated ]; then
        # Docker only drops what leaves: without a route an attempt fails at once instead of timing out.
        ip route del default || true
    fi
    ip rule add pref 100 to "$network" lookup main
    # 6 is TCP (IANA protocol numbers).
    for port in 25 465 587 2525; do
        ip rule add pref 110 ipproto 6 dport "$port" unreachable
    done
fi

# Packages downloaded by other hosts are on a shared volume. Links, because apt locks its own directory.
for package in /var/cache/rehearsal-packages/*.deb; do
    if [ -e "$package" ]; then
        ln -sf "$package" /var/cache/apt/archives/
    fi
done
rm -f "$first_boot"
