"""The relay rule: refusals, console steps, and what Google's replies mean."""

import dataclasses
import ipaddress
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailstack.relay_rule import (
    ALLOWED_SENDERS_LABELS,
    REPLIES,
    AllowedSenders,
    Problem,
    RelayRule,
    console_steps,
    normalised,
    probe_replies,
    rule_problems,
    translate,
)

GOOD = RelayRule(
    name="mailstack relay",
    allowed_senders="domain-addresses",
    ip_ranges=("34.117.59.81", "2a00:1450:4001:82b::200e"),
    require_smtp_auth=False,
    require_tls=True,
    domains=("example.com",),
)
EGRESS = ("34.117.59.81", "2a00:1450:4001:82b::200e")


def problems(
    egress: tuple[str, ...] = EGRESS,
    credentials: bool = False,
    any_address: bool = False,
    rehearsal: bool = False,
    **changes: Any,
) -> list[Problem]:
    return rule_problems(
        dataclasses.replace(GOOD, **changes),
        egress_addresses=egress,
        relay_has_credentials=credentials,
        accepts_any_address=any_address,
        rehearsal=rehearsal,
    )


def test_a_sound_rule_has_no_problems() -> None:
    assert problems() == []


@pytest.mark.parametrize(
    ("changes", "field", "rule_says", "fix_says"),
    [
        ({"name": ""}, "name", "needs a name", "short name"),
        ({"name": "two\nlines"}, "name", "one line", "short name"),
        ({"name": "a `b`"}, "name", "one line", "short name"),
        ({"domains": ()}, "domains", "EHLO name and the envelope sender", "list the domains"),
        ({"allowed_senders": "any-address"}, "allowed_senders", "send as anyone", "accept any-address"),
        ({"require_tls": False}, "require_tls", "clear text", "set require_tls to true"),
        ({"require_smtp_auth": True}, "require_smtp_auth", "no user name and password", "auth: sasl"),
        ({"ip_ranges": ()}, "ip_ranges", "neither addresses nor SMTP AUTH", "list the addresses"),
        ({"ip_ranges": ("34.117.0.0/23", *EGRESS)}, "ip_ranges[0]", "broader than /24", "single addresses"),
        ({"ip_ranges": ("2a00:1450::/63", *EGRESS)}, "ip_ranges[0]", "broader than /64", "single addresses"),
        ({"ip_ranges": ("0.0.0.0/0", *EGRESS[1:])}, "ip_ranges[0]", "broader than /24", "single addresses"),
        ({"ip_ranges": ("10.1.2.3", *EGRESS)}, "ip_ranges[0]", "private range (RFC 1918)", "after NAT"),
        ({"ip_ranges": ("172.31.255.0/24", *EGRESS)}, "ip_ranges[0]", "private range", "after NAT"),
        ({"ip_ranges": ("192.168.0.4", *EGRESS)}, "ip_ranges[0]", "private range", "after NAT"),
        ({"ip_ranges": ("100.64.7.7", *EGRESS)}, "ip_ranges[0]", "carrier NAT", "after NAT"),
        ({"ip_ranges": ("127.0.0.1", *EGRESS)}, "ip_ranges[0]", "loopback", "public address"),
        ({"ip_ranges": ("::1", *EGRESS)}, "ip_ranges[0]", "loopback", "public address"),
        ({"ip_ranges": ("169.254.1.1", *EGRESS)}, "ip_ranges[0]", "link-local", "public address"),
        ({"ip_ranges": ("fe80::1", *EGRESS)}, "ip_ranges[0]", "link-local", "public address"),
        ({"ip_ranges": ("203.0.113.9", *EGRESS)}, "ip_ranges[0]", "documentation", "public address"),
        ({"ip_ranges": ("2001:db8::1", *EGRESS)}, "ip_ranges[0]", "documentation", "public address"),
        ({"ip_ranges": ("fd00::1", *EGRESS)}, "ip_ranges[0]", "unique local", "public address"),
        ({"ip_ranges": ("198.18.0.1", *EGRESS)}, "ip_ranges[0]", "benchmarks", "public address"),
        ({"ip_ranges": ("::ffff:34.1.1.1", *EGRESS)}, "ip_ranges[0]", "IPv4 address in IPv6", "public address"),
        ({"ip_ranges": ("224.0.0.1", *EGRESS)}, "ip_ranges[0]", "multicast", "public address"),
        ({"ip_ranges": ("ff02::1", *EGRESS)}, "ip_ranges[0]", "multicast", "public address"),
        ({"ip_ranges": ("34.117.59.81/24", *EGRESS[1:])}, "ip_ranges[0]", "right of its prefix", "first address"),
        ({"ip_ranges": ("relay.example.com", *EGRESS)}, "ip_ranges[0]", "neither an IP address", "CIDR form"),
        ({"ip_ranges": ("34.117.59.081", *EGRESS)}, "ip_ranges[0]", "neither an IP address", "CIDR form"),
        ({"ip_ranges": (*EGRESS, "34.117.59.0/24")}, "ip_ranges[2]", "overlaps 34.117.59.81", "keep one"),
        ({"ip_ranges": (*EGRESS, EGRESS[0])}, "ip_ranges[2]", "overlaps 34.117.59.81", "keep one"),
        ({"ip_ranges": (*EGRESS, "2a00:1450:4001:82b::/64")}, "ip_ranges[2]", "overlaps 2a00:", "keep one"),
        ({"ip_ranges": EGRESS[1:]}, "ip_ranges", "sends from 34.117.59.81 (IPv4)", "add 34.117.59.81"),
        ({"ip_ranges": EGRESS[:1]}, "ip_ranges", "sends from 2a00:1450:4001:82b::200e (IPv6)", "pin the relay"),
        ({"egress": ("34.117.59.81/32",)}, "egress_addresses", "is an IPv4 or IPv6 address", "no prefix length"),
    ],
)
def test_an_unsound_rule_is_refused_with_field_rule_and_fix(
    changes: dict[str, Any], field: str, rule_says: str, fix_says: str
) -> None:
    found = problems(**changes)
    assert [problem.field for problem in found] == [field]
    assert rule_says in found[0].rule
    assert fix_says in found[0].fix
    assert found[0].value


