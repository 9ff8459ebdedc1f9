"""From a symptom to its cause: the troubleshooting entries of the wiki pages, as data.

Each entry names, by number, the checks that reveal it, with the cause that a failure of each stands for and what to do
next. Numbers and not names: they are those of the list of checks, which stays.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from mailstack.verify.model import CHECKS, Finding, State
from mailstack.verify.run import Report

__all__ = ["ENTRIES", "SYMPTOMS", "Cause", "Diagnosis", "Entry", "Found", "checks_for", "diagnose"]

SYMPTOMS: Mapping[str, str] = {
    "not-delivering": "mail is accepted or queued, and does not arrive",
    "spam": "mail arrives in the spam folder",
    "tls-error": "TLS handshakes fail, certificates are refused or warned about",
    "auth-failure": "the upstream or our server refuses the login",
    "relay-refused": "connection refused, `relay access denied`, `550`: somebody does not take the mail",
    "dns-not-there": "names do not resolve, records are not seen",
}


@dataclass(frozen=True, kw_only=True)
class Cause:
    """What it is when one of the checks fails. ``command`` is what to do next, to fix it or to see more."""

    checks: tuple[int, ...]
    cause: str
    command: str


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A troubleshooting entry of a wiki page. ``seed`` is its page and heading, short; causes come likeliest first.

    ``elsewhere`` is for what cannot be seen from outside: the commands that look at it.
    """

    seed: str
    symptoms: tuple[str, ...]
    causes: tuple[Cause, ...]
    elsewhere: tuple[str, ...] = ()


UP, DRIFT = "pulumi up --stack <stack>", "mailstack drift --stack <stack>"
RULE = "pulumi stack output relay_rule_console_steps --stack <stack>"
PROBE = "pulumi stack output relay_rule_probe --stack <stack>"
WAIT = "mailstack verify --stack <stack> --wait"
LOGS = "mailstack relay logs --stack <stack> --since 1h"
QUEUE = "mailstack relay queue list --stack <stack>"
NEW_LOGIN = "mailstack rotate relay-password --stack <stack>"

DELEGATION = Cause(
    checks=(1, 2, 3, 4),
    cause="the zone is delegated to other name servers than those that hold the records, or one of them is behind",
    command="set the NS records at the registrar to the servers that the report lists",
)
BOGUS = Cause(
    checks=(5, 6),
    cause="DNSSEC is broken: resolvers that validate see nothing of the zone at all",
    command="take the DS record out at the registrar, or make it match the zone's key",
)
ADDRESS = Cause(
    checks=(7, 8),
    cause="the host's name has another address than the host, or stands behind a proxy that carries no mail",
    command=UP,
)
MX = Cause(checks=(20, 21), cause="MX leads nowhere, so that neither answers nor bounces come back", command=UP)
SPF = Cause(
    checks=(14, 12),
    cause="SPF does not let the sender pass: it is missing, there twice, wrong, or lacks whoever sends",
    command=UP,
)
DKIM = Cause(
    checks=(15,),
    cause="signatures do not verify: the key in DNS is missing or another one than the signer's",
    command=UP,
)
DMARC = Cause(
    checks=(16, 17, 18),
    cause="DMARC is missing or wrong, or neither SPF nor DKIM is aligned with From",
    command=UP,
)
REVERSE = Cause(
    checks=(9, 10, 11),
    cause="the address has no name, or another one than the host greets with: many receivers refuse that",
    command="set the reverse name (PTR) of the address to relay.hostname at whoever owns the address",
)
LISTED = Cause(
    checks=(41,),
    cause="the address or the domain is on a block list",
    command="look it up at https://check.spamhaus.org, end what caused it, then ask for removal",
)
OUTBOUND = Cause(
    checks=(39,),
    cause="the way out is closed: a firewall or the provider of the host blocks outgoing mail",
    command="mailstack validate --stack <stack>, then ask the host's provider to open it; 587 is usually open",
)
RETURN_PATH = Cause(
    checks=(23,),
    cause="the return path does not work: receivers refuse mail whose sender domain takes no bounces",
    command=UP,
)
END_TO_END = Cause(
    checks=(19,),
    cause="a test message was refused, or arrived without passing SPF, DKIM or DMARC",
    command="mailstack verify --stack <stack> --only 19 --verbose",
)
CERTIFICATE = Cause(
    checks=(29,),
    cause="the certificate is for another name, has expired, or its chain is not trusted",
    command="pulumi stack output certificates --stack <stack>",
)
STALE = Cause(
    checks=(33,),
    cause="a renewed certificate is on the host, and the server still shows the old one",
    command="ssh <host> systemctl start mailstack-smtp-certificate",
)
CAA = Cause(checks=(31,), cause="CAA forbids the issuer in use, so that no certificate is given out", command=UP)
WEB = Cause(checks=(38,), cause="the web name answers without HTTPS, or with another certificate", command=UP)
STARTTLS = Cause(
    checks=(25, 26, 27, 28),
    cause="STARTTLS is not offered, or only with what is too old",
    command="mailstack verify --stack <stack> --only E --verbose",
)
POLICY = Cause(
    checks=(32, 34, 35),
    cause="a TLSA record or the MTA-STS policy names another certificate or host: strict senders then send nothing",
    command=UP,
)
LOGIN = Cause(
    checks=(30,),
    cause="the server offers AUTH before TLS, or does not offer it at all",
    command="mailstack verify --stack <stack> --only 30 --verbose",
)
OPEN_RELAY = Cause(
    checks=(40,),
    cause="the relay takes mail for strangers, which lands it on block lists and makes upstreams refuse it",
    command="set relay.client_networks to your own networks, then pulumi up --stack <stack>",
)
PORTS = Cause(
    checks=(42,),
    cause="a port that should be open is closed, or the service behind it does not listen",
    command=DRIFT,
)
CHANGED = Cause(
    checks=(44,), cause="the host or a record was changed by hand and differs from what is declared", command=DRIFT
)
LEFTOVER = Cause(
    checks=(45,),
    cause="a previous provider is still in SPF, DKIM or MX",
    command="remove its records, or declare them; docs/how-to/dns.md",
)
HEALTH = Cause(
    checks=(43,),
    cause="the host's disk is full, its memory short or its clock wrong: queues stop and certificates look invalid",
    command="mailstack status --stack <stack>",
)

