"""The cheapest way out for an SPF record with too many lookups."""

from collections.abc import Sequence

from mailstack.dns.spf_tree import MAX_LOOKUPS, SpfNode

__all__ = ["cheapest_cure"]


def cheapest_cure(nodes: Sequence[SpfNode], limit: int = MAX_LOOKUPS) -> str:
    """Return what brings the lookups of these terms down to ``limit``, with what each step saves.

    In this order: an include that another one holds already goes without loss; own hosts are written as addresses;
    then the fewest senders that save enough are flattened, where their records are nothing but addresses, or moved to
    a subdomain. Among equally few the one that saves least of what is not needed is named.
    """
    over = sum(node.lookups for node in nodes) - limit
    steps: list[str] = []
    left = list(nodes)
    for node in _doubled(left):
        left.remove(node)
        over -= node.lookups
        steps.append(f"remove {node.term}, which another include holds already (saves {node.lookups})")
        if over <= 0:
            return "; ".join(steps)
    hosts = [node for node in left if node.target is None and node.addresses]
    senders = sorted((node for node in left if node not in hosts), key=lambda node: (-node.lookups, node.term))
    if hosts and len(hosts) >= over:
        names = ", ".join(node.term for node in hosts[:over])
        return "; ".join([*steps, f"write {names} as ip4: and ip6: (saves {over})"])
    while over > 0 and senders:
        enough = [node for node in senders if node.lookups >= over]
        node = min(enough, key=_dearness) if enough else senders[0]
        senders.remove(node)
        over -= node.lookups
        steps.append(_step(node))
    return "; ".join(steps)


def _dearness(node: SpfNode) -> tuple[bool, int, str]:
    """Order what would be enough: what can be flattened first, since no sender has to move."""
    return not node.addresses, node.lookups, node.term


def _doubled(nodes: Sequence[SpfNode]) -> list[SpfNode]:
    """Return the includes whose record is part of another one's."""
    return [
        node
        for node in nodes
        if node.target is not None
        and any(node.target in child.targets() for other in nodes if other is not node for child in other.children)
    ]


def _step(node: SpfNode) -> str:
    if node.target is not None and node.addresses:
        return f"name {node.target} in `spf.flatten` or move that sender to a subdomain (saves {node.lookups})"
    if node.target is not None or node.term.startswith(("include:", "redirect=")):
        return f"move the sender behind {node.term} to a subdomain, or remove it (saves {node.lookups})"
    return f"write what {node.term} stands for as ip4: and ip6: (saves {node.lookups})"
