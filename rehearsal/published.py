"""A name server for zones that the stack keeps elsewhere: at Cloudflare, or imported by hand.

NSD from Debian, with the records that are declared. What Cloudflare's stand-in accepts is checked by itself; to Postal
and Caddy this is the moment after, when the world sees it.
"""

from collections.abc import Callable, Iterable, Mapping

from mailstack.dns import Record
from mailstack.dns.zone import render_zone
from rehearsal.ground import Ground, Service
from rehearsal.images import ensure_service_image

__all__ = ["PUBLISHED", "PUBLISHED_NAME", "start_published"]

PUBLISHED = "published"
"""The service."""
PUBLISHED_NAME = "ns.rehearsal.test"
"""What NS records call it: Postal asks the servers of a zone, not a resolver."""

_FOLDER = "/etc/nsd"
_SERVER = f"""\
server:
  ip-address: 0.0.0.0
  zonesdir: {_FOLDER}
  username: ""
  pidfile: ""
  zonelistfile: /tmp/zone.list
  xfrdfile: /tmp/xfrd.state
remote-control:
  control-enable: no
"""


def start_published(
    ground: Ground, zones: Mapping[str, Iterable[Record]], *, log: Callable[[str], None] = lambda _line: None
) -> Service:
    """Start the server on ``ground``; it listens at the service's ``address``, port 53. ``zones``: name to records.

    Raises ``GroundError``.
    """
    texts = {
        f"{_FOLDER}/{zone}.zone": render_zone(
            zone, records, nameservers=[PUBLISHED_NAME], hostmaster="hostmaster@rehearsal.test", serial=1
        )
        for zone, records in zones.items()
    }
    listed = "".join(f'zone:\n  name: "{zone}."\n  zonefile: "{zone}.zone"\n' for zone in zones)
    return ground.create_service(
        PUBLISHED,
        # What is copied in is dated 1970, and NSD takes no zone that is older than its own beginning.
        ["sh", "-c", f"touch {_FOLDER}/*.zone && exec nsd -d -c {_FOLDER}/rehearsal.conf"],
        image=ensure_service_image(log),
        copies={f"{_FOLDER}/rehearsal.conf": _SERVER + listed, **texts},
        ready_port=53,
    )
