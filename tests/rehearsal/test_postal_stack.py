"""The local stack as a whole, with secrets that can be recognised: they are found nowhere others could look."""

import json
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from mailstack.settings.initialise import rehearsal_config
from mailstack.settings.stackfile import engine_config
from rehearsal.in_process import InProcessBackend, run_program
from rehearsal.probes import STATUS
from rehearsal.rehearse import Rehearsal
from tests.engine.stage import WATCH
from tests.rehearsal.test_whole_stack import without_cli

pytestmark = pytest.mark.hosts

WATCH_ENDS = "/run/stop-watching"
# Everything an ordinary user of the host may read, and every place secrets like to end up in.
FILES_OTHERS_READ = "find / -xdev -type f -perm -o+r -size -4M -not -path '/proc/*' -not -path '/sys/*' -print0"
ENGINE_TEXTS = """
docker ps -aq | xargs -r docker inspect
docker images -q | xargs -r docker image inspect
docker network ls -q | xargs -r docker network inspect
for container in $(docker ps -aq); do docker logs "$container" 2>&1; done
journalctl --no-pager -o cat
systemctl show --no-pager --property=Environment --property=ExecStart '*'
"""


def planted() -> dict[str, Any]:
    """Return the local stack with secrets that nothing else in the world looks like."""
    raw = rehearsal_config(Path("Pulumi.local.yaml"))
    postal = raw["postal"]
    postal["secret_key"] = "planted-secret-key-1f4b"
    postal["admin"]["password"] = "planted-admin-password-77d2"
    postal["database"] |= {"password": "planted-database-0c9e", "root_password": "planted-root-a35f"}
    postal["backup"] = {"passphrase": "planted-passphrase-e81d"}
    credentials = postal["organizations"][0]["mail_servers"][0]["credentials"]
    credentials[0]["key"], credentials[1]["key"] = "PlantedSmtpKey0001aaaaaa", "PlantedApiKey00002bbbbbb"
    return raw


def needles(raw: dict[str, Any]) -> list[str]:
    """Return the planted secrets, and a line in the middle of each private key."""
    postal = raw["postal"]
    keys = [postal["signing_key"], raw["domains"][0]["dkim"][-1]["private_key"]]
    credentials = postal["organizations"][0]["mail_servers"][0]["credentials"]
    return [
        postal["secret_key"],
        postal["admin"]["password"],
        postal["database"]["password"],
        postal["database"]["root_password"],
        postal["backup"]["passphrase"],
        *(entry["key"] for entry in credentials),
        *(key.splitlines()[5] for key in keys),
    ]


@dataclass
class Deployed:
    """The stack, up; what its program said, and what was seen of processes while it ran."""

    rehearsal: Rehearsal
    secrets: list[str]
    outputs: dict[str, Any]
    said: list[str]
    seen: list[str] = field(default_factory=list)

    def on_mail(self, *command: str, stdin: str | None = None, check: bool = True) -> str:
        host = self.rehearsal.hosts["mail1"]
        return self.rehearsal.ground.exec(host, list(command), input=stdin, check=check).stdout


@pytest.fixture(scope="module")
def deployed() -> Iterator[Deployed]:
    raw = planted()
    said: list[str] = []
    with pytest.MonkeyPatch.context() as patch, Rehearsal("planted", raw, said.append) as rehearsal:
        without_cli(patch)
        found = Deployed(rehearsal, needles(raw), {}, said)
        printed: list[str] = []
        watch = ("python3", "-c", WATCH, WATCH_ENDS)
        watcher = threading.Thread(target=lambda: printed.append(found.on_mail(*watch, stdin="\n".join(found.secrets))))
        watcher.start()
        try:
            found.outputs = rehearsal.bring_up()
        finally:
            found.on_mail("touch", WATCH_ENDS)
            watcher.join()
        found.seen = json.loads(printed[0])["secrets"]
        yield found


def test_seed_000_works_from_the_application_to_the_reader_and_back(deployed: Deployed) -> None:
    checks = deployed.rehearsal.prove(deployed.outputs)
    assert [f"{check.name}: {check.evidence}" for check in checks if not check.passed] == []
    names = {check.name for check in checks}
    assert {"a late bounce reaches the message", "mail1: exactly the declared ports are open"} <= names


