"""``mailstack rotate relay-password | postal-credential | certificate``: the old one stays until the new one is proven.

Each says what is next, what a person has to do elsewhere, writes one step by the Pulumi CLI, and refuses one that
comes too early.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from mailstack.caddy.certificate_names import covers, names_in
from mailstack.plan import Plan, load_plan
from mailstack.reach.drift import decrypted_config
from mailstack.reach.upstream_login import Login, try_login
from mailstack.settings.initialise import Run, rehearsal_config, run_pulumi
from mailstack.settings.rotate_credential import CredentialPlace, find_credentials, fresh_name
from mailstack.settings.stackfile import PROJECT, new_word, sealed_config
from mailstack.settings.upstream_model import UpstreamSettings
from mailstack.settings.whole_step import all_or_nothing

__all__ = ["EXIT_NOT_YET", "Rotation", "certificate", "postal_credential", "relay_password"]

EXIT_NOT_YET = 2
KEY_CHARACTERS = 24  # as long as those Postal makes
# How a second credential is had, so that the old one works meanwhile.
AT_PROVIDER: Mapping[str, str] = {
    "google-workspace": "as {username}, make a second app password: myaccount.google.com/apppasswords",
    "sendgrid": "make a second API key with Mail Send only: app.sendgrid.com/settings/api_keys",
    "ses": "make SMTP credentials of a second IAM user; they have a user name of their own (--username): SMTP settings "
    "in the SES console of {region}",
    "mailgun": "add a second SMTP login for the domain (--username): a new password of the same login ends the old one "
    "at once",
    "custom": "make a second login or password at {host}, if it can have two at once",
}
OLD: Mapping[str, str] = {
    "google-workspace": "revoke the old app password there",
    "sendgrid": "delete the old API key there",
    "ses": "deactivate the old IAM user's access key, and delete it a day later",
    "mailgun": "delete the old SMTP login there",
    "custom": "remove the old one there",
}


@dataclass(frozen=True, kw_only=True)
class Rotation:
    """What every rotation needs. ``check``: only say the step. ``run`` is the Pulumi CLI, told on standard input."""

    stack: str
    root: Path
    today: date
    say: Callable[[str], None]
    check: bool = False
    run: Run | None = None
    opened: Callable[[str, Path], Mapping[str, Any]] = decrypted_config

    @property
    def file(self) -> Path:
        """Return the stack file."""
        return self.root / f"Pulumi.{self.stack}.yaml"

    def plan(self) -> Plan:
        """Return the plan with throw-away secrets. Raises StackFileError, SettingsError."""
        return load_plan(rehearsal_config(self.file), self.root)

    def set(self, path: str, value: str, *, secret: bool = False) -> None:
        """Store a value; it goes on standard input, never as an argument."""
        start = self.run or (lambda argv, stdin: run_pulumi(argv, stdin, self.root))
        kind = ["--secret"] if secret else []
        start(["config", "set", *kind, "--path", path, "--stack", self.stack], value)

    def remove(self, path: str) -> None:
        """Take a value away."""
        start = self.run or (lambda argv, stdin: run_pulumi(argv, stdin, self.root))
        start(["config", "rm", "--path", path, "--stack", self.stack], "")


# --- the relay's password at its upstream -----------------------------------------------------------------------------


def relay_password(
    rotation: Rotation,
    *,
    upstream: str | None,
    username: str | None,
    ask: Callable[[str], str],
    untried: bool = False,
    login: Callable[..., Login] = try_login,
) -> int:
    """Store a new password of the relay, once the upstream has taken it.

    ``upstream`` names one of ``relay.upstreams``, None the first one. ``ask`` asks a person or standard input for the
    password. ``untried``: store it though the upstream could not be asked, never where it said no. Returns 0, 1 where
    there is nothing to rotate, 2 where the new one is not proven.
    """
    say, settings = rotation.say, rotation.plan().settings
    place = "relay.upstream" if upstream is None else f"relay.upstreams.{upstream}"
    found = settings.upstreams_by_field.get(place)
    if found is None:
        say(f"{place} is not declared; there are {', '.join(settings.upstreams_by_field)}")
        return 1
    if found.auth == "none":
        say(f"{found.provider.title} knows the relay by its address: there is no password to rotate")
        return 1
    name = username or str(found.username)
    say(f"1. At the provider: {_filled(AT_PROVIDER[found.preset], found, name)}. The old one stays for now.")
    if rotation.check:
        say(f"2. mailstack rotate relay-password --stack {rotation.stack}, with the new one at hand")
        return 0
    password = ask(f"New password of {name} at {found.host_name}").strip()
    wrong = _unfit(rotation, place, found, name, password)
    if wrong is not None:
        say(wrong)
        return EXIT_NOT_YET
    tried = login(found.host_name, found.port, name, password)
    if tried.state == "refused":
        say(f"the upstream refuses it: {tried.said}. Nothing was changed; the old one is still in use")
        return EXIT_NOT_YET
    if tried.state == "unknown" and not untried:
        say(f"it could not be tried from here: {tried.said}. Nothing was changed; --untried stores it all the same")
        return EXIT_NOT_YET
    say(f"2. {'Tried' if tried.state == 'taken' else 'Not tried'}: {tried.said}")
    with all_or_nothing(rotation.file):
        if username:
            rotation.set(f"{PROJECT}:{place}.username", username)
        rotation.set(f"{PROJECT}:{place}.password", password, secret=True)
    say(f"3. Written. next: pulumi up --stack {rotation.stack}")
    say(f"4. Prove it: mailstack relay test --stack {rotation.stack} --to ADDRESS sends a message through it")
    say(f"5. Only then: {OLD[found.preset]}. Until then the way back is to set the old one again")
    return 0


def _filled(text: str, upstream: UpstreamSettings, username: str) -> str:
    return text.format(username=username, region=upstream.region or "your region", host=upstream.host_name)


def _unfit(rotation: Rotation, place: str, upstream: UpstreamSettings, username: str, password: str) -> str | None:
    """Return why a password cannot be the new one; None where it may be."""
    provider = upstream.provider
    if not password or not re.fullmatch(provider.password_pattern, password) or re.search(r"[\x00-\x1f\x7f]", password):
        rule = provider.password_rule or "it is one line"
        return f"that is no password of {provider.title}: {rule}. Nothing was changed"
    before: Any = rotation.opened(rotation.stack, rotation.root)
    for part in place.split("."):
        before = before.get(part, {}) if isinstance(before, Mapping) else {}
    if isinstance(before, Mapping) and (before.get("username"), before.get("password")) == (username, password):
        return "that is the one in use: make a new one first. Nothing was changed"
    return None


# --- a key of Postal's ------------------------------------------------------------------------------------------------


def postal_credential(
    rotation: Rotation,
    name: str,
    *,
    server: str | None,
    kind: str | None,
    used: Callable[[], Sequence[Mapping[str, Any]]] | None,
    quiet: timedelta,
    now: datetime,
) -> int:
    """Add a second key beside ``name``, or take the first away once applications use the second.

    ``used`` tells of the running Postal's keys when each was last used, None: a person answers for it. The old key has
    to have rested for ``quiet``. Returns 0 where the step was taken, 1 where there is nothing to rotate, 2 for too
    early.
    """
    say, postal = rotation.say, rotation.plan().settings.postal
    keys = [] if postal is None else find_credentials(postal, name, server=server, kind=kind)
    if not keys or postal is None:
        say(f"no key {name} is declared{f' on {server}' if server else ''}: see postal.organizations in the stack file")
        return 1
    groups = {(key.server, key.type) for key in keys}
    if len(groups) > 1:
        options = ", ".join(f"--server {one} --type {what}" for one, what in sorted(groups))
        say(f"{name} is more than one key: say {options}")
        return EXIT_NOT_YET
    if len(keys) == 1:
        return _add_key(rotation, keys)
    old, new = keys[0], keys[-1]
    say(f"{old.server}: next is to remove {old.type} key {old.name}, since {new.name} takes its place")
    too_early = None if used is None else _too_early(used(), old, new, quiet, now)
    if too_early is not None:
        say(f"not yet: {too_early}")
        return EXIT_NOT_YET
    if rotation.check:
        say("it may be taken now")
        return 0
    rotation.remove(old.path)
    stack = rotation.stack
    if postal.removal == "refuse":
        place = f"pulumi config set --path '{PROJECT}:postal.removal'"
        say(f"written. Postal takes nothing away by itself: {place} allow --stack {stack}")
        say(f"next: pulumi up --stack {stack}, then {place} refuse --stack {stack}")
    else:
        say(f"written. next: pulumi up --stack {stack}")
    return 0


def _add_key(rotation: Rotation, keys: Sequence[CredentialPlace]) -> int:
    say, (old,) = rotation.say, keys
    name = fresh_name(keys, rotation.today)
    say(f"{old.server}: next is a second {old.type} key {name} beside {old.name}, which goes on working")
    if rotation.check:
        say("it may be taken now")
        return 0
    sealed: Any = sealed_config(rotation.file)["postal"]
    number, place = (int(part) for part in _numbers(old.list_path))
    path = f"{old.list_path}[{len(sealed['organizations'][number]['mail_servers'][place]['credentials'])}]"
    with all_or_nothing(rotation.file):
        rotation.set(f"{path}.name", name)
        rotation.set(f"{path}.type", old.type)
        rotation.set(f"{path}.key", new_word(KEY_CHARACTERS), secret=True)
    word = "smtp_keys" if old.type == "SMTP" else "api_keys"
    say(f"written. next: pulumi up --stack {rotation.stack}")
    say(f"then give applications the new key: output mail_servers, {old.server}, {word}, {name}")
    say("once they use it, the same command again removes the old one; it refuses while the old one is in use")
    return 0


def _numbers(path: str) -> list[str]:
    return re.findall(r"\[(\d+)\]", path)


def _too_early(
    known: Sequence[Mapping[str, Any]], old: CredentialPlace, new: CredentialPlace, quiet: timedelta, now: datetime
) -> str | None:
    """Return why the old key cannot go yet, from when Postal last saw each; None where it can."""

    def last(key: CredentialPlace) -> tuple[bool, datetime | None]:
        for one in known:
            if (one["server"], one["name"], one["type"]) == (key.server, key.name, key.type):
                said = one["last_used"]
                return True, None if said is None else datetime.fromisoformat(str(said)).replace(tzinfo=UTC)
        return False, None

    there, first = last(new)
    if not there:
        return f"Postal has no key {new.name} yet: run `pulumi up`"
    if first is None:
        return f"nobody has used {new.name} yet: give it to the applications"
    _, used = last(old)
    if used is not None and now - used < quiet:
        return (
            f"{old.name} was used {used:%Y-%m-%d %H:%M} UTC: an application still has it, or a `pulumi up` that ran "
            f"Postal's role then has tried it. It has to rest for {quiet.total_seconds() / 3600:g} h"
        )
    return None


# --- a certificate ----------------------------------------------------------------------------------------------------


def certificate(rotation: Rotation, name: str, *, chain: Path | None, key: Path | None, now: datetime) -> int:
    """Put a new certificate of one's own in the place of the old, once it is fit for it; say how others are renewed.

    Returns 0, 1 where there is nothing to rotate, 2 where the new one is not fit.
    """
    say, plan = rotation.say, rotation.plan()
    caddy = plan.settings.caddy
    if plan.caddy is None or caddy is None:
        say("the stack has no certificates: there is no section caddy")
        return 1
    names = list(dict.fromkeys([*plan.caddy.definition.names, *plan.caddy.definition.certificate_names]))
    if name not in names:
        say(f"{name} has no certificate of this stack; there are {', '.join(names)}")
        return 1
    if caddy.certificates != "custom":
        issuer = "the issuer" if caddy.certificates == "acme" else "its own CA"
        say(f"Caddy renews {name} by itself, from {issuer}, in the last third of its time: nothing is to be done")
        say(f"see that it does: mailstack status --stack {rotation.stack} shows the days left of what is served")
        if caddy.certificates == "acme":
            say("its key has leaked: docs/how-to/rotate-secrets.md says how to have it revoked and made anew")
        return 0
    if chain is None or key is None:
        say("the stack's certificate is your own. Have a new one issued, then:")
        say(f"mailstack rotate certificate {name} --stack {rotation.stack} --certificate chain.pem --key key.pem")
        return EXIT_NOT_YET
    before = caddy.custom.certificate if caddy.custom is not None else ""
    # A file in another form, such as DER, is no text; it is told as what it lacks.
    given, private = (path.read_text(encoding="utf-8", errors="replace") for path in (chain, key))
    faults = _unfit_certificate(given, private, before, names, now)
    for fault in faults:
        say(f"not fit: {fault}")
    if faults:
        say("nothing was changed; the old one is still in use")
        return EXIT_NOT_YET
    say(f"1. Fit for {', '.join(names)}")
    if rotation.check:
        say("it may be taken now")
        return 0
    with all_or_nothing(rotation.file):
        rotation.set(f"{PROJECT}:caddy.custom.certificate", given)
        rotation.set(f"{PROJECT}:caddy.custom.private_key", private, secret=True)
    say(f"2. Written. next: pulumi up --stack {rotation.stack}, which keeps the old one where the new one is refused")
    say(
        f"3. Prove it: mailstack verify --stack {rotation.stack} --only certificate; only then have the old one revoked"
    )
    return 0


def _unfit_certificate(chain: str, key: str, before: str, names: Sequence[str], now: datetime) -> list[str]:
    """Return all that is wrong with a new certificate: names, key, time, and that it is the old one."""
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

    held = names_in(chain)
    if held is None:
        return ["the file begins with no certificate (PEM)"]
    leaf = x509.load_pem_x509_certificate(chain.encode())
    faults = [f"it is not for {name}, but for {', '.join(sorted(held)) or 'no name'}" for name in names
              if not covers(held, name)]  # fmt: skip
    try:
        private = load_pem_private_key(key.encode(), None)
    except (ValueError, TypeError):
        faults.append("the key file holds no private key in PEM without a passphrase")
    else:
        forms = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        if private.public_key().public_bytes(*forms) != leaf.public_key().public_bytes(*forms):
            faults.append("the key is not that of the certificate")
    if leaf.not_valid_after_utc <= now:
        faults.append(f"it has expired on {leaf.not_valid_after_utc:%Y-%m-%d}")
    if leaf.not_valid_before_utc > now:
        faults.append(f"it is valid from {leaf.not_valid_before_utc:%Y-%m-%d %H:%M} UTC on only")
    if chain.strip() == before.strip():
        faults.append("it is the one in use")
    return faults
