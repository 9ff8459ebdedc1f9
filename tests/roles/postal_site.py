"""A host with Docker, the images and the network, and a small Postal declared on it."""

import base64
import bz2
import contextlib
import copy
import functools
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from mailstack.postal.definition import Backup, Database, PostalDefinition, role_settings
from mailstack.postal.relays import Relay
from mailstack.reach.bundle import Action, bundle
from rehearsal.ground import Ground, Host
from rehearsal.images import Registry, ensure_images, start_registry
from rehearsal.pki import PrivateCa
from tests.roles.support import Run, run_role

__all__ = ["ADMIN_PASSWORD", "API_KEY", "RELAY", "SMTP_KEY", "PostalSite", "postal_ground", "provision", "rsa_key"]

RELAY = "relay.rehearsal.test"
DATABASE_PASSWORD = "data'base pass=$word#1"
ROOT_PASSWORD = "root#pass=word"
ADMIN_PASSWORD = "admin-pass-word-1"
SMTP_KEY = "SmtpKeySmtpKeySmtpKey001"
API_KEY = "ApiKeyApiKeyApiKeyApi001"
SECRET_KEY = "recognisable-rails-secret-" + "0" * 40

# Ends the role just before its n-th command or rename of a file, counted from the start.
KILLER = """
import os, runpy, signal, sys
left = int(sys.argv[2])
def hook(event, arguments):
    global left
    if event in ("os.rename", "subprocess.Popen"):
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(hook)
sys.argv = [sys.argv[1], "--apply"]
runpy.run_module(sys.argv[0], run_name="__main__")
"""


@functools.cache
def rsa_key(_name: str, bits: int = 2048) -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=bits)
    encoding, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    return key.private_bytes(encoding, serialization.PrivateFormat.TraditionalOpenSSL, plain).decode()


def provision() -> dict[str, Any]:
    """One organization with one server, one domain, and a credential of each kind."""
    credentials = {
        "app": {"type": "SMTP", "name": "app"},
        "app-api": {"type": "API", "name": "app over HTTP"},
    }
    return {
        "users": {
            "admin": {
                "email_address": "admin@example.com",
                "first_name": "Ada",
                "last_name": "Admin",
                "admin": True,
            }
        },
        "organizations": {
            "acme": {
                "name": "Acme",
                "permalink": "acme",
                "owner": "admin",
                "domains": {"example.com": {"dkim_identifier_string": "202611"}},
                "servers": {"mail": {"name": "Mail", "permalink": "mail", "mode": "Live", "credentials": credentials}},
            }
        },
    }


