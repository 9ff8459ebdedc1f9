"""`mailstack diff` and the real engine's preview of the same change give one answer: resources, records, parameters.

The engine is real; its plugins reach nothing (``dry_plugin``, ``dry_cloudflare``, ``dry_docker``, ``dry_kubernetes``),
but compare by the contracts of the real ones. The stack file is the same text for both.
"""

import copy
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from mailstack.diff.comparison import Comparison, compare
from mailstack.diff.declaration import read_declaration
from mailstack.diff.document import document, json_document
from mailstack.diff.markdown import markdown
from mailstack.settings.initialise import rehearsal_config
from mailstack.settings.stackfile import new_dkim_key
from rehearsal.engine import Engine
from tests.engine.conftest import ROOT
from tests.unit.docker_examples import local_example
from tests.unit.kubernetes_examples import on_cluster
from tests.unit.postal_cluster_examples import postal_on_cluster
from tests.unit.stack_examples import example

pytestmark = pytest.mark.engine

Raw = dict[str, Any]
PLUGINS = {
    "command": "tests.engine.dry_plugin",
    "cloudflare": "tests.engine.dry_cloudflare",
    "docker": "tests.engine.dry_docker",
    "kubernetes": "tests.engine.dry_kubernetes",
}
# One step of the engine for each half of a replacement, and one for the whole.
HALVES = {"create-replacement", "delete-replaced"}
QUIET = {"same", "read", "refresh"}
PASSWORDS = ("planted-first-5e21", "planted-second-9a77", "planted-third-77c0")
FLAT = ("main.cf/", "maps/", "firewall/", "provision/", "rule/")


class Previewed:
    """A stack that is up, and what engine and diff say of changes to it."""

    def __init__(self, name: str, raw: Raw, folder: Path) -> None:
        self.raw = raw
        self.lines: list[str] = []
        self.engine = Engine(name, folder, self.lines.append, plugins=PLUGINS)
        self.engine.configure(raw)
        self.engine.select()
        self.engine.up()
        self.before = folder / "before" / self.engine.config_file.name
        self.before.parent.mkdir()
        shutil.copy(self.engine.config_file, self.before)

    def change(self, change: Callable[[Raw], object]) -> tuple[Comparison, list[Raw]]:
        """Return diff's answer, and the steps of the engine's."""
        raw = copy.deepcopy(self.raw)
        change(raw)
        self.engine.configure(raw)
        path = self.engine.config_file
        answer = compare(
            read_declaration(self.before, where="before"),
            read_declaration(path, where="after"),
            reread=lambda instead: read_declaration(path, where="after", instead=instead),
        )
        arguments = ["--stack", self.engine.stack, "--config-file", str(path), "--json"]
        told = self.engine.run("preview", *arguments, quiet=True)
        steps: list[Raw] = json.loads(told)["steps"]
        return answer, steps


def local(_folder: Path) -> Raw:
    raw = rehearsal_config(ROOT / "Pulumi.local.yaml")
    raw["caddy"]["mta_sts"] = [{"domain": "mailstack.test", "mode": "testing", "mx": ["smtp.google.com"]}]
    raw["relay"]["upstream"].update(auth="sasl", username="relay@mailstack.test", password=PASSWORDS[0])
    raw["relay"].update(listen_addresses=["127.0.0.1", "172.29.25.1", "10.1.0.1"], client_networks=["10.1.0.0/24"])
    return raw


def prod(_folder: Path) -> Raw:
    raw = example()
    raw["environment"] = "staging"  # production asks what live zones hold
    raw["dns"]["look_seconds"] = 0
    return raw


def docker(_folder: Path) -> Raw:
    raw = local_example()
    raw["environment"] = "local"
    del raw["relay_rule"]
    raw["relay"]["image"] = {"reference": "registry.example.com/mail/postfix-relay:1"}
    raw["dns"] = {"provider": "none"}
    return raw


