"""What the last update left behind, as the engine's state has it.

The program is told nothing of the state, but the engine answers questions about any stack, this one included
(``readStackResourceOutputs``, the function behind ``StackReference``). Two things are asked for: which DNS records are
ours already, which secrets are others than last time, and which host each role ran on.
"""

import time
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import pulumi

from mailstack.dns import decode_shown, zone_of
from mailstack.dns.existing import content_of
from mailstack.kubernetes.names import Before, versions
from mailstack.plan.first_day import Ours
from mailstack.plan.shown import Seen

__all__ = ["QUESTION", "SECRETS_SEEN", "Previous", "read_previous"]

QUESTION = "pulumi:pulumi:readStackResourceOutputs"
# The output every component keeps what it needs for ``Secret.version`` in.
SECRETS_SEEN = "secrets_seen"
TRIES, PAUSE_SECONDS = 20, 0.1
RECORD, COMMAND = "cloudflare:index/dnsRecord:DnsRecord", "command:remote:Command"
# The run that a DNS server of ours begins with (mailstack/plan/dns.py).
DNS_SERVER = "dns-server"


class Previous:
    """The resources of the last update: URN to type and outputs."""

    def __init__(self, resources: Mapping[str, Any]) -> None:
        """Take the engine's answer."""
        self._resources = resources

    def seen(self) -> dict[str, Seen]:
        """Return, by component, what its secrets were: name to digest and version."""
        return {
            urn.rpartition("::")[2]: {
                name: (str(digest), int(version)) for name, (digest, version) in outputs[SECRETS_SEEN].items()
            }
            for urn, outputs in self._of_type("mailstack:")
            if isinstance(outputs.get(SECRETS_SEEN), Mapping)
        }

    def placed(self) -> dict[str, str]:
        """Return, by the name of its run, the host that each role ran on."""
        return {
            urn.rpartition("::")[2]: str(outputs["triggers"][0])
            for urn, outputs in self._of_type(COMMAND)
            if outputs.get("triggers")
        }

    def ours(self, zones: Collection[str]) -> Ours:
        """Return which DNS records, and IDs of ``zones``, the last update left."""
        records = list(self._of_type(RECORD))
        texts: dict[str, str] = {}
        for _urn, outputs in self._of_type("mailstack:index:DnsRecords"):
            texts |= outputs.get("zones") or {}
        ids = {zone_of(str(outputs["name"]), zones): str(outputs["zoneId"]) for _urn, outputs in records}
        return Ours(
            resource_names=frozenset(urn.rpartition("::")[2].removeprefix("dns-") for urn, _ in records),
            record_ids=frozenset(str(outputs["id"]) for _, outputs in records if outputs.get("id")),
            contents={_content(outputs): int(outputs.get("ttl") or 0) for _, outputs in records},
            zone_ids={zone: identity for zone, identity in ids.items() if zone is not None},
            zones=texts,
        )

    def published(self) -> bool:
        """Tell whether the last update left records at a provider, or on a server of ours."""
        return self.has(RECORD) or DNS_SERVER in self.placed()

    def objects(self) -> Before:
        """Return the name and version of each object of a cluster that never changes, by its resource's name."""
        found = self._of_type("kubernetes:")
        return dict(versions((urn.rpartition("::")[2], outputs) for urn, outputs in found))

    def has(self, kind: str) -> bool:
        """Tell whether the last update left a resource of that type."""
        return any(True for _ in self._of_type(kind))

    def _of_type(self, prefix: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
        for urn, resource in self._resources.items():
            if resource["type"].startswith(prefix):
                yield urn, resource["outputs"]


def _content(outputs: Mapping[str, Any]) -> tuple[str, str, str]:
    shown = content_of(outputs, decode_shown(outputs))
    return str(outputs["zoneId"]), str(outputs["name"]).lower(), shown


def read_previous() -> Previous:
    """Ask the engine about this stack. A stack that was never brought up has nothing.

    During an update the engine writes its state at the same time, and a file is empty for a moment then ("failed to
    load checkpoint: EOF"): it is asked again. Raises what the engine said the last time.
    """
    name = f"{pulumi.get_organization()}/{pulumi.get_project()}/{pulumi.get_stack()}"
    for left in reversed(range(TRIES)):
        try:
            answer = pulumi.runtime.invoke(QUESTION, {"stackName": name}).value
        except Exception:  # the SDK raises nothing narrower
            if not left:
                raise
            time.sleep(PAUSE_SECONDS)
        else:
            break
    return Previous((answer or {}).get("outputs") or {})
