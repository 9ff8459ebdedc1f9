"""One container in which Postal's programs are called, with MariaDB and two name servers, for tests."""

import base64
import json
import subprocess
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from rehearsal.ground import Ground, Service
from rehearsal.images import POSTAL_VERSION, ensure_images

__all__ = ["SELECTOR", "PostalToolbox"]

SELECTOR = "202611"
CONFIG: dict[str, Any] = {
    "version": 2,
    "no_such_group": {"a": 1},
    "postal": {
        "web_hostname": "from-file.example.com",
        "smtp_hostname": None,
        "no_such_key": 1,
        "signing_key_path": "$config-file-root/signing.key",
    },
    "main_db": {"host": "mariadb", "username": "postal", "password": "db"},
    "message_db": {"host": "mariadb", "username": "postal", "password": "db"},
    "dns": {
        "timeout": 2,
        "resolv_conf_path": "/config/resolv.conf",
        "spf_include": "spf.corp.example",
        "return_path_domain": "rp.corp.example",
        "mx_records": ["mx1.corp.example", "mx2.corp.example"],
    },
}
UNBOUND = """server:
  interface: 0.0.0.0
  access-control: 0.0.0.0/0 allow
  do-daemonize: no
  username: ""
  chroot: ""
  pidfile: ""
  logfile: ""
  use-syslog: no
  module-config: "iterator"
  local-zone: "example." static
"""
SPF = '"v=spf1 a mx include:spf.corp.example ~all"'
BOTH_MX = ("MX 10 mx1.corp.example.", "MX 20 MX2.corp.example.")


def txt(text: str) -> str:
    """A TXT record's data: strings of at most 255 characters."""
    return " ".join(f'"{text[start : start + 255]}"' for start in range(0, len(text), 255))


class PostalToolbox:
    """MariaDB, two name servers, and one container in which Postal's programs are called."""

    def __init__(self, ground: Ground, folder: Path) -> None:
        self.ground = ground
        self.images = ensure_images(print)
        self.folder = folder
        folder.mkdir()
        self.key = subprocess.run(["openssl", "genrsa", "2048"], check=True, capture_output=True).stdout
        (folder / "signing.key").write_bytes(self.key)
        (folder / "postal.yml").write_text(json.dumps(CONFIG))
        (folder / "resolv.conf").write_text(f"nameserver {self._start_name_servers()}\n")
        grant = folder.with_name("grant.sql")
        grant.write_text("GRANT ALL ON `postal%`.* TO postal@'%';\n")
        ground.create_service(
            "mariadb",
            ["mariadbd", "--innodb-flush-log-at-trx-commit=0"],
            image=self.images.mariadb,
            env={"MARIADB_ROOT_PASSWORD": "root", "MARIADB_USER": "postal", "MARIADB_PASSWORD": "db"},
            copies={"/docker-entrypoint-initdb.d/grant.sql": grant},
            ready_port=3306,
        )
        self.tools = self.start("tools", POSTAL_VERSION)

    def start(self, name: str, version: str) -> Service:
        return self.ground.create_service(
            name, ["sleep", "infinity"], image=self.images.postal[version], copies={"/config": self.folder}
        )

    @cached_property
    def record(self) -> str:
        """What Postal wants published for the key."""
        command = ["openssl", "rsa", "-pubout", "-outform", "DER"]
        public = subprocess.run(command, input=self.key, check=True, capture_output=True).stdout
        return f"v=DKIM1; t=s; h=sha256; p={base64.b64encode(public).decode()};"

    def _start_name_servers(self) -> str:
        """Start the zones' own server and the resolver that knows only where it is; return the resolver's address."""
        zones = self._zones()
        records = [f"{owner} {data}" for zone, data_list in zones.items() for owner, data in data_list]
        own = self._name_server("authority", records)
        delegations = [f"{zone}. NS ns.corp.example." for zone in zones if zone != "stray.example"]
        local = [f"split.example. TXT {SPF}", f"ns.corp.example. A {own}"]
        return self._name_server("resolver", [*delegations, *local])

    def _name_server(self, name: str, records: Sequence[str]) -> str:
        lines = "".join(f"  local-data: '{record}'\n" for record in records)
        service = self.ground.create_service(
            name,
            ["unbound", "-c", "/unbound.conf"],
            image=self.images.services,
            copies={"/unbound.conf": UNBOUND + lines},
            ready_port=53,
        )
        return service.address

    def _zones(self) -> Mapping[str, list[tuple[str, str]]]:
        """Zone to (owner, data), as its own server tells."""
        name = f"postal-{SELECTOR}._domainkey"
        key = f"TXT {txt(self.record)}"
        return {
            "good.example": [
                ("good.example.", f"TXT {SPF}"),
                ("good.example.", 'TXT "something else"'),
                *(("good.example.", data) for data in BOTH_MX),
                (f"{name}.good.example.", key),
                ("psrp.good.example.", "CNAME rp.corp.example."),
            ],
            # No MX, no return path; the key without its last semicolon.
            "bare.example": [
                ("bare.example.", f"TXT {SPF}"),
                (f"{name}.bare.example.", f"TXT {txt(self.record.rstrip(';'))}"),
            ],
            "bad.example": [
                ("bad.example.", 'TXT "v=spf1 include:other.example -all"'),
                ("bad.example.", BOTH_MX[0]),
                (f"{name}.bad.example.", 'TXT "v=DKIM1; p=AAAA;"'),
                ("psrp.bad.example.", "CNAME elsewhere.example."),
            ],
            "twice.example": [
                ("twice.example.", "MX 10 mail.twice.example."),
                (f"{name}.twice.example.", key),
                (f"{name}.twice.example.", 'TXT "v=DKIM1; p=AAAA;"'),
            ],
            "split.example": [("ns.split.example.", "A 192.0.2.1")],
            "stray.example": [("stray.example.", f"TXT {SPF}")],
        }

    def run(
        self, *command: str, stdin: str = "", where: Service | None = None, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Call a program in the image; ``environment`` beats postal.yml."""
        settings = [f"{name}={value}" for name, value in environment.items()]
        argv = ["env", *settings, *command]
        return self.ground.exec(where or self.tools, argv, input=stdin, check=False, user="postal")

    def ruby(self, script: str, *arguments: str, where: Service | None = None, **environment: str) -> Any:
        """Run a script with the models and return what it printed last, decoded from JSON."""
        command = ("bundle", "exec", "rails", "runner", "-", *arguments)
        done = self.run(*command, stdin=script, where=where, **environment)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    def config(self, expression: str, **environment: str) -> Any:
        """What the configuration says; without the models, whose loading takes most of the time."""
        script = f"puts JSON.generate(({expression}))"
        command = ("bundle", "exec", "ruby", "-rjson", "-r./lib/postal/config", "-e", script)
        done = self.run(*command, stdin="", where=None, **environment)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)
