"""One environment against another: what has to differ, and what one of them has not proved for the other."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from mailstack.diff.declaration import Declaration
from mailstack.diff.facts import Fact, Key
from mailstack.diff.sealed import identity
from mailstack.plan.shown import flat

__all__ = ["EXPECTED", "Names", "SettingChange", "aligned", "setting_changes"]

# Settings that each environment has for itself, with why. Patterns of paths as `setting_changes` tells them.
EXPECTED: Mapping[str, str] = {
    r"environment": "which environment it is",
    r"hosts/[^/]+/(address|port|user|host_key|jump/.*|public_ipv[46]|private_address|private_key)": "its own machines",
    r"hosts/[^/]+/minimum_(memory_mb|disk_gb)": "their size",
    r"(relay|postal|postal/database|caddy)/hosts?": "which of its machines",
    r"ssh/.*": "how Pulumi logs in",
    r"domains/[^/]+/dkim/.*": "its own DKIM keys",
    r"domains/[^/]+/dmarc/(aggregate|failure)_reports": "where its reports go",
    r"dkim_keys/.*": "its own DKIM keys",
    r"domains_file": "its own list of domains",
    r"relay/(hostname|client_name|egress_addresses|listen_addresses|client_networks|postmaster|from_email|from_name)": (
        "its own names and addresses"
    ),
    r"relay/upstreams?/(.*/)?(username|password)": "its own login at the upstream",
    r"relay/submission/(listen_addresses|users/.*|srv_domains)": "its own clients",
    r"relay/docker/(endpoint|ssh_key|tls/.*|publish/address)": "its own Docker engine",
    r"relay/metrics/(listen_address|client_networks)": "its own monitoring",
    r"(relay|postal)/kubernetes/(context|kubeconfig|namespace|cluster_domain)": "its own cluster",
    r"postal/kubernetes/(smtp_addresses|web_addresses)": "its own addresses",
    r"relay_rule/(name|ip_ranges|domains|probe/(sender|recipient))": "its own rule in the Admin console",
    r"postal/(web_hostname|smtp_hostname|return_path_domain|route_domain|track_domain)": "its own names",
    r"postal/(admin|app_mail)/.*": "its own people",
    r"postal/database/(address|port|username|name|password|root_password)": "its own database",
    r"postal/organizations/.*/(key|postmaster|url)": "its own applications",
    r"postal/(signing_key|secret_key|backup/passphrase)": "its own keys",
    r"caddy/(acme/(email|dns_token)|custom/.*|extra_names)": "its own certificates",
    r"cluster/(servers|agents|api_address|api_networks|tls_san|ca_sha256|token)": "its own nodes",
    r"dns/cloudflare/(api_token|zones/.*)": "its own zones",
    r"dns/server/(host|nameservers|hostmaster|listen_addresses)": "its own DNS server",
    r"dns/(existing|records|tlsa|signed_zones).*": "what its zones hold besides",
    r"verify/message/.*": "its own test mailbox",
}
HIDDEN, SECRET = "**********", "[secret]"
DECLARED = "declared"
ENTRY = re.compile(
    r"(hosts|domains|dkim_keys|relay/upstreams)/[^/]+|(relay/(docker|kubernetes|submission|metrics)|dns/(cloudflare|server)|[^/]+)(?=/)"
)
# A domain name as it stands in any text.
NAME = re.compile(r"(?:[A-Za-z0-9_]|\\?[.-])+")


@dataclass(frozen=True, kw_only=True)
class SettingChange:
    """A setting that differs, defaults included. ``expected`` says why it may, empty where it should be looked at."""

    path: str
    before: str | None
    after: str | None
    expected: str = ""


@dataclass(frozen=True, kw_only=True)
class Names:
    """Which domain of the first environment stands for which of the second."""

    pairs: Mapping[str, str] = field(default_factory=dict)

    def text(self, text: str) -> str:
        """Return ``text`` of the first environment in the names of the second; names below them follow."""
        return NAME.sub(lambda match: self._name(match[0]), text) if self.pairs else text

    def _name(self, written: str) -> str:
        # In a regular expression of a look-up table the dots have a backslash.
        labels = written.replace("\\", "").rstrip(".").split(".")
        for number in range(len(labels)):
            instead = self.pairs.get(".".join(labels[number:]))
            if instead is not None:
                made = ".".join([*labels[:number], instead])
                for character in (".", "-"):
                    if f"\\{character}" in written:
                        made = made.replace(character, f"\\{character}")
                return f"{made}." if written.endswith(".") else made
        return written

    def key(self, key: Key) -> Key:
        """Return the key of a fact in the names of the second."""
        section, subject, name = key
        return section, self.text(subject), self.text(name)

    def fact(self, fact: Fact) -> Fact:
        """Return a fact in the names of the second."""
        if fact.value is None:
            return replace(fact, label=self.text(fact.label))
        return replace(fact, label=self.text(fact.label), value=self.text(fact.value))


def aligned(source: Declaration, target: Declaration) -> Names:
    """Return which domains stand for each other: those that only one of the two has, in the order of the files."""
    old, new = ([domain.name for domain in one.plan.settings.domains] for one in (source, target))
    alone = [name for name in old if name not in new], [name for name in new if name not in old]
    return Names(pairs=dict(zip(*alone, strict=False)))


def setting_changes(source: Declaration, target: Declaration, names: Names) -> Iterator[SettingChange]:
    """Yield every setting that differs, after names were replaced. Secrets are never compared: each has its own."""
    old = {names.text(path): names.text(text) for path, text in _settings(source)}
    new = dict(_settings(target))
    entries = [_entries(one) for one in (old, new)]
    told: set[str] = set()
    for path in sorted(old.keys() | new.keys()):
        entry = _entry(path)
        if entry and (entry in entries[0]) != (entry in entries[1]):
            if entry not in told:
                told.add(entry)
                there = [DECLARED if entry in one else None for one in entries]
                yield SettingChange(path=entry, before=there[0], after=there[1])
        elif old.get(path) != new.get(path):
            yield SettingChange(path=path, before=old.get(path), after=new.get(path), expected=_expected(path))


def _entry(path: str) -> str:
    """Return the section, host or domain that a setting belongs to: where only one side has it, that is all to say."""
    found = ENTRY.match(path)
    return found[0] if found is not None else ""


def _entries(paths: Iterable[str]) -> set[str]:
    return {entry for path in paths if (entry := _entry(path))}


def _settings(declaration: Declaration) -> Iterator[tuple[str, str]]:
    dumped: Any = declaration.plan.settings.model_dump(mode="json")
    for path, text in flat(_by_name(dumped)):
        yield path, SECRET if text == HIDDEN else text


def _by_name(value: Any) -> Any:
    """Return settings with lists of named entries as mappings, so that one more of them is one more path."""
    if isinstance(value, Mapping):
        return {key: _by_name(item) for key, item in value.items()}
    if not isinstance(value, list):
        return value
    names = [identity(entry) for entry in value]
    if not all(names) or len(set(names)) < len(names):
        return [_by_name(entry) for entry in value]
    return {str(name): _by_name(entry) for name, entry in zip(names, value, strict=True)}


def _expected(path: str) -> str:
    return next((why for pattern, why in EXPECTED.items() if re.fullmatch(pattern, path)), "")
