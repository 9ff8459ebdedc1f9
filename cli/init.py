"""``mailstack init``: asks for little, finds out the rest, writes the stack file, makes its secrets."""

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Protocol

import typer

from cli.common import say as say_aloud
from cli.common import tell
from cli.verify_options import wrong_call
from mailstack.plan import load_plan
from mailstack.plan.outside import Outside
from mailstack.reach.before import HostSeen, addresses_of, look_at_domains, look_at_host, provider_of
from mailstack.reach.host_key import HostKeyError, fingerprint, scan_host_key
from mailstack.settings.initialise import InitError, Run, Step, initialise, rehearsal_config, run_pulumi
from mailstack.settings.stackfile import PROJECT
from mailstack.settings.written import Written
from mailstack.start.answers import QUESTIONS, Answers, HostPlace, InDns, Question, host_place
from mailstack.start.compose import compose
from mailstack.start.text import stack_text

__all__ = ["Asker", "Looks", "Options", "Real", "Terminal", "init_stack"]

LOOK_SECONDS = 10.0
CUSTOM_KEY = f"{PROJECT}:caddy.custom.private_key"


class Asker(Protocol):
    """A person at a terminal."""

    def ask(self, text: str, choices: Sequence[str], default: str | None) -> str:
        """Return the answer; where there is a default, an empty one stands for it."""

    def confirm(self, text: str) -> bool:
        """Return whether the person agrees."""

    def secret(self, text: str) -> str:
        """Return what is typed without showing it, empty for nothing."""


class Looks(Protocol):
    """What can be found out."""

    def host_key(self, place: HostPlace) -> str:
        """Return the key the host shows. Raises HostKeyError."""

    def host(self, place: HostPlace, host_key: str | None) -> HostSeen:
        """Return what the host says."""

    def addresses(self, name: str) -> tuple[str, ...]:
        """Return the public addresses of a name."""

    def provider(self, domain: str) -> str | None:
        """Return who has the zone."""

    def domains(self, names: Sequence[str]) -> Mapping[str, InDns]:
        """Return what DNS has of the domains."""


class Terminal:
    """Whoever sits there. Questions go to standard error: standard output may be the one JSON document."""

    def ask(self, text: str, choices: Sequence[str], default: str | None) -> str:
        """Ask until there is an answer, one of ``choices`` where there are any."""
        shown = f"{text} ({', '.join(choices)})" if choices else text
        while True:
            answer = str(typer.prompt(shown, default=default, err=True)).strip()
            if answer and (not choices or answer in choices):
                return answer
            tell(f"one of {', '.join(choices)}")

    def confirm(self, text: str) -> bool:
        """Ask for yes or no; Enter is no."""
        return typer.confirm(text, err=True)

    def secret(self, text: str) -> str:
        """Ask without showing what is typed."""
        return str(typer.prompt(text, default="", hide_input=True, show_default=False, err=True))


