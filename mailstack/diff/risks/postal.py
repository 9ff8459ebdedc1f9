"""What a change of Postal and of what it holds can cost."""

from collections.abc import Iterator, Mapping

from mailstack.diff.risks.model import Risk, called, listed
from mailstack.diff.risks.pods import postal_pod_risks
from mailstack.plan import Plan
from mailstack.settings.postal_model import Database, MailServer, Postal, PostalRoute

__all__ = ["postal_risks"]

# Keys of postal.yml that say how long a message is tried or held, in group postal, and what Postal 3.3 does without.
LIFETIMES: Mapping[str, int] = {"default_maximum_delivery_attempts": 18, "default_maximum_hold_expiry_days": 7}
UNSENT = ("Accept", "Hold", "Bounce", "Reject")
SPAM = ("Mark", "Quarantine", "Fail")
Routes = Mapping[tuple[str, str], PostalRoute]


def postal_risks(before: Plan, after: Plan) -> Iterator[Risk]:
    """Yield them for two plans of one stack."""
    old, new = before.settings.postal, after.settings.postal
    if old is None:
        return
    if new is None:
        stays = "its containers and data stay on the host" if old.at_the_end == "keep" else "its containers go"
        yield Risk(
            level="high",
            rule="postal-removed",
            what="Postal is not declared any more",
            reason=f"{stays}, and nobody looks after it: applications that send through it, and bounces, are lost",
            advice="move applications first, and wait until its queue is empty",
        )
        return
    names = called(before, after)
    yield from _place(old, new, names)
    yield from _version(old, new)
    if names.get(old.database_host or "", old.database_host) == new.database_host:
        yield from _database(old.database, new.database)
    yield from _servers(old, new)
    yield from _kept(old, new)
    yield from _names(old, new)
    yield from _ways(old, new)
    yield from postal_pod_risks(before, after)


def _ways(old: Postal, new: Postal) -> Iterator[Risk]:
    if old.sending.path != new.sending.path:
        yield Risk(
            level="medium",
            rule="sending-path-changed",
            what=f"Postal sends {_path_of(new)}, before {_path_of(old)}",
            reason="it leaves from another place: the upstream, SPF and the Workspace rule have to know that address. "
            "What the relay has queued is still the relay's",
            advice="look at output relay_rule_console_steps first, and keep the relay until its queue is empty",
        )
    if old.sending.path == new.sending.path == "postfix" and old.sending.relay_name != new.sending.relay_name:
        yield Risk(
            level="medium",
            rule="sending-relay-changed",
            what=f"Postal looks for the relay at {_relay_of(new)}, before at {_relay_of(old)}",
            reason="where its containers do not reach it by that name, mail waits in Postal's queue, and then bounces",
            advice="have the name in DNS first, with an address that the containers reach",
        )
    if _addresses(old) != _addresses(new):
        yield Risk(
            level="medium",
            rule="sending-address-changed",
            what=f"Postal's pools send from {listed(_addresses(new)) or 'the host'}, before from "
            f"{listed(_addresses(old)) or 'the host'}",
            reason="the upstream, the Workspace rule and SPF have to know each address, and receivers hold its PTR "
            "record against the name",
            advice="have them changed first (output relay_rule_console_steps, the hosting provider)",
        )
    if old.smtp_tls and not new.smtp_tls:
        yield Risk(
            level="high",
            rule="postal-smtp-tls-off",
            what="Postal's SMTP server offers no TLS any more (postal.smtp_tls: false)",
            reason="applications that insist on STARTTLS cannot send; the others send their key and mail in clear",
            advice="keep it on, with a certificate of Caddy, the cluster's issuer or your own",
        )


def _addresses(postal: Postal) -> list[str]:
    pools = (one for pool in postal.ip_pools for one in pool.addresses)
    return sorted(f"{one.hostname} ({', '.join(filter(None, (one.ipv4, one.ipv6)))})" for one in pools)


def _relay_of(postal: Postal) -> str:
    return postal.sending.relay_name or "the name it has by itself"


def _path_of(postal: Postal) -> str:
    return "through the relay" if postal.sending.path == "postfix" else "to the upstream by itself"


