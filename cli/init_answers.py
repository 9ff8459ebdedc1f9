"""The answers that a stack file is made of: from flags, from a person, from what is found out."""

from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from typing import Any

from cli.init_certificate import chain_of, key_of
from cli.init_looks import Asker, Looks
from cli.init_options import Options
from cli.verify_options import wrong_call
from mailstack.reach.before import HostSeen
from mailstack.reach.host_key import HostKeyError, fingerprint
from mailstack.settings.types import HostKey, IpAddress, Ipv4, Ipv6
from mailstack.start.answers import Answers, HostPlace, InDns, host_place
from mailstack.start.compose import POSTAL_MEMORY_MB
from mailstack.start.questions import QUESTIONS, PublicAddress, Question, needs_host, settled, upstream_seen

__all__ = ["read_answers"]

Say = Callable[[str], None]


MEMORY_TOLERANCE = 0.9  # as on the host: the kernel keeps some of what a provider sells


def read_answers(options: Options, today: date, asker: Asker | None, looks: Looks, say: Say) -> Answers:
    """Return them all. Raises a wrong call that names every missing flag, and for what cannot be."""
    values: dict[str, Any] = {"stack": options.stack, "tls_given": options.given.get("tls"), "seen": {}}
    missing: list[str] = []
    for question in QUESTIONS:
        _look_before(question, values, options, asker, looks, say)
        _answer(question, values, options, asker, missing)
        if question.key == "domains" and "domains" in values:
            _look_at_domains(values, options, looks, say)
        if question.key == "engine" and values.get("engine") == "local" and options.look:
            version, why = looks.docker()
            say(f"this machine's Docker is {version}" if version else f"no Docker engine answers here: {why}")
    place = _place(values.get("host_text"))
    pinned = values.get("environment") != "local" or values.get("placement") == "docker"
    on_host = needs_host(values)
    if asker is None and on_host and pinned and not (options.host_key or options.host_fingerprint):
        missing.append("--host-key (or --host-fingerprint, which is compared with what the host shows)")
    if asker is None and on_host and not (options.look or options.public_ipv4 or options.public_ipv6):
        missing.append("--public-ipv4")
    if values.get("tls") == "custom" and options.certificate_key is None and asker is None:
        missing.append("--certificate-key")
    if missing:
        raise wrong_call(f"there is nobody to ask, and these are missing: {', '.join(missing)}")
    _no_idle_flags(options, values, on_host=on_host)
    chain = _certificate(values.get("certificate_file"), options.certificate_key)
    wanted = pinned or options.look or options.host_key is not None
    host_key = _host_key(options, place, asker, looks, say) if place is not None and wanted else None
    kind = PublicAddress if values["environment"] == "prod" else IpAddress
    ipv4, ipv6 = _public(options, place, host_key, asker, looks, say, with_postal=values["postal"] == "vm", kind=kind)
    if values["dns"] == "cloudflare" and values["seen"].get("dns") == ("none",):
        say(f"{values['domains'][0]} is not delegated to Cloudflare: nobody sees records there until it is")

    def several(key: str) -> tuple[str, ...]:
        return tuple(values.get(key) or ())

    return Answers(
        stack=options.stack,
        environment=values["environment"],
        domains=tuple(values["domains"]),
        placement=values["placement"],
        upstream=values["upstream"],
        dns=values["dns"],
        postal=values["postal"],
        tls=values["tls"],
        contact=values["contact"],
        today=today,
        host=place,
        host_key=host_key,
        public_ipv4=ipv4,
        public_ipv6=ipv6,
        firewall=options.firewall or "none",
        security_updates=options.security_updates,
        certificate=chain,
        engine=values.get("engine", "host"),
        in_dns=values.get("in_dns", {}),
        context=values.get("context"),
        image=values.get("image"),
        egress=several("egress"),
        region=values.get("region"),
        upstream_host=values.get("upstream_host"),
        username=values.get("username"),
        database=values.get("database"),
        smtp_addresses=several("smtp_addresses"),
        web_addresses=several("web_addresses"),
        ingress_namespace=values.get("ingress_namespace"),
        issuer=values.get("issuer"),
        tls_secret=values.get("tls_secret"),
    )


def _no_idle_flags(options: Options, values: Mapping[str, Any], *, on_host: bool) -> None:
    """Refuse what answers no question and would be passed over. Raises a wrong call."""
    given: dict[str, object] = {
        "host-key": options.host_key if not on_host else None,
        "host-fingerprint": options.host_fingerprint if not on_host else None,
        "public-ipv4": options.public_ipv4 if not on_host else None,
        "public-ipv6": options.public_ipv6 if not on_host else None,
        "firewall": options.firewall if not on_host else None,
        "security-updates": True if options.security_updates and not on_host else None,
        "certificate-key": options.certificate_key if values["tls"] != "custom" else None,
    }
    for flag, value in given.items():
        if value is not None:
            raise wrong_call(f"--{flag} has no use here: {_reason(values)}")


