"""A complete, valid configuration that tests take apart, one mistake at a time."""

import copy
import functools
import subprocess
from collections.abc import Callable
from typing import Any

from mailstack.settings.stackfile import new_dkim_key, new_ssh_key

HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ+3yT5hZZz1Uo3u+8zcWzdehVKbgCO947DtCvIzA640"
ZONE_ID = "0123456789abcdef0123456789abcdef"


@functools.cache
def ssh_key() -> str:
    return new_ssh_key()[0]


@functools.cache
def dkim_key() -> str:
    return new_dkim_key()


@functools.cache
def dkim_public_key() -> str:
    pem = subprocess.run(
        ["openssl", "pkey", "-pubout"], input=dkim_key(), text=True, capture_output=True, check=True
    ).stdout
    return "".join(line for line in pem.splitlines() if "-----" not in line)


def example(**changes: Any) -> dict[str, Any]:
    """Return a production stack on Cloudflare; ``changes`` replace top-level keys."""
    settings: dict[str, Any] = {
        "environment": "prod",
        "ssh": {"private_key": ssh_key()},
        "hosts": {
            "relay1": {
                "address": "relay.example.com",
                "user": "admin",
                "host_key": HOST_KEY,
                "public_ipv4": "93.184.216.34",
                "public_ipv6": "2606:2800:220:1:248:1893:25c8:1946",
            }
        },
        "domains": [
            {
                "name": "example.com",
                "spf": {"include": ["spf.example.net"], "all": "-all"},
                "dkim": [
                    {"selector": "google", "public_key": dkim_public_key()},
                    {"selector": "mail202611", "private_key": dkim_key()},
                ],
                "dmarc": {"policy": "reject", "aggregate_reports": ["dmarc@example.com"]},
            },
            {"name": "example.org"},
        ],
        "relay": {
            "host": "relay1",
            "hostname": "relay.example.com",
            "upstream": {"preset": "google-workspace", "port": 587, "auth": "none"},
        },
        "relay_rule": {"name": "relay1", "probe": {"recipient": "postmaster@example.com"}},
        "dns": {
            "provider": "cloudflare",
            "cloudflare": {
                "api_token": "t" * 40,
                "zones": {"example.com": ZONE_ID, "example.org": ZONE_ID.replace("0", "f")},
            },
        },
    }
    settings.update(changes)
    return copy.deepcopy(settings)


def postal_example(**changes: Any) -> dict[str, Any]:
    """Return a production stack with Postal and Caddy beside the relay on one host."""
    settings = example()
    settings["domains"][0]["dkim"][1]["selector"] = "postal-202611"
    settings["domains"][1]["mx"] = [{"preference": 10, "exchange": "mx.example.com"}]
    settings["domains"][1]["dkim"] = [{"selector": "postal-202611", "private_key": dkim_key()}]
    settings["postal"] = {
        "host": "relay1",
        "web_hostname": "postal.example.com",
        "smtp_hostname": "mx.example.com",
        "signing_key": dkim_key(),
        "secret_key": "s" * 64,
        "database": {"password": "database-password", "root_password": "database-root-password"},
        "admin": {"email": "admin@example.com", "password": "admin-password-1"},
        "organizations": [
            {
                "name": "Example",
                "permalink": "example",
                "mail_servers": [
                    {
                        "name": "Applications",
                        "permalink": "apps",
                        "domains": ["example.com", "example.org"],
                        "credentials": [
                            {"name": "shop", "type": "SMTP", "key": "smtpsmtpsmtpsmtpsmtpsmtp"},
                            {"name": "shop", "type": "API", "key": "apiapiapiapiapiapiapiapi"},
                        ],
                        "routes": [{"name": "in", "domain": "example.org", "http_url": "https://hooks.example.com/in"}],
                        "track_domains": [{"name": "click", "domain": "example.com"}],
                    }
                ],
            }
        ],
    }
    settings["caddy"] = {"host": "relay1", "acme": {"email": "admin@example.com"}}
    settings.update(changes)
    return copy.deepcopy(settings)


def with_value(path: str, value: Any, base: Callable[[], dict[str, Any]] = example) -> dict[str, Any]:
    """Return the example with ``value`` at the dotted ``path``; numbers are list places, REMOVE deletes."""
    settings = base()
    *parents, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    place: Any = settings
    for parent in parents:
        if isinstance(place, dict) and parent not in place:
            place[parent] = {}
        place = place[parent]
    if value is REMOVE:
        del place[last]
    elif isinstance(place, list) and last == len(place):
        place.append(value)
    else:
        place[last] = value
    return settings


class _Remove:
    """Its name is part of tests' names, which several processes must agree on."""

    def __repr__(self) -> str:
        return "REMOVE"


REMOVE = _Remove()
