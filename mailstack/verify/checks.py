"""Every module of checks: importing them enters their checks into ``model.CHECKS``."""

from mailstack.verify import (
    certificates,
    dane,
    host_checks,
    message_checks,
    open_relay,
    ports,
    recipients,
    routing,
    sessions,
    tls_checks,
    web,
)

__all__ = [
    "certificates",
    "dane",
    "host_checks",
    "message_checks",
    "open_relay",
    "ports",
    "recipients",
    "routing",
    "sessions",
    "tls_checks",
    "web",
]