def test_a_message_that_the_upstream_refuses_is_bounced_in_postal_too(deployed: Deployed) -> None:
    """Postal has handed it on and says Sent: only the relay's bounce tells it, and its sender, of the refusal."""
    rehearsal = deployed.rehearsal
    app = rehearsal.ground.services["app"]
    told = deployed.outputs["mail_servers"]["mailstack/apps"]
    fault = rehearsal.google.refuse("user-unknown", count=1)
    send = [
        "python3", "/app/send_mail.py", "/app/outputs.json", "--server", "mailstack/apps", "--via", "api",
        "--from", "app@mailstack.test", "--to", "nobody@recipient.test", "--subject", "refused", "--wait", "30",
    ]  # fmt: skip
    said = rehearsal.ground.exec(app, send, check=False).stdout
    number = re.search(r"message (\d+)", said)
    assert number is not None, said
    question = {
        "url": told["api_url"], "key": next(iter(told["api_keys"].values())), "number": int(number[1]),
        "wanted": "Bounced", "seconds": 60,
    }  # fmt: skip
    answer = rehearsal.ground.exec(app, ["python3", "-c", STATUS], input=json.dumps(question), check=False)
    rehearsal.google.remove_fault(fault.id)
    assert answer.stdout.strip() == "Bounced", deployed.on_mail("tail", "-n", "20", "/var/log/mailstack/postfix.log")


def test_no_process_ever_showed_a_secret(deployed: Deployed) -> None:
    assert deployed.seen == []


def test_the_program_said_no_secret(deployed: Deployed) -> None:
    text = "\n".join(deployed.said)
    assert "[postal] done" in text, "it said something at all"
    assert [secret for secret in deployed.secrets if secret in text] == []


def test_only_the_keys_of_applications_are_outputs(deployed: Deployed) -> None:
    servers = deployed.outputs["mail_servers"]
    # The same keys, flat, are secret outputs too (tests/graph/test_outputs_contract.py).
    keys = {"mail_servers", "api_keys", "postal_smtp_keys"}
    rest = {key: value for key, value in deployed.outputs.items() if key not in keys}
    text = json.dumps(rest) + json.dumps(
        [
            {key: value for key, value in server.items() if key not in {"smtp_keys", "api_keys"}}
            for server in servers.values()
        ]
    )
    assert [secret for secret in deployed.secrets if secret in text] == []


def test_engine_journal_and_units_show_no_secret(deployed: Deployed) -> None:
    text = deployed.on_mail("sh", "-c", ENGINE_TEXTS)
    assert "postalserver/postal" in text, "something was inspected at all"
    assert [secret for secret in deployed.secrets if secret in text] == []


def test_no_file_that_others_may_read_holds_a_secret(deployed: Deployed) -> None:
    search = f"{FILES_OTHERS_READ} | xargs -0 grep -laF -f /run/needles || true"
    deployed.on_mail("sh", "-c", "umask 077; cat > /run/needles", stdin="\n".join(deployed.secrets))
    found = deployed.on_mail("sh", "-c", search).split()
    deployed.on_mail("rm", "/run/needles")
    # The directory of Docker's volumes is closed to others, whatever the modes below it say.
    assert [path for path in found if not path.startswith("/var/lib/docker/")] == []
    assert deployed.on_mail("stat", "-c", "%a", "/var/lib/docker").strip() in {"710", "711", "700"}


def test_a_second_run_of_the_whole_stack_changes_nothing(deployed: Deployed) -> None:
    lines: list[str] = []
    run_program("planted", engine_config(deployed.rehearsal.raw), InProcessBackend(lines.append))
    done = {line.strip() for line in lines if "] done: " in line}
    assert {line for line in done if not line.endswith("nothing to change")} == set()
    assert {"[postal] done: nothing to change", "[caddy] done: nothing to change"} <= done


def test_drift_is_told_of_every_part(deployed: Deployed) -> None:
    deployed.on_mail("sh", "-c", "echo '# by hand' >> /opt/postal/config/postal.yml")
    deployed.on_mail("sh", "-c", "echo '# by hand' >> /etc/caddy/Caddyfile")
    deployed.on_mail("ufw", "--force", "disable")
    told = deployed.rehearsal.drift()
    for part in ("postal-postal", "caddy-caddy", "mail1-firewall"):
        assert any(line.startswith(f"{part}: ") for line in told), (part, told)
    deployed.rehearsal.bring_up()
    assert deployed.rehearsal.drift() == []
