#!/bin/sh
# First thing a host does at every boot: makes a container look like a server.
set -eu
first_boot=/etc/rehearsal/first-boot

# With cgroup v1 Docker inside the host would put its containers beside the host, not into it: no memory limit of
# the host would hold for them, and they would leave their groups behind. Here "/docker" becomes the host's own,
# and the path the kernel tells, /docker/HOST/docker/CONTAINER, leads to the same place. With cgroup v2 Docker
# leaves this to systemd, which stays inside.
contain_containers() {
    cgroups=/sys/fs/cgroup
    own=$(sed -n 's|^[0-9]*:memory:\(/docker/[0-9a-f]*\).*|\1|p' /proc/1/cgroup)
    [ -n "$own" ] || return 0
    mkdir /run/rehearsal-cgroup
    for hierarchy in "$cgroups"/*; do
        # net_cls and its like are links, or mounted by this host's systemd alone.
        if [ -L "$hierarchy" ] || [ ! -d "$hierarchy$own" ]; then
            continue
        fi
        mkdir -p "$hierarchy$own$own"
        if [ -e "$hierarchy/cpuset.cpus" ]; then
            # These two are not inherited, and nothing may run while they are empty.
            for setting in cpus mems; do
                cat "$hierarchy$own/cpuset.$setting" > "$hierarchy$own/docker/cpuset.$setting"
            done
        fi
        mount --bind "$hierarchy$own" /run/rehearsal-cgroup
        mount --bind "$hierarchy$own/docker" "$hierarchy/docker"
        mount --bind /run/rehearsal-cgroup "$hierarchy$own"
        umount /run/rehearsal-cgroup
    done
    rmdir /run/rehearsal-cgroup
}

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
    read -r network reach containers < /etc/rehearsal/network
    if [ "$reach" = isolated ]; then
        # Docker only drops what leaves: without a route an attempt fails at once instead of timing out.
        ip route del default || true
    fi
    ip rule add pref 100 to "$network" lookup main
    # 6 is TCP (IANA protocol numbers).
    for port in 25 465 587 2525; do
        ip rule add pref 110 ipproto 6 dport "$port" unreachable
    done
    if [ "$containers" = docker ]; then
        # A published port is forwarded to a container: networks of this host are inside, only the default route
        # (prefix length 0) leads out.
        ip rule add pref 105 lookup main suppress_prefixlength 0
        contain_containers
    fi
fi

# Packages downloaded by other hosts are on a shared volume. Links, because apt locks its own directory.
for package in /var/cache/rehearsal-packages/*.deb; do
    if [ -e "$package" ]; then
        ln -sf "$package" /var/cache/apt/archives/
    fi
done
rm -f "$first_boot"