# --- what is found out ----------------------------------------------------------------------------------------------


def _look_at_domains(values: dict[str, Any], options: Options, looks: Looks, say: Say) -> None:
    """Ask once for all domains: their records are taken into the file, and the next questions offer what they say."""
    if not options.look:
        return
    found = looks.domains(tuple(values["domains"]))
    values["in_dns"] = found
    unseen = [name for name in values["domains"] if name not in found]
    if unseen:
        names = ", ".join(unseen)
        say(f"{names}: no answer from DNS, so MX, SPF and DMARC of before are not in the file: compare, and add them")
    for name in values["domains"]:
        one = found.get(name, InDns())
        if one.mx or one.spf or one.dmarc:
            say(f"{name}: DNS has {_told(one)}; taken into the file")
    first = values["domains"][0]
    values["seen"]["upstream"] = upstream_seen(found.get(first))
    provider = looks.provider(first)
    if provider is not None:
        values["seen"]["dns"] = (provider,)


def _look_before(
    question: Question, values: dict[str, Any], options: Options, asker: Asker | None, looks: Looks, say: Say
) -> None:
    """Find out what a question then offers. Nobody is asked for what a flag has given."""
    if not options.look or options.given.get(question.key) or not question.when(values):
        return
    seen = values["seen"]
    if question.key == "context" and asker is not None:
        contexts = looks.contexts()
        if contexts:
            say(f"kubeconfig has {', '.join(contexts)}")
            seen["context"] = contexts[:1]
    asks_cluster = question.key in {"egress", "database"} and values.get("context")
    if asks_cluster and asker is not None and "cluster" not in seen:
        cluster = looks.cluster(values["context"])
        seen["cluster"] = ()
        if cluster.why is not None:
            say(f"the cluster was not looked at: {cluster.why}")
        seen |= {"egress": cluster.egress, "database": cluster.databases[:1], "web": cluster.web,
                 "issuer": cluster.issuers[:1], "ingress": (cluster.ingress,) if cluster.ingress else ()}  # fmt: skip


# --- questions ------------------------------------------------------------------------------------------------------


def _answer(
    question: Question, values: dict[str, Any], options: Options, asker: Asker | None, missing: list[str]
) -> None:
    """Put the answer to one question into ``values``, or its flag into ``missing``."""
    given = options.given.get(question.key)
    if question.key == "username" and given and values.get("placement") != "none":
        values[question.key] = given  # Google takes one, and needs none
        return
    if not question.when(values):
        if given:
            raise wrong_call(f"--{question.flag} has no use here: {_reason(values)}")
        return
    choices, default = question.choices(values), question.default(values)
    answer = given or _asked(question, choices, default, values, options, asker) or default
    if not answer and question.key == "contact" and "domains" not in values:
        return  # it follows from the first domain, and that is missing
    if not answer:
        kinds = f" ({', '.join(choices)})" if choices else ""
        missing.append(f"--{question.flag}{kinds}")
        return
    if choices and answer not in choices:
        why = f" ({reason})" if (reason := _reason(values)) else ""
        raise wrong_call(f"--{question.flag} {answer} is not possible here{why}: {' or '.join(choices)}")
    try:
        values[question.key] = _settled(question, answer, values)
    except ValueError as error:
        raise wrong_call(f"--{question.flag}: {error}") from None


def _asked(
    question: Question, choices: tuple[str, ...], default: str | None, values: Mapping[str, Any], options: Options,
    asker: Asker | None,
) -> str | None:  # fmt: skip
    """Return what a person says, asked again until it can be; None where nobody is asked."""
    if asker is None or (options.yes and default) or len(choices) == 1:
        return None
    while True:
        answer = asker.ask(question.text, choices, default or question.hint(values))
        try:
            _settled(question, answer, values)
        except ValueError as error:
            asker.tell(str(error))
        else:
            return answer


def _settled(question: Question, answer: Any, values: Mapping[str, Any]) -> Any:
    """Return the answer as settings have it. Raises ValueError."""
    if question.key == "certificate_file":
        chain_of(answer)
    if not question.many:
        return _held(question, settled(question.kind, answer), values)
    listed = answer if isinstance(answer, list | tuple) else [answer]
    parts = (part.strip().lower() for one in listed for part in one.split(","))
    found = list(dict.fromkeys(_held(question, settled(question.kind, part), values) for part in parts if part))
    if not found:
        raise ValueError("is empty; give one, or several with commas between")
    return found


def _held(question: Question, answer: str, values: Mapping[str, Any]) -> str:
    """Return an answer that the rules of its question take. Raises ValueError for another one."""
    for problem in question.rules(values, answer):
        raise ValueError(f'"{answer}" {problem.rule}. Fix: {problem.fix}')
    return answer


