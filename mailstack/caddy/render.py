"""The Caddyfile of a definition. Pure text, valid for Caddy 2.6 (Debian 12) and for current 2.x.

Secrets are never in it: keys and the DNS token stay in files that Caddy alone reads.
"""

from collections.abc import Iterable, Iterator

from mailstack.caddy.model import Acme, CaddyDefinition, Custom, Internal, MtaStsPolicy, pair_name

__all__ = [
    "ACCESS_LOG",
    "ACME_CA_FILE",
    "ADMIN_SOCKET",
    "DNS_TOKEN_FILE",
    "PAIRS_DIRECTORY",
    "STORAGE",
    "caddyfile",
]

# Paths as Caddy sees them; role caddy puts the files there and mounts the directories at the same places.
ADMIN_SOCKET = "/run/mailstack-caddy/admin.sock"
ACCESS_LOG = "/var/log/caddy/access.log"
ACME_CA_FILE = "/etc/caddy/acme-ca.pem"
DNS_TOKEN_FILE = "/etc/caddy/dns-token"  # noqa: S105 - a path
PAIRS_DIRECTORY = "/etc/caddy/certificates"
STORAGE = {"service": "/var/lib/caddy/.local/share/caddy", "container": "/data/caddy"}

MEGABYTE = 1_000_000
SNIPPET = "mailstack_site"

HEADER = """# Managed by mailstack: the next run undoes changes made here.
# Change the stack's settings instead; `mailstack check` shows what differs.
"""


def caddyfile(definition: CaddyDefinition) -> str:
    """Return the whole Caddyfile, formatted as ``caddy fmt`` does it. Deterministic."""
    blocks = [
        _block("", _global_options(definition)),
        _block(f"({SNIPPET})", _snippet(definition)),
        *(_web_site(definition, name) for name in definition.web_names),
        *(_tracking_site(definition, name) for name in definition.tracking_names),
        *(_policy_site(policy) for policy in definition.mta_sts),
        *_smtp_site(definition),
        # A name that is not declared gets no certificate and no answer.
        _block("https://", ["abort"]),
        _block(", ".join(f"http://{name}" for name in definition.names), _redirect()),
        _block("http://", ["abort"]),
    ]
    return HEADER + "\n".join(blocks)


def _block(head: str, lines: Iterable[str]) -> str:
    body = "".join(f"\t{line}\n" for line in lines)
    return f"{head} {{\n{body}}}\n".lstrip()


def _nested(head: str, lines: Iterable[str]) -> Iterator[str]:
    yield f"{head} {{"
    for line in lines:
        yield f"\t{line}"
    yield "}"


def _global_options(definition: CaddyDefinition) -> Iterator[str]:
    yield f"admin unix/{ADMIN_SOCKET}"
    yield f"storage file_system {STORAGE[definition.placement]}"
    # Our own redirects name each host: the automatic ones would also answer for hosts nobody declared.
    yield "auto_https disable_redirects"
    yield "grace_period 30s"
    yield from _nested("log", ["output stderr", "format json"])
    yield from _nested("servers", _servers())
    yield from definition.extra_global


def _servers() -> Iterator[str]:
    # Without HTTP/3: UDP 443 is not among the ports the stack opens.
    yield "protocols h1 h2"
    yield from _nested("timeouts", ["read_header 10s", "read_body 5m", "write 10m", "idle 2m"])


def _snippet(definition: CaddyDefinition) -> Iterator[str]:
    yield from _tls(definition)
    yield from _nested("header", _headers(definition))
    if definition.access_log:
        yield from _nested("log", _access_log())
    yield from _nested("handle_errors", ["header -Server", 'respond "{err.status_code} {err.status_text}"'])


def _tls(definition: CaddyDefinition) -> Iterator[str]:
    certificates = definition.certificates
    if isinstance(certificates, Custom):
        directory = f"{PAIRS_DIRECTORY}/{pair_name(certificates.certificate)}"
        yield f"tls {directory}/certificate.pem {directory}/key.pem"
    elif isinstance(certificates, Internal):
        yield "tls internal"
    else:
        yield from _nested("tls", _nested("issuer acme", _issuer(certificates)))