def _place(old: Postal, new: Postal, names: Mapping[str, str]) -> Iterator[Risk]:
    """Yield the risk of another place. ``names`` are hosts that only have another name now."""
    places = [(one.placement, names.get(one.host or "", one.host)) for one in (old, new)]
    if places[0] != places[1]:
        yield Risk(
            level="high",
            rule="postal-moved",
            what=f"Postal moves: {_place_of(old)} becomes {_place_of(new)}",
            reason="its queue and messages are in the old database; the new one begins with what its database holds",
            advice="back up and restore (docs/how-to/backup-and-restore.md), and move the names last",
        )
    database = [
        (
            one.database.kind,
            names.get(one.database_host or "", one.database_host),
            one.database.address,
            one.database.name,
        )
        for one in (old, new)
    ]
    if database[0] != database[1]:
        yield Risk(
            level="high",
            rule="database-moved",
            what="Postal's database is another one",
            reason="mail that is queued, held or kept is in the old one, and so are routes and keys made by hand",
            advice="dump it, restore it at the new place, and change the setting while Postal is stopped",
        )
    if old.cluster is not None and new.cluster is not None:
        pods = [(one.namespace, one.name, one.context) for one in (old.cluster, new.cluster)]
        if pods[0] != pods[1]:
            yield Risk(
                level="medium",
                rule="postal-moved-on-cluster",
                what=f"Postal becomes {pods[1][0]}/{pods[1][1]}, no more {pods[0][0]}/{pods[0][1]}"
                + (f", with context {pods[1][2] or 'current'}" if pods[0][2] != pods[1][2] else ""),
                reason="the old pods go and new ones start on the same database: no port answers between, and the load "
                "balancer may get another address",
                advice="do it when little mail is sent; addresses, network policies of applications and Secrets follow",
            )
    if new.cluster is not None and new.cluster.stopped and not (old.cluster is not None and old.cluster.stopped):
        yield Risk(
            level="high",
            rule="postal-stopped",
            what="postal.kubernetes.stopped: true",
            reason="no pod takes or sends mail until it is false again; applications get no connection",
            advice="only for maintenance, such as a restore",
        )


def _place_of(postal: Postal) -> str:
    return postal.placement if postal.host is None else f"{postal.placement} {postal.host}"


def _database(old: Database, new: Database) -> Iterator[Risk]:
    """Yield the risk of another MariaDB on the same files."""
    images = [(one.image, one.tag, one.digest) for one in (old, new)]
    if old.kind != "container" or new.kind != "container" or images[0] == images[1]:
        return
    # Releases of one series, such as 10.11.8 and 10.11.9, read each other's files.
    series = [_release(one.tag)[:2] for one in (old, new)]
    if series[1] < series[0][: len(series[1])]:
        yield Risk(
            level="high",
            rule="database-downgrade",
            what=f"MariaDB {old.tag} becomes {new.tag}, an older one",
            reason="MariaDB does not start on files of a newer one: without a database Postal takes and sends no mail",
            advice="restore a dump into an empty database instead (docs/how-to/backup-and-restore.md)",
        )
    else:
        yield Risk(
            level="medium",
            rule="database-upgrade",
            what=f"MariaDB {old.tag} becomes {new.tag}"
            if old.tag != new.tag
            else f"MariaDB {new.tag} gets another image",
            reason="its files are brought to the new release as it starts, and there is no way back but a dump; Postal "
            "waits for it",
            advice="make a backup first (`mailstack postal backup`), and do it when little mail is sent",
        )


def _release(tag: str) -> tuple[int, ...]:
    return tuple(int(part) for part in tag.split(".") if part.isdigit())


def _version(old: Postal, new: Postal) -> Iterator[Risk]:
    if old.image == new.image:
        return
    versions = old.image.tag, new.image.tag
    if _release(new.image.tag) < _release(old.image.tag):
        yield Risk(
            level="high",
            rule="postal-downgrade",
            what=f"Postal {versions[0]} becomes {versions[1]}, an older one",
            reason="there is no migration back: an older Postal on a newer database fails, or loses what it cannot "
            "read",
            advice="restore the backup from before the upgrade instead (docs/how-to/upgrade-postal.md)",
        )
    else:
        yield Risk(
            level="medium",
            rule="postal-upgrade",
            what=f"Postal {versions[0]} becomes {versions[1]}"
            if versions[0] != versions[1]
            else "Postal gets another image of the same release",
            reason="it is stopped for the dump and the migration; applications have to try again",
            advice="do it when little mail is sent; a failed upgrade is taken back",
        )


def _servers(old: Postal, new: Postal) -> Iterator[Risk]:
    before, after = dict(old.mail_servers), dict(new.mail_servers)
    gone = [name for name in before if name not in after]
    if gone:
        yield _gone("mail-server-removed", f"mail server {listed(gone)}", new, "its keys stop working")
    for name in (name for name in before if name in after):
        yield from _server(name, before[name], after[name], new)


