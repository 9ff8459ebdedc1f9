"""Field types: each says its rule and its fix when a value does not fit."""

import base64
import binascii
import ipaddress
import re
from collections.abc import Callable
from datetime import date, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr
from pydantic_core import PydanticCustomError

from mailstack.dns.names import NameRuleError, normalise_name
from mailstack.dns.spf_macros import spf_target

__all__ = [
    "AbsolutePath",
    "BuildPlatform",
    "Certificate",
    "CloudflareId",
    "ContainerName",
    "CredentialKey",
    "Day",
    "DockerEndpoint",
    "DomainName",
    "EmailAddress",
    "HostAddress",
    "HostAndPort",
    "HostKey",
    "HostName",
    "ImageDigest",
    "ImageName",
    "ImageReference",
    "IpAddress",
    "IpNetwork",
    "Ipv4",
    "Ipv6",
    "LogicalName",
    "LoginName",
    "LongSecret",
    "OneLineSecret",
    "OwnerName",
    "Permalink",
    "Port",
    "PostalVersion",
    "PrivateKey",
    "Schedule",
    "Selector",
    "ServiceName",
    "ShortText",
    "SpfTarget",
    "UserName",
    "WebUrl",
    "broken",
    "matching",
]

CONTROL = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]")
MIDNIGHT = re.compile(r"(T00:00:00Z| 00:00:00 \+0000 UTC)\Z")
LABEL = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)")
# pulumi-command offers exactly the algorithm of the pinned key. An ssh-rsa pin would ask for SHA-1 signatures,
# which current servers refuse.
HOST_KEY_ALGORITHMS = ("ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521")


# Older releases let a message's sender reach the database and internal addresses (GHSA-x2hq-rfpg-3xr5).
OLDEST_POSTAL = (3, 3, 7)
# Postal routes these names itself (its Organization model).
RESERVED_PERMALINKS = frozenset({"new", "edit", "remove", "delete", "destroy", "admin", "mail", "org", "server"})
MIN_SECRET_CHARACTERS = 12


def broken(rule: str, fix: str) -> PydanticCustomError:
    """Return the error a validator raises; ``rule`` and ``fix`` are half sentences without a final stop."""
    return PydanticCustomError("rule", "{rule}", {"rule": rule, "fix": fix})


def _text(value: Any, rule: str, fix: str) -> str:
    if not isinstance(value, str):
        raise broken(rule, fix)
    return value


def _domain_name(value: Any) -> str:
    rule = "must be a domain name such as example.com (RFC 1035 §2.3.1)"
    text = _text(value, rule, "write the name in quotes").rstrip(".").lower()
    if "@" in text or "/" in text or ":" in text:
        raise broken(rule, "write the name only: no scheme, no port, no address")
    try:
        # Python's own codec would turn straße.de into another company's strasse.de.
        text = normalise_name(text) if not text.isascii() else text
    except NameRuleError as error:
        raise broken(rule, error.fix) from None
    labels = text.split(".")
    if len(labels) < 2:
        raise broken(rule, "write the whole name, with its parent domain")
    if len(text) > 253 or not all(LABEL.fullmatch(label) for label in labels):
        raise broken(rule, "use letters, digits and inner hyphens; at most 63 in a label and 253 in all")
    if labels[-1].isdigit():
        raise broken(rule, "this looks like an IP address; a name is needed here")
    return text


def _service_name(value: Any) -> str:
    """Return a name that may have service labels, such as _spf.example.net (RFC 8552)."""
    text = _text(value, "must be a domain name", "write the name in quotes").rstrip(".").lower()
    _domain_name(re.sub(r"(^|\.)_(?=[a-z0-9])", r"\1", text))
    return text


def _owner_name(value: Any) -> str:
    """Return the name of any record there may be: with service labels, or a wildcard (RFC 4592)."""
    text = _text(value, "must be the name of a DNS record", "write the whole name in quotes")
    rest = text.removeprefix("*.")
    return ("*." if rest != text else "") + _service_name(rest)


def _spf_target(value: Any) -> str:
    """Return the domain of an SPF term: a name, or one with macros (RFC 7208 §7.1); the DNS rules read the macros."""
    text = _text(value, "must be a domain name, or one with macros such as %{d}", "write it in quotes")
    try:
        return spf_target(text)
    except NameRuleError as error:
        raise broken(f"must be {error.expected} ({error.rule})", error.fix) from None


