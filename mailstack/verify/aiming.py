"""Where the target of a run comes from: flags, or what a stack tells as output ``verify``."""

import ipaddress
from collections.abc import Sequence

from pydantic import ValidationError

from mailstack.dns import NameRuleError, normalise_name
from mailstack.verify.target import DkimTarget, DomainTarget, HostTarget, Target

__all__ = ["TargetError", "limited", "target_of_flags", "target_of_output"]


class TargetError(ValueError):
    """There is nothing to look at, or it cannot be read; the text says why and what to do."""


def target_of_flags(
    domains: Sequence[str],
    *,
    selectors: Sequence[str] = (),
    return_paths: Sequence[str] = (),
    senders: Sequence[str] = (),
    hosts: Sequence[str] = (),
) -> Target:
    """Return the target that flags describe. What they do not say is not known, and DNS has to say it.

    ``selectors``, ``return_paths`` and ``senders`` (addresses) hold for every domain. Raises TargetError.
    """
    if not domains and not hosts:
        raise TargetError("there is nothing to look at: name a --domain, a --host or a --stack")
    keys = tuple(DkimTarget(selector=_selector(selector)) for selector in selectors)
    addresses = tuple(_address(text) for text in senders)
    paths = tuple(_name(path, "--return-path") for path in return_paths)
    return Target(
        domains=tuple(
            DomainTarget(name=_name(name, "--domain"), dkim=keys, return_paths=paths, senders=addresses)
            for name in dict.fromkeys(domains)
        ),
        hosts=tuple(HostTarget(name=_name(name, "--host"), helo=True) for name in dict.fromkeys(hosts)),
    )


def target_of_output(text: str, stack: str) -> Target:
    """Return the target in a stack's output ``verify``. Raises TargetError for text that is none."""
    try:
        return Target.model_validate_json(text).model_copy(update={"stack": stack})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"])) or "the output"
        raise TargetError(
            f"output `verify` of stack {stack} cannot be read ({place}: {first['msg']}); "
            "run `pulumi up` with the version of this project that looks at it"
        ) from None


def limited(target: Target, domains: Sequence[str]) -> Target:
    """Return the target with these of its domains only; all of them where none is named. Raises TargetError."""
    if not domains:
        return target
    wanted = [_name(name, "--domain") for name in domains]
    known = {domain.name: domain for domain in target.domains}
    missing = [name for name in wanted if name not in known]
    if missing:
        raise TargetError(
            f"stack {target.stack} does not declare {', '.join(missing)}; it declares {', '.join(known) or 'none'}"
        )
    return target.model_copy(update={"domains": tuple(known[name] for name in dict.fromkeys(wanted))})


def _selector(text: str) -> str:
    below = "_domainkey.example.com"  # a selector is part of a name, and may have several labels
    return _name(f"{text}.{below}", "--selector").removesuffix(f".{below}")


def _address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise TargetError(f"--sender {text!r}: must be an IPv4 or IPv6 address that mail leaves from") from None


def _name(text: str, flag: str) -> str:
    try:
        return normalise_name(text, service=True)
    except NameRuleError as error:
        raise TargetError(f"{flag} {text!r}: {error}") from None
