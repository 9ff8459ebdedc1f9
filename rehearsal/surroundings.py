"""What Postal and Caddy need of the Internet, on the ground: an image registry, DNS, an ACME server, an application."""

from collections.abc import Callable, Mapping

from mailstack.dns.records import Address, Alias
from mailstack.plan import CaddyPlan, Plan
from rehearsal.acme import start_pebble
from rehearsal.ground import Ground, Host
from rehearsal.images import POSTAL_VERSION, ensure_images, start_registry
from rehearsal.pki import PrivateCa
from rehearsal.published import PUBLISHED_NAME, start_published
from rehearsal.resolver import start_resolver, use_resolver

__all__ = ["ROOTS", "Surroundings", "caddy_names"]

ROOTS = "/etc/ssl/certs/rehearsal-acme.pem"


class Surroundings:
    """Everything started, and every host pointed at the resolver."""

    def __init__(
        self,
        ground: Ground,
        authority: PrivateCa,
        plan: Plan,
        hosts: Mapping[str, Host],
        say: Callable[[str], None],
    ) -> None:
        """Start the services; each host that needs a name of the stack finds it."""
        images = ensure_images(say)
        self.real_postal = images.real_postal
        if plan.postal is not None:
            kind = "Postal's own image" if images.real_postal else "a stand-in for Postal, whose image is out of reach"
            say(f"      containers: {kind}")
        registry = start_registry(ground, authority, images, log=say)
        self.postal_image = registry.postal(POSTAL_VERSION)
        self.mariadb_image = registry.mariadb
        server = plan.settings.dns.server
        records = _throwaway_addresses(plan, hosts)
        if server is None:
            address = start_published(ground, plan.dns.zones, log=say).address
            records[PUBLISHED_NAME] = address
        else:
            address = hosts[server.host].address
        zones = dict.fromkeys(plan.dns.zones, address)
        self.resolver = start_resolver(ground, zones, records=records, log=say)
        for host in hosts.values():
            use_resolver(ground, host, self.resolver)
        pebble = start_pebble(ground, authority, self.resolver)
        self.acme_directory = pebble.directory
        self.company_pair = authority.issue(*caddy_names(plan.caddy))
        # What an application on the Internet would trust.
        self.roots = pebble.root_certificate + authority.certificate
        self.app = ground.create_service(
            "app",
            ["sleep", "infinity"],
            copies={ROOTS: self.roots},
            env={"REQUESTS_CA_BUNDLE": ROOTS, "SSL_CERT_FILE": ROOTS},
            extra_run_args=["--dns", self.resolver.address],
        )


def caddy_names(caddy: CaddyPlan | None) -> list[str]:
    """Return the names Caddy shows certificates for, or lends them."""
    if caddy is None:
        return ["unused.rehearsal.test"]
    definition = caddy.definition
    policies = [f"mta-sts.{policy.domain}" for policy in definition.mta_sts]
    smtp = [definition.smtp.name] if definition.smtp is not None else []
    names = [*definition.web_names, *definition.tracking_names, *definition.certificate_names, *policies, *smtp]
    return names or ["unused.rehearsal.test"]


def _throwaway_addresses(plan: Plan, hosts: Mapping[str, Host]) -> dict[str, str]:
    """Return the names of the stack's hosts with their addresses on the ground.

    The zones hold the public addresses of the settings, which lead nowhere here: the resolver translates them, as a
    firewall in front of the real hosts may do.
    """
    public = {host.public_ipv4: hosts[name].address for name, host in plan.settings.hosts.items() if host.public_ipv4}
    records = plan.dns.records
    found = {
        record.name: public[record.data.ip]
        for record in records
        if isinstance(record.data, Address) and record.data.ip in public
    }
    aliases = {record.name: record.data.target for record in records if isinstance(record.data, Alias)}
    return found | {name: found[target] for name, target in aliases.items() if target in found}