def _issuer(acme: Acme) -> Iterator[str]:
    yield f"dir {acme.directory}"
    yield f"email {acme.email}"
    if acme.ca_file is not None:
        yield f"trusted_roots {ACME_CA_FILE}"
    # Exactly one challenge: Caddy would pick one at random, and port 443 may be somebody else's on the way here.
    yield "disable_tlsalpn_challenge"
    if acme.challenge == "dns":
        yield "disable_http_challenge"
        yield f"dns cloudflare {{file.{DNS_TOKEN_FILE}}}"
        if acme.resolvers:
            yield f"resolvers {' '.join(acme.resolvers)}"


def _headers(definition: CaddyDefinition) -> Iterator[str]:
    yield "defer"  # after the upstream's own headers: one value of each, ours
    yield "-Server"
    yield "-Via"
    yield "X-Content-Type-Options nosniff"
    yield "X-Frame-Options SAMEORIGIN"
    yield "Referrer-Policy strict-origin-when-cross-origin"
    if definition.hsts:
        yield f'Strict-Transport-Security "max-age={definition.hsts}"'


def _access_log() -> Iterator[str]:
    rotation = ["roll_size 20MiB", "roll_keep 10", "roll_keep_for 720h"]
    yield from _nested(f"output file {ACCESS_LOG}", rotation)
    # Caddy leaves out cookies and Authorization by itself, but knows neither Postal's key nor its one-time links.
    fields = [
        "request>headers>X-Server-Api-Key delete",
        'request>uri regexp "/(login/reset|join)/[^/?]+" "/$1/-"',
    ]
    yield from _nested("format filter", ["wrap json", *_nested("fields", fields)])


def _web_site(definition: CaddyDefinition, name: str) -> str:
    limit = definition.max_request_mb * MEGABYTE
    length = "{http.request.header.Content-Length}"
    lines = [
        f"import {SNIPPET}",
        # Refused before the body is sent where the client says its size; Caddy 2.6 would break off without a word.
        f'@too_large expression `{length} != "" && int({length}) > {limit}`',
        "error @too_large 413",
        *_nested("request_body", [f"max_size {limit}"]),
        *definition.extra_web,
        # This header turns Postal's host check off; only the tracking sites may set it.
        *_proxy(definition, "header_up -X-Postal-Track-Host"),
    ]
    return _block(f"https://{name}", lines)


def _tracking_site(definition: CaddyDefinition, name: str) -> str:
    return _block(f"https://{name}", [f"import {SNIPPET}", *_proxy(definition, "header_up X-Postal-Track-Host 1")])


def _proxy(definition: CaddyDefinition, header: str) -> Iterator[str]:
    transport = _nested("transport http", ["dial_timeout 5s", "response_header_timeout 2m"])
    yield from _nested(f"reverse_proxy {definition.web_upstream}", [header, *transport])


def _policy_site(policy: MtaStsPolicy) -> str:
    lines = [
        f"import {SNIPPET}",
        "@policy path /.well-known/mta-sts.txt",
        "header @policy Content-Type text/plain",
        # A quoted text may span lines; its bytes reach the client as they are here, CRLF included.
        f'respond @policy "{policy.text}" 200',
        "respond 404",
    ]
    return _block(f"https://{policy.name}", lines)


def _smtp_site(definition: CaddyDefinition) -> Iterator[str]:
    others = (*definition.web_names, *definition.tracking_names, *(policy.name for policy in definition.mta_sts))
    smtp = (definition.smtp.name,) if definition.smtp is not None else ()
    for name in dict.fromkeys((*smtp, *definition.certificate_names)):
        if name not in others:
            yield _block(f"https://{name}", [f"import {SNIPPET}", "respond 404"])


def _redirect() -> Iterator[str]:
    yield "header -Server"
    yield "redir https://{host}{uri} 308"