def _host_address(value: Any) -> str:
    text = _text(value, "must be a host name or an IP address", "write it in quotes")
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return _domain_name(text)


def _ip(version: int | None) -> Callable[[Any], str]:
    kind = "IP address" if version is None else f"IPv{version} address"
    fix = f"write one {kind}, such as {'2001:db8::1' if version == 6 else '192.0.2.1'}, without a mask"

    def parse(value: Any) -> str:
        try:
            address = ipaddress.ip_address(_text(value, f"must be an {kind}", fix))
        except ValueError:
            raise broken(f"must be an {kind}", fix) from None
        if version is not None and address.version != version:
            raise broken(f"must be an {kind}", f"move the IPv{address.version} address to its own field")
        return str(address)

    return parse


def _ip_network(value: Any) -> str:
    rule = "must be an IP network in CIDR form"
    try:
        return str(ipaddress.ip_network(_text(value, rule, "write 192.0.2.0/24 or 2001:db8::/64")))
    except ValueError as error:
        if "host bits" in str(error):
            network = ipaddress.ip_network(str(value), strict=False)
            raise broken(rule, f"the address has bits outside its mask: write {network}") from None
        raise broken(rule, "write 192.0.2.0/24 or 2001:db8::/64") from None


def _email(value: Any) -> str:
    rule = "must be a mail address (RFC 5321 §4.1.2)"
    text = _text(value, rule, "write it as name@example.com")
    local, at, domain = text.rpartition("@")
    if not at or not re.fullmatch(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}", local):
        raise broken(rule, "write it as name@example.com")
    return f"{local}@{_domain_name(domain)}"


def _host_key(value: Any) -> str:
    rule = "must be one SSH host key, as in authorized_keys: algorithm and base64"
    fix = "run `ssh-keyscan -t ed25519 HOST` from a place you trust and copy the two last fields"
    text = _text(value, rule, fix).strip()
    if CONTROL.search(text):
        raise broken(rule, "give one line with one key; pulumi-command pins exactly one")
    parts = text.split()
    if len(parts) == 3 and parts[1] in HOST_KEY_ALGORITHMS:
        raise broken(rule, "leave the host name in front out")
    if len(parts) < 2:
        raise broken(rule, fix)
    if parts[0] == "ssh-rsa":
        raise broken("must not be an ssh-rsa key: pinning it asks the server for a SHA-1 signature", fix)
    if parts[0] not in HOST_KEY_ALGORITHMS:
        raise broken(rule, fix)
    try:
        decoded = base64.b64decode(parts[1], validate=True)
    except binascii.Error:
        raise broken(rule, "the base64 part is cut off or has a typing mistake; copy it again") from None
    if not _is_key_blob(decoded, parts[0]):
        raise broken(rule, "the base64 part belongs to another algorithm or is cut off; copy the whole line")
    return f"{parts[0]} {parts[1]}"


def _is_key_blob(blob: bytes, algorithm: str) -> bool:
    """Tell whether ``blob`` is a whole key of that algorithm: strings with their lengths in front (RFC 4253 §6.6)."""
    fields: list[bytes] = []
    while blob:
        length = int.from_bytes(blob[:4], "big")
        if len(blob) < 4 + length:
            return False
        fields.append(blob[4 : 4 + length])
        blob = blob[4 + length :]
    return len(fields) >= 2 and fields[0] == algorithm.encode()