def test_all_problems_are_reported_together() -> None:
    found = problems(
        name="", domains=(), allowed_senders="any-address", require_tls=False, ip_ranges=("10.0.0.0/8", "x")
    )
    assert [problem.field for problem in found] == [
        "name", "domains", "allowed_senders", "require_tls", "ip_ranges[0]", "ip_ranges[1]",
    ]  # fmt: skip


def test_any_address_is_accepted_when_asked_for_by_name() -> None:
    assert problems(allowed_senders="any-address", any_address=True) == []


def test_smtp_auth_needs_no_address_list() -> None:
    assert problems(ip_ranges=(), require_smtp_auth=True, credentials=True) == []


def test_rehearsal_admits_private_addresses_but_still_no_broad_ones() -> None:
    assert problems(ip_ranges=("172.18.0.0/24",), egress=("172.18.0.3",), rehearsal=True) == []
    found = problems(ip_ranges=("172.18.0.0/16",), egress=("172.18.0.3",), rehearsal=True)
    assert "broader than /24" in found[0].rule


def test_an_egress_address_inside_a_range_is_covered() -> None:
    assert problems(ip_ranges=("34.117.59.64/27",), egress=("34.117.59.81",)) == []
    assert problems(ip_ranges=("34.117.59.64/27",), egress=("34.117.59.97",)) != []


@given(st.ip_addresses(v=4), st.integers(min_value=0, max_value=32))
def test_every_spelling_of_a_range_gets_an_answer(address: ipaddress.IPv4Address, prefix: int) -> None:
    for problem in problems(ip_ranges=(f"{address}/{prefix}",), egress=(str(address),)):
        assert problem.field.startswith("ip_ranges")
        assert problem.fix


