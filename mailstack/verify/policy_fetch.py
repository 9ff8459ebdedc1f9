"""Fetches an MTA-STS policy as a sender does: HTTPS with a verified certificate, no redirects (RFC 8461 §3.3)."""

from dataclasses import dataclass

from mailstack.verify.context import Context
from mailstack.verify.fetching import fetch

__all__ = ["PATH", "Policy", "fetch_policy"]

PATH = "/.well-known/mta-sts.txt"
LARGEST = 64 * 1024  # RFC 8461 §3.3 lets senders stop reading there


@dataclass(frozen=True, kw_only=True)
class Policy:
    """``text`` is the policy, None where there is none: ``problem`` says why. ``late``: it is not known whether there
    is one.
    """

    text: str | None = None
    problem: str = ""
    late: bool = False


def fetch_policy(context: Context, domain: str) -> Policy:
    """Fetch the policy of a domain, once in a run."""
    return context.once(("mta-sts", domain), lambda: _fetch(context, f"mta-sts.{domain}"))


def _fetch(context: Context, name: str) -> Policy:
    found = fetch(context, f"https://{name}{PATH}", largest=LARGEST)
    if found.problem:
        return Policy(problem=found.problem, late=found.late)
    if found.status != 200:
        to = f" to {found.location}" if found.location else ""
        return Policy(problem=f"HTTP status {found.status}{to}, which senders take for no policy")
    if found.kind != "text/plain":
        return Policy(problem=f"{found.kind or 'no Content-Type'} instead of text/plain")
    if len(found.body) > LARGEST:
        return Policy(problem=f"more than {LARGEST} bytes")
    try:
        return Policy(text=found.body.decode("utf-8"))
    except UnicodeDecodeError:
        return Policy(problem="not UTF-8")
