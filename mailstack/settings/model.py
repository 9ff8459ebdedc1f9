"""All settings of one stack: every section of ``Pulumi.<stack>.yaml``, and what follows from several of them.

Each section has its shape in ``<section>_model`` and, beside it, the rules that need more than one field in
``<section>_rules``.
"""

import ipaddress
from typing import Literal

from pydantic import Field, SecretStr

from mailstack.settings.caddy_model import Caddy
from mailstack.settings.dns_model import Dns
from mailstack.settings.domains_model import DkimKey, Domain, SharedDkimKey
from mailstack.settings.hosts_model import Host, Ssh
from mailstack.settings.postal_model import Postal
from mailstack.settings.relay_model import Relay
from mailstack.settings.relay_rule_model import RelayRule
from mailstack.settings.section import Section
from mailstack.settings.types import LogicalName
from mailstack.settings.upstream_model import UpstreamSettings

__all__ = ["Settings"]

SMTP_PORT = 25
# Postal owns port 25 of its host; nobody but Postal reaches this one.
SHARED_RELAY_PORT = 2525


class Settings(Section):
    """All settings of one stack."""

    environment: Literal["local", "staging", "prod"] = Field(description="How strict the rules are.")
    ssh: Ssh = Field(default=Ssh(), description="How Pulumi logs in.")
    hosts: dict[LogicalName, Host] = Field(default={}, description="The machines, by a name of your choice.")
    domains: tuple[Domain, ...] = Field(min_length=1, description="The domains mail is sent from.")
    domains_file: str | None = Field(
        default=None,
        description="File in this folder that has `domains` (and zones) instead: for more than a few dozen.",
    )
    dkim_keys: dict[LogicalName, SharedDkimKey] = Field(
        default={}, description="Private DKIM keys that domains share, by a name of your choice."
    )
    relay: Relay = Field(description="The Postfix relay.")
    relay_rule: RelayRule | None = Field(default=None, description="The rule in the Google Admin console.")
    postal: Postal | None = Field(default=None, description="The Postal mail server.")
    caddy: Caddy | None = Field(default=None, description="TLS for web sites and for Postal's SMTP server.")
    dns: Dns = Field(default=Dns(), description="Where the records go.")

    def host_ssh_key(self, host: Host) -> SecretStr | None:
        """Return the private key for ``host``: its own or the common one; None means the SSH agent."""
        return host.private_key or self.ssh.private_key

    def private_dkim_key(self, key: DkimKey) -> SecretStr | None:
        """Return the private key behind ``key``: its own or the shared one; None for another signer's."""
        if key.key is not None:
            shared = self.dkim_keys.get(key.key)
            return None if shared is None else shared.private_key
        return key.private_key

    def upstream_of(self, domain: Domain) -> UpstreamSettings:
        """Return the upstream that takes a domain's mail; the first one where its name is not known."""
        return self.relay.upstreams.get(domain.upstream or "", self.relay.upstream)

    @property
    def fallback(self) -> UpstreamSettings | None:
        """Return the upstream that takes over when the first choice does not answer."""
        return self.relay.upstreams.get(self.relay.fallback_upstream or "")

    @property
    def all_upstreams(self) -> tuple[UpstreamSettings, ...]:
        """Return every upstream that mail may go to."""
        return (self.relay.upstream, *self.relay.upstreams.values())

    @property
    def google_upstream(self) -> UpstreamSettings | None:
        """Return the upstream that is Google Workspace, the first one before the others."""
        return next((upstream for upstream in self.all_upstreams if upstream.preset == "google-workspace"), None)

    @property
    def message_size_bytes(self) -> int:
        """Return the largest message the relay takes: what is set, else what every upstream takes."""
        if self.relay.message_size_mb:
            return self.relay.message_size_mb * 1_000_000
        return min(upstream.provider.message_size_bytes for upstream in self.all_upstreams)

    @property
    def submission_uses_caddy(self) -> bool:
        """Tell whether submission shows the certificate that Caddy on the relay's host has for the relay's name."""
        submission = self.relay.submission
        return (
            submission is not None
            and submission.certificate is None
            and self.caddy is not None
            and self.relay.host_names == (self.caddy.host,)
        )

    @property
    def postal_shares_relay_host(self) -> bool:
        """Tell whether Postal and the relay run on the same host."""
        return self.postal is not None and self.postal.host in self.relay.host_names

    @property
    def relay_listen_addresses(self) -> tuple[str, ...]:
        """Return the addresses the relay listens on."""
        if self.relay.listen_addresses is not None:
            return self.relay.listen_addresses
        if self.relay.placement == "kubernetes":
            dual = self.relay.kubernetes is not None and self.relay.kubernetes.dual_stack
            return ("0.0.0.0", "::") if dual else ("0.0.0.0",)  # noqa: S104 - a pod's; network policies guard it
        if self.postal is not None and self.postal_shares_relay_host and self.postal.sending.path == "postfix":
            return ("127.0.0.1", self.postal.gateway)
        return ("127.0.0.1",)

    @property
    def relay_listen_port(self) -> int:
        """Return the port the relay listens on."""
        if self.relay.listen_port is not None:
            return self.relay.listen_port
        return SHARED_RELAY_PORT if self.postal_shares_relay_host else SMTP_PORT

    @property
    def relay_hosts(self) -> tuple[Host, ...]:
        """Return the hosts the relay runs on, those that are declared; none where a cluster runs it."""
        return tuple(self.hosts[name] for name in self.relay.host_names if name in self.hosts)

    @property
    def egress_addresses(self) -> tuple[str, ...]:
        """Return the public addresses the relay's mail leaves from, those its IP protocol allows."""
        declared = self.relay.egress_addresses
        if declared is None:
            found = [address for host in self.relay_hosts for address in (host.public_ipv4, host.public_ipv6)]
            declared = tuple(address for address in found if address is not None)
        refused = {"ipv4": 6, "ipv6": 4}.get(self.relay.ip_protocol)
        return tuple(address for address in declared if ipaddress.ip_address(address).version != refused)
