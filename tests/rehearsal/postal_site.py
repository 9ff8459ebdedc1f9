"""Postal (or its stand-in), MariaDB and a relay sink in containers of one ground, for the tests of this folder."""

import http.client
import json
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import trustme

from rehearsal.ground import Ground, Service, wait_for_port
from rehearsal.images import POSTAL_VERSION, Images

__all__ = ["ADMIN_PASSWORD", "SELECTOR", "WEB_HOST", "PostalSite", "eventually"]

WEB_HOST = "post.example.com"
SELECTOR = "202611"
ADMIN_PASSWORD = "an-admin-password"
WORKER = ["bundle", "exec", "ruby", "script/worker.rb"]
SMTP_SERVER = ["bundle", "exec", "ruby", "script/smtp_server.rb"]
WEB_SERVER = ["bundle", "exec", "puma", "-C", "config/puma.rb"]
SINK = Path(__file__).with_name("relay_sink.py")
GRANT = "GRANT ALL ON `postal-server-%`.* TO postal@'%';\n"
CONFIG = "/config"
READY_SECONDS = 60

T = TypeVar("T")

# YAML 1.2 contains JSON.
_CONFIG: dict[str, Any] = {
    "version": 2,
    "postal": {"web_hostname": WEB_HOST, "smtp_hostname": "mx.example.com"},
    "main_db": {"host": "mariadb", "username": "postal", "password": "db", "database": "postal"},
    "message_db": {"host": "mariadb", "username": "postal", "password": "db", "database_name_prefix": "postal"},
    "smtp_server": {"tls_enabled": True, "default_bind_address": "0.0.0.0", "max_message_size": 1},
    "web_server": {"default_bind_address": "0.0.0.0"},
    "dns": {"return_path_domain": "rp.example.com", "helo_hostname": "helo.example.com", "timeout": 2},
    "rails": {"secret_key": "0" * 64},
    "smtp_client": {"open_timeout": 5, "read_timeout": 10},
}

_SEED = """
owner = User.create!(email_address: "admin@example.com", first_name: "Ada", last_name: "Admin",
                     password: "%(password)s", admin: true, email_verified_at: Time.now)
acme = Organization.create!(name: "Acme", permalink: "acme", owner: owner)

def server(acme, name, mode, domains)
  server = Server.create!(organization: acme, name: name, permalink: name.downcase, mode: mode)
  domains.each do |domain|
    Domain.create!(owner: server, name: domain, verification_method: "DNS", verified_at: Time.now)
  end
  %%w[SMTP API].each do |type|
    credential = Credential.create!(server: server, type: type, name: "app")
    credential.update_column(:key, "#{type.downcase}-#{name.downcase}")
  end
  server
end

live = server(acme, "Live", "Live", %%w[signed.example unsigned.example])
server(acme, "Trial", "Development", %%w[trial.example])
key = OpenSSL::PKey::RSA.new(2048)
Domain.find_by(name: "signed.example").update_columns(
  dkim_private_key: key.to_pem, dkim_identifier_string: "%(selector)s", dkim_status: "OK", return_path_status: "OK"
)
route = Route.new(server: live, domain: Domain.find_by(name: "signed.example"), name: "info", mode: "Accept",
                  spam_mode: "Mark")
route.save!
puts "ANSWER " + { token: live.token, domain_record: Domain.find_by(name: "signed.example").dkim_record }.to_json
"""

_QUEUE = """
puts "ANSWER " + QueuedMessage.order(:id).map { |row|
  { message_id: row.message_id, locked: !row.locked_by.nil?, attempts: row.attempts,
    due: row.retry_after.to_f }
}.to_json
"""


def eventually(ask: Callable[[], T], *, seconds: float = 60) -> T:
    """Return the first true answer; fail when there is none in time."""
    end = time.monotonic() + seconds
    while not (answer := ask()):
        assert time.monotonic() < end, f"nothing after {seconds} s: {ask.__qualname__}"
        time.sleep(0.2)
    return answer