@dataclass(frozen=True, kw_only=True)
class Real:
    """Looks at the real world. ``resolvers`` as everywhere: None for the system's."""

    resolvers: Sequence[str] | None

    def host_key(self, place: HostPlace) -> str:
        """Ask ssh-keyscan."""
        return scan_host_key(place.address, place.port)

    def host(self, place: HostPlace, host_key: str | None) -> HostSeen:
        """Log in."""
        return look_at_host(place, host_key)

    def addresses(self, name: str) -> tuple[str, ...]:
        """Ask the system's resolver."""
        return addresses_of(name)

    def provider(self, domain: str) -> str | None:
        """Ask for the delegation."""
        return provider_of(domain, seconds=LOOK_SECONDS, resolvers=self.resolvers)

    def domains(self, names: Sequence[str]) -> Mapping[str, InDns]:
        """Ask the authoritative servers."""
        return look_at_domains(names, seconds=LOOK_SECONDS, resolvers=self.resolvers)


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the command line gave. ``given`` maps keys of questions to texts, lists for those with many.

    ``look`` False: nobody outside is asked. ``yes``: what has a default is not asked, and nothing is confirmed but a
    host key.
    """

    stack: str
    given: Mapping[str, Any]
    host_key: str | None = None
    host_fingerprint: str | None = None
    public_ipv4: str | None = None
    public_ipv6: str | None = None
    certificate_key: Path | None = None
    secrets_provider: str | None = None
    look: bool = True
    yes: bool = False
    as_json: bool = False


def init_stack(
    options: Options,
    *,
    root: Path,
    today: date,
    asker: Asker | None,
    looks: Looks,
    run: Run | None = None,
) -> int:
    """Write the stack file where there is none, then make the secrets that it lacks. An existing file is kept.

    ``asker`` None: there is nobody to ask. Returns 0, or 1 where the person did not want the file. Raises a wrong call
    that names every missing flag, SettingsError for answers that make no stack, InitError from the Pulumi CLI.
    """
    path = root / f"Pulumi.{options.stack}.yaml"
    created = not path.exists()

    say = tell if options.as_json else say_aloud
    start = run or (lambda argv, stdin: run_pulumi(argv, stdin, root))
    if created:
        answers = _answers(options, today, asker, looks, say)
        text = _checked(answers, path.name, today)
        if asker is not None and not options.yes and not asker.confirm(f"Write {path.name}?"):
            say("nothing was written")
            return 1
        with path.open("x") as handle:
            handle.write(text)
        say(f"wrote {path.name}; every value in it has a comment")
    elif options.given or options.host_key:
        say(f"{path.name} is there and stays as it is: flags for a new one are left aside, missing secrets are added")
    made: list[str] = []
    try:
        needed = initialise(options.stack, root, made.append, start,
                            secrets_provider=options.secrets_provider)  # fmt: skip
    except InitError as error:
        for line in made:
            say(line)
        raise InitError(f"{error}\n{path.name} is written; the same command again makes the secrets") from None
    for line in made:
        say(line)
    needed = _entered(options, needed, start, asker)
    return _end(options, path, needed, created=created, made=made, say=say)


# --- answers --------------------------------------------------------------------------------------------------------


def _answers(options: Options, today: date, asker: Asker | None, looks: Looks, say: Callable[[str], None]) -> Answers:
    values: dict[str, Any] = {"stack": options.stack}
    missing: list[str] = []
    for question in QUESTIONS:
        if question.key == "dns" and options.look and asker is not None and not options.given.get("dns"):
            values["dns_seen"] = looks.provider(values["domains"][0])
        _answer(question, values, options, asker, missing)
    place = _place(values.get("host_text"))
    pinned = values.get("environment") != "local" or values.get("placement") == "docker"
    on_host = any(question.key == "host_text" and question.when(values) for question in QUESTIONS)
    if asker is None and on_host and pinned and not (options.host_key or options.host_fingerprint):
        missing.append("--host-key (or --host-fingerprint, which is compared with what the host shows)")
    if asker is None and on_host and not (options.look or options.public_ipv4 or options.public_ipv6):
        missing.append("--public-ipv4")
    if values.get("tls") == "custom" and options.certificate_key is None and asker is None:
        missing.append("--certificate-key")
    if missing:
        raise wrong_call(f"there is nobody to ask, and these are missing: {', '.join(missing)}")
    wanted = pinned or options.look or options.host_key is not None
    host_key = _host_key(options, place, asker, looks, say) if place is not None and wanted else None
    ipv4, ipv6 = _public(options, place, host_key, asker, looks, say)
    domains = tuple(values["domains"])
    in_dns = looks.domains(domains) if options.look else {}
    for name, found in in_dns.items():
        if found.mx or found.spf or found.dmarc:
            say(f"{name}: DNS has {_told(found)}; taken into the file")
    certificate = values.get("certificate_file")
    return Answers(
        stack=options.stack,
        environment=values["environment"],
        domains=domains,
        placement=values["placement"],
        upstream=values["upstream"],
        dns=values["dns"],
        tls=values["tls"],
        contact=values["contact"],
        month=f"{today:%Y%m}",
        host=place,
        host_key=host_key,
        public_ipv4=ipv4,
        public_ipv6=ipv6,
        context=values.get("context"),
        image=values.get("image"),
        egress=tuple(values.get("egress") or ()),
        region=values.get("region"),
        upstream_host=values.get("upstream_host"),
        username=values.get("username"),
        certificate=None if certificate is None else _read(Path(certificate)),
        in_dns=in_dns,
    )


def _answer(
    question: Question, values: dict[str, Any], options: Options, asker: Asker | None, missing: list[str]
) -> None:
    """Put the answer to one question into ``values``, or its flag into ``missing``."""
    given = options.given.get(question.key)
    if question.key == "username" and given:
        values[question.key] = given  # Google takes one, and needs none
        return
    if not question.when(values):
        if given:
            raise wrong_call(f"--{question.flag} has no use here: {_reason(values)}")
        return
    choices, default = question.choices(values), question.default(values)
    answer = given
    if not answer and asker is not None and not (options.yes and default) and len(choices) != 1:
        answer = asker.ask(question.text, choices, default or question.hint(values))
    answer = answer or default
    if not answer and question.key == "contact":
        return  # it follows from the first domain, and that is missing
    if not answer:
        kinds = f" ({', '.join(choices)})" if choices else ""
        missing.append(f"--{question.flag}{kinds}")
        return
    if choices and answer not in choices:
        raise wrong_call(f"--{question.flag} {answer} is not possible here ({_reason(values)}): {' or '.join(choices)}")
    if question.many:
        listed = answer if isinstance(answer, list | tuple) else [answer]
        answer = [part.strip().lower() for one in listed for part in one.split(",") if part.strip()]
    values[question.key] = answer


def _reason(values: Mapping[str, Any]) -> str:
    told = {key: values[key] for key in ("environment", "placement", "upstream", "dns", "tls") if key in values}
    return ", ".join(f"{key} is {value}" for key, value in told.items())


def _place(text: str | None) -> HostPlace | None:
    try:
        return None if text is None else host_place(text)
    except ValueError as error:
        raise wrong_call(f"--host: {error}") from None


def _host_key(
    options: Options, place: HostPlace, asker: Asker | None, looks: Looks, say: Callable[[str], None]
) -> str | None:
    """Return the key to pin: given, or shown by the host and known by somebody."""
    if options.host_key is not None:
        try:
            say(f"host key given: {fingerprint(options.host_key)}")
        except ValueError as error:
            raise wrong_call(f"--host-key: {error}") from None
        return options.host_key
    if not options.look:
        if options.host_fingerprint is not None:
            raise wrong_call("--host-fingerprint is compared with what the host shows, and --no-look asks no host")
        return None if asker is None else asker.ask("Host key, algorithm and base64", (), None)
    try:
        shown = looks.host_key(place)
    except HostKeyError as error:
        if options.host_fingerprint is not None:
            raise wrong_call(f"--host-fingerprint cannot be compared: {error}. Give --host-key") from None
        say(f"host key: {error}")
        return None if asker is None else asker.ask("Host key, algorithm and base64", (), None)
    seen = fingerprint(shown)
    if options.host_fingerprint is not None:
        if seen != options.host_fingerprint:
            raise wrong_call(
                f"{place.address} shows host key {seen}, and --host-fingerprint is {options.host_fingerprint}: "
                "another machine answers, or the key was changed. Compare with the provider's console"
            )
        return shown
    if asker is None:
        return None
    say(f"{place.address} shows the host key {shown.split()[0]} {seen}")
    say("Compare it with the provider's console, or on the host: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub")
    if not asker.confirm("Is it that host's key?"):
        raise wrong_call("a host whose key nobody knows is not written down; give --host-key once you have it")
    return shown


def _public(
    options: Options, place: HostPlace | None, host_key: str | None, asker: Asker | None, looks: Looks,
    say: Callable[[str], None],
) -> tuple[str | None, str | None]:  # fmt: skip
    """Return the public addresses of the host, IPv4 and IPv6: given, told by the host, or those of its name."""
    if place is None or options.public_ipv4 or options.public_ipv6:
        return options.public_ipv4, options.public_ipv6
    found: tuple[str, ...] = ()
    if options.look:
        # An unpinned host is not logged in to: whoever answers could say anything.
        seen = looks.host(place, host_key) if host_key is not None else HostSeen(why="its key is not known")
        if seen.why is None:
            rights = "" if seen.root else "; the user is not root and has no sudo without a password"
            shown = [seen.system or "unknown system", *(seen.addresses or ["no public address of its own"])]
            say(f"{place.address}: {', '.join(shown)}{rights}")
        else:
            say(f"{place.address} was not looked at: {seen.why}")
        found = seen.addresses or looks.addresses(place.address)
    ipv4 = next((one for one in found if ":" not in one), None)
    ipv6 = next((one for one in found if ":" in one), None)
    if asker is not None and not (options.yes and ipv4):
        ipv4 = asker.ask("Public IPv4 address its mail leaves from", (), ipv4) or None
    if ipv4 is None and ipv6 is None:
        raise wrong_call(f"no public address of {place.address} was found: give --public-ipv4 or --public-ipv6")
    return ipv4, ipv6


def _told(found: InDns) -> str:
    mx = [f"MX {', '.join(host for _, host in found.mx)}"] if found.mx else []
    return "; ".join([*mx, *(text for text in (found.spf, found.dmarc) if text)])


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError as error:
        raise wrong_call(f"{path}: {error.strerror}") from None


def _checked(answers: Answers, name: str, today: date) -> str:
    """Return the text of the file. Raises SettingsError where the answers make no stack."""
    settings, notes = compose(answers)
    header = [
        f"Stack {answers.stack}, begun by `mailstack init`. Comments say what each value means; all further keys are",
        "in docs/reference/settings.md. Secrets are added below, encrypted by Pulumi: commit the file.",
    ]
    text = stack_text(settings, notes, header)
    with tempfile.TemporaryDirectory(prefix="mailstack-init-") as folder:
        draft = Path(folder) / name
        draft.write_text(text)
        load_plan(rehearsal_config(draft), written=[Written.in_file(draft)], outside=Outside(today=today))
    return text


# --- secrets and the end --------------------------------------------------------------------------------------------


def _entered(options: Options, needed: Sequence[Step], run: Run, asker: Asker | None) -> list[Step]:
    """Store what a person has at hand; return what is still missing."""
    left = []
    for step in needed:
        if step.path == CUSTOM_KEY and options.certificate_key is not None:
            value = _read(options.certificate_key)
        elif asker is not None and not options.yes:
            value = asker.secret(f"{step.what} (empty: later)").strip()
        else:
            value = ""
        if value:
            run(["config", "set", "--secret", "--path", step.path, "--stack", options.stack], value)
        else:
            left.append(step)
    return left


def _end(
    options: Options, path: Path, needed: Sequence[Step], *, created: bool, made: Sequence[str],
    say: Callable[[str], None],
) -> int:  # fmt: skip
    commands = [f"pulumi config set --secret --path '{step.path}' --stack {options.stack}" for step in needed]
    for step, command in zip(needed, commands, strict=True):
        say(f"still needed: {step.what}. Set it with: {command}")
    following = commands[0] if commands else f"mailstack doctor --stack {options.stack}"
    if created or made:
        say(f"next: {following}")
    if options.as_json:
        document = {
            "stack": options.stack,
            "file": path.name,
            "created": created,
            "made": list(made),
            "needed": [
                {"path": step.path, "what": step.what, "command": command}
                for step, command in zip(needed, commands, strict=True)
            ],
            "next": following,
        }
        say_aloud(json.dumps(document, indent=2))
    return 0
