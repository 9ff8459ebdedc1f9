"""Where things are on the host."""

__all__ = [
    "APT_KEY",
    "APT_SOURCES",
    "DAEMON_JSON",
    "DNF_KEY",
    "DNF_REPOSITORY",
    "NETWORK_UNIT",
    "NETWORK_UNIT_PATH",
]

DAEMON_JSON = "/etc/docker/daemon.json"
# Others order after this unit when they need the gateway address of the network.
NETWORK_UNIT = "mailstack-network.service"
NETWORK_UNIT_PATH = "/etc/systemd/system/" + NETWORK_UNIT
APT_KEY = "/etc/apt/keyrings/mailstack-docker.asc"
APT_SOURCES = "/etc/apt/sources.list.d/mailstack-docker.sources"
DNF_KEY = "/etc/pki/rpm-gpg/RPM-GPG-KEY-mailstack-docker"
DNF_REPOSITORY = "/etc/yum.repos.d/mailstack-docker.repo"
