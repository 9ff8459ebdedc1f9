"""An ACME certificate authority on the rehearsal ground: Pebble, the test server of Let's Encrypt (RFC 8555)."""

import http.client
import json
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass

from rehearsal.ground import Ground, GroundError, Service
from rehearsal.images import ensure_service_image
from rehearsal.pki import PrivateCa

__all__ = ["ACME_NAME", "ACME_PORT", "Pebble", "start_pebble"]

Log = Callable[[str], None]

ACME_NAME = "acme.rehearsal.test"
ACME_PORT = 14000
MANAGEMENT_PORT = 15000

_CONFIG = "/etc/rehearsal-pebble.json"
_TLS = {"certificate": "/tls/pebble.crt", "privateKey": "/tls/pebble.key"}


@dataclass(frozen=True, kw_only=True)
class Pebble:
    """A running ACME server."""

    service: Service
    directory: str
    """URL of its ACME directory; the certificate there is from the rehearsal's CA."""
    root_certificate: str
    """PEM text of the root below which it issues; made anew at every start, trusted by nobody by itself."""


def _config(validity_seconds: int | None) -> str:
    settings: dict[str, object] = {
        "listenAddress": f"0.0.0.0:{ACME_PORT}",
        "managementListenAddress": f"0.0.0.0:{MANAGEMENT_PORT}",
        # Where challenges are looked up: the real ports (RFC 8555 section 8.3, RFC 8737 section 3).
        "httpPort": 80,
        "tlsPort": 443,
        "ocspResponderURL": "",
        "externalAccountBindingRequired": False,
        **_TLS,
    }
    if validity_seconds is not None:
        settings["certificateValidityPeriod"] = validity_seconds
    return json.dumps({"pebble": settings})


def _fetch(service: Service, ca: PrivateCa, path: str) -> str:
    with closing(ca.connect(service.address, MANAGEMENT_PORT)) as connection:
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read().decode()
    if answer.status != http.HTTPStatus.OK:
        raise GroundError(f"Pebble answered {answer.status} for {path}: {body[:200]}")
    return body


def start_pebble(
    ground: Ground,
    ca: PrivateCa,
    resolver: Service,
    *,
    validity_seconds: int | None = None,
    nonce_reject_percent: int = 5,
    name: str = "acme",
    log: Log = lambda _line: None,
) -> Pebble:
    """Start Pebble on ``ground`` and return it once its directory answers.

    Hosts made with ``ca_certificates=[ca.certificate]`` can talk to it. Names are validated on port 80 (or 443)
    of whatever ``resolver`` says they are. ``validity_seconds``: how long certificates are valid, five years unless
    told; short for tests of renewal. ``nonce_reject_percent``: so many good nonces are refused, as happens in real
    life (RFC 8555 section 6.5). Raises ``GroundError``.
    """
    pair = ca.issue(ACME_NAME)
    service = ground.create_service(
        name,
        ["pebble", "-config", _CONFIG, "-dnsserver", f"{resolver.address}:53"],
        aliases=[ACME_NAME],
        image=ensure_service_image(log),
        env={"PEBBLE_WFE_NONCEREJECT": str(nonce_reject_percent), "PEBBLE_VA_NOSLEEP": "1"},
        copies={
            _CONFIG: _config(validity_seconds),
            _TLS["certificate"]: pair.certificate,
            _TLS["privateKey"]: pair.key,
        },
        ready_port=ACME_PORT,
    )
    return Pebble(
        service=service,
        directory=f"https://{ACME_NAME}:{ACME_PORT}/dir",
        root_certificate=_fetch(service, ca, "/roots/0"),
    )
