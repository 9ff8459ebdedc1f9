"""Entry point: ``python3 -m relay_probe [--check]``."""

import sys
import time
from typing import Any, Dict, List, Optional

from relay_probe.probe import Outcome, attempt, explain, worth_waiting
from rolelib.protocol import Plan, Role, RoleError, main

DEFAULT_INTERVAL_SECONDS = 30


class RelayProbe(Role):
    """Tries the upstream as the relay would, up to RCPT TO, and explains a refusal. No message is ever sent.

    Settings: ``host``, ``port``, ``implicit_tls``, ``helo``, ``ca_file`` (path on this host or null),
    ``sender`` ("" is the null sender), ``recipient``, ``ip_protocol`` ("any", "ipv4", "ipv6"),
    ``source_address`` or null, ``connect_timeout``, ``deadline_seconds`` (0: one attempt),
    ``interval_seconds``, ``on_failure`` ("warn" or "fail") and ``replies`` (``name``, ``pattern``, ``stage``
    or null, ``cause``, ``fix``, ``curable``). Secrets: ``username`` and ``password``, or none.

    A refusal at DATA, where Google states that a daily limit is used up, is beyond what a probe can see.
    """

    name = "relay_probe"
    exclusive = False

    def plan(self) -> Plan:
        """Probe until it succeeds, until waiting makes no sense, or until the deadline. The plan is empty."""
        started = time.monotonic()
        deadline = started + float(self.settings.get("deadline_seconds") or 0)
        interval = max(1.0, float(self.settings.get("interval_seconds") or DEFAULT_INTERVAL_SECONDS))
        attempts = 0
        while True:
            attempts += 1
            outcome = attempt(self.settings, self.secrets)
            known = self._explain(outcome)
            waited = time.monotonic() - started
            self._record(outcome, known, attempts, waited)
            failure = outcome.failure
            if failure is None:
                self.say("probe", f"{self._target()} would take mail from this host")
                return []
            left = deadline - time.monotonic()
            if not worth_waiting(failure, known) or left <= 0:
                break
            pause = min(interval, left)
            self.say("poll", f"attempt {attempts}: {failure.text}; next in {pause:.0f} s, {left:.0f} s left")
            time.sleep(pause)
        message = self._message(outcome, attempts, waited)
        if self.settings.get("on_failure", "fail") == "warn":
            self.say("probe", message)
            self.warnings.append(message)
            return []
        raise RoleError("probe", message)

    def remove(self) -> List[str]:
        """Nothing was changed, so there is nothing to undo."""
        return []

    def _target(self) -> str:
        return "{host}:{port}".format(**self.settings)

    def _explain(self, outcome: Outcome) -> Optional[Dict[str, Any]]:
        if outcome.failure is None:
            return None
        return explain(outcome.failure, self.settings.get("replies") or [])

    def _record(self, outcome: Outcome, known: Optional[Dict[str, Any]], attempts: int, waited: float) -> None:
        failure = outcome.failure
        self.facts["probe"] = {
            "ok": failure is None,
            "target": self._target(),
            "attempts": attempts,
            "waited_seconds": round(waited),
            "steps": outcome.steps,
            "failure": None
            if failure is None
            else {
                "kind": failure.kind,
                "stage": failure.stage,
                "text": failure.text,
                "reply": failure.reply.lines if failure.reply is not None else [],
                "name": known["name"] if known else None,
                "cause": known["cause"] if known else None,
                "fix": known["fix"] if known else _fix(failure.kind),
                "curable": worth_waiting(failure, known),
            },
        }

    def _message(self, outcome: Outcome, attempts: int, waited: float) -> str:
        failure = self.facts["probe"]["failure"]
        lines = [f"{self._target()} would not take mail from this host: {failure['text']}"]
        if failure["cause"]:
            lines.append(f"cause: {failure['cause']}")
        elif failure["kind"] == "reply":
            lines.append("cause: this reply is not in the table of known ones; it is shown as it came")
        lines.append(f"fix: {failure['fix']}")
        source = [step["source_address"] for step in outcome.steps if "source_address" in step]
        if source:
            lines.append(f"seen from here: source address {source[0]}, EHLO {self.settings['helo']}")
        if attempts > 1:
            lines.append(f"tried {attempts} times in {waited:.0f} s")
        return "\n".join(lines)


_FIXES = {
    "dns": "check the host name and the resolver of this host: getent ahosts NAME",
    "network": "allow outgoing connections to this port in the firewall of the host and of the provider",
    "tls": "mail is not sent to a server that cannot prove its name; check host, port, ca_file, the clock, "
    "and whether a firewall inspects TLS",
    "reply": "look the reply up at the provider",
    "protocol": "check host and port, and whether a firewall inspects SMTP",
}


def _fix(kind: str) -> str:
    return _FIXES[kind]


def once(settings: Dict[str, Any], secrets: Dict[str, Any]) -> RelayProbe:
    """Make the role for ``--check``: one look, no polling."""
    return RelayProbe(dict(settings, deadline_seconds=0), secrets)


if __name__ == "__main__":
    sys.exit(main(once if "--check" in sys.argv[1:] else RelayProbe, sys.argv[1:]))