def _gone(rule: str, what: str, new: Postal, then: str) -> Risk:
    """Return the risk of an object that is not declared any more."""
    if new.removal == "allow":
        return Risk(
            level="high",
            rule=rule,
            what=f"{what} goes (postal.removal: allow)",
            reason=f"{then}; what it still has queued or keeps is deleted with it",
            advice="wait until nobody uses it and its queue is empty",
        )
    return Risk(
        level="medium",
        rule=rule,
        what=f"{what} is not declared any more",
        reason="postal.removal: refuse, so nothing is deleted and the update ends with an error",
        advice="set removal: allow for the one update that is to delete it",
    )


def _server(name: str, old: MailServer, new: MailServer, postal: Postal) -> Iterator[Risk]:
    domains = [domain for domain in old.domains if domain not in new.domains]
    if domains:
        what = f"{listed(domains)} of {name}"
        yield _gone("postal-domain-removed", what, postal, "Postal refuses messages from there")
    keys = {one.identity: one for one in old.credentials}
    now = {one.identity: one for one in new.credentials}
    lost = [one for one in keys if one not in now]
    if lost:
        what = f"credential {listed(lost)} of {name}"
        yield _gone("credential-removed", what, postal, "whoever sends with it is refused")
    held = [one for one in keys if one in now and now[one].hold and not keys[one].hold]
    if held:
        yield Risk(
            level="high",
            rule="credential-held",
            what=f"messages of credential {listed(held)} of {name} are held",
            reason="they are sent only when a person releases each",
            advice="only for a sender that is not trusted",
        )
    if old.mode == "Live" and new.mode == "Development":
        yield Risk(
            level="high",
            rule="mail-server-held",
            what=f"mail server {name} becomes Development",
            reason="all its messages are held and none is sent",
            advice="never for a server that applications use",
        )
    if new.send_limit is not None and (old.send_limit is None or new.send_limit < old.send_limit):
        yield Risk(
            level="medium",
            rule="send-limit-lowered",
            what=f"send limit of {name}: {old.send_limit or 'none'} becomes {new.send_limit} messages an hour",
            reason="messages beyond it are held",
            advice="keep it above the busiest hour",
        )
    routes = {(one.name, one.domain): one for one in old.routes}
    there = {(one.name, one.domain): one for one in new.routes}
    missing = [f"{local}@{domain}" for local, domain in routes if (local, domain) not in there]
    if missing:
        yield Risk(
            level="high",
            rule="route-removed",
            what=f"mail to {listed(missing)} is not routed any more",
            reason="Postal refuses mail to an address without a route",
            advice="let nobody write there first",
        )
    stricter = [f"{key[0]}@{key[1]}" for key in routes if key in there and _refuses(there[key].mode, routes[key].mode)]
    if stricter:
        yield Risk(
            level="high",
            rule="route-refuses",
            what=f"mail to {listed(stricter)} reaches no endpoint any more: it is kept, held, bounced or rejected",
            reason="the route's mode says so",
            advice="tell who writes there",
        )

    yield from _routes_otherwise(routes, there)
    pools = old.ip_pool, new.ip_pool
    if pools[0] != pools[1]:
        yield Risk(
            level="medium",
            rule="sending-address-changed",
            what=f"{name} sends from pool {pools[1] or 'by default'}, before {pools[0] or 'by default'}",
            reason="the upstream, the Workspace rule and SPF have to know each address, and receivers hold its PTR "
            "record against the name",
            advice="have them changed first (output relay_rule_console_steps, the hosting provider)",
        )
    hooks = {one.identity for one in new.webhooks}
    untold = [one.name for one in old.webhooks if one.identity not in hooks]
    if untold:
        yield Risk(
            level="low",
            rule="webhook-removed",
            what=f"webhook {listed(untold)} of {name} is not declared any more",
            reason="whoever is told by it hears no more of bounces and of messages that are held",
            advice="make sure that nobody waits for it",
        )


