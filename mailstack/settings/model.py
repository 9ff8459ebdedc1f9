"""All settings of one stack: every section of ``Pulumi.<stack>.yaml``, and what follows from several of them.

Each section has its shape in ``<section>_model`` and, beside it, the rules that need more than one field in
``<section>_rules``.
"""

import ipaddress
from collections.abc import Iterable

from pydantic import Field, SecretStr

from mailstack.settings.caddy_model import Caddy
from mailstack.settings.cluster_model import Cluster
from mailstack.settings.dns_model import Dns
from mailstack.settings.domains_model import DkimKey, Domain, SharedDkimKey
from mailstack.settings.environments import Environment
from mailstack.settings.hosts_model import Host, Ssh
from mailstack.settings.postal_model import Postal
from mailstack.settings.relay_docker_model import RelayDocker
from mailstack.settings.relay_model import Relay
from mailstack.settings.relay_proof_model import RelayProof
from mailstack.settings.relay_rule_model import RelayRule
from mailstack.settings.section import Section
from mailstack.settings.types import LogicalName
from mailstack.settings.upstream_model import UpstreamSettings
from mailstack.settings.verify_model import Verify

__all__ = ["Settings"]

SMTP_PORT = 25
# Postal owns port 25 of its host; nobody but Postal reaches this one.
SHARED_RELAY_PORT = 2525


class Settings(Section):
    """All settings of one stack."""

    environment: Environment = Field(description="How strict the rules are.")
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
    cluster: Cluster | None = Field(default=None, description="A Kubernetes cluster on hosts of this stack.")
    dns: Dns = Field(default=Dns(), description="Where the records go.")
    verify: Verify = Field(default=Verify(), description="Whether `pulumi up` ends with a look from outside.")

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
    def mail_domains(self) -> tuple[Domain, ...]:
        """Return the domains that mail is sent from: all but the parked ones."""
        return tuple(domain for domain in self.domains if domain.sends)

    @property
    def fallback(self) -> UpstreamSettings | None:
        """Return the upstream that takes over when the first choice does not answer."""
        return self.relay.upstreams.get(self.relay.fallback_upstream or "")

    @property
    def all_upstreams(self) -> tuple[UpstreamSettings, ...]:
        """Return every upstream that mail may go to."""
        return (self.relay.upstream, *self.relay.upstreams.values())

    @property
    def upstreams_by_field(self) -> dict[str, UpstreamSettings]:
        """Return every upstream by the field that declares it."""
        relay = self.relay
        further = {f"relay.upstreams.{name}": upstream for name, upstream in relay.upstreams.items()}
        return {"relay.upstream": relay.upstream, **further}

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
    def postal_on_cluster(self) -> bool:
        """Tell whether a cluster runs Postal."""
        return self.postal is not None and self.postal.placement == "kubernetes"

    @property
    def postal_shares_relay_cluster(self) -> bool:
        """Tell whether Postal's mail goes to a relay on the same cluster, by the name it has there."""
        postal = self.postal
        return (
            postal is not None
            and postal.cluster is not None
            and postal.sending.path == "postfix"
            and postal.sending.relay_name is None
            and self.relay.placement == "kubernetes"
        )

    @property
    def relay_docker(self) -> RelayDocker:
        """Return how the relay's container is run, where one Docker engine runs it."""
        return self.relay.docker or RelayDocker()

    @property
    def relay_listen_addresses(self) -> tuple[str, ...]:
        """Return the addresses the relay listens on, those of all its hosts; in a container, all of its networks."""
        if self.relay.placement == "docker":
            return ("0.0.0.0",)  # noqa: S104 - its networks are internal
        if self.relay.placement == "kubernetes" and self.relay.listen_addresses is None:
            dual = self.relay.kubernetes is not None and self.relay.kubernetes.dual_stack
            return ("0.0.0.0", "::") if dual else ("0.0.0.0",)  # noqa: S104 - a pod's; network policies guard it
        if self.relay.listen_addresses is not None or not self.relay.host_names:
            return self.relay.listen_addresses or ("127.0.0.1",)
        found = (address for name in self.relay.host_names for address in self.relay_listens_on(name))
        return tuple(dict.fromkeys(found))

    def relay_listens_on(self, name: str) -> tuple[str, ...]:
        """Return the addresses the relay listens on, on its host ``name``; of several hosts each has its own."""
        if self.relay.placement in {"docker", "kubernetes"}:
            return self.relay_listen_addresses
        if self.relay.listen_addresses is not None:
            return self.relay.listen_addresses
        host, postal = self.hosts.get(name), self.postal
        own = host.inner_address if host is not None and self.relay.hosts else None
        container_side = (
            postal.gateway if postal is not None and postal.host == name and postal.sending.path == "postfix" else None
        )
        return tuple(filter(None, dict.fromkeys(["127.0.0.1", own, container_side])))

    @property
    def smtp_hosts(self) -> tuple[str, ...]:
        """Return the addresses applications connect to, in the order of the hosts; loopback where there are no others.

        With several hosts it is one for each; of one host those that other machines reach are first. Postal's side of
        the container network is not among them.
        """
        container_side = None if self.postal is None else self.postal.gateway
        found: dict[str, None] = {}
        for name in (name for name in self.relay.host_names if name in self.hosts):
            listed = dict.fromkeys(address for address in self.relay_listens_on(name) if address != container_side)
            if any(ipaddress.ip_address(address).is_unspecified for address in listed):
                listed = dict.fromkeys(filter(None, [self.hosts[name].inner_address]))
            outside = [address for address in listed if not ipaddress.ip_address(address).is_loopback]
            found |= dict.fromkeys((outside or listed) if self.relay.hosts else (*outside, *listed))
        return tuple(found)

    @property
    def client_addresses(self) -> tuple[str, ...]:
        """Return what relay.client_name stands for: the addresses that other machines connect to."""
        return tuple(address for address in self.smtp_hosts if not ipaddress.ip_address(address).is_loopback)

    @property
    def relay_proof(self) -> RelayProof | None:
        """Return how a host shows that its relay delivers: always with several hosts, else where it is asked for."""
        return self.relay.proof or (RelayProof() if self.relay.hosts and self.relay.placement == "vm" else None)

    @property
    def relay_listen_port(self) -> int:
        """Return the port the relay listens on."""
        if self.relay.placement == "docker":
            return SMTP_PORT
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
        return self._egress(self.relay_hosts)

    def egress_addresses_of(self, name: str) -> tuple[str, ...]:
        """Return those that mail leaves host ``name`` from; where they are declared, it may be any of them."""
        return self._egress([self.hosts[name]])

    def _egress(self, hosts: Iterable[Host]) -> tuple[str, ...]:
        declared = self.relay.egress_addresses
        if declared is None:
            found = [address for host in hosts for address in (host.public_ipv4, host.public_ipv6)]
            declared = tuple(address for address in found if address is not None)
        # A container's networks are IPv4.
        protocol = "ipv4" if self.relay.placement == "docker" else self.relay.ip_protocol
        refused = {"ipv4": 6, "ipv6": 4}.get(protocol)
        return tuple(address for address in declared if ipaddress.ip_address(address).version != refused)
