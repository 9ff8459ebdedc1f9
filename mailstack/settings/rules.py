"""All rules that need more than one field of the settings."""

from collections.abc import Callable, Iterator

from mailstack.settings.caddy_rules import CADDY_RULES
from mailstack.settings.cluster_rules import CLUSTER_RULES
from mailstack.settings.dns_rules import DNS_RULES
from mailstack.settings.domain_records_rules import DOMAIN_RECORDS_RULES
from mailstack.settings.domains_rules import DOMAINS_RULES
from mailstack.settings.hosts_rules import HOSTS_RULES
from mailstack.settings.metrics_rules import METRICS_RULES
from mailstack.settings.model import Settings
from mailstack.settings.postal_kubernetes_rules import POSTAL_KUBERNETES_RULES
from mailstack.settings.postal_rules import POSTAL_RULES
from mailstack.settings.problems import Problem
from mailstack.settings.profile_rules import PROFILE_RULES
from mailstack.settings.relay_docker_rules import RELAY_DOCKER_RULES
from mailstack.settings.relay_image_rules import RELAY_IMAGE_RULES
from mailstack.settings.relay_kubernetes_rules import RELAY_KUBERNETES_RULES
from mailstack.settings.relay_rule_rules import RELAY_RULE_RULES
from mailstack.settings.relay_rules import RELAY_RULES
from mailstack.settings.upstream_rules import UPSTREAM_RULES
from mailstack.settings.verify_rules import VERIFY_RULES

__all__ = ["find_problems"]

RULES: tuple[Callable[[Settings], Iterator[Problem]], ...] = (
    *HOSTS_RULES,
    *DOMAINS_RULES,
    *PROFILE_RULES,
    *DOMAIN_RECORDS_RULES,
    *RELAY_RULES,
    *METRICS_RULES,
    *RELAY_IMAGE_RULES,
    *RELAY_DOCKER_RULES,
    *RELAY_KUBERNETES_RULES,
    *UPSTREAM_RULES,
    *RELAY_RULE_RULES,
    *DNS_RULES,
    *VERIFY_RULES,
)


def find_problems(settings: Settings) -> Iterator[Problem]:
    """Yield what is wrong between fields. The fields themselves have the right shape."""
    for rule in RULES:
        yield from rule(settings)
    if settings.postal is not None:
        for postal_rule in (*POSTAL_RULES, *POSTAL_KUBERNETES_RULES):
            yield from postal_rule(settings, settings.postal)
    if settings.caddy is not None:
        for caddy_rule in CADDY_RULES:
            yield from caddy_rule(settings, settings.caddy)
    if settings.cluster is not None:
        for cluster_rule in CLUSTER_RULES:
            yield from cluster_rule(settings, settings.cluster)