ENTRIES: tuple[Entry, ...] = (
    Entry(
        seed="000 DNS Not Propagating",
        symptoms=("dns-not-there",),
        causes=(DELEGATION, ADDRESS, BOGUS, MX),
        elsewhere=(WAIT,),
    ),
    Entry(
        seed="000 Gmail Relay Rejecting Emails",
        symptoms=("relay-refused", "not-delivering"),
        causes=(ADDRESS, REVERSE, SPF, OUTBOUND, END_TO_END),
        elsewhere=(RULE, PROBE),
    ),
    Entry(
        seed="000 TLS Certificate Errors",
        symptoms=("tls-error",),
        causes=(CERTIFICATE, STALE, CAA, WEB, ADDRESS),
        elsewhere=("ssh <host> journalctl --unit caddy --since -1h",),
    ),
    Entry(
        seed="000 Emails Marked as Spam",
        symptoms=("spam",),
        causes=(SPF, DKIM, DMARC, REVERSE, LISTED, LEFTOVER, END_TO_END),
    ),
    Entry(
        seed="002 Authentication Failures",
        symptoms=("auth-failure",),
        causes=(LOGIN, STARTTLS, CHANGED, END_TO_END),
        elsewhere=(LOGS, NEW_LOGIN),
    ),
    Entry(
        seed="002 Connection Timeouts",
        symptoms=("not-delivering", "relay-refused"),
        causes=(OUTBOUND, PORTS, DELEGATION),
        elsewhere=(PROBE, LOGS),
    ),
    Entry(
        seed="002 TLS/SSL Errors",
        symptoms=("tls-error",),
        causes=(STARTTLS, CERTIFICATE, POLICY, HEALTH),
        elsewhere=(LOGS, "mailstack validate --stack <stack>"),
    ),
    Entry(
        seed="002 Emails Not Delivering",
        symptoms=("not-delivering",),
        causes=(OUTBOUND, END_TO_END, RETURN_PATH, POLICY, HEALTH, CHANGED, LISTED),
        elsewhere=(QUEUE, LOGS, DRIFT),
    ),
    Entry(
        seed="003 Connection Refused",
        symptoms=("relay-refused",),
        causes=(PORTS, CHANGED),
        elsewhere=(
            "kubectl get namespace <namespace> --show-labels   # only on a cluster: docs/how-to/relay-on-kubernetes.md",
            "kubectl get networkpolicy --namespace <relay's namespace>   # only on a cluster",
        ),
    ),
    Entry(
        seed="003 Email Bounces",
        symptoms=("not-delivering", "relay-refused"),
        causes=(SPF, DKIM, DMARC, RETURN_PATH, REVERSE, LISTED, OPEN_RELAY),
        elsewhere=(RULE, LOGS),
    ),
    Entry(
        seed="003 High Queue Size",
        symptoms=("not-delivering",),
        causes=(OUTBOUND, HEALTH, END_TO_END),
        elsewhere=(QUEUE,),
    ),
    Entry(
        seed="004 Email Not Sending",
        symptoms=("not-delivering",),
        causes=(CHANGED, OUTBOUND, HEALTH, END_TO_END),
        elsewhere=(LOGS, DRIFT),
    ),
    Entry(
        seed="004 relay access denied",
        symptoms=("relay-refused",),
        causes=(OPEN_RELAY, PORTS, CHANGED),
        elsewhere=("pulumi stack output sender_domains --stack <stack>   # MAIL FROM has to be in one of these",),
    ),
    Entry(
        seed="004 authentication failed",
        symptoms=("auth-failure",),
        causes=(LOGIN, STARTTLS, CHANGED),
        elsewhere=(NEW_LOGIN, LOGS),
    ),
    Entry(
        seed="004 connection refused",
        symptoms=("relay-refused",),
        causes=(PORTS, OUTBOUND, CHANGED),
        elsewhere=("mailstack validate --stack <stack>", PROBE),
    ),
)