def kubernetes(_folder: Path) -> Raw:
    raw = on_cluster()
    raw["environment"] = "local"
    raw["relay"]["upstream"] |= {"auth": "sasl", "username": "relay@example.com", "password": PASSWORDS[0]}
    raw.pop("relay_rule", None)
    raw["dns"] = {"provider": "none"}
    return raw


def postal(_folder: Path) -> Raw:
    raw = postal_on_cluster()
    raw["environment"] = "local"
    raw.pop("relay_rule", None)
    raw["dns"] = {"provider": "none"}
    return raw


STACKS: Mapping[str, Callable[[Path], Raw]] = {
    "local": local,
    "prod": prod,
    "docker": docker,
    "kubernetes": kubernetes,
    "postal": postal,
}


@pytest.fixture(scope="module")
def stacks(cli: None, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Previewed]:
    made: dict[str, Previewed] = {}

    def stack(name: str) -> Previewed:
        if name not in made:
            folder = tmp_path_factory.mktemp(name)
            made[name] = Previewed(name, STACKS[name](folder), folder)
        return made[name]

    return stack


def done_by_engine(steps: list[Raw]) -> dict[str, str]:
    """Return resource to operation, without components and the stack itself.

    Two resources of one name and other types, one that comes and one that goes, are one that is made anew.
    """
    found: dict[str, str] = {}
    for step in steps:
        name = step["urn"].rpartition("::")[2]
        if step["op"] not in QUIET | HALVES and not _is_component(step["urn"]):
            found[name] = "replace" if name in found else step["op"]
    return found


def left_by_engine(steps: list[Raw]) -> set[str]:
    """Return what the engine only forgets: it was told to leave it, or has no command that takes it away."""
    done = done_by_engine(steps)
    left = set()
    for step in steps:
        name, old = step["urn"].rpartition("::")[2], step.get("oldState") or {}
        if step["op"] == "delete" and done.get(name) == "delete":
            is_command = step["urn"].split("::")[2].endswith("command:remote:Command")
            if old.get("retainOnDelete") or (is_command and not old["inputs"].get("delete")):
                left.add(name)
    return left


def _is_component(urn: str) -> bool:
    kind = urn.split("::")[2].rpartition("$")[2]
    return kind.startswith("mailstack:") or kind == "pulumi:pulumi:Stack"


def shown_by_engine(steps: list[Raw]) -> dict[str, set[str]]:
    """Return component to the flat inputs that differ, without digests of code."""
    found: dict[str, set[str]] = {}
    for step in steps:
        if not _is_component(step["urn"]) or step["op"] in QUIET:
            continue
        old, new = ((step.get(state) or {}).get("inputs") or {} for state in ("oldState", "newState"))
        differ = {key for key in {*old, *new} if old.get(key) != new.get(key) and not key.startswith("code of ")}
        if differ:
            found[step["urn"].rpartition("::")[2]] = differ
    return found


def records_of(answer: Comparison) -> dict[str, str]:
    return {change.key[2]: change.word for change in answer.changes if change.key[0] == "records"}


def server(raw: Raw) -> Raw:
    found: Raw = raw["postal"]["organizations"][0]["mail_servers"][0]
    return found


def no_caddy(raw: Raw) -> None:
    del raw["caddy"]
    raw["postal"]["smtp_tls"] = False
    server(raw)["track_domains"] = []


def several_hosts(raw: Raw) -> None:
    del raw["relay"]["host"]
    raw["relay"].update(hosts=["relay1"], client_networks=["10.1.0.0/24"])


def published(raw: Raw) -> None:
    raw["relay"].update(client_networks=["10.1.0.0/24"])
    raw["relay"]["docker"].update(publish={"address": "10.0.0.1"})


def without_volumes(raw: Raw) -> None:
    raw["relay"]["kubernetes"].update(ephemeral_queue=True)


def on_a_host(raw: Raw) -> None:
    for name in ("docker", "kubernetes", "image", "egress_addresses", "client_networks", "listen_addresses"):
        raw["relay"].pop(name, None)
    raw["hosts"] = {"relay1": {"address": "relay.example.com", "public_ipv4": "93.184.216.34"}}
    raw["relay"].update(placement="vm", host="relay1")
    raw["ssh"] = copy.deepcopy(example()["ssh"])