def _private_key(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    if "PRIVATE KEY-----" not in text:
        raise broken(
            "must be a private key in PEM form",
            "paste the whole file, from -----BEGIN to -----END, as a YAML block",
        )
    if "ENCRYPTED" in text:
        raise broken("must be a private key without a passphrase", "Pulumi encrypts it; run `mailstack init`")
    return SecretStr(text.strip() + "\n")  # OpenSSH refuses a key without its final newline


def _one_line(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    if not text or text != text.strip() or re.search(r"[\x00-\x1f\x7f]", text):
        raise broken(
            "must be one line without blanks at its ends or control characters",
            "set it again with `pulumi config set --secret --path`, without a final newline",
        )
    return value


def _long_secret(value: SecretStr) -> SecretStr:
    if len(_one_line(value).get_secret_value()) < MIN_SECRET_CHARACTERS:
        raise broken(
            f"must have {MIN_SECRET_CHARACTERS} characters or more",
            "let `mailstack init` make it, or choose a longer one",
        )
    return value


def _credential_key(value: SecretStr) -> SecretStr:
    if not re.fullmatch(r"[A-Za-z0-9]{16,64}", value.get_secret_value()):
        raise broken(
            "must be 16 to 64 letters and digits, as Postal's own keys (24) are",
            "let `mailstack init` make it: applications put it into URLs and logins unquoted",
        )
    return value


def _certificate(value: Any) -> str:
    rule = "must be a certificate chain in PEM form"
    text = _text(value, rule, "paste the file as a YAML block")
    if "PRIVATE KEY" in text:
        raise broken("must not hold a private key", "put the key into private_key, encrypted")
    if "-----BEGIN CERTIFICATE-----" not in text or "-----END CERTIFICATE-----" not in text:
        raise broken(rule, "paste the whole file, from -----BEGIN to the last -----END, as a YAML block")
    return text.strip() + "\n"


def _postal_version(value: Any) -> str:
    rule = "must be an exact release of Postal, 3.3.7 or newer"
    text = _text(value, rule, 'write it in quotes, such as "3.3.7"')
    if not re.fullmatch(r"\d+\.\d+\.\d+", text):
        raise broken(rule, "a moving tag such as stable or latest would change under you; write the release")
    if tuple(int(part) for part in text.split(".")) < OLDEST_POSTAL:
        raise broken(rule, "older ones have known holes (GHSA-x2hq-rfpg-3xr5)")
    return text


def _permalink(value: Any) -> str:
    rule = "must be a permalink: small letters, digits and hyphens"
    text = _text(value, rule, "write it in quotes")
    if not re.fullmatch(r"[a-z0-9-]{1,60}", text):
        raise broken(rule, "change it to that form; `name` may be anything")
    if text in RESERVED_PERMALINKS:
        raise broken("must not be a word Postal's own addresses use", "choose another one")
    return text


def _day(value: Any) -> date:
    """Return a day. A YAML parser reads an unquoted one as a date, and Pulumi writes it back as midnight, UTC."""
    rule, fix = "must be a day such as 2026-11-01", "write year, month and day with hyphens"
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    try:
        return date.fromisoformat(MIDNIGHT.sub("", _text(value, rule, fix)))
    except ValueError as error:
        if isinstance(error, PydanticCustomError):
            raise
        raise broken(rule, fix) from None


def matching(pattern: str, rule: str, fix: str) -> BeforeValidator:
    """Return what takes a text that matches ``pattern`` as a whole, and tells ``rule`` and ``fix`` for any other."""

    def parse(value: Any) -> str:
        text = _text(value, rule, fix)
        if not re.fullmatch(pattern, text):
            raise broken(rule, fix)
        return text

    return BeforeValidator(parse)


DomainName = Annotated[str, BeforeValidator(_domain_name)]
HostName = Annotated[str, BeforeValidator(_domain_name)]
ServiceName = Annotated[str, BeforeValidator(_service_name)]
OwnerName = Annotated[str, BeforeValidator(_owner_name)]
SpfTarget = Annotated[str, BeforeValidator(_spf_target)]
HostAddress = Annotated[str, BeforeValidator(_host_address)]
IpAddress = Annotated[str, BeforeValidator(_ip(None))]
Ipv4 = Annotated[str, BeforeValidator(_ip(4))]
Ipv6 = Annotated[str, BeforeValidator(_ip(6))]
IpNetwork = Annotated[str, BeforeValidator(_ip_network)]
EmailAddress = Annotated[str, BeforeValidator(_email)]
Day = Annotated[date, BeforeValidator(_day)]
HostKey = Annotated[str, BeforeValidator(_host_key)]
PrivateKey = Annotated[SecretStr, AfterValidator(_private_key)]
OneLineSecret = Annotated[SecretStr, AfterValidator(_one_line)]
LongSecret = Annotated[SecretStr, AfterValidator(_long_secret)]
CredentialKey = Annotated[SecretStr, AfterValidator(_credential_key)]
Certificate = Annotated[str, BeforeValidator(_certificate)]
PostalVersion = Annotated[str, BeforeValidator(_postal_version)]
Permalink = Annotated[str, BeforeValidator(_permalink)]
Port = Annotated[int, Field(ge=1, le=65535)]
Selector = Annotated[
    str,
    matching(
        # RFC 6376 §3.1 knows no underscore, yet signers use it: the DNS rules warn.
        r"(?!.*\._domainkey)[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?)*",
        "must be a DKIM selector: letters, digits, inner hyphens (RFC 6376 §3.1)",
        "write the selector only, such as mail202611, without ._domainkey",
    ),
]
LogicalName = Annotated[
    str,
    matching(
        r"[a-z][a-z0-9-]{0,39}",
        "must be a short name: a small letter, then small letters, digits and hyphens, 40 at most",
        "rename it; the name is part of Pulumi's resource names",
    ),
]
LoginName = Annotated[
    str,
    matching(
        r"[a-zA-Z0-9][a-zA-Z0-9._@+-]{0,63}",
        "must be a login name: letters, digits and . _ @ + - only, 64 at most",
        "write it without blanks and colons, such as printer2 or shop@example.com",
    ),
]
UserName = Annotated[
    str,
    matching(r"[a-z_][a-z0-9_-]{0,31}", "must be a Unix user name", "write the login name, such as root or admin"),
]
CloudflareId = Annotated[
    str,
    matching(
        r"[0-9a-f]{32}",
        "must be a Cloudflare zone ID: 32 hexadecimal digits",
        "copy it from the zone's overview page, right-hand column",
    ),
]
AbsolutePath = Annotated[
    str,
    matching(
        r"/[A-Za-z0-9._/@+-]+", "must be an absolute path on the host, without blanks", "write it from the root on"
    ),
]
ImageName = Annotated[
    str,
    matching(
        r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]+)?(/[a-z0-9]+([._-]+[a-z0-9]+)*)*(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?",
        "must be a container image: registry/path",
        "write it as ghcr.io/postalserver/postal, without https://",
    ),
]
ImageReference = Annotated[
    str,
    matching(
        r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]+)?(/[a-z0-9]+([._-]+[a-z0-9]+)*)*"
        r"(:(?!latest(@|$))[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}(@sha256:[0-9a-f]{64})?|@sha256:[0-9a-f]{64})",
        "must be a container image with a tag other than latest, or a digest: a moving name changes under you",
        "write it as registry.example.com/postfix-relay:1.2 or with @sha256: and its digest",
    ),
]
HostAndPort = Annotated[
    str,
    matching(
        r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]{1,5})?",
        "must be the name of a registry, with a port where it is not 443",
        "write it as registry.example.com, without https:// and without a path",
    ),
]
BuildPlatform = Annotated[
    str,
    matching(
        r"linux/[a-z0-9]+(/v[0-9])?",
        "must be a platform: linux/ and an architecture",
        "write linux/amd64 or linux/arm64; `docker version` shows the engine's",
    ),
]
ContainerName = Annotated[
    str,
    matching(
        r"[a-z0-9][a-z0-9-]{1,62}",
        "must be a name for Docker and DNS: small letters, digits and hyphens, 2 to 63",
        "rename it, such as postfix-relay",
    ),
]
DockerEndpoint = Annotated[
    str,
    matching(
        r"unix:///[A-Za-z0-9._/@+-]+|tcp://([A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\]):[0-9]{1,5}",
        "must be unix:// and a socket, or tcp:// with host and port",
        "write unix:///var/run/docker.sock; for ssh declare the machine in hosts and name it in relay.host",
    ),
]
ShortText = Annotated[
    str,
    matching(
        r"[^\x00-\x1f\x7f\x85\u2028\u2029]{1,100}",
        "must be one line of text, 100 characters at most",
        "write it in quotes",
    ),
]
ImageDigest = Annotated[
    str,
    matching(
        r"sha256:[0-9a-f]{64}",
        "must be an image digest: sha256: and 64 hexadecimal digits",
        "copy it from `docker buildx imagetools inspect IMAGE`",
    ),
]
WebUrl = Annotated[
    str,
    matching(
        r"https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?(/[^\s\"\x00-\x1f]*)?",
        "must be a URL with http or https",
        "write it as https://example.com/path",
    ),
]
Schedule = Annotated[
    str,
    matching(
        r"[A-Za-z0-9*,:./ -]{3,80}",
        "must be a systemd calendar expression (systemd.time(7))",
        "write it as `daily` or `*-*-* 02:30:00`",
    ),
]
