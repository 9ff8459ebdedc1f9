"""What a change of hosts, firewall, certificates, cluster and the Workspace rule can cost."""

from collections.abc import Iterator, Mapping

from mailstack.caddy.definition import Acme
from mailstack.diff.risks.model import Risk, called, listed, within
from mailstack.plan import Plan
from mailstack.plan.shown import Shown

__all__ = ["host_risks"]

# Roles whose hosts hold something that is not made again: what, by role.
HELD: Mapping[str, str] = {
    "postfix_relay": "the relay's queue",
    "postal": "Postal's configuration and backups",
    "mariadb": "Postal's database with queued and kept mail",
    "caddy": "certificates and the account they were issued to",
    "k3s": "the node's pods and their local volumes",
}
# Of a cluster: what only its first start takes (roles/k3s/facts.py).
FIXED = ("pod_network", "service_network", "encrypt_secrets", "token")
# Of the relay rule: some fewer in these narrow it, so nothing that is sent waits for the console.
LISTS = frozenset({"rule/domains", "rule/ip_ranges"})
Opening = tuple[str, int, str]


def host_risks(before: Plan, after: Plan) -> Iterator[Risk]:
    """Yield them for two plans of one stack."""
    yield from _hosts(before, after)
    for name in (name for name in before.hosts if name in after.hosts):
        yield from _connection(before, after, name)
    yield from _firewall(before, after)
    yield from _caddy(before, after)
    yield from _workspace(before, after)
    yield from _cluster(before, after)


def _held(plan: Plan, host: str) -> list[str]:
    return [HELD[run.role] for run in plan.runs() if run.host == host and run.role in HELD]


def _hosts(before: Plan, after: Plan) -> Iterator[Risk]:
    names = called(before, after)
    for name in before.hosts:
        if name in after.hosts:
            continue
        if name in names:
            yield _renamed(before, name, names[name])
            continue
        held = _held(before, name)
        yield Risk(
            level="high" if held else "medium",
            rule="host-removed",
            what=f"host {name} is not declared any more",
            reason=f"{listed(held) or 'what ran there'} stays behind; roles with on_destroy: remove are taken back "
            "over SSH, so the machine has to answer during this update",
            advice="empty queues and copy data first; take the machine away after the update, not before",
        )


def _renamed(before: Plan, name: str, now: str) -> Risk:
    again = sorted({run.role for run in before.runs() if run.host == name and run.on_destroy == "remove"})
    held = f": role {listed(again)} is taken back there, and set up again after that" if again else ""
    return Risk(
        level="medium" if again else "low",
        rule="host-renamed",
        what=f"host {name} is called {now} now, at the same address",
        reason=f"to Pulumi it is another host{held}; roles with on_destroy: keep find everything in place"
        + (
            "; the relay's is refused while mail is queued, and the update then ends"
            if "postfix_relay" in again
            else ""
        ),
        advice="keep the name: it is seen in this file alone",
    )


def _connection(before: Plan, after: Plan, name: str) -> Iterator[Risk]:
    old, new = before.hosts[name].connection, after.hosts[name].connection
    held = listed(_held(before, name))
    if old.address != new.address:
        yield Risk(
            level="high" if held else "medium",
            rule="host-address-changed",
            what=f"host {name} is {new.address}, no more {old.address}",
            reason=f"where that is another machine, {held or 'what ran there'} stays on the old one",
            advice="where it is the same machine nothing is lost: every role looks and finds nothing to do",
        )
    if old.host_key is not None and new.host_key is None:
        yield Risk(
            level="medium",
            rule="host-key-unpinned",
            what=f"the SSH key of {name} is not pinned any more",
            reason="somebody in between can take the host's place and gets every secret of its roles",
            advice="keep hosts.<name>.host_key",
        )
    elif old.host_key != new.host_key and old.host_key is not None:
        yield Risk(
            level="medium",
            rule="host-key-changed",
            what=f"another SSH key is pinned for {name}",
            reason="either the machine is a new one, without what was on the old one, or somebody took its place",
            advice="compare it with the key that the machine's console shows",
        )


def _openings(plan: Plan, host: str) -> dict[Opening, frozenset[str]] | None:
    run = next((run for run in plan.hosts[host].runs if run.role == "firewall"), None)
    if run is None:
        return None
    return {(host, int(one["port"]), str(one["protocol"])): frozenset(one["sources"]) for one in run.settings["allow"]}


def _firewall(before: Plan, after: Plan) -> Iterator[Risk]:
    for name in (name for name in before.hosts if name in after.hosts):
        old, new = _openings(before, name), _openings(after, name)
        if old is None and new is not None:
            ports = [f"{port}/{protocol}" for _, port, protocol in new]
            yield Risk(
                level="medium",
                rule="firewall-on",
                what=f"{name} gets a firewall",
                reason=f"every port but SSH and {listed(ports) or 'none'} is closed, other programs' included",
                advice="declare what else has to be reached",
            )
        elif old is not None and new is None:
            yield Risk(
                level="low",
                rule="firewall-off",
                what=f"{name} loses its firewall",
                reason="the rules are taken back: what listens there can be reached from everywhere again",
                advice="make sure that something else closes the ports, such as the provider's firewall",
            )
        elif old is not None and new is not None:
            for opening, sources in old.items():
                yield from _opening(name, opening, sources, new.get(opening))


