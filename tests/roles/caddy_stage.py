"""What the tests of role caddy stand on: a host with Docker, an ACME server, a web server and an SMTP server."""

import hashlib
import json
import ssl
import subprocess
import time
from collections.abc import Mapping
from typing import Any

from mailstack.caddy.definition import Acme, CaddyDefinition, MtaStsPolicy, SmtpDelivery, role_settings
from mailstack.reach.bundle import Action
from rehearsal.ground import Ground, Host
from rehearsal.pki import PrivateCa
from tests.roles.support import Run, run_role

__all__ = [
    "CADDY_IMAGE",
    "MAKE_CADDY_IMAGE",
    "NAMES",
    "SMTP_NAME",
    "STS_NAME",
    "TRACK_NAME",
    "WEB_NAME",
    "CaddyHost",
    "acme",
    "definition",
    "fingerprint",
    "start_acme_server",
    "wait_until",
]

WEB_NAME = "postal.example.com"
TRACK_NAME = "track.example.com"
STS_NAME = "mta-sts.example.com"
SMTP_NAME = "mx.example.com"
NAMES = (WEB_NAME, TRACK_NAME, STS_NAME, SMTP_NAME)

UPSTREAM = """
import http.server, time
class Handler(http.server.BaseHTTPRequestHandler):
    server_version = "Upstream/1"
    def do_GET(self):
        self.send_response(200)
        self.send_header("X-Frame-Options", "DENY")
        self.end_headers()
        if self.path == "/slow":
            for _ in range(30):
                self.wfile.write(b"x" * 1000)
                time.sleep(0.1)
        else:
            self.wfile.write(str(self.headers).encode())
    def do_POST(self):
        length = len(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"%d" % length)
http.server.ThreadingHTTPServer(("127.0.0.1", 5000), Handler).serve_forever()
"""

# As Postal does it: certificate and key are read once. A pair in /override stands for a server gone wrong.
SMTP_SERVER = """
import asyncio, os, signal, ssl
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Sink
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
pair = "/override" if os.path.exists("/override/smtp.cert") else "/config"
context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
context.load_cert_chain(pair + "/smtp.cert", pair + "/smtp.key")
Controller(Sink(), hostname="0.0.0.0", port=2525, tls_context=context).start()
asyncio.new_event_loop().run_forever()
"""

# An image of nothing but links: its programs are the host's, mounted read-only.
EMPTY_IMAGE = "cd $(mktemp -d); for n in bin lib lib64 sbin; do ln -s usr/$n $n; done; tar -c . | docker import - empty"
SMTP_CONTAINER = (
    "docker run --detach --name postal-smtp-1 --user 999:999 --publish 25:2525 --restart unless-stopped "
    "--label com.docker.compose.project=postal --label com.docker.compose.service=smtp "
    "--label com.docker.compose.oneoff=False --volume /usr:/usr:ro --volume /etc/ssl:/etc/ssl:ro "
    "--volume /srv/smtp.py:/smtp.py:ro --volume /srv/override:/override:ro --volume /opt/postal/config:/config:ro "
    "empty python3 /smtp.py"
)
CADDY_IMAGE = "registry.rehearsal.test/caddy:2"
MAKE_CADDY_IMAGE = (
    "tar -ch /usr/bin/caddy $(ldd /usr/bin/caddy | grep -o '/[^ ]*') /etc/ssl/certs/ca-certificates.crt 2>/dev/null"
    f" | docker import --change 'ENV PATH=/usr/bin' - {CADDY_IMAGE}"
)


def acme(server: str, ca_file: str = "/root/acme-ca.pem") -> Acme:
    """Certificates from the ACME server of that name."""
    return Acme(email="it@example.com", directory=f"https://{server}:14000/dir", ca_file=ca_file)


def definition(**changes: Any) -> CaddyDefinition:
    """The good definition, with changes."""
    values: dict[str, Any] = {
        "certificates": acme("pebble"),
        "web_names": (WEB_NAME,),
        "tracking_names": (TRACK_NAME,),
        "mta_sts": (MtaStsPolicy(domain="example.com", mode="enforce", mx=("mx1.example.com", "*.example.net")),),
        "smtp": SmtpDelivery(name=SMTP_NAME),
        "hsts_seconds": 3600,
        "max_request_mb": 1,
        "issue_wait_seconds": 60,
    }
    return CaddyDefinition(**(values | changes))


