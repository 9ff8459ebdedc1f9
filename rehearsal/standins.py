"""Starts the stand-in for an upstream on a ground, under the upstream's own name."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rehearsal.google_standin import GoogleStandinClient
from rehearsal.ground import Ground
from rehearsal.pki import ServerPki

__all__ = ["GOOGLE_STANDIN", "PORTS", "start_google"]

CONTROL_PORT = 8025
# All that its program is made of, below this folder: the container has nothing but python3.
GOOGLE_STANDIN = ("__init__.py", "google_standin", "serving.py", "waiting.py")
# Port to kind of TLS, as Google has them.
PORTS: Mapping[int, str] = {25: "starttls", 465: "implicit", 587: "starttls"}


def start_google(
    ground: Ground,
    pki: ServerPki,
    rule: Mapping[str, Any],
    *,
    host_name: str,
    service: str,
    ports: Mapping[int, str] = PORTS,
) -> GoogleStandinClient:
    """Start the stand-in as container ``service``, known as ``host_name`` by DNS, and return its client once healthy.

    ``rule`` is the stand-in's rule; all certificates of ``pki``, good and faulty, can be served.
    """
    pairs = {"server": pki.server, **pki.faulty}
    files = {name: {"certificate": f"/standin/{name}.crt", "key": f"/standin/{name}.key"} for name in pairs}
    config = {
        "hostname": host_name,
        "listeners": [{"host": "0.0.0.0", "port": port, "tls": kind} for port, kind in ports.items()],
        "control": {"host": "0.0.0.0", "port": CONTROL_PORT},
        "tls": {**files["server"], "client_ca": None, "faulty": {name: files[name] for name in pki.faulty}},
        "rule": rule,
    }
    started = ground.create_service(
        service,
        ["python3", "-m", "rehearsal.google_standin", "--config", "/standin/config.json"],
        aliases=[host_name],
        copies={
            **{f"/standin/rehearsal/{name}": Path(__file__).parent / name for name in GOOGLE_STANDIN},
            "/standin/config.json": json.dumps(config),
            **{files[name]["certificate"]: pair.certificate for name, pair in pairs.items()},
            **{files[name]["key"]: pair.key for name, pair in pairs.items()},
        },
        env={"PYTHONPATH": "/standin"},
        ready_port=CONTROL_PORT,
    )
    client = GoogleStandinClient(f"http://{started.address}:{CONTROL_PORT}")
    client.wait_until_healthy()
    return client
