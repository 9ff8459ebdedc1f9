"""One attempt of the probe, and what its outcome means."""

import re
from typing import Any, Dict, List, Optional, Sequence

from relay_probe.smtp import ProbeError, Reply, Session, resolve, tls_context

__all__ = ["Outcome", "attempt", "explain", "normalised", "worth_waiting"]

DEFAULT_CONNECT_SECONDS = 30


class Outcome:
    """The steps taken, in order, with their evidence; and how the attempt ended (None: all went well)."""

    def __init__(self, steps: List[Dict[str, Any]], failure: Optional[ProbeError]) -> None:
        """Keep both."""
        self.steps = steps
        self.failure = failure


def attempt(settings: Dict[str, Any], secrets: Dict[str, Any]) -> Outcome:
    """Go from the name to RCPT TO, then RSET and QUIT. DATA is never said, so nothing can be sent."""
    steps: List[Dict[str, Any]] = []
    session = Session(
        float(settings.get("connect_timeout") or DEFAULT_CONNECT_SECONDS),
        settings.get("source_address") or None,
    )
    try:
        _converse(settings, secrets, session, steps)
    except ProbeError as failure:
        step: Dict[str, Any] = {"step": failure.stage, "ok": False, "error": failure.text}
        if failure.reply is not None:
            step["reply"] = failure.reply.lines
        steps.append(step)
        return Outcome(steps, failure)
    finally:
        session.close()
    return Outcome(steps, None)


def _converse(settings: Dict[str, Any], secrets: Dict[str, Any], session: Session, steps: List[Dict[str, Any]]) -> None:
    host, port = str(settings["host"]), int(settings["port"])

    def done(step: str, **evidence: Any) -> None:
        steps.append(dict(evidence, step=step, ok=True))

    def command(step: str, text: str) -> Reply:
        reply = session.command(step, text)
        done(step, reply=reply.lines)
        return reply

    addresses = resolve(host, port, str(settings.get("ip_protocol") or "any"))
    done("resolve", name=host, addresses=[str(address[0]) for _, address in addresses])
    done("connect", **session.connect(addresses))
    context = _context(settings)
    if settings.get("implicit_tls"):
        done("tls", **session.start_tls(context, host))
    banner = session.read("banner")
    if not banner.ok:
        raise ProbeError(
            "reply", "banner", "the server greets with: " + " / ".join(banner.lines),
            transient=400 <= banner.code < 500, reply=banner,
        )  # fmt: skip
    done("banner", reply=banner.lines)
    hello = command("ehlo", f"EHLO {settings['helo']}")
    if not settings.get("implicit_tls"):
        if "STARTTLS" not in _extensions(hello):
            raise ProbeError(
                "protocol", "starttls",
                "the server offers no STARTTLS: something on the way removes it, or the port is wrong",
                False,
            )  # fmt: skip
        command("starttls", "STARTTLS")
        done("tls", **session.start_tls(context, host))
        # What was said before TLS does not count (RFC 3207 section 4.2).
        hello = command("ehlo-tls", f"EHLO {settings['helo']}")
    if secrets.get("username"):
        mechanisms = _extensions(hello).get("AUTH", "").upper().split()
        reply = session.authenticate(mechanisms, str(secrets["username"]), str(secrets.get("password", "")))
        done("auth", reply=reply.lines)
    command("mail", f"MAIL FROM:<{settings['sender']}>")
    command("rcpt", f"RCPT TO:<{settings['recipient']}>")
    command("rset", "RSET")
    command("quit", "QUIT")


def _context(settings: Dict[str, Any]) -> Any:
    ca_file = settings.get("ca_file") or None
    try:
        return tls_context(ca_file)
    except OSError as error:
        raise ProbeError("tls", "tls", f"cannot read the certificates in {ca_file}: {error}", False) from None


def _extensions(hello: Reply) -> Dict[str, str]:
    """Return the extensions of an EHLO reply (RFC 5321 section 4.1.1.1): keyword -> parameters."""
    found: Dict[str, str] = {}
    for text in hello.texts()[1:]:
        keyword, _, parameters = text.partition(" ")
        found[keyword.upper()] = parameters
    return found


def normalised(lines: Sequence[str]) -> str:
    """Return a reply on one line: code, enhanced status code of the first line where it has one, text."""
    code = lines[0][:3]
    status = re.match(r"\d{3}[- ]([245]\.\d{1,3}\.\d{1,3})(?:\s|$)", lines[0])
    words = []
    for line in lines:
        text = line[4:].strip()
        if status and (text + " ").startswith(status.group(1) + " "):
            text = text[len(status.group(1)) :].strip()
        words.append(text)
    return " ".join(" ".join([code, status.group(1) if status else "", *words]).split())


def explain(failure: ProbeError, replies: Sequence[Dict[str, Any]]) -> Optional[Dict[str, Any]]:
    """Return the entry of the table that matches the reply; None for an unknown reply or none at all."""
    if failure.reply is None:
        return None
    line = normalised(failure.reply.lines)
    for entry in replies:
        if entry.get("stage") in (None, failure.stage) and re.search(entry["pattern"], line, re.IGNORECASE):
            return entry
    return None


def worth_waiting(failure: ProbeError, known: Optional[Dict[str, Any]]) -> bool:
    """Tell whether the same attempt may succeed later although nothing changes here."""
    if known is not None:
        return bool(known.get("curable", failure.transient))
    return failure.transient
