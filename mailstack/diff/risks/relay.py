"""What a change of the relay can cost."""

from collections.abc import Iterator

from mailstack.diff.risks.model import Risk, called, listed, within
from mailstack.diff.risks.pods import relay_pod_risks
from mailstack.plan import Plan, RelayPlan
from mailstack.postfix.definition import RelayDefinition, RelayUpstream

__all__ = ["relay_risks"]

TLS_ORDER = ("may", "encrypt", "verify", "secure")
# How seldom the engine starts the container again. The first two differ only in one that somebody has stopped.
RESTARTS = {"always": 0, "unless-stopped": 0, "on-failure": 1, "no": 2}
REFUSED = "its removal is refused while mail is queued there: the update then ends with an error, and both relays run"
GOES_ON = "Postfix goes on there as it was, with what is queued"
EMPTY_FIRST = (
    "point applications elsewhere, and wait until `mailstack relay queue` shows no message, before this update"
)


def relay_risks(before: Plan, after: Plan) -> Iterator[Risk]:
    """Yield them for two plans of one stack."""
    if before.relay.placed and not after.relay.placed:
        yield Risk(
            level="high",
            rule="relay-removed",
            what="the relay goes (relay.placement: none)",
            reason="mail in its queue is not sent by anybody else, and applications that use it are refused",
            advice="empty the queue first, and point applications elsewhere",
        )
        return
    if not before.relay.placed:
        return
    yield from _place(before, after)
    yield from _acceptance(before.relay.definition, after.relay.definition)
    yield from _patience(before.relay.definition, after.relay.definition)
    yield from _upstreams(before.relay.definition, after.relay.definition)
    yield from _reached(before.relay, after.relay)
    yield from _docker(before.relay, after.relay)
    yield from relay_pod_risks(before.relay, after.relay)


def _place(before: Plan, after: Plan) -> Iterator[Risk]:
    old, new = before.settings.relay, after.settings.relay
    if old.placement != new.placement:
        yield Risk(
            level="high",
            rule="placement-changed",
            what=f"the relay moves: placement {old.placement} becomes {new.placement}",
            reason=f"the queue does not move: {_left_behind(before)}",
            advice="wait until the old queue is empty, and update again" if old.placement == "vm" else EMPTY_FIRST,
        )
        return
    names = called(before, after)
    gone = [name for name in old.host_names if names.get(name, name) not in new.host_names]
    if gone and old.placement == "vm":
        keeps = old.on_destroy == "keep"
        yield Risk(
            level="medium" if keeps or len(old.host_names) > len(gone) else "high",
            rule="relay-host-removed",
            what=f"the relay leaves {listed(gone)}",
            reason=GOES_ON
            if keeps
            else "its removal is refused while mail is queued there, and the update then ends with an error",
            advice="empty the queue there first: `postqueue -f`, then `postqueue -p` until it is empty",
        )
    elif gone:
        yield Risk(
            level="high",
            rule="relay-host-removed",
            what=f"the relay's container leaves {listed(gone)}",
            reason="its queue is a volume of that machine's engine and does not move",
            advice="empty the queue first, and keep the volume until it is",
        )


def _left_behind(plan: Plan) -> str:
    """Return what becomes of the queue where the relay is no more."""
    relay = plan.relay
    if relay.docker is not None:
        volume = f"volume {relay.docker.queue_volume}"
        if not relay.docker.keep_queue:
            return f"{volume} is deleted with the mail in it (keep_queue: false)"
        return f"the old container stops, and what is queued stays in {volume}, which no other relay reads"
    if relay.kubernetes is not None:
        if not relay.kubernetes.relay.durable:
            return "what the old pods have not sent when they end is lost (ephemeral_queue: true)"
        return "the old pods end, and what is queued stays on their volumes, which no other relay reads"
    return GOES_ON if plan.settings.relay.on_destroy == "keep" else REFUSED