class CaddyHost:
    """A host, the role on it, and questions to it from this machine."""

    def __init__(self, ground: Ground, host: Host) -> None:
        self.ground = ground
        self.host = host

    def run(
        self, wanted: CaddyDefinition | None = None, secrets: Mapping[str, str] | None = None, action: Action = "apply"
    ) -> Run:
        return run_role(self.ground, self.host, "caddy", role_settings(wanted or definition()), secrets, action=action)

    def sh(self, script: str, *, check: bool = True) -> str:
        return str(self.ground.exec(self.host, ["sh", "-ec", script], check=check).stdout)

    def curl(self, url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Ask from this machine, with every name leading to the host; any certificate is taken."""
        name = url.partition("://")[2].partition("/")[0]
        places = [f"{name}:{port}:{self.host.address}" for port in (80, 443)]
        resolve = [item for place in places for item in ("--resolve", place)]
        command = ["curl", "--silent", "--insecure", "--max-time", "20", *resolve, *arguments, url]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    def served(self, name: str) -> str:
        """Return SHA-256 of the certificate shown for a name, empty where there is none."""
        return self._fingerprint(f"-connect {self.host.address}:443 -servername {name}")

    def smtp_served(self) -> str:
        """Return SHA-256 of the certificate on port 25, empty where there is none."""
        return self._fingerprint(f"-connect {self.host.address}:25 -starttls smtp")

    def _fingerprint(self, arguments: str) -> str:
        command = ["openssl", "s_client", *arguments.split()]
        shown = subprocess.run(command, input="", capture_output=True, text=True, timeout=20, check=False).stdout
        return fingerprint(shown) if "-----END CERTIFICATE-----" in shown else ""

    def process(self) -> str:
        return self.sh("systemctl show -p MainPID --value caddy").strip()

    def files(self) -> str:
        """Return names, content and identity of everything the role manages."""
        return self.sh(
            "cd /; find etc/caddy etc/systemd/system/caddy.service.d etc/mailstack usr/local/lib/mailstack "
            "opt/postal -type f -exec md5sum {} + | sort; stat -c '%i %Y' etc/caddy/Caddyfile"
        )

    def start_upstream(self) -> None:
        self.ground.copy_in(self.host, UPSTREAM, "/srv/upstream.py")
        self.sh("systemd-run --quiet --collect --unit=upstream python3 /srv/upstream.py")

    def install_docker(self) -> None:
        self.sh("apt-get install -qq -y --no-install-recommends docker.io pebble >/dev/null 2>&1")
        self.sh(EMPTY_IMAGE)

    def start_smtp_container(self) -> None:
        self.ground.copy_in(self.host, SMTP_SERVER, "/srv/smtp.py")
        self.sh(f"mkdir -p /srv/override; {SMTP_CONTAINER}")
        assert wait_until(lambda: self.smtp_served() != "", 20), self.sh("docker logs postal-smtp-1 2>&1")


def fingerprint(pem: str) -> str:
    """SHA-256 of the DER form of the first certificate in a text."""
    end = "-----END CERTIFICATE-----"
    first = pem[pem.index("-----BEGIN CERTIFICATE-----") : pem.index(end) + len(end)]
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(first)).hexdigest()


def wait_until(condition: Any, seconds: float) -> bool:
    """Ask until it holds; tell whether it ever did."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.5)
    return bool(condition())


def start_acme_server(ground: Ground, name: str, program: bytes, ca: PrivateCa, validity_seconds: int) -> None:
    """Start pebble, a real ACME server for tests, as ``name``:14000; it validates on port 80."""
    pair = ca.issue(name)
    config = {
        "pebble": {
            "listenAddress": "0.0.0.0:14000",
            "managementListenAddress": "0.0.0.0:15000",
            "certificate": "/pebble/server.crt",
            "privateKey": "/pebble/server.key",
            "httpPort": 80,
            "tlsPort": 443,
            "certificateValidityPeriod": validity_seconds,
        }
    }
    ground.create_service(
        name,
        ["sh", "-c", "chmod 755 /pebble/pebble; exec /pebble/pebble -config /pebble/config.json"],
        copies={
            "/pebble/pebble": program,
            "/pebble/config.json": json.dumps(config),
            "/pebble/server.crt": pair.certificate,
            "/pebble/server.key": pair.key,
        },
        # No made-up delays and no made-up refusals: what is tested here is Caddy's side.
        env={"PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "0"},
        ready_port=14000,
    )