def _routes_otherwise(old: Routes, new: Routes) -> Iterator[Risk]:
    """Yield the risks of routes that stay, and lead elsewhere or judge otherwise."""
    both = [
        (f"{local}@{domain}", old[local, domain], new[local, domain]) for local, domain in old if (local, domain) in new
    ]
    moved = [
        address for address, was, now in both if was.mode == now.mode == "Endpoint" and _endpoint(was) != _endpoint(now)
    ]
    if moved:
        yield Risk(
            level="medium",
            rule="route-endpoint-changed",
            what=f"mail to {listed(moved)} is handed to another endpoint",
            reason="what it refuses for now is tried again, what it refuses for good bounces; nobody has seen it take "
            "mail yet",
            advice="try the new endpoint with an address of its own first",
        )
    judged = [address for address, was, now in both if SPAM.index(now.spam_mode) > SPAM.index(was.spam_mode)]
    if judged:
        yield Risk(
            level="medium",
            rule="route-spam-stricter",
            what=f"spam to {listed(judged)} is held, or failed, where it was marked before",
            reason="mail that is taken for spam by mistake does not reach its endpoint by itself any more",
            advice="look at the score of real mail first (postal.config.postal.default_spam_threshold)",
        )


def _endpoint(route: PostalRoute) -> tuple[str | None, ...]:
    return route.http_url, route.smtp_host, route.address


def _refuses(mode: str, before: str) -> bool:
    """Tell whether mail no longer reaches anybody. Accept keeps a message, and hands it to nobody."""
    return mode in UNSENT and before not in UNSENT


def _kept(old: Postal, new: Postal) -> Iterator[Risk]:
    backups = old.backup, new.backup
    if backups[0].schedule is not None and backups[1].schedule is None:
        yield Risk(
            level="medium",
            rule="backup-off",
            what="backups are made no more (postal.backup.schedule: null)",
            reason="what is queued and kept is lost with the host",
            advice="keep them, or know who makes them",
        )
    elif backups[1].keep < backups[0].keep:
        yield Risk(
            level="medium",
            rule="retention-lowered",
            what=f"backups kept: {backups[0].keep} becomes {backups[1].keep}",
            reason="the oldest ones are deleted after the next backup",
            advice="copy them elsewhere first",
        )
    if backups[0].hook is not None and backups[1].hook is None and backups[1].schedule is not None:
        yield Risk(
            level="medium",
            rule="backup-not-copied",
            what="backups are copied nowhere any more (postal.backup.hook)",
            reason="they stay on the host alone: what is queued and kept is lost with it",
            advice="keep the hook, or know who fetches them",
        )
    if backups[0].passphrase is not None and backups[1].passphrase is None:
        yield Risk(
            level="medium",
            rule="backup-in-clear",
            what="backups are not encrypted any more",
            reason="keys and messages in them can be read by whoever gets one",
            advice="keep postal.backup.passphrase",
        )
    if new.workers * new.worker_threads < old.workers * old.worker_threads:
        yield Risk(
            level="low",
            rule="workers-lowered",
            what=f"workers: {old.workers}x{old.worker_threads} threads become {new.workers}x{new.worker_threads}",
            reason="a full queue is sent more slowly",
            advice="look at the queue in the busiest hour",
        )
    if new.max_message_mb < old.max_message_mb:
        yield Risk(
            level="medium",
            rule="message-size-lowered",
            what=f"largest message of Postal: {old.max_message_mb} becomes {new.max_message_mb} MB",
            reason="larger ones are refused",
            advice="tell those who send attachments",
        )
    limits = {
        key: [one.config.get("postal", {}).get(key, default) for one in (old, new)]
        for key, default in LIFETIMES.items()
    }
    lowered = [
        f"{key}, {was} becomes {now}"
        for key, (was, now) in limits.items()
        if isinstance(was, int) and isinstance(now, int) and now < was
    ]
    if lowered:
        yield Risk(
            level="high",
            rule="delivery-given-up-sooner",
            what=f"postal.yml keeps or tries for less long: {listed(lowered)}",
            reason="messages are given up, or deleted, sooner: those that are older at once",
            advice="look at the queue and at held messages first",
        )
    if old.removal == "refuse" and new.removal == "allow":
        yield Risk(
            level="medium",
            rule="removal-allowed",
            what="postal.removal: allow",
            reason="from now on what is no longer declared is deleted with its messages",
            advice="take it back after the update that needs it",
        )


def _names(old: Postal, new: Postal) -> Iterator[Risk]:
    names = {"web_hostname": "web UI and API", "smtp_hostname": "SMTP"}
    for field, title in names.items():
        was, now = getattr(old, field), getattr(new, field)
        if was != now:
            yield Risk(
                level="medium",
                rule="postal-name-changed",
                what=f"{title} of Postal is at {now}, no more at {was}",
                reason="applications and senders with the old name get no connection, or a wrong certificate",
                advice="change applications with it; they read it from the outputs",
            )