def _acceptance(old: RelayDefinition, new: RelayDefinition) -> Iterator[Risk]:
    gone = [name for name in old.sender_domains if name not in new.sender_domains]
    if gone:
        yield Risk(
            level="high",
            rule="sender-domain-removed",
            what=f"{listed(gone)} may not send through the relay any more",
            reason="the relay refuses MAIL FROM of other domains with 5xx: applications do not try again",
            advice="make sure that nobody sends from there; the relay's log names senders",
        )
    below = [name for name in old.masquerade_domains if name not in new.masquerade_domains]
    if below:
        yield Risk(
            level="high",
            rule="masquerading-removed",
            what=f"senders of hosts below {listed(below)} are refused (masquerade_domains)",
            reason="they were rewritten to the domain; from now on the relay refuses MAIL FROM with a host name in it, "
            "with 5xx",
            advice="have these hosts send as the domain first; the relay's log names senders",
        )
    networks = [name for name in old.client_networks if not within(name, new.client_networks)]
    if networks:
        yield Risk(
            level="high",
            rule="client-network-removed",
            what=f"not all of {listed(networks)} may submit mail any more",
            reason=f"the relay then takes mail from {listed(new.client_networks) or 'its own host alone'}, and refuses "
            "other clients with 5xx",
            advice="move applications first; the relay's log names clients",
        )
    if new.message_size_limit_bytes < old.message_size_limit_bytes:
        yield Risk(
            level="medium",
            rule="message-size-lowered",
            what=f"largest message: {old.message_size_limit_bytes} becomes {new.message_size_limit_bytes} bytes",
            reason="larger messages are refused with 5xx",
            advice="tell those who send attachments",
        )
    if old.smtputf8 and not new.smtputf8:
        yield Risk(
            level="high",
            rule="smtputf8-off",
            what="addresses that are not ASCII are taken no more",
            reason="an upstream is said not to take them: the relay refuses such senders and recipients with 553",
            advice="make sure that nobody writes to or from such an address; the relay's log names them",
        )
    if new.strict_envelopes and not old.strict_envelopes:
        yield Risk(
            level="medium",
            rule="strict-envelopes",
            what="strict_envelopes is on",
            reason="old devices that write MAIL FROM without brackets are refused",
            advice="look into the log for them first",
        )
    yield from _logins(old, new)


def _logins(old: RelayDefinition, new: RelayDefinition) -> Iterator[Risk]:
    before = old.submission.users if old.submission is not None else ()
    after = new.submission.users if new.submission is not None else ()
    gone = [name for name in before if name not in after]
    if gone:
        yield Risk(
            level="high",
            rule="submission-user-removed",
            what=f"{listed(gone)} cannot log in any more",
            reason="submission refuses the login, and what that client sends is not taken",
            advice="give the client another login first",
        )
    if old.submission is None or new.submission is None:
        return
    was = {*old.submission.starttls_ports, *old.submission.tls_ports}
    closed = sorted(was - {*new.submission.starttls_ports, *new.submission.tls_ports})
    addresses = [one for one in old.submission.listen_addresses if one not in new.submission.listen_addresses]
    if closed or addresses:
        yield Risk(
            level="medium",
            rule="submission-closed",
            what=f"submission does not answer at {listed([*map(str, closed), *addresses])} any more",
            reason="clients that are set to it get no connection, and keep their mail",
            advice="change the clients first",
        )