@dataclass(kw_only=True)
class PostalSite:
    """What the tests do to the host. ``settings`` and ``secrets`` start as the small Postal and may be changed."""

    ground: Ground
    host: Host
    registry: Registry
    settings: dict[str, Any] = field(init=False)
    secrets: dict[str, Any] = field(init=False)
    database: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        definition = PostalDefinition(
            web_hostname="postal.example.com",
            smtp_hostname="mx.example.com",
            mx_records=("mx.example.com",),
            spf_include="spf.example.com",
            return_path_domain="rp.example.com",
            route_domain="routes.example.com",
            track_domain="track.example.com",
            image_repository=self.registry.postal("3.3.7").rpartition(":")[0],
            image_tag="3.3.7",
            database=Database(client_image=self.registry.mariadb),
            relays=(Relay(name=RELAY, port=2525, tls="none"),),
            smtp_tls=False,
            provision=provision(),
            dns_wait_seconds=0,
            backup=Backup(calendar="*-*-* 02:30:00", keep_count=3),
            health_seconds=120,
        )
        self.settings = role_settings(definition)
        self.secrets = {
            "config": {
                "main_db": {"password": DATABASE_PASSWORD},
                "message_db": {"password": DATABASE_PASSWORD},
                "rails": {"secret_key": SECRET_KEY},
            },
            "signing_key": rsa_key("installation"),
            "user_passwords": {"admin": ADMIN_PASSWORD},
            "credentials": {"acme/mail/app": SMTP_KEY, "acme/mail/app-api": API_KEY},
            "dkim": {"example.com": rsa_key("example.com")},
            "backup_passphrase": None,
        }
        self.database = {
            "image": self.registry.mariadb,
            "network": "mailstack",
            "listen": None,
            "port": 3306,
            "memory_mb": 512,
            "max_message_mb": 14,
            "databases": {"main": "postal", "prefix": "postal"},
            "username": "postal",
        }

    def postal(self, action: Action = "apply") -> Run:
        """Run role postal."""
        return run_role(self.ground, self.host, "postal", self.settings, self.secrets, action=action)

    def mariadb(self, action: Action = "apply", **secrets: str) -> Run:
        """Run role mariadb."""
        known = {"root_password": ROOT_PASSWORD, "password": DATABASE_PASSWORD, **secrets}
        return run_role(self.ground, self.host, "mariadb", self.database, known, action=action)

    def sh(self, script: str, *, check: bool = True, input: str | None = None) -> str:  # noqa: A002
        """Run a shell script on the host as root; its standard output."""
        return self.ground.exec(self.host, ["sh", "-c", script], input=input, check=check).stdout

    def container(self, service: str, project: str = "postal") -> str:
        """The identity of the first container of a service."""
        filters = (
            f"--filter label=com.docker.compose.project={project} --filter label=com.docker.compose.service={service}"
        )
        return self.sh(f"docker ps -q --no-trunc {filters}").split()[0]

    def sql(self, statement: str) -> list[list[str]]:
        """Rows from the database, asked as Postal's own user."""
        script = (
            'exec mariadb --host=127.0.0.1 --user=postal --password="$(cat /run/secrets/mailstack/password)" '
            "--batch --skip-column-names"
        )
        command = ["docker", "exec", "-i", self.container("mariadb", "mailstack-mariadb"), "sh", "-c", script]
        out = self.ground.exec(self.host, command, input=statement).stdout
        return [line.split("\t") for line in out.splitlines()]

    def server(self) -> dict[str, Any]:
        """The declared mail server, to be changed."""
        found: dict[str, Any] = self.settings["provision"]["organizations"]["acme"]["servers"]["mail"]
        return found

    def copy(self) -> "PostalSite":
        """The same host with settings of its own."""
        made = PostalSite(ground=self.ground, host=self.host, registry=self.registry)
        made.settings, made.secrets = copy.deepcopy(self.settings), copy.deepcopy(self.secrets)
        made.database = copy.deepcopy(self.database)
        return made

    def api(self, path: str, document: dict[str, Any], key: str = API_KEY) -> dict[str, Any]:
        """Postal's answer to an API call, made from the host."""
        headers = f"-H 'Host: postal.example.com' -H 'X-Server-API-Key: {key}' -H 'Content-Type: application/json'"
        url = f"http://127.0.0.1:5000/api/v1/{path}"
        out = self.sh(f"curl -fsS {headers} -d @- {url}", input=json.dumps(document))
        answer: dict[str, Any] = json.loads(out)
        return answer

    def killed(self, role: str, operation: int) -> int:
        """Run ``role``, ended by SIGKILL before its n-th command or rename; its exit code (0: it came to its end)."""
        unpack = "rm -rf /root/role; mkdir /root/role; base64 -d | tar -x -C /root/role"
        self.sh(unpack, input=base64.b64encode(bz2.decompress(bundle(role))).decode())
        command = ["sh", "-c", f'cd /root/role && umask 077 && exec python3 -c "$0" {role} {operation}', KILLER]
        document = json.dumps({"settings": self.settings, "secrets": self.secrets})
        return self.ground.exec(self.host, command, input=document, check=False).returncode

    def wait(self, condition: Callable[[], bool], what: str, seconds: float = 60) -> None:
        """Return once ``condition`` holds."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
            time.sleep(0.3)

    def send(self, subject: str) -> int:
        """Hand one message to Postal over its API; its number there."""
        document = {"to": ["someone@recipient.test"], "from": "app@example.com", "subject": subject, "plain_body": "x"}
        answer = self.api("send/message", document)
        assert answer["status"] == "success", answer
        return int(answer["data"]["messages"]["someone@recipient.test"]["id"])


def prepare(ground: Ground, host: Host, registry: Registry, versions: tuple[str, ...]) -> None:
    """What role docker and the registry provide: an engine, the network, images that are here already."""
    packages = ["docker.io", "docker-compose", "iptables", "openssl"]
    quiet = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-y", "-q", "--no-install-recommends", "install"]
    ground.exec(host, [*quiet, *packages])
    for image in (*(registry.postal(version) for version in versions), registry.mariadb):
        ground.exec(host, ["docker", "pull", "-q", image])
    bridge = ["-o", "com.docker.network.bridge.name=br-mailstack"]
    subnet = ["--subnet", "172.29.25.0/24", "--gateway", "172.29.25.1"]
    ground.exec(host, ["docker", "network", "create", *bridge, *subnet, "mailstack"])


@contextlib.contextmanager
def postal_ground(name: str, versions: tuple[str, ...] = ("3.3.7",)) -> Iterator[PostalSite]:
    """A ground with a registry, a relay that takes every message, and a host where the roles can start."""
    images, ca = ensure_images(lambda _line: None), PrivateCa()
    with Ground(name) as ground:
        registry = start_registry(ground, ca, images)
        sink = ["python3", "-m", "aiosmtpd", "-n", "-l", "0.0.0.0:2525"]
        ground.create_service("relay", sink, aliases=[RELAY], ready_port=2525)
        host = ground.create_host(
            "mail1", hostname="mail1.example.com", docker=True, ca_certificates=[ca.certificate], unsafe_dpkg=True
        )
        prepare(ground, host, registry, versions)
        site = PostalSite(ground=ground, host=host, registry=registry)
        made = site.mariadb()
        assert made.code == 0, made.progress
        yield site
