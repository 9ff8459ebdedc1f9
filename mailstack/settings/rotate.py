"""Writes a step of a DKIM rotation into a stack file: by the Pulumi CLI, one key of one domain at a time."""

from collections.abc import Sequence
from datetime import date

from mailstack.dns.rotation import Step
from mailstack.settings.domains_model import Domain
from mailstack.settings.stackfile import PROJECT

__all__ = ["Change", "changes", "fresh_selector"]

# Arguments of `pulumi config`, and the value for its standard input; None: it is made with the key.
LETTERS = "bcdefghijklmnopqrstuvwxyz"
Change = tuple[tuple[str, ...], str | None]


def fresh_selector(domain: Domain, prefix: str, today: date) -> str:
    """Return a selector that the domain has not had: the month, and a letter where that is taken."""
    used = {key.selector for key in domain.dkim}
    month = f"{prefix}{today:%Y%m}"
    return next(name for name in (month, *(f"{month}{letter}" for letter in LETTERS)) if name not in used)


def changes(number: int, domain: Domain, step: Step, key_type: str, today: date) -> Sequence[Change]:
    """Return what the step writes at ``domains[number]``, in this order."""
    where = f"{PROJECT}:domains[{number}].dkim"
    places = {key.selector: index for index, key in enumerate(domain.dkim) if key.tenant is None}
    day = today.isoformat()
    if step.action == "publish":
        new = f"{where}[{len(domain.dkim)}]"
        kind: list[Change] = [] if key_type == "rsa" else [(("set", "--path", f"{new}.key_type", key_type), "")]
        return [
            (("set", "--path", f"{new}.selector", step.selector), ""),
            *kind,
            (("set", "--secret", "--path", f"{new}.private_key"), None),
            (("set", "--path", f"{new}.published", day), ""),
        ]
    place = f"{where}[{places[step.selector]}]"
    if step.action == "sign":
        old = [] if step.retires is None else [f"{where}[{places[step.retires]}]"]
        return [
            (("set", "--path", f"{place}.signing", day), ""),
            *((("set", "--path", f"{one}.retired", day), "") for one in old),
        ]
    if step.action == "revoke":
        return [(("set", "--path", f"{place}.revoked", day), "")]
    return [(("rm", "--path", place), "")]
