"""What is provisioned inside Postal: the document the role hands to the runner script, and its rules.

Every entry has a key of ours, which stays when its name changes: the role remembers which of Postal's records
belongs to which key. Rules come from app/models of postalserver/postal 3.3.6 unless a sentence says otherwise.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Field", "credential_paths", "domain_names", "provision_problems", "secret_problems"]

KEY = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}\Z")
PERMALINK = re.compile(r"[a-z0-9-]{1,60}\Z")
DOMAIN = re.compile(r"(?=.{4,253}\Z)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]{0,61}[a-z0-9]\Z")
ADDRESS = re.compile(r"[^@\s]+@[^@\s]+\Z")
LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\Z")
WEBHOOK_URL = re.compile(r"https?://[a-z0-9\-._?=&/+:%@]+\Z", re.IGNORECASE)
ROUTE_NAME = re.compile(r"[a-z0-9\-.]*\Z|\*\Z|__returnpath__\Z")
CREDENTIAL_KEY = re.compile(r"[A-Za-z0-9]{16,64}\Z")
RESERVED_ORGANIZATIONS = frozenset({"new", "edit", "remove", "delete", "destroy", "admin", "mail", "org", "server"})
RESERVED_SERVERS = frozenset({"new", "all", "search", "stats", "edit", "manage", "delete", "destroy", "remove"})
RETURN_PATH = "__returnpath__"
EVENTS = frozenset(
    {
        "DomainDNSError",
        "MessageBounced",
        "MessageDelayed",
        "MessageDeliveryFailed",
        "MessageHeld",
        "MessageLinkClicked",
        "MessageLoaded",
        "MessageSent",
    }
)
SHORTEST_PASSWORD = 8
ENDPOINT_GROUPS = ("http_endpoints", "smtp_endpoints", "address_endpoints")


@dataclass(frozen=True, kw_only=True)
class Field:
    """One value of an entry: its type, whether it must be there, and the rule beyond the type."""

    type: "Any" = str
    required: bool = False
    choices: tuple[str, ...] = ()
    pattern: re.Pattern[str] | None = None
    minimum: int | None = None
    maximum: int | None = None


TEXT = Field(required=True)
SWITCH = Field(type=bool)
COUNT = Field(type=(int, type(None)), minimum=1)
SCORE = Field(type=(int, float, type(None)))

KINDS: Mapping[str, Mapping[str, Field]] = {
    "users": {
        "email_address": Field(required=True, pattern=ADDRESS),
        "first_name": TEXT,
        "last_name": TEXT,
        "admin": SWITCH,
        "time_zone": Field(),
    },
    "ip_pools": {"name": TEXT, "default": SWITCH, "addresses": Field(type=Mapping)},
    "addresses": {
        "ipv4": TEXT,
        "ipv6": Field(type=(str, type(None))),
        "hostname": TEXT,
        "priority": Field(type=int, minimum=0, maximum=100),
    },
    "organizations": {
        "name": TEXT,
        "permalink": Field(required=True, pattern=PERMALINK),
        "time_zone": Field(),
        "owner": TEXT,
        "users": Field(type=(list, tuple)),
        "ip_pools": Field(type=(list, tuple)),
        "domains": Field(type=Mapping),
        "servers": Field(type=Mapping),
    },
    "servers": {
        "name": TEXT,
        "permalink": Field(required=True, pattern=PERMALINK),
        "mode": Field(required=True, choices=("Live", "Development")),
        "send_limit": COUNT,
        "allow_sender": SWITCH,
        "privacy_mode": SWITCH,
        "log_smtp_data": SWITCH,
        "postmaster_address": Field(type=(str, type(None))),
        "spam_threshold": SCORE,
        "spam_failure_threshold": SCORE,
        "outbound_spam_threshold": SCORE,
        "message_retention_days": COUNT,
        "raw_message_retention_days": COUNT,
        "raw_message_retention_size": COUNT,
        "domains_not_to_click_track": Field(type=(str, type(None))),
        "ip_pool": Field(type=(str, type(None))),
        **dict.fromkeys(("domains", "credentials", "routes", "track_domains", "webhooks"), Field(type=Mapping)),
        **dict.fromkeys(ENDPOINT_GROUPS, Field(type=Mapping)),
    },
    "domains": {
        "dkim_identifier_string": Field(required=True, pattern=LABEL),
        "use_for_any": SWITCH,
        "incoming": SWITCH,
        "outgoing": SWITCH,
    },
    "credentials": {
        "type": Field(required=True, choices=("SMTP", "API", "SMTP-IP")),
        "name": TEXT,
        "hold": SWITCH,
        "key": Field(),
    },
    "http_endpoints": {
        "name": TEXT,
        "url": Field(required=True, pattern=re.compile(r"https?://\S+\Z")),
        "encoding": Field(choices=("BodyAsJSON", "FormData")),
        "format": Field(choices=("Hash", "RawMessage")),
        "strip_replies": SWITCH,
        "include_attachments": SWITCH,
        "timeout": Field(type=int, minimum=5, maximum=60),
    },
    "smtp_endpoints": {
        "name": TEXT,
        "hostname": Field(required=True, pattern=DOMAIN),
        "port": Field(type=int, minimum=1, maximum=65535),
        # STARTTLS is accepted by Postal's model and then sent in clear: the sender compares with "STARTLS".
        "ssl_mode": Field(choices=("Auto", "TLS", "None")),
    },
    "address_endpoints": {"address": Field(required=True, pattern=ADDRESS)},
    "routes": {
        "name": Field(required=True, pattern=ROUTE_NAME),
        "domain": Field(type=(str, type(None))),
        "mode": Field(required=True, choices=("Endpoint", "Accept", "Hold", "Bounce", "Reject")),
        "spam_mode": Field(choices=("Mark", "Quarantine", "Fail")),
        "endpoint": Field(type=(str, type(None))),
        "additional_endpoints": Field(type=(list, tuple)),
    },
    "track_domains": {
        "name": Field(required=True, pattern=LABEL),
        "domain": TEXT,
        "ssl_enabled": SWITCH,
        "track_clicks": SWITCH,
        "track_loads": SWITCH,
        "excluded_click_domains": Field(type=(str, type(None))),
    },
    "webhooks": {
        "name": TEXT,
        "url": Field(required=True, pattern=WEBHOOK_URL),
        "all_events": SWITCH,
        "events": Field(type=(list, tuple)),
        "enabled": SWITCH,
        "sign": SWITCH,
    },
}


def provision_problems(document: Mapping[str, Any], where: str = "postal.provision") -> list[str]:
    """Return what Postal would refuse, or accept and not mean, one sentence each; empty means nothing."""
    problems = [f"{where}.{name}: unknown" for name in sorted(set(document) - {"users", "ip_pools", "organizations"})]
    problems += _group(document, "users", where)
    for key, pool in document.get("ip_pools", {}).items():
        problems += _group(pool, "addresses", f"{where}.ip_pools.{key}")
    problems += _group(document, "ip_pools", where)
    problems += _group(document, "organizations", where)
    if problems:  # what follows relies on the shapes
        return problems
    organizations = document.get("organizations", {})
    problems += _twice(organizations, "permalink", f"{where}.organizations")
    problems += _twice(document.get("users", {}), "email_address", f"{where}.users")
    problems += _twice(document.get("ip_pools", {}), "name", f"{where}.ip_pools")
    addresses = {
        f"{pool}.{key}": address
        for pool, entry in document.get("ip_pools", {}).items()
        for key, address in entry.get("addresses", {}).items()
    }
    problems += _twice(addresses, "ipv4", f"{where}.ip_pools")
    problems += _twice({key: each for key, each in addresses.items() if each.get("ipv6")}, "ipv6", f"{where}.ip_pools")
    for key, organization in organizations.items():
        problems += _organization(document, organization, f"{where}.organizations.{key}")
    for kind in ("routes", "track_domains"):
        problems += _once_per_installation(organizations, kind, where)
    if organizations and not any(user.get("admin") for user in document.get("users", {}).values()):
        problems.append(f"{where}.users: nobody is an admin, so nobody could repair the installation")
    return problems


def _group(parent: Mapping[str, Any], kind: str, where: str) -> list[str]:
    entries = parent.get(kind, {})
    if not isinstance(entries, Mapping):
        return [f"{where}.{kind}: must be a mapping of keys to entries"]
    problems = []
    for key, entry in entries.items():
        place = f"{where}.{kind}.{key}"
        if not (DOMAIN if kind == "domains" else KEY).match(str(key)):
            problems.append(f"{place}: the key must be {'a domain name' if kind == 'domains' else 'like app-1'}")
        if isinstance(entry, Mapping):
            problems += _entry(entry, KINDS[kind], place)
        else:
            problems.append(f"{place}: must be a mapping")
    return problems


def _entry(entry: Mapping[str, Any], fields: Mapping[str, Field], place: str) -> Iterator[str]:
    for name in sorted(set(entry) - set(fields)):
        yield f"{place}.{name}: unknown; known are {', '.join(fields)}"
    for name, rule in fields.items():
        if name not in entry:
            if rule.required:
                yield f"{place}.{name}: is missing"
            continue
        problem = _value(entry[name], rule)
        if problem:
            yield f"{place}.{name}: {problem}"


def _value(value: Any, rule: Field) -> str:
    if not isinstance(value, rule.type) or (isinstance(value, bool) and rule.type is not bool):
        return f"{value!r} has the wrong type"
    if rule.required and value == "":
        return "is empty"
    if rule.choices and value not in rule.choices:
        return f"{value!r} is none of {', '.join(rule.choices)}"
    if rule.pattern is not None and not rule.pattern.match(value):
        return f"{value!r} is not in a form Postal accepts"
    if isinstance(value, int) and (
        (rule.minimum is not None and value < rule.minimum) or (rule.maximum is not None and value > rule.maximum)
    ):
        return f"{value} is not between {rule.minimum} and {rule.maximum or 'any'}"
    return ""


def _organization(document: Mapping[str, Any], entry: Mapping[str, Any], place: str) -> Iterator[str]:
    if entry["permalink"] in RESERVED_ORGANIZATIONS:
        yield f"{place}.permalink: Postal keeps {entry['permalink']!r} for itself"
    for name in (entry["owner"], *entry.get("users", ())):
        if name not in document.get("users", {}):
            yield f"{place}: {name!r} is no key of users"
    for name in entry.get("ip_pools", ()):
        if name not in document.get("ip_pools", {}):
            yield f"{place}.ip_pools: {name!r} is no key of ip_pools"
    yield from _group(entry, "domains", place)
    shapes = _group(entry, "servers", place)
    yield from shapes
    if shapes:
        return
    servers = entry.get("servers", {})
    yield from _twice(servers, "permalink", f"{place}.servers")
    yield from _twice(servers, "name", f"{place}.servers")
    for key, server in servers.items():
        yield from _server(entry, server, f"{place}.servers.{key}")


def _server(organization: Mapping[str, Any], server: Mapping[str, Any], place: str) -> Iterator[str]:
    if server["permalink"] in RESERVED_SERVERS:
        yield f"{place}.permalink: Postal keeps {server['permalink']!r} for itself"
    if server.get("ip_pool") is not None and server["ip_pool"] not in organization.get("ip_pools", ()):
        yield f"{place}.ip_pool: {server['ip_pool']!r} is not among the organization's ip_pools"
    groups = ("domains", "credentials", *ENDPOINT_GROUPS, "routes", "track_domains", "webhooks")
    shapes = [problem for kind in groups for problem in _group(server, kind, place)]
    yield from shapes
    if shapes:
        return
    domains = {**organization.get("domains", {}), **server.get("domains", {})}
    for key, credential in server.get("credentials", {}).items():
        if (credential["type"] == "SMTP-IP") != ("key" in credential):
            yield f"{place}.credentials.{key}.key: an address or network for SMTP-IP, a secret for every other type"
    for key, route in server.get("routes", {}).items():
        yield from _route(server, domains, route, f"{place}.routes.{key}")
    for key, tracked in server.get("track_domains", {}).items():
        if tracked["domain"] not in domains:
            yield f"{place}.track_domains.{key}.domain: {tracked['domain']!r} is no domain of this server"
    yield from _twice(server.get("track_domains", {}), "domain", f"{place}.track_domains")
    # Postal allows these twice, but then a lost state file could not tell the two apart.
    for kind, column in (("webhooks", "name"), ("http_endpoints", "name"), ("smtp_endpoints", "name")):
        yield from _twice(server.get(kind, {}), column, f"{place}.{kind}")
    yield from _twice(server.get("address_endpoints", {}), "address", f"{place}.address_endpoints")
    for sort in ("SMTP", "API", "SMTP-IP"):
        same = {key: each for key, each in server.get("credentials", {}).items() if each["type"] == sort}
        yield from _twice(same, "name", f"{place}.credentials")
    for key, webhook in server.get("webhooks", {}).items():
        for event in sorted(set(webhook.get("events", ())) - EVENTS):
            yield f"{place}.webhooks.{key}.events: {event!r} is none of {', '.join(sorted(EVENTS))}"
        if bool(webhook.get("all_events")) == bool(webhook.get("events")):
            yield f"{place}.webhooks.{key}: either all_events or a list of events"


def _once_per_installation(organizations: Mapping[str, Any], kind: str, where: str) -> Iterator[str]:
    """Postal finds routes and track domains by name and domain alone, whichever server they belong to.

    There is one return path route in an installation, too.
    """
    seen: dict[tuple[Any, Any], str] = {}
    for org, organization in organizations.items():
        for srv, server in organization.get("servers", {}).items():
            for key, entry in server.get(kind, {}).items() if isinstance(server, Mapping) else ():
                place = f"{where}.organizations.{org}.servers.{srv}.{kind}.{key}"
                found = (entry.get("name"), entry.get("domain"))
                if found in seen:
                    yield f"{place}: {found[0]} at {found[1] or 'every domain'} is taken by {seen[found]}"
                seen[found] = place


def _route(
    server: Mapping[str, Any], domains: Mapping[str, Any], route: Mapping[str, Any], place: str
) -> Iterator[str]:
    if (route["name"] == RETURN_PATH) != (route.get("domain") is None):
        yield f"{place}.domain: one of the server's domains, and none for {RETURN_PATH}"
    elif route.get("domain") is not None and route["domain"] not in domains:
        yield f"{place}.domain: {route['domain']!r} is no domain of this server"
    if (route["mode"] == "Endpoint") != (route.get("endpoint") is not None):
        yield f"{place}.endpoint: needed for mode Endpoint, and only there"
    additional = route.get("additional_endpoints", ())
    if additional and route["mode"] != "Endpoint":
        yield f"{place}.additional_endpoints: only for mode Endpoint"
    if route["name"] == "*" and any(not name.startswith("http_endpoints/") for name in additional):
        yield f"{place}.additional_endpoints: a wildcard route may only have HTTP endpoints here"
    if route.get("endpoint") in additional or len(set(additional)) != len(additional):
        yield f"{place}.additional_endpoints: every endpoint may be named only once"
    listed = [*([route["endpoint"]] if route.get("endpoint") else []), *additional]
    for reference in listed:
        group, _, key = reference.partition("/")
        if group not in ENDPOINT_GROUPS or key not in server.get(group, {}):
            yield f"{place}: {reference!r} is no endpoint of this server; write for example http_endpoints/KEY"
    if route["name"] == RETURN_PATH and not str(route.get("endpoint", "")).startswith("http_endpoints/"):
        yield f"{place}.endpoint: a return path route must point to an HTTP endpoint"


def _twice(entries: Mapping[str, Any], name: str, where: str) -> Iterator[str]:
    seen: dict[str, str] = {}
    for key, entry in entries.items():
        value = str(entry[name]).lower()
        if value in seen:
            yield f"{where}.{key}.{name}: {entry[name]!r} is used by {seen[value]} as well"
        seen[value] = key


def credential_paths(document: Mapping[str, Any]) -> dict[str, str]:
    """Return ``organization/server/credential`` → type, for the credentials whose key is a secret."""
    return {
        f"{org}/{srv}/{key}": str(credential["type"])
        for org, organization in document.get("organizations", {}).items()
        for srv, server in organization.get("servers", {}).items()
        for key, credential in server.get("credentials", {}).items()
        if credential["type"] != "SMTP-IP"
    }


def domain_names(document: Mapping[str, Any]) -> frozenset[str]:
    """Return the names of all sending domains, of organizations and of servers."""
    organizations = list(document.get("organizations", {}).values())
    servers = [server for entry in organizations for server in entry.get("servers", {}).values()]
    return frozenset(name for owner in [*organizations, *servers] for name in owner.get("domains", {}))


def secret_problems(document: Mapping[str, Any], secrets: Mapping[str, Any]) -> list[str]:
    """Return which secrets of role ``postal`` are missing or unfit for ``document``. Never shows one."""
    problems = []
    keys: Mapping[str, str] = secrets.get("credentials", {})
    for path in credential_paths(document):
        if path not in keys:
            problems.append(f"credentials {path}: has no key")
        elif not CREDENTIAL_KEY.match(keys[path]):
            problems.append(f"credentials {path}: the key must be 16 to 64 letters and digits")
    # Postal compares keys without regard to case.
    if len({key.lower() for key in keys.values()}) != len(keys):
        problems.append("credentials: two have the same key; Postal needs every key to be different")
    problems += [f"dkim {name}: has no private key" for name in sorted(domain_names(document) - set(secrets["dkim"]))]
    for key in document.get("users", {}):
        if len(secrets.get("user_passwords", {}).get(key, "")) < SHORTEST_PASSWORD:
            problems.append(f"user_passwords {key}: at least {SHORTEST_PASSWORD} characters")
    return problems
