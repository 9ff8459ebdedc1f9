"""Who may relay: pure decisions on the EHLO name, the sender and the limits.

Sources: support.google.com/a/answer/2956491 and 6140680; what is assumed stands in the package's docstring.
"""

import ipaddress
import re
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .config import ANY_ADDRESS, REGISTERED_USERS, Limits, RelayRule
from .replies import Stage

__all__ = ["LimitTracker", "SenderVerdict", "domain_of", "ehlo_is_generic", "judge_sender"]

DAY_SECONDS = 24 * 3600.0
PEAK_SECONDS = 600.0

_GENERIC_NAMES = frozenset({"localhost", "localhost.localdomain", "smtp-relay.gmail.com"})
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
# Docker's default host name is the first 12 hex digits of the container id, or all 64.
_CONTAINER_ID = re.compile(r"[0-9a-f]{12}|[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True)
class SenderVerdict:
    """The answer to one envelope sender.

    ``refusal`` names an entry of the reply table, to be given at ``stage``; ``None`` means accepted for
    ``relaying_domain``. ``tried_domains`` are the names Google would list in its denial.
    """

    refusal: str | None
    stage: Stage
    relaying_domain: str
    tried_domains: str


def ehlo_is_generic(name: str) -> bool:
    """Whether Google's relay would drop a client that says this EHLO name."""
    lowered = name.lower().rstrip(".")
    if lowered in _GENERIC_NAMES or lowered.startswith("[") or _is_ip(lowered):
        return True
    labels = lowered.split(".")
    if len(labels) < 2 or not all(_LABEL.fullmatch(label) for label in labels):
        return True
    return _CONTAINER_ID.fullmatch(labels[0]) is not None


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def domain_of(address: str) -> str:
    """The lower-case domain of an address, empty for the null sender."""
    return address.rpartition("@")[2].lower().rstrip(".") if "@" in address else ""


def _parents(name: str) -> list[str]:
    """The name and its parents down to two labels, as Google lists them in a denial."""
    labels = name.lower().rstrip(".").split(".")
    return [".".join(labels[start:]) for start in range(max(len(labels) - 1, 1))]


def judge_sender(
    rule: RelayRule, *, ip: str, ehlo: str, auth_user: str | None, tls: bool, sender: str
) -> SenderVerdict:
    """Decide on MAIL FROM ``sender`` (empty for the null sender) of one session."""
    ehlo_parents = _parents(ehlo)
    sender_domain = domain_of(sender)
    from_domain = sender_domain if sender_domain in rule.domains else ""
    ehlo_domain = next((name for name in ehlo_parents if name in rule.domains), "")
    auth_domain = domain_of(auth_user) if auth_user else ""
    tried = list(dict.fromkeys([*sorted(ehlo_parents, key=len), sender_domain]))
    relaying_domain = from_domain or ehlo_domain or auth_domain

    stage = Stage.MAIL
    refusal: str | None = None
    if rule.require_tls and not tls:
        refusal = "starttls-required"
    elif rule.require_smtp_auth and not auth_user:
        refusal = "auth-required"
    else:
        stage = Stage(rule.refuse_relay_at)
        refusal = _relay_refusal(
            rule,
            listed=rule.allows_ip(ip),
            identified=bool(relaying_domain),
            sender=sender.lower(),
            in_domain=bool(from_domain),
        )
    return SenderVerdict(
        refusal=refusal,
        stage=stage,
        relaying_domain=relaying_domain,
        tried_domains=", ".join(name for name in tried if name),
    )


def _relay_refusal(rule: RelayRule, *, listed: bool, identified: bool, sender: str, in_domain: bool) -> str | None:
    if not listed and not identified:
        return "mail-relay-denied"
    if not listed or not identified:
        return "invalid-credentials-for-relay"
    if not sender or rule.allowed_senders == ANY_ADDRESS:
        return None
    allowed = sender in rule.registered_users if rule.allowed_senders == REGISTERED_USERS else in_domain
    return None if allowed else "mail-sending-denied"


class LimitTracker:
    """Counts accepted recipients and messages in sliding windows. Safe for use from several threads.

    Totals are kept, not summed up each time: a bench puts tens of thousands of messages through.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """``clock`` gives seconds; tests move it."""
        self._clock = clock
        self._lock = threading.Lock()
        self._clear()

    def _clear(self) -> None:
        # (time, envelope sender, recipients) of each accepted message of the last 24 hours
        self._day: deque[tuple[float, str, tuple[str, ...]]] = deque()
        self._day_recipients = 0
        # (time, number of recipients) of the last ten minutes
        self._peak: deque[tuple[float, int]] = deque()
        self._peak_recipients = 0
        self._user_messages: Counter[str] = Counter()
        self._user_recipients: dict[str, Counter[str]] = {}

    def _forget_old(self) -> None:
        now = self._clock()
        while self._peak and self._peak[0][0] <= now - PEAK_SECONDS:
            self._peak_recipients -= self._peak.popleft()[1]
        while self._day and self._day[0][0] <= now - DAY_SECONDS:
            _, sender, recipients = self._day.popleft()
            self._day_recipients -= len(recipients)
            self._user_messages[sender] -= 1
            own = self._user_recipients[sender]
            own.subtract(recipients)
            for address in recipients:
                if own[address] <= 0:
                    del own[address]

    def refusal(self, rule: RelayRule, sender: str, recipients: Sequence[str]) -> str | None:
        """The name of the limit reply that one more message would get, or ``None``."""
        with self._lock:
            self._forget_old()
            limits = rule.limits
            if self._day_recipients + len(recipients) > limits.customer_recipients_per_day:
                return "daily-limit-customer"
            if sender.lower() in rule.registered_users and self._user_is_over(limits, sender.lower(), recipients):
                return "daily-limit-user"
            if self._peak_recipients + len(recipients) > limits.customer_recipients_per_10_minutes:
                return "peak-limit-customer"
            return None

    def _user_is_over(self, limits: Limits, sender: str, recipients: Sequence[str]) -> bool:
        known = self._user_recipients.get(sender, Counter())
        unique = len(known) + len({address.lower() for address in recipients} - known.keys())
        return (
            self._user_messages[sender] + 1 > limits.user_messages_per_day
            or unique > limits.user_unique_recipients_per_day
        )

    def record(self, sender: str, recipients: Sequence[str]) -> None:
        """Count an accepted message."""
        with self._lock:
            now, name = self._clock(), sender.lower()
            lowered = tuple(address.lower() for address in recipients)
            self._day.append((now, name, lowered))
            self._day_recipients += len(lowered)
            self._peak.append((now, len(lowered)))
            self._peak_recipients += len(lowered)
            self._user_messages[name] += 1
            self._user_recipients.setdefault(name, Counter()).update(lowered)

    def reset(self) -> None:
        """Forget everything."""
        with self._lock:
            self._clear()