def in_docker(raw: Raw) -> None:
    for name in ("host", "client_networks", "listen_addresses", "concurrency", "kubernetes"):
        raw["relay"].pop(name, None)
    raw["relay"].update(
        placement="docker",
        egress_addresses=["93.184.216.34"],
        image={"reference": "registry.example.com/mail/postfix-relay:1"},
        docker={"endpoint": "unix:///var/run/docker.sock"},
    )
    raw.pop("relay_rule", None)


def in_pods(raw: Raw) -> None:
    there = on_cluster()
    for name in ("docker", "concurrency"):
        raw["relay"].pop(name, None)
    raw["relay"].update({key: there["relay"][key] for key in ("placement", "image", "kubernetes")})


# Stack, what changes, the change.
CHANGES: list[tuple[str, str, Callable[[Raw], object]]] = [
    ("local", "nothing", lambda _raw: None),
    ("local", "concurrency", lambda raw: raw["relay"].update(concurrency=60)),
    ("local", "queue lifetime", lambda raw: raw["relay"].update(queue_lifetime_hours=24)),
    ("local", "a client network", lambda raw: raw["relay"]["client_networks"].append("10.2.0.0/24")),
    ("local", "an address to listen on", lambda raw: raw["relay"]["listen_addresses"].append("10.1.0.2")),
    ("local", "a password", lambda raw: raw["relay"]["upstream"].update(password=PASSWORDS[1])),
    ("local", "the administrator's password", lambda raw: raw["postal"]["admin"].update(password=PASSWORDS[1])),
    ("local", "Postal's workers", lambda raw: raw["postal"].update(workers=2)),
    (
        "local",
        "a credential",
        lambda raw: server(raw)["credentials"].append({"name": "crm", "type": "SMTP", "key": "K" * 24}),
    ),
    ("local", "a credential goes", lambda raw: server(raw)["credentials"].pop()),
    ("local", "a Caddy name", lambda raw: raw["caddy"].update(extra_names=["web.mailstack.test"])),
    ("local", "MTA-STS mode", lambda raw: raw["caddy"]["mta_sts"][0].update(mode="enforce")),
    ("local", "DMARC policy", lambda raw: raw["domains"][0]["dmarc"].update(policy="reject")),
    ("local", "a further domain", lambda raw: raw["domains"].append({"name": "second.test"})),
    ("local", "another DKIM key", lambda raw: raw["domains"][0]["dkim"][1].update(private_key=new_dkim_key())),
    ("local", "the firewall goes", lambda raw: raw["hosts"]["mail1"].update(firewall="none")),
    ("local", "a user of SSH", lambda raw: raw["hosts"]["mail1"].update(user="admin")),
    ("local", "on_destroy", lambda raw: raw["relay"].update(on_destroy="keep")),
    ("local", "the time limit of a probe", lambda raw: raw["relay_rule"]["probe"].update(wait_minutes=5)),
    ("local", "DNS moves to another host", lambda raw: raw["dns"]["server"].update(host="mail1")),
    ("local", "no Caddy", no_caddy),
    ("local", "a host goes", lambda raw: (raw["hosts"].pop("ns1"), raw["dns"]["server"].update(host="mail1"))),
    ("local", "Postal's name", lambda raw: raw["postal"].update(web_hostname="post.mailstack.test")),
    ("local", "the TLS level", lambda raw: raw["relay"]["upstream"].update(tls="encrypt")),
    ("local", "a mail server with another short name", lambda raw: server(raw).update(permalink="other")),
    ("local", "the database's memory", lambda raw: raw["postal"]["database"].update(memory_mb=1024)),
    ("prod", "nothing", lambda _raw: None),
    ("prod", "TTL", lambda raw: raw["dns"].update(ttl=600)),
    ("prod", "a sender of SPF goes", lambda raw: raw["domains"][0].update(spf={})),
    ("prod", "an address", lambda raw: raw["hosts"]["relay1"].update(public_ipv4="93.184.216.35")),
    ("prod", "another zone ID", lambda raw: raw["dns"]["cloudflare"]["zones"].update({"example.org": "e" * 32})),
    ("prod", "another API token", lambda raw: raw["dns"]["cloudflare"].update(api_token="u" * 40)),
    ("prod", "a domain goes", lambda raw: raw["domains"].pop()),
    ("prod", "a DKIM key goes", lambda raw: raw["domains"][0]["dkim"].pop()),
    ("prod", "a host key", lambda raw: raw["hosts"]["relay1"].update(port=2222)),
    ("prod", "several hosts", several_hosts),
    (
        "prod",
        "a host with another name",
        lambda raw: (raw["hosts"].update(other=raw["hosts"].pop("relay1")), raw["relay"].update(host="other")),
    ),
    ("prod", "into a container", in_docker),
    ("prod", "the environment", lambda raw: raw.update(environment="local")),
    ("prod", "no rule", lambda raw: raw.pop("relay_rule")),
    (
        "prod",
        "all at once",
        lambda raw: (
            raw["domains"].append({"name": "new.example.com"}),
            raw["domains"][0]["dkim"].pop(),
            raw["relay"].update(queue_lifetime_hours=24),
            raw["dns"].update(ttl=600),
        ),
    ),
    ("docker", "nothing", lambda _raw: None),
    ("docker", "concurrency", lambda raw: raw["relay"].update(concurrency=3)),
    ("docker", "a password", lambda raw: raw["relay"]["upstream"].update(password=PASSWORDS[1])),
    ("docker", "more messages a day", lambda raw: raw["relay"]["docker"].update(messages_per_day=5000)),
    ("docker", "another volume", lambda raw: raw["relay"]["docker"].update(queue_volume="other")),
    (
        "docker",
        "another network",
        lambda raw: raw["relay"]["docker"].update(network={"name": "other", "subnet": "172.30.0.0/24"}),
    ),
    ("docker", "a restart policy", lambda raw: raw["relay"]["docker"].update(restart="always")),
    ("docker", "time to stop", lambda raw: raw["relay"]["docker"].update(stop_seconds=60)),
    (
        "docker",
        "another image",
        lambda raw: raw["relay"]["image"].update(reference="registry.example.com/mail/postfix-relay:2"),
    ),
    ("docker", "a published port", published),
    ("docker", "onto a host", on_a_host),
    ("docker", "onto a cluster", in_pods),
    ("docker", "a queue that is not kept", lambda raw: raw["relay"]["docker"].update(keep_queue=False)),
    ("kubernetes", "nothing", lambda _raw: None),
    ("kubernetes", "concurrency", lambda raw: raw["relay"].update(concurrency=7)),
    ("kubernetes", "a password", lambda raw: raw["relay"]["upstream"].update(password=PASSWORDS[1])),
    ("kubernetes", "replicas", lambda raw: raw["relay"]["kubernetes"].update(replicas=3)),
    ("kubernetes", "size of the queue", lambda raw: raw["relay"]["kubernetes"].update(queue={"size": "9Gi"})),
    (
        "kubernetes",
        "no volumes",
        without_volumes,
    ),
    (
        "kubernetes",
        "another image",
        lambda raw: raw["relay"].update(image={"reference": "registry.example.com/mail/postfix-relay:2"}),
    ),
    ("kubernetes", "another namespace", lambda raw: raw["relay"]["kubernetes"].update(namespace="other")),
    ("kubernetes", "into a container", in_docker),
    ("kubernetes", "another name", lambda raw: raw["relay"]["kubernetes"].update(name="other")),
    ("kubernetes", "autoscaling", lambda raw: raw["relay"]["kubernetes"].update(autoscaling={"min": 2})),
    ("postal", "nothing", lambda _raw: None),
    ("postal", "an upgrade", lambda raw: raw["postal"].update(image={"tag": "3.3.8"})),
    ("postal", "workers", lambda raw: raw["postal"].update(workers=4)),
    ("postal", "a credential's key", lambda raw: server(raw)["credentials"][0].update(key="K" * 24)),
    ("postal", "the administrator's password", lambda raw: raw["postal"]["admin"].update(password=PASSWORDS[1])),
    ("postal", "another namespace", lambda raw: raw["postal"]["kubernetes"].update(namespace="other")),
    (
        "postal",
        "a load balancer of another kind",
        lambda raw: raw["postal"]["kubernetes"].update(load_balancer_class="example.com/internal"),
    ),
    ("postal", "stopped", lambda raw: raw["postal"]["kubernetes"].update(stopped=True)),
]