@pytest.mark.parametrize("choice", sorted(ALLOWED_SENDERS_LABELS))
def test_console_steps_use_the_console_s_own_label_and_no_other(choice: AllowedSenders) -> None:
    steps = console_steps(dataclasses.replace(GOOD, allowed_senders=choice))
    shown = [label for label in ALLOWED_SENDERS_LABELS.values() if f"choose **{label}**" in steps]
    assert shown == [ALLOWED_SENDERS_LABELS[choice]]


def test_console_labels_are_google_s_letter_for_letter() -> None:
    assert ALLOWED_SENDERS_LABELS == {
        "registered-users": "Only registered Apps users in my domains",
        "domain-addresses": "Only addresses in my domains",
        "any-address": "Any addresses (not recommended)",
    }
    steps = console_steps(GOOD)
    for label in (
        "Menu > Apps > Google Workspace > Gmail > Routing",
        "SMTP relay service",
        "Only accept mail from the specified IP addresses",
        "Require SMTP Authentication",
        "Require TLS encryption",
        "Add setting",
    ):
        assert f"**{label}**" in steps


def test_values_to_paste_stand_alone_on_their_lines() -> None:
    blocks = re.findall(r"```text\n(.*?)```", console_steps(GOOD), re.DOTALL)
    assert [block.split() for block in blocks] == [["mailstack", "relay"], list(EGRESS)]


def test_single_address_ranges_are_entered_as_addresses() -> None:
    steps = console_steps(dataclasses.replace(GOOD, ip_ranges=("34.117.59.81/32", "34.117.60.0/28")))
    assert "     34.117.59.81\n     34.117.60.0/28\n" in steps


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"require_smtp_auth": True}, "Tick **Require SMTP Authentication**"),
        ({"require_smtp_auth": False}, "Leave **Require SMTP Authentication** without a tick"),
        ({"require_tls": True}, "tick **Require TLS encryption**"),
        ({"require_tls": False}, "leave **Require TLS encryption** without a tick"),
        ({"ip_ranges": ()}, "Leave **Only accept mail from the specified IP addresses** without a tick"),
    ],
)
def test_each_tick_box_follows_the_rule(changes: dict[str, Any], line: str) -> None:
    assert line in console_steps(dataclasses.replace(GOOD, **changes))


def test_equal_rules_give_equal_steps_and_any_change_shows() -> None:
    assert console_steps(GOOD) == console_steps(dataclasses.replace(GOOD))
    changed: list[dict[str, Any]] = [
        {"name": "other"},
        {"allowed_senders": "registered-users"},
        {"ip_ranges": EGRESS[:1]},
        {"require_smtp_auth": True},
        {"require_tls": False},
        {"domains": ("example.com", "example.net")},
    ]
    assert len({console_steps(GOOD), *(console_steps(dataclasses.replace(GOOD, **c)) for c in changed)}) == 7


DENIED = (
    "550-5.7.0 Mail relay denied [98.51.100.17]. Invalid credentials for relay for\r\n"
    "550-5.7.0 one of the domains in: example.com (as obtained from HELO and MAIL\r\n"
    "550 5.7.0 FROM). c31sm1401185itd.5 - gsmtp\r\n"
)