def _patience(old: RelayDefinition, new: RelayDefinition) -> Iterator[Risk]:
    if new.queue_lifetime_hours < old.queue_lifetime_hours:
        yield Risk(
            level="high",
            rule="queue-lifetime-lowered",
            what=f"queue lifetime: {old.queue_lifetime_hours} becomes {new.queue_lifetime_hours} hours",
            reason="mail that has waited longer bounces at its next try, as soon as the new value is read",
            advice="look at the queue's age first; wait until what is old is gone",
        )
    elif new.bounce_lifetime_hours < old.bounce_lifetime_hours:
        yield Risk(
            level="medium",
            rule="bounce-lifetime-lowered",
            what=f"lifetime of bounces: {old.bounce_lifetime_hours} becomes {new.bounce_lifetime_hours} hours",
            reason="senders may not hear of mail that was not delivered",
            advice="keep it where the senders' servers are often away",
        )
    if old.fallback is not None and new.fallback is None:
        yield Risk(
            level="medium",
            rule="fallback-removed",
            what=f"no fallback any more ({old.fallback.host})",
            reason="while the upstream is away, mail waits in the queue instead",
            advice="raise queue_lifetime_hours above the longest outage you expect",
        )
    elif old.fallback is not None and new.fallback is not None and _login(old.fallback) != _login(new.fallback):
        yield Risk(
            level="medium",
            rule="fallback-changed",
            what=f"fallback: {_login(old.fallback)} becomes {_login(new.fallback)}",
            reason="nobody sees whether it takes mail until the upstream is away: it has to know the relay and all "
            "domains, and SPF and DKIM have to be right for it",
            advice="set it up there first, and send one message through it",
        )
    extra = sorted(
        name
        for name in {*old.extra_parameters, *new.extra_parameters}
        if old.extra_parameters.get(name) != new.extra_parameters.get(name)
    )
    if extra:
        yield Risk(
            level="low",
            rule="extra-parameters",
            what=f"further parameters of main.cf change: {listed(extra)}",
            reason="nobody here judges what they do to mail; Postfix only says whether it accepts them",
            advice="read postconf(5) on each",
        )


def _upstreams(old: RelayDefinition, new: RelayDefinition) -> Iterator[Risk]:
    if (old.next_hop, old.sasl_username) != (new.next_hop, new.sasl_username):
        yield Risk(
            level="medium",
            rule="upstream-changed",
            what=f"upstream: {_login(old)} becomes {_login(new)}",
            reason="what it refuses for now waits in the queue, what it refuses for good bounces; it has to know the "
            "relay (address or login), and SPF and DKIM have to be right for it",
            advice="set it up there first; the probe of the relay rule, or relay.proof, tells before mail does",
        )
    yield from _routes(old, new)
    levels, now = _tls_levels(old), _tls_levels(new)
    for name, level in levels.items():
        if name in now and TLS_ORDER.index(now[name]) < TLS_ORDER.index(level):
            yield Risk(
                level="medium",
                rule="upstream-tls-weakened",
                what=f"TLS to {name}: {level} becomes {now[name]}",
                reason="somebody in between could take its place and read or keep mail",
                advice="keep `secure`; with a private authority set ca_file",
            )
    yield from _authorities(old, new)
    if old.hostname != new.hostname:
        yield Risk(
            level="medium",
            rule="hostname-changed",
            what=f"the relay greets as {new.hostname}, not {old.hostname}",
            reason="receivers hold the name against the address: without a matching PTR record mail counts as spam",
            advice="have the PTR record changed at the hosting provider at the same time",
        )


def _authorities(old: RelayDefinition, new: RelayDefinition) -> Iterator[Risk]:
    files, now = _ca_files(old), _ca_files(new)
    others = [name for name, file in files.items() if name in now and now[name] != file]
    if others:
        yield Risk(
            level="medium",
            rule="upstream-authority-changed",
            what=f"other authorities stand behind the certificate of {listed(others)} (ca_file)",
            reason="where they do not fit its certificate, mail waits in the queue until they do, and then bounces",
            advice="try it from the host first: `openssl s_client -starttls smtp -connect HOST:PORT -CAfile FILE`",
        )


def _ca_files(definition: RelayDefinition) -> dict[str, str | None]:
    return {"the upstream": definition.ca_file, **{f"upstream {one.name}": one.ca_file for one in definition.upstreams}}


def _routes(old: RelayDefinition, new: RelayDefinition) -> Iterator[Risk]:
    """Yield the risk of each way that mail of some domains takes instead of another."""
    before, after = _ways(old), _ways(new)
    moved: dict[tuple[str, str], list[str]] = {}
    for domain, was in before.items():
        now = after.get(domain, was)
        # What every domain without an upstream of its own takes is told once, as the upstream.
        if was != now and (was, now) != (_login(old), _login(new)):
            moved.setdefault((was, now), []).append(domain)
    for (was, now), domains in moved.items():
        yield Risk(
            level="medium",
            rule="upstream-route-changed",
            what=f"mail of {listed(domains)} goes to {now}, no more to {was}",
            reason="the service that takes it now has to know these domains and the relay, and SPF and DKIM have to be "
            "right for it",
            advice="verify the domains there first",
        )