@dataclass(frozen=True, kw_only=True)
class Found:
    """A cause that shows: the findings that reveal it, and the entries of the wiki pages it explains."""

    cause: Cause
    evidence: tuple[Finding, ...]
    seeds: tuple[str, ...]

    @property
    def certain(self) -> bool:
        """Tell whether something fails, not only warns."""
        return any(finding.state is State.FAIL for finding in self.evidence)


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """What a symptom comes from: causes that show, likeliest first, and where to look for what nobody sees outside.

    ``unseen`` are the findings that were not answered in time: their causes are neither there nor ruled out.
    """

    symptom: str
    found: tuple[Found, ...]
    unseen: tuple[Finding, ...]
    elsewhere: tuple[str, ...]


def checks_for(symptom: str) -> tuple[int, ...]:
    """Return the numbers of the checks that reveal what may be behind a symptom, without repetition."""
    return tuple(dict.fromkeys(number for cause in _ranked(symptom) for number in cause.checks))


def diagnose(symptom: str, report: Report) -> Diagnosis:
    """Return what a run of ``checks_for`` says about a symptom. What fails comes before what only warns."""
    by_number: dict[int, list[Finding]] = {}
    for finding in report.findings:
        by_number.setdefault(CHECKS[finding.check].number, []).append(finding)
    found, unseen = [], list[Finding]()
    for cause in _ranked(symptom):
        own = [finding for number in cause.checks for finding in by_number.get(number, ())]
        evidence = tuple(finding for state in (State.FAIL, State.WARN) for finding in own if finding.state is state)
        unseen += [finding for finding in own if finding.state is State.UNKNOWN]
        if evidence:
            seeds = tuple(entry.seed for entry in _entries(symptom) if cause in entry.causes)
            found.append(Found(cause=cause, evidence=evidence, seeds=seeds))
    return Diagnosis(
        symptom=symptom,
        found=tuple(sorted(found, key=lambda one: not one.certain)),
        unseen=tuple(dict.fromkeys(unseen)),
        elsewhere=tuple(dict.fromkeys(command for entry in _entries(symptom) for command in entry.elsewhere)),
    )


def _entries(symptom: str) -> Iterator[Entry]:
    return (entry for entry in ENTRIES if symptom in entry.symptoms)


def _ranked(symptom: str) -> Sequence[Cause]:
    """Return the causes, likeliest first: by how many entries have one, then by its place in them."""
    places: dict[Cause, list[int]] = {}
    for entry in _entries(symptom):
        for place, cause in enumerate(entry.causes):
            places.setdefault(cause, []).append(place)
    return sorted(places, key=lambda cause: (-len(places[cause]), sum(places[cause]) / len(places[cause])))