@pytest.mark.parametrize(("stack", "change"), [row[::2] for row in CHANGES], ids=[f"{c[0]}: {c[1]}" for c in CHANGES])
def test_diff_says_of_a_change_what_the_engines_preview_says(
    stacks: Callable[[str], Previewed], stack: str, change: Callable[[Raw], object]
) -> None:
    answer, steps = stacks(stack).change(change)
    assert {name: one.word for name, one in answer.operations.items()} == done_by_engine(steps)
    assert {name for name, one in answer.operations.items() if one.stays} == left_by_engine(steps)
    shown = shown_by_engine(steps)
    for place in FLAT:
        engines = {key for keys in shown.values() for key in keys if key.startswith(place)}
        diffs = {change.key[2] for change in answer.changes if change.key[2].startswith(place)}
        assert diffs == engines, place
    assert set(records_of(answer)) == set(engine_records(steps, shown))
    assert answer.different == bool(done_by_engine(steps) or shown)


def test_records_that_nobody_serves_any_more_are_told_as_gone_like_in_the_engines_preview(
    stacks: Callable[[str], Previewed],
) -> None:
    answer, steps = stacks("prod").change(lambda raw: raw.update(dns={"provider": "none"}))
    done = {name: one.word for name, one in answer.operations.items()}
    assert done == done_by_engine(steps)
    assert len([name for name, word in done.items() if word == "delete" and name.startswith("dns-")]) > 5
    [risk] = [risk for risk in answer.risks if risk.rule == "dns-provider-changed"]
    assert "nobody publishes them" in risk.reason