def _reason(values: Mapping[str, Any]) -> str:
    keys = ("environment", "placement", "engine", "upstream", "dns", "postal", "tls")
    return ", ".join(f"{key} is {values[key]}" for key in keys if key in values)


def _checked(kind: Any, flag: str, value: str | None) -> str | None:
    """Return the value of a flag. Raises a wrong call for one that the setting would not take."""
    try:
        return None if value is None else settled(kind, value)
    except ValueError as error:
        raise wrong_call(f"--{flag}: {error}") from None


def _typed(kind: Any, text: str, default: str | None, asker: Asker) -> str:
    while True:
        try:
            return settled(kind, asker.ask(text, (), default))
        except ValueError as error:
            asker.tell(str(error))


# --- the host -------------------------------------------------------------------------------------------------------


def _place(text: str | None) -> HostPlace | None:
    try:
        return None if text is None else host_place(text)
    except ValueError as error:
        raise wrong_call(f"--host: {error}") from None


def _host_key(options: Options, place: HostPlace, asker: Asker | None, looks: Looks, say: Say) -> str | None:
    """Return the key to pin: given, or shown by the host and known by somebody."""
    if options.host_key is not None:
        try:
            given = fingerprint(options.host_key)
        except ValueError as error:
            raise wrong_call(f"--host-key: {error}") from None
        if options.host_fingerprint not in {None, given}:
            raise wrong_call(
                f"--host-key has fingerprint {given}, and --host-fingerprint is {options.host_fingerprint}: "
                "one of them is another host's. Compare with the provider's console"
            )
        say(f"host key given: {given}")
        return _checked(HostKey, "host-key", options.host_key)
    if not options.look:
        if options.host_fingerprint is not None:
            raise wrong_call("--host-fingerprint is compared with what the host shows, and --no-look asks no host")
        return None if asker is None else _typed(HostKey, "Host key, algorithm and base64", None, asker)
    try:
        shown = looks.host_key(place)
    except HostKeyError as error:
        if options.host_fingerprint is not None:
            raise wrong_call(f"--host-fingerprint cannot be compared: {error}. Give --host-key") from None
        say(f"host key: {error}")
        return None if asker is None else _typed(HostKey, "Host key, algorithm and base64", None, asker)
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
    options: Options, place: HostPlace | None, host_key: str | None, asker: Asker | None, looks: Looks, say: Say, *,
    with_postal: bool, kind: Any,
) -> tuple[str | None, str | None]:  # fmt: skip
    """Return the public addresses of the host, IPv4 and IPv6: given, told by the host, or those of its name."""
    if place is None or options.public_ipv4 or options.public_ipv6:
        return _checked(Ipv4, "public-ipv4", options.public_ipv4), _checked(Ipv6, "public-ipv6", options.public_ipv6)
    found: tuple[str, ...] = ()
    if options.look:
        # An unpinned host is not logged in to: whoever answers could say anything.
        seen = looks.host(place, host_key) if host_key is not None else HostSeen(why="its key is not known")
        if seen.why is None:
            rights = "" if seen.root else "; the user is not root and has no sudo without a password"
            shown = [seen.system or "unknown system", *(seen.addresses or ["no public address of its own"])]
            say(f"{place.address}: {', '.join(shown)}{rights}")
            if with_postal and seen.memory_mb is not None and seen.memory_mb < POSTAL_MEMORY_MB * MEMORY_TOLERANCE:
                say(f"{place.address} has {seen.memory_mb} MB of memory, and Postal needs {POSTAL_MEMORY_MB}")
        else:
            say(f"{place.address} was not looked at: {seen.why}")
        found = seen.addresses or looks.addresses(place.address)
    ipv4 = next((one for one in found if ":" not in one), None)
    ipv6 = next((one for one in found if ":" in one), None)
    if asker is not None and not (options.yes and ipv4):
        answer = _typed(kind, "Public address its mail leaves from", ipv4 or ipv6, asker)
        ipv4, ipv6 = (ipv4, answer) if ":" in answer else (answer, ipv6)
    if ipv4 is None and ipv6 is None:
        raise wrong_call(f"no public address of {place.address} was found: give --public-ipv4 or --public-ipv6")
    return ipv4, ipv6


def _told(found: InDns) -> str:
    mx = [f"MX {', '.join(host for _, host in found.mx)}"] if found.mx else []
    return "; ".join([*mx, *(text for text in (found.spf, found.dmarc) if text)])


def _certificate(file: str | None, key_file: Path | None) -> str | None:
    """Return the chain of a file. Raises a wrong call where that is none, or the key belongs to another one."""
    if file is None:
        return None
    chain = chain_of(file)  # as it was when it was answered
    if key_file is not None:
        try:
            key_of(str(key_file), chain)
        except ValueError as error:
            raise wrong_call(f"--certificate-key: {error}") from None
    return chain