@pytest.mark.parametrize(
    ("reply", "name", "curable"),
    [
        (DENIED, "relay-denied", True),
        (DENIED.replace("\r\n", " "), "relay-denied", True),
        ("550-5.7.1 Invalid credentials for relay [1.2.3.4]. The IP address you've", "invalid-credentials-for-relay",
         True),
        ("550 5.7.0 Mail Sending denied. x - gsmtp", "sending-denied", True),
        ("550-5.7.1 Daily SMTP relay limit exceeded for customer. For more", "daily-limit-customer", True),
        ("550 5.4.5 Daily SMTP relay limit exceeded for user. For more", "daily-limit-user", True),
        ("550 5.4.5 Daily sending quota exceeded.", "daily-limit-user", True),
        ("550-5.4.5 Daily user sending limit exceeded.", "daily-limit-user", True),
        ("421 4.7.0 Try again later, closing connection. (EHLO) x - gsmtp", "ehlo-refused", True),
        ("421 4.7.0 IP not in whitelist for RCPT domain, closing connection.", "recipient-domain-allow-list", False),
        ("421-4.7.0 TLS required for RCPT domain, closing connection.", "recipient-domain-tls", False),
        ("421 4.7.28 Our system has detected an unusual rate of unsolicited mail", "unsolicited-mail", True),
        ("450 4.2.1 Peak SMTP relay limit exceeded for customer. This is a", "peak-limit-customer", True),
        ("450 4.2.1 The user you are trying to contact is receiving mail too quickly.", "recipient-too-fast", True),
        ("451 4.3.0 Multiple destination domains per transaction is unsupported.", "several-domains", False),
        ("452-4.2.2 The email account that you tried to reach is over quota.", "mailbox-full", True),
        ("452 4.5.3 Your message has too many recipients.", "too-many-recipients", False),
        ("454 4.7.0 Cannot authenticate due to a temporary system problem.", "auth-temporary", True),
        ("530 5.7.0 Must issue a STARTTLS command first. x - gsmtp", "starttls-first", False),
        ("530-5.5.1 Authentication Required. For more information, go to", "auth-required", True),
        ("530 5.7.0 Authentication Required.", "auth-required", True),
        ("534-5.7.9 Application-specific password required.", "app-password-required", False),
        ("535-5.7.8 Username and Password not accepted.", "bad-credentials", False),
        ("535 5.7.1 Username and Password not accepted.", "bad-credentials", False),
        ("504 5.7.4 Unrecognized Authentication Type", "auth-mechanism", False),
        ("550 5.1.1 The email account that you tried to reach does not exist.", "recipient-unknown", False),
        ("421 4.3.0 Temporary System Problem. Try again later", "system-problem", True),
        ("421 4.4.5 Server busy, try again later.", "system-problem", True),
        ("451 4.4.2 Timeout - closing connection.", "system-problem", True),
    ],
)  # fmt: skip
def test_known_replies_are_translated(reply: str, name: str, curable: bool) -> None:
    explanation = translate(reply)
    assert explanation is not None
    assert (explanation.name, explanation.curable) == (name, curable)


@pytest.mark.parametrize("reply", ["", "250 2.1.0 OK", "550 5.2.1 The account is disabled", "no reply at all"])
def test_unknown_replies_are_not_guessed_at(reply: str) -> None:
    assert translate(reply) is None


def test_every_entry_of_the_table_can_be_reached_and_says_what_to_do() -> None:
    names = [entry.name for entry in REPLIES]
    assert len(names) == len(set(names))
    for entry in REPLIES:
        assert entry.meaning
        assert entry.cause
        assert entry.fix
        assert re.search(r"\[\d+\]", entry.source)


def test_a_reply_reads_the_same_whether_in_lines_or_logged_on_one() -> None:
    expected = (
        "550 5.7.0 Mail relay denied [98.51.100.17]. Invalid credentials for relay for one of the domains in: "
        "example.com (as obtained from HELO and MAIL FROM). c31sm1401185itd.5 - gsmtp"
    )
    assert normalised(DENIED) == expected
    assert normalised(" ".join(DENIED.split())) == expected


@pytest.mark.parametrize(
    ("reply", "expected"),
    [("250", "250"), ("250 OK", "250 OK"), ("250-a\r\n250 b", "250 a b"), ("  odd   text ", "odd text")],
)
def test_replies_without_enhanced_status_codes_are_normalised_too(reply: str, expected: str) -> None:
    assert normalised(reply) == expected


def test_the_probe_s_table_is_plain_json_data() -> None:
    for entry in probe_replies():
        assert set(entry) == {"name", "pattern", "stage", "cause", "fix", "curable"}
        re.compile(entry["pattern"])
