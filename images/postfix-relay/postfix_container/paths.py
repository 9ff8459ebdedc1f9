"""Where things are in the container. What is written to is a mount: the root may be read-only."""

from pathlib import Path

from mailstack.postfix import files

__all__ = [
    "CONFIGURATION", "DATA", "DRAINING", "FAULTS", "GIVEN", "MAPS", "PID", "QUEUE", "SECRETS", "SETTINGS", "SHIPPED",
]  # fmt: skip

# Uploaded into a container that only hands it on, see receive.
GIVEN = Path("/given")
# Given from outside, read-only.
SETTINGS = Path("/etc/mailstack/relay.json")
SECRETS = Path("/run/secrets/mailstack")
# Part of the image: what the package has in /etc/postfix besides main.cf and master.cf.
SHIPPED = Path("/usr/share/postfix-relay/etc")
# In memory.
CONFIGURATION = Path("/etc/postfix")
MAPS = CONFIGURATION / files.MAPS
DATA = Path("/var/lib/postfix")
FAULTS = Path("/run/postfix-relay/faults")
DRAINING = Path("/run/postfix-relay/draining")
# Durable.
QUEUE = Path("/var/spool/postfix")
PID = QUEUE / "pid/master.pid"