def engine_records(steps: list[Raw], shown: Mapping[str, set[str]]) -> Iterator[str]:
    """Yield the records that change: inputs of the component, or resources of Cloudflare whose content does."""
    yield from (key.removeprefix("record/") for key in shown.get("dns", ()) if key.startswith("record/"))
    for step in steps:
        kind = step["urn"].split("::")[2].rpartition("$")[2]
        old, new = ((step.get(state) or {}).get("inputs") or {} for state in ("oldState", "newState"))
        told = ("content", "data", "ttl", "priority", "name")
        if kind == "cloudflare:index/dnsRecord:DnsRecord" and any(old.get(key) != new.get(key) for key in told):
            yield step["urn"].rpartition("::")[2].removeprefix("dns-")


def test_no_secret_is_in_any_form_of_the_answer(stacks: Callable[[str], Previewed]) -> None:
    previewed = stacks("local")
    answer, _steps = previewed.change(
        lambda raw: (
            raw["relay"]["upstream"].update(password=PASSWORDS[1]),
            raw["postal"]["admin"].update(password=PASSWORDS[2]),
        )
    )
    found = document(answer)
    text = json_document(found) + markdown(found)
    assert [one.place for one in answer.secrets] == ["relay.upstream.password", "postal.admin.password"]
    assert [word for word in (*PASSWORDS, *answer.before.secrets.values()) if word in text] == []  # type: ignore[union-attr]


def test_values_that_were_only_encrypted_again_change_nothing_and_diff_says_perhaps(
    stacks: Callable[[str], Previewed],
) -> None:
    previewed = stacks("local")
    previewed.engine._sealer = None  # the same passphrase, another salt
    answer, steps = previewed.change(lambda _raw: None)
    assert done_by_engine(steps) == {}
    assert answer.secrets
    assert set(answer.operations) == answer.uncertain
    assert not any(change.certain for change in answer.changes)