def _opening(name: str, opening: Opening, sources: frozenset[str], now: frozenset[str] | None) -> Iterator[Risk]:
    port = f"{opening[1]}/{opening[2]}"
    # No source at all means anybody.
    lost = () if not now else sorted(one for one in sources if not within(one, now))
    if now is None or lost or (now and not sources):
        whom = "" if now is None else f" for {listed(lost) or 'all but ' + listed(sorted(now or ()))}"
        yield Risk(
            level="medium",
            rule="port-closed",
            what=f"{name} closes port {port}{whom}",
            reason="who connects there gets no answer, and keeps or loses its mail as it is made",
            advice="move clients first",
        )


def _caddy(before: Plan, after: Plan) -> Iterator[Risk]:
    if before.caddy is None:
        return
    if after.caddy is None:
        yield Risk(
            level="high",
            rule="certificates-removed",
            what="Caddy is not declared any more",
            reason="nobody renews the certificates: web UI, API and STARTTLS fail when they expire",
            advice="have another one issue them first",
        )
        return
    old, new = before.caddy, after.caddy
    gone = [name for name in old.definition.names if name not in new.definition.names]
    if gone:
        yield Risk(
            level="medium",
            rule="certificate-removed",
            what=f"no certificate any more for {listed(gone)}",
            reason="who connects by that name gets a certificate of another one, and refuses it: links, MTA-STS, SMTP",
            advice="keep the name while anything leads there",
        )
    moved = called(before, after).get(old.run.host, old.run.host) != new.run.host
    issuers = [one.definition.certificates for one in (old, new)]
    other = type(issuers[0]) is not type(issuers[1]) or (
        isinstance(issuers[0], Acme) and isinstance(issuers[1], Acme) and issuers[0].directory != issuers[1].directory
    )
    if moved or other:
        yield Risk(
            level="medium",
            rule="certificates-anew",
            what="all certificates are issued anew",
            reason="names have to lead to the host before they can be, issuers limit how many a week, and DANE and CAA "
            "records have to fit",
            advice="try it with a staging directory, and look at CAA and TLSA records first",
        )


def _workspace(before: Plan, after: Plan) -> Iterator[Risk]:
    if before.relay_rule is None:
        return
    if after.relay_rule is None:
        yield Risk(
            level="low",
            rule="workspace-rule-removed",
            what="the relay rule of Google Workspace is not declared any more",
            reason="the rule in the Admin console stays as it is, and no probe says any more when Google refuses the "
            "relay",
            advice="keep it while mail goes out through Google; else take the rule out of the console, too",
        )
        return
    old, new = before.relay_rule.shown, after.relay_rule.shown
    changed = {name for name in {*old, *new} if name.startswith("rule/") and _set(old, name) != _set(new, name)}
    if not changed:
        return
    if changed == {"rule/name"}:
        yield Risk(
            level="low",
            rule="workspace-rule-renamed",
            what="the relay rule of Google Workspace is to be renamed by hand",
            reason="Google does not look at the name, so no mail waits for it; whoever compares rule and declaration "
            "does",
            advice="follow output relay_rule_console_steps after the update",
        )
        return
    if changed <= {"rule/name", *LISTS} and all(_set(new, name) <= _set(old, name) for name in changed & LISTS):
        yield Risk(
            level="low",
            rule="workspace-rule-narrower",
            what="the relay rule of Google Workspace is to be narrowed by hand",
            reason="until it is, Google takes more than what is declared: no mail waits for it",
            advice="follow output relay_rule_console_steps after the update",
        )
        return
    yield Risk(
        level="high",
        rule="workspace-rule-changed",
        what="the relay rule of Google Workspace has to be changed by hand",
        reason="until it is, Google refuses what the old rule does not cover; Google may take 24 hours for a change",
        advice="follow output relay_rule_console_steps before the update; the probe then proves it",
    )


def _set(shown: Shown, name: str) -> frozenset[str]:
    """Return what stands there: of a list each entry, since its order means nothing."""
    text = str(shown.get(name, ""))
    return frozenset(text.split(", ") if name in LISTS else [text])


def _cluster(before: Plan, after: Plan) -> Iterator[Risk]:
    old, new = before.settings.cluster, after.settings.cluster
    if old is None:
        return
    if new is None or [name for name in old.hosts if name not in new.hosts]:
        gone = [name for name in old.hosts if new is None or name not in new.hosts]
        yield Risk(
            level="high" if old.on_destroy == "remove" else "medium",
            rule="node-removed",
            what=f"node {listed(gone)} leaves the cluster",
            reason="its pods end, and volumes on its disk are of no use to others"
            + (", and are removed (remove_volumes)" if old.remove_volumes else ""),
            advice="drain it, and empty the queues on it, first",
        )
        return
    fixed = [name for name in FIXED if getattr(old, name) != getattr(new, name)]
    if fixed:
        yield Risk(
            level="medium",
            rule="cluster-fixed",
            what=f"cluster.{listed(fixed)} is another one",
            reason="a cluster that is there keeps it: the role refuses, and the update ends with an error",
            advice="declare it as it was (docs/how-to/kubernetes-cluster.md says what can be changed by hand first)",
        )
    if new.remove_volumes and not old.remove_volumes:
        yield Risk(
            level="medium",
            rule="removal-allowed",
            what="cluster.remove_volumes: true",
            reason="a node that is removed loses what pods have kept on its disk, queues among it",
            advice="take it back after the update that needs it",
        )
    if old.version != new.version:
        yield Risk(
            level="low",
            rule="cluster-upgrade",
            what=f"Kubernetes {old.version} becomes {new.version}",
            reason="the API of each node is away for a while; pods go on",
            advice="not more than one minor release at a time",
        )