def _ways(definition: RelayDefinition) -> dict[str, str]:
    """Return by sender domain where its mail goes, and as whom."""
    ways = dict.fromkeys(definition.sender_domains, _login(definition))
    return ways | {domain: _login(one) for one in definition.upstreams for domain in one.sender_domains}


def _tls_levels(definition: RelayDefinition) -> dict[str, str]:
    further = {f"upstream {one.name}": one.tls_level for one in definition.upstreams}
    return {"the upstream": definition.tls_level, **further}


def _login(one: RelayDefinition | RelayUpstream) -> str:
    user = "" if one.sasl_username is None else f" as {one.sasl_username}"
    return f"{one.next_hop}{user}"


def _reached(old: RelayPlan, new: RelayPlan) -> Iterator[Risk]:
    ports = old.definition.listen_port, new.definition.listen_port
    gone = [address for address in old.smtp_hosts if address not in new.smtp_hosts]
    # A name beside the addresses, or another order of them, leaves the old way open.
    if new.placed and (ports[0] != ports[1] or gone or old.smtp_host not in {new.smtp_host, *new.smtp_hosts}):
        what = listed(gone) or f"{old.smtp_host} port {ports[0]}"
        yield Risk(
            level="medium",
            rule="relay-address-changed",
            what=f"applications reach the relay at {new.smtp_host} port {ports[1]}, no more at {what}",
            reason="applications with the old address get no connection until they read the new outputs",
            advice="change applications with it, or give it a name once (relay.client_name)",
        )


def _docker(old: RelayPlan, new: RelayPlan) -> Iterator[Risk]:
    before, after = old.docker, new.docker
    if before is None or after is None:
        return
    if before.queue_volume != after.queue_volume or before.access.endpoint != after.access.endpoint:
        yield Risk(
            level="high",
            rule="queue-volume-changed",
            what=f"the queue: volume {before.queue_volume} at {before.access.endpoint} becomes "
            f"{after.queue_volume} at {after.access.endpoint}",
            reason="the relay starts with an empty queue; what is in the old volume is sent by nobody"
            + ("" if before.keep_queue else ", and goes with the volume (keep_queue: false)"),
            advice="empty the queue first, or keep the volume's name",
        )
    elif before.keep_queue and not after.keep_queue:
        yield Risk(
            level="low",
            rule="queue-not-kept",
            what="keep_queue: false",
            reason="from now on `pulumi destroy` removes the queue, with the mail in it",
            advice="leave it true where the stack may be destroyed by mistake",
        )
    if before.publish is not None and before.publish != after.publish:
        now = "nowhere" if after.publish is None else f"{after.publish.address} port {after.publish.port}"
        yield Risk(
            level="medium",
            rule="relay-address-changed",
            what=f"the relay is published at {now}, no more at {before.publish.address} port {before.publish.port}",
            reason="applications outside of its network with the old address get no connection",
            advice="change applications with it",
        )
    if RESTARTS[after.restart] > RESTARTS[before.restart]:
        yield Risk(
            level="medium",
            rule="restart-weaker",
            what=f"restart: {before.restart} becomes {after.restart}",
            reason="after a crash, or once the machine or its engine was started again, the relay may stay down: "
            "nothing takes mail, and what is queued waits",
            advice="keep unless-stopped or always",
        )
    if after.stop_seconds < before.stop_seconds:
        yield Risk(
            level="low",
            rule="grace-lowered",
            what=f"stop_seconds: {before.stop_seconds} becomes {after.stop_seconds}",
            reason="what is under way when it is stopped is broken off sooner, and may be delivered twice",
            advice="keep it above the slowest delivery in the log",
        )