class PostalSite:
    """A running installation without a worker: tests start one with :meth:`worker` once their mail is queued."""

    def __init__(self, ground: Ground, images: Images, folder: Path) -> None:
        """Start everything; takes about ten seconds. ``folder``: where the configuration is put together."""
        self.ground = ground
        self.folder = folder
        self._image = images.postal[POSTAL_VERSION]
        authority = trustme.CA()
        self._write_config(authority)
        self._start_mariadb(images.mariadb)
        self.tools = self.start("tools", ["sleep", "infinity"])
        ground.exec(self.tools, ["postal", "initialize"], user="postal")
        seeded = self.ruby(_SEED % {"password": ADMIN_PASSWORD, "selector": SELECTOR})
        self.token: str = seeded["token"]
        self.domain_record: str = seeded["domain_record"]
        answer = ground.exec(self.tools, ["postal", "default-dkim-record"], user="postal").stdout
        self.installation_record = answer.splitlines()[-1]
        self.smtp = self.start("smtp", SMTP_SERVER)
        self.web = self.start("web", WEB_SERVER)
        self.sink = self._start_sink(authority)
        wait_for_port(self.smtp.address, 25, READY_SECONDS)
        wait_for_port(self.web.address, 5000, READY_SECONDS)

    def _write_config(self, authority: trustme.CA) -> None:
        pair = authority.issue_cert("mx.example.com")
        key = ["openssl", "genrsa", "2048"]
        files = {
            "postal.yml": json.dumps(_CONFIG).encode(),
            "signing.key": subprocess.run(key, check=True, capture_output=True).stdout,
            "smtp.cert": b"".join(blob.bytes() for blob in pair.cert_chain_pems),
            "smtp.key": pair.private_key_pem.bytes(),
            "ca.pem": authority.cert_pem.bytes(),
        }
        self.folder.mkdir()
        for name, content in files.items():
            (self.folder / name).write_bytes(content)

    def _start_mariadb(self, image: str) -> None:
        grant = self.folder.with_name("grant.sql")
        grant.write_text(GRANT)
        self.ground.create_service(
            "mariadb",
            ["mariadbd"],
            image=image,
            env={
                "MARIADB_ROOT_PASSWORD": "root",
                "MARIADB_DATABASE": "postal",
                "MARIADB_USER": "postal",
                "MARIADB_PASSWORD": "db",
            },
            copies={"/docker-entrypoint-initdb.d/grant.sql": grant},
            ready_port=3306,
        )

    def _start_sink(self, authority: trustme.CA) -> Service:
        pair = authority.issue_cert("sink.example.com")
        return self.ground.create_service(
            "sink",
            ["python3", "/sink.py", "/sink.cert", "/sink.key"],
            # The certificate is for the first name only.
            aliases=["sink.example.com", "other.example.com"],
            copies={
                "/sink.py": SINK,
                "/sink.cert": b"".join(blob.bytes() for blob in pair.cert_chain_pems),
                "/sink.key": pair.private_key_pem.bytes(),
            },
            ready_port=2525,
        )

    def start(
        self,
        name: str,
        argv: Sequence[str],
        *,
        trusting: bool = False,
        extra_run_args: Sequence[str] = (),
        **environment: str,
    ) -> Service:
        """Start one process of Postal in a container of its own; ``environment`` beats postal.yml.

        ``trusting``: the sink's authority is in its trust store. SSL_CERT_FILE would not do: OpenSSL does not read it
        in a program with file capabilities, and ruby is one here.
        """
        copies = {CONFIG: self.folder}
        if trusting:
            hashed = ["openssl", "x509", "-noout", "-hash", "-in", str(self.folder / "ca.pem")]
            name_hash = subprocess.run(hashed, check=True, capture_output=True, text=True).stdout.strip()
            copies[f"/etc/ssl/certs/{name_hash}.0"] = self.folder / "ca.pem"
        return self.ground.create_service(
            name,
            argv,
            image=self._image,
            env={"SILENCE_POSTAL_CONFIG_MESSAGES": "true", **environment},
            copies=copies,
            extra_run_args=extra_run_args,
        )

    @contextmanager
    def worker(
        self, *relays: str, trusting: bool = False, extra_run_args: Sequence[str] = (), **environment: str
    ) -> Iterator[Service]:
        """A worker that takes up what is queued at once, and is gone at the end. ``relays``: postal.smtp_relays."""
        service = self.start(
            "worker",
            WORKER,
            trusting=trusting,
            extra_run_args=extra_run_args,
            POSTAL_SMTP_RELAYS=",".join(relays),
            **environment,
        )
        try:
            yield service
        finally:
            self.ground.remove(service)

    def ruby(self, script: str) -> Any:
        """Run a script with Postal's models; what it prints after ``ANSWER`` comes back, decoded from JSON."""
        command = ["bundle", "exec", "rails", "runner", "-"]
        output = self.ground.exec(self.tools, command, input=script, user="postal").stdout
        lines = [line.removeprefix("ANSWER ") for line in output.splitlines() if line.startswith("ANSWER ")]
        return json.loads(lines[-1]) if lines else None

    def queue(self) -> list[dict[str, Any]]:
        """The rows of queued_messages: message_id, locked, attempts, due (seconds since 1970)."""
        rows: list[dict[str, Any]] = self.ruby(_QUEUE)
        return rows

    def request(
        self, method: str, path: str, body: str | None = None, **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        """Ask the web server; underscores in header names become hyphens. Returns status, headers, body."""
        connection = http.client.HTTPConnection(self.web.address, 5000, timeout=20)
        named = {"Host": WEB_HOST} | {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, named)
        response = connection.getresponse()
        return response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()

    def api(self, action: str, parameters: object = None, key: str | None = "api-live") -> dict[str, Any]:
        """Call the HTTP API; the answer's status must be 200 whatever happened."""
        headers = {"Content_Type": "application/json"} | ({"X_Server_API_Key": key} if key else {})
        status, _headers, body = self.request("POST", f"/api/v1/{action}", json.dumps(parameters or {}), **headers)
        assert status == 200
        answer: dict[str, Any] = json.loads(body)
        assert answer["flags"] == {}
        return answer

    def send(self, recipient: str, *, sender: str = "Sales <sales@signed.example>", key: str = "api-live") -> int:
        """Queue a message by the API and return its number."""
        mail = {"to": [recipient], "from": sender, "subject": "Grüße", "plain_body": "Hello\n.\n"}
        answer = self.api("send/message", mail, key)
        number: int = answer["data"]["messages"][recipient]["id"]
        return number

    def deliveries(self, number: int, key: str = "api-live") -> list[dict[str, Any]]:
        """All attempts at a message so far."""
        found: list[dict[str, Any]] = self.api("messages/deliveries", {"id": number}, key)["data"]
        return found

    def outcome(self, number: int, key: str = "api-live") -> dict[str, Any]:
        """Wait for the first attempt at a message."""
        return eventually(lambda: self.deliveries(number, key))[0]

    def arrived(self, recipient: str) -> list[dict[str, Any]]:
        """What the sink has for a recipient: sender, recipients, helo, tls, raw."""
        kept = self.ground.exec(self.sink, ["cat", "/kept.jsonl"]).stdout.splitlines()
        return [mail for mail in map(json.loads, kept) if recipient in mail["recipients"]]
