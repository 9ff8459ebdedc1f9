"""Hands what is left in the queue to siblings: for a container that goes away and may not come back to its queue.

The siblings take it by SMTP, in clear and without a login, as they take mail from any client. One that is going away
itself answers 421 and gets nothing, so mail cannot go round in circles.
"""

import random
import re
import socket
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["HandOver", "commands", "hand_over_of", "siblings"]

SERVICE = "handover"
# Two sessions: what a killed container may have delivered twice is what is between DATA and its answer in these. And
# the siblings try each message once when it comes, so this is also how fast the upstream is asked again.
SESSIONS = 2
HOST = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?\Z")
# The number that a StatefulSet gives each of its pods.
ORDINAL = re.compile(r"-(\d+)\Z")

# Nothing of the way to the upstream holds for the way to a sibling.
OPTIONS: Mapping[str, str] = {
    "smtp_tls_security_level": "none",
    "smtp_tls_wrappermode": "no",
    "smtp_tls_connection_reuse": "no",
    "smtp_sasl_auth_enable": "no",
    "smtp_fallback_relay": "",
    "smtp_delivery_status_filter": "",
    # A sibling that refuses (another configuration, a full disk) bounces nothing: the mail stays.
    "soft_bounce": "yes",
    # Every sibling, one after the other.
    "smtp_mx_address_limit": "0",
    "smtp_mx_session_limit": "0",
    "smtp_connect_timeout": "5s",
    "smtp_helo_timeout": "10s",
}


@dataclass(frozen=True, kw_only=True)
class HandOver:
    """``host`` is the name that has all siblings, ``keeps`` that this container comes back to its queue."""

    host: str
    port: int
    keeps: bool


def hand_over_of(settings: Mapping[str, Any], host_name: str) -> HandOver | None:
    """Return the hand-over that ``settings`` ask for under ``hand_over``, None for none.

    Its keys: ``host`` and ``port`` of the siblings, and ``keeps_below``: containers with a lower number at the end of
    ``host_name`` are started again with the same volume and keep what is in it. Raises ValueError for anything else.
    """
    asked = settings.get("hand_over")
    if asked is None:
        return None
    try:
        host, port, keeps_below = str(asked["host"]), int(asked["port"]), int(asked["keeps_below"])
    except (KeyError, TypeError, ValueError):
        raise ValueError("hand_over: must have host, port and keeps_below") from None
    if not HOST.match(host) or not 1 <= port <= 65535:
        raise ValueError("hand_over: host must be a name, port a port number")
    number = ORDINAL.search(host_name)
    return HandOver(host=host, port=port, keeps=number is not None and int(number[1]) < keeps_below)


def siblings(asked: HandOver, own: Collection[str]) -> tuple[str, ...]:
    """Return where to hand mail to, as Postfix writes it and in any order: who has the name, without ``own`` addresses.

    Postfix itself would find its own address behind the name and take that for a loop.
    """
    try:
        found = socket.getaddrinfo(asked.host, asked.port, socket.AF_INET, socket.SOCK_STREAM)
    except OSError:  # nobody is left, or nobody can be asked
        return ()
    others = sorted({str(place[4][0]) for place in found} - set(own))
    random.shuffle(others)
    return tuple(f"[{address}]:{asked.port}" for address in others)


def commands(next_hops: Sequence[str], own_name: str) -> Sequence[Sequence[str]]:
    """Return what makes every message go to the first of ``next_hops`` that takes it, from the next reload on.

    With none of them nothing goes anywhere. ``own_name`` is this container's alone: all siblings greet with one name,
    and who is greeted with its own takes that for a loop.
    """
    place = f"{SERVICE}/unix"
    options = {**OPTIONS, "myhostname": own_name}
    limits = {
        "destination_concurrency_limit": SESSIONS,
        "initial_destination_concurrency": SESSIONS,
    }
    return (
        ("postconf", "-M", f"{place}={SERVICE} unix - - n - - smtp"),
        ("postconf", "-P", *(f"{place}/{name}={value}" for name, value in options.items())),
        (
            "postconf",
            "-e",
            f"default_transport={SERVICE}" if next_hops else "default_transport=retry:4.3.2 no sibling is there",
            f"relayhost={', '.join(next_hops)}",
            "sender_dependent_default_transport_maps=",
            "transport_maps=",
            *(f"{SERVICE}_{name}={value}" for name, value in limits.items()),
        ),
    )
