"""The relay on a virtual machine: role ``postfix_relay`` on a host with systemd."""

import subprocess
from collections.abc import Mapping, Sequence
from typing import Any

from rehearsal.ground import Ground
from tests.behaviour.place import READ_METRICS, Place
from tests.roles.support import run_role

__all__ = ["VmPlace"]


class VmPlace(Place):
    """One host."""

    def __init__(self, ground: Ground) -> None:
        """Boot the host; it trusts the upstream's authority."""
        super().__init__(ground)
        self._host = ground.create_host(
            "relay", hostname="relay.mailstack.test", ca_certificates=[self.authority.certificate], unsafe_dpkg=True
        )

    def placed(self, relay: Mapping[str, Any]) -> dict[str, Any]:
        host = {
            "address": self._host.ssh_host, "port": self._host.ssh_port, "user": self._host.user,
            "host_key": self._host.host_key, "private_key": self._host.private_key, "public_ipv4": "192.0.2.10",
        }  # fmt: skip
        listening = {
            "host": "mail1",
            "listen_addresses": ["127.0.0.1", self._host.address],
            "client_networks": [f"{self._app.address}/32"],
            "metrics": {"listen_address": "127.0.0.1"},
        }
        return {"hosts": {"mail1": host}, "relay": {**relay, **listening}}

    def prepare(self) -> None:
        self._app = self.ground.create_service("app", ["sleep", "infinity"])
        self._stranger = self.ground.create_service("stranger", ["sleep", "infinity"])

    def ask(self, command: Sequence[str], stdin: str, *, stranger: bool) -> subprocess.CompletedProcess[str]:
        asked = self._stranger if stranger else self._app
        return self.ground.exec(asked, command, input=stdin, check=False, timeout=900)

    def metrics(self) -> str:
        return self.run("python3", "-c", READ_METRICS, "http://127.0.0.1:9154/metrics")

    @property
    def addresses(self) -> list[str]:
        return [self._host.address]

    @property
    def cut_off_by_stop(self) -> int:
        # `postfix stop` ends deliveries where they stand: what the upstream has just taken is sent again.
        return self.sessions

    def update(self, **changes: Any) -> None:
        [run] = self.plan(**changes).relay.runs
        done = run_role(self.ground, self._host, run.role, run.settings, run.secrets)
        assert done.code == 0, done.progress

    def stop(self) -> None:
        self.run("systemctl", "stop", "postfix")

    def kill(self) -> None:
        self.run("sh", "-c", "kill -9 $(cat /var/spool/postfix/pid/master.pid); pkill -9 -u postfix; true")

    def start(self) -> None:
        self.run("sh", "-c", "systemctl reset-failed 'postfix*'; systemctl stop postfix; systemctl start postfix")

    def run(self, *command: str) -> str:
        return self.ground.exec(self._host, list(command)).stdout

    def log(self) -> str:
        return self.run("cat", "/var/log/mailstack/postfix.log")

    def forget(self) -> None:
        self.run("sh", "-c", "postsuper -d ALL >/dev/null 2>&1; : >/var/log/mailstack/postfix.log")
        self.start()  # what an earlier test left open to the upstream is closed
