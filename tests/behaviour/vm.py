"""The relay on a virtual machine: role ``postfix_relay`` on a host with systemd."""

import dataclasses

from mailstack.postfix.relay import RelayDefinition, role_settings
from rehearsal.ground import Ground
from tests.behaviour.place import DEFINITION, Place
from tests.roles.support import run_role

__all__ = ["VmPlace"]


class VmPlace(Place):
    """One host."""

    # `postfix stop` ends deliveries where they stand: what the upstream has just taken is sent again.
    cut_off_by_stop = DEFINITION.concurrency

    def __init__(self, ground: Ground) -> None:
        """Boot the host; it trusts the upstream's authority."""
        super().__init__(ground)
        self._host = ground.create_host(
            "relay", hostname="relay.example.com", ca_certificates=[self.pki.ca_certificate], unsafe_dpkg=True
        )

    @property
    def addresses(self) -> list[str]:
        return [self._host.address]

    def apply(self, definition: RelayDefinition = DEFINITION, password: str | None = None) -> None:
        placed = dataclasses.replace(
            definition,
            listen_addresses=("127.0.0.1", self._host.address),
            client_networks=(f"{self.app.address}/32",),
        )
        secrets = {} if password is None else {"sasl_password": password}
        done = run_role(self.ground, self._host, "postfix_relay", role_settings(placed), secrets)
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
