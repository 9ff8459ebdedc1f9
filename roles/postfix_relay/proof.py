"""The proof that the relay on this host accepts mail and that the upstream takes it. No message is sent.

A client on this host that greets with the agreed name has Postfix ask the upstream whether it would take mail for a
recipient: the way every message goes, the same service, TLS, login, MAIL FROM and RCPT TO, but never DATA
(ADDRESS_VERIFICATION_README). So what would hold mail up shows here, in the upstream's own words.
"""

import ipaddress
import re
import smtplib
import time
from typing import Any, Callable, Dict, Optional, Sequence

from rolelib.host import RoleError

__all__ = ["prove"]

# The relay itself waits 30 s for the upstream's answer.
REPLY_SECONDS = 90
# What Postfix says where no reply of the upstream does: pattern, fix.
FIXES = (
    (
        r"certificate|TLS",
        "nothing is sent to a server that cannot prove its name; check host and ca_file of the upstream, and the clock",
    ),
    (r"SASL|authentication", "check the upstream's username and password"),
    (r"Host or domain name not found|Host not found", "check the upstream's name and the resolver of this host"),
    (
        r"^connect to|timed out|lost connection|unreachable",
        "allow outgoing connections to the upstream in the firewall of the host and of the provider",
    ),
    (r"", "look the reply up at the provider"),
)
SAID = re.compile(r"said: (?P<words>\d{3}.*?)(?: \(in reply to (?P<command>.*?) command\))?$", re.DOTALL)


class _Refusal:
    """Why the proof failed: ``text`` for people, and whether the same may go well later."""

    def __init__(self, text: str, lasting: bool) -> None:
        self.text = text
        self.lasting = lasting


def prove(proof: Dict[str, Any], listen: Sequence[Sequence[Any]], say: Callable[[str, str], None]) -> None:
    """Return once the relay has said that the upstream takes mail. ``listen`` are its addresses with their ports.

    ``proof`` holds helo, sender, recipient, wait_seconds, interval_seconds and replies, see ``RelayProbe``. Raises
    RoleError with reason, cause and fix when the time is over, or at once where waiting does not help.
    """
    started, attempts = time.monotonic(), 0
    say("prove", f"asking the upstream, through the relay, about mail for {proof['recipient']}")
    while True:
        attempts += 1
        refusal = _ask(proof, listen)
        if refusal is None:
            say("prove", "the relay accepts, and the upstream takes its mail")
            return
        left = started + proof["wait_seconds"] - time.monotonic()
        if refusal.lasting or left <= 0:
            tried = f"\ntried {attempts} times in {time.monotonic() - started:.0f} s" if attempts > 1 else ""
            raise RoleError("prove", refusal.text + tried)
        # Postfix keeps an answer for some seconds: asking again sooner would ask nobody.
        pause = min(proof["interval_seconds"], max(left, 6))
        say("prove", f"attempt {attempts}: {refusal.text.splitlines()[0]}; next in {pause:.0f} s")
        time.sleep(pause)


def _ask(proof: Dict[str, Any], listen: Sequence[Sequence[Any]]) -> Optional[_Refusal]:
    """Hold the conversation once; None when mail would be delivered."""
    address, port = _place(listen)
    loopback = "::1" if ":" in address else "127.0.0.1"
    try:
        # From loopback, which may always send: another address of the host need not be in a trusted network.
        with smtplib.SMTP(address, port, proof["helo"], REPLY_SECONDS, source_address=(loopback, 0)) as smtp:
            smtp.ehlo()
            code, words = smtp.mail(proof["sender"])
            if code == 250:
                code, words = smtp.rcpt(proof["recipient"])
    except (OSError, smtplib.SMTPException) as error:
        return _Refusal(f"the relay on {address} port {port} does not hold the conversation: {error}", False)
    if code == 250:
        return None
    text = " ".join(words.decode("utf-8", "replace").split())
    found = re.search(r"Recipient address rejected: (?:unverified|undeliverable) address: (.*)", text)
    if found is None:
        waiting = "verification in progress" in text
        return _Refusal(f"the relay itself refuses: {code} {text}", not waiting and code >= 500)
    return _explained(found.group(1), proof["replies"])


def _place(listen: Sequence[Sequence[Any]]) -> "tuple[str, int]":
    """Return where to connect to: loopback, where the relay listens there."""
    targets = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - looked up, not bound
    places = [(targets.get(address, address), int(port)) for address, port in listen]
    port = places[0][1]
    local = [place for place in places if place[1] == port and ipaddress.ip_address(place[0]).is_loopback]
    return (local or places)[0]


def _explained(reason: str, replies: Sequence[Dict[str, Any]]) -> _Refusal:
    """Return the refusal with cause and fix, from the table of known replies where the upstream gave one."""
    said = SAID.search(reason)
    lines = [f"the relay answers, but the upstream would not take its mail: {reason}"]
    known = None
    if said is not None:
        line = _one_line(said.group("words"))
        stage = "auth" if "SASL" in reason else None
        known = next(
            (
                entry
                for entry in replies
                if entry.get("stage") in (None, stage) and re.search(entry["pattern"], line, re.IGNORECASE)
            ),
            None,
        )
    if known is not None:
        lines += [f"cause: {known['cause']}", f"fix: {known['fix']}"]
        return _Refusal("\n".join(lines), not known["curable"])
    lines.append("fix: " + next(fix for pattern, fix in FIXES if re.search(pattern, reason)))
    return _Refusal("\n".join(lines), said is not None and said.group("words").startswith("5"))


def _one_line(words: str) -> str:
    """Return a reply as code, status and text: Postfix joins its lines, each with both in front, by blanks."""
    first = re.match(r"(\d{3})[- ](?:([245]\.\d{1,3}\.\d{1,3}) )?", words)
    if first is None:
        return words
    code, status = first.groups()
    again = r"(?:(?<= )|^){}[- ]{}".format(code, re.escape(status + " ") if status else "")
    return " ".join(part for part in (code, status or "", re.sub(again, "", words)) if part)
