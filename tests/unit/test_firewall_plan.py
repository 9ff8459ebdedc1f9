"""The firewall role's pure part: settings, SSH ports, ufw rules, the firewalld zone, the container filter, the undo."""

from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from firewall import containers, firewalld, ssh_access, ufw
from firewall.role import Firewall
from firewall.undo import before_text, manifest_text
from firewall.wanted import Opening, Wanted, wanted_from
from rolelib.host import RoleError

SETTINGS: dict[str, Any] = {
    "kind": "ufw",
    "ssh_ports": [22],
    "allow": [
        {"port": 25, "protocol": "tcp", "sources": [], "container": True},
        {"port": 3306, "protocol": "tcp", "sources": ["10.0.0.5", "2001:db8::/64"], "container": True},
        {"port": 53, "protocol": "udp", "sources": [], "container": False},
    ],
    "trusted_networks": ["172.29.25.0/24"],
}


def wanted(**changes: Any) -> Wanted:
    return wanted_from({**SETTINGS, **changes})


# -- settings ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "iptables"}, "kind 'iptables' is none of"),
        ({"kind": None}, "kind None is none of"),
        ({"ssh_ports": [0]}, "ssh_ports: 0 is not a port"),
        ({"ssh_ports": [True]}, "ssh_ports: True is not a port"),
        ({"allow": [{"port": 65536}]}, "allow: 65536 is not a port"),
        ({"allow": [{"port": 25, "protocol": "sctp"}]}, "protocol 'sctp' is none of"),
        ({"allow": [{"port": 25, "sources": ["10.0.0.5/8"]}]}, "allow port 25: 10.0.0.5/8 has host bits set"),
        ({"trusted_networks": ["mailstack"]}, "trusted_networks: 'mailstack' does not appear"),
        ({"undo_seconds": 0}, "undo_seconds 0 is not a number of seconds"),
        ({"undo_seconds": "120"}, "undo_seconds '120' is not a number of seconds"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused_by_name(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(RoleError, match=message):
        wanted(**changes)


def test_an_address_without_prefix_length_is_one_host() -> None:
    assert wanted().openings[1].sources == ("10.0.0.5/32", "2001:db8::/64")


# -- SSH --------------------------------------------------------------------------------------------------

LISTENING = """\
LISTEN 0      128          0.0.0.0:22         0.0.0.0:*    users:(("sshd",pid=181,fd=3))
LISTEN 0      128             [::]:2222          [::]:*    users:(("sshd",pid=181,fd=4))
LISTEN 0      128        127.0.0.1:6010       0.0.0.0:*    users:(("sshd",pid=999,fd=9))
LISTEN 0      128            [::1]:6010          [::]:*    users:(("sshd",pid=999,fd=8))
LISTEN 0      100          0.0.0.0:25         0.0.0.0:*    users:(("docker-proxy",pid=4,fd=4))
LISTEN 0      4096               *:2022             *:*    users:(("sshd",pid=1200,fd=3),("systemd",pid=1,fd=90))
"""


def test_every_port_sshd_listens_on_counts_and_forwarded_x11_does_not() -> None:
    assert ssh_access.listening_ports(LISTENING) == {22, 2222, 2022}
    assert ssh_access.listening_ports("") == set()


def test_ports_of_a_systemd_socket_count() -> None:
    show = "Listen=0.0.0.0:22 (Stream)\nListen=[::]:2200 (Stream)\nListen=/run/ssh.sock (Stream)\n"
    assert ssh_access.socket_ports(show) == {22, 2200}
    assert ssh_access.socket_ports("Listen=22 (Stream)\n") == {22}


# -- ufw --------------------------------------------------------------------------------------------------

COMMENT = ufw.COMMENT.encode().hex()
USER_RULES = f"""\
*filter
### RULES ###

### tuple ### allow tcp 22 0.0.0.0/0 any 0.0.0.0/0 in comment={COMMENT}
-A ufw-user-input -p tcp --dport 22 -j ACCEPT

### tuple ### allow tcp 8080 0.0.0.0/0 any 0.0.0.0/0 in comment=6f74686572
-A ufw-user-input -p tcp --dport 8080 -j ACCEPT

### tuple ### deny any any 0.0.0.0/0 any 203.0.113.0/24 in
-A ufw-user-input -s 203.0.113.0/24 -j DROP

### tuple ### allow tcp 80,443 0.0.0.0/0 any 0.0.0.0/0 Nginx%20Full - in
-A ufw-user-input -p tcp -m multiport --dports 80,443 -j ACCEPT -m comment --comment 'dapp_Nginx%20Full'

### tuple ### allow any 22 0.0.0.0/0 any 0.0.0.0/0 in_eth1
### tuple ### broken
COMMIT
"""


def found(text: str = USER_RULES, *, enabled: bool = True, policy: str = "DROP", ipv6: bool = False) -> ufw.Facts:
    return ufw.Facts(enabled, policy, ipv6, ufw.parse(text, "ipv4"), None)


def tuples(*lines: str) -> str:
    return "".join(f"### tuple ### {line}\n" for line in lines)


def ours_of(rules: list[ufw.Rule]) -> str:
    return tuples(
        *(
            f"{rule.action} {rule.protocol} {rule.port} {ufw.ANY[rule.family]} any {rule.source} in comment={COMMENT}"
            for rule in rules
        )
    )


def test_rules_of_ufw_are_read_with_their_owner() -> None:
    rules = ufw.parse(USER_RULES, "ipv4")
    assert [(rule.action, rule.protocol, rule.port, rule.plain, rule.ours) for rule in rules] == [
        ("allow", "tcp", "22", True, True),
        ("allow", "tcp", "8080", True, False),
        ("deny", "any", "any", True, False),
        ("allow", "tcp", "80,443", False, False),
        ("allow", "any", "22", False, False),
    ]


def test_a_host_as_declared_has_nothing_to_do() -> None:
    text = ours_of(ufw.wanted_rules(wanted(), [22], False))
    assert ufw.plan(found(text), wanted(), [22], []) == []
    assert ufw.commands(found(text), wanted(), [22]) == []


def test_ssh_is_allowed_before_anything_else_is_touched() -> None:
    commands = ufw.commands(found("", enabled=False, policy="ACCEPT"), wanted(), [22, 2222])
    assert " ".join(commands[0]) == "ufw prepend allow proto tcp from any to any port 22 comment mailstack"
    assert commands[1][1] == "prepend"
    assert commands.index(["ufw", "default", "deny", "incoming"]) == len(commands) - 1


@pytest.mark.parametrize("refusal", ["deny tcp 22", "reject any 22", "deny any any"])
def test_a_foreign_rule_that_refuses_ssh_is_overcome(refusal: str) -> None:
    text = tuples(f"{refusal} 0.0.0.0/0 any 0.0.0.0/0 in") + ours_of(ufw.wanted_rules(wanted(), [22], False))
    assert ("ufw", "a rule refuses SSH on port 22") in ufw.plan(found(text), wanted(), [22], [])
    commands = [" ".join(command) for command in ufw.commands(found(text), wanted(), [22])]
    # ufw adds nothing that is there already: the rule goes and comes back in front.
    prepended = commands.index("ufw prepend allow proto tcp from any to any port 22 comment mailstack")
    assert commands.index("ufw --force delete allow proto tcp from any to any port 22") < prepended


def test_the_opposite_of_a_wanted_ssh_rule_is_deleted_because_ufw_would_keep_it() -> None:
    commands = ufw.commands(found(tuples("deny tcp 22 0.0.0.0/0 any 0.0.0.0/0 in")), wanted(), [22])
    assert " ".join(commands[0]) == "ufw --force delete deny proto tcp from any to any port 22"


def test_a_ban_of_single_networks_is_not_a_lockout() -> None:
    text = tuples("deny any any 0.0.0.0/0 any 203.0.113.0/24 in") + ours_of(ufw.wanted_rules(wanted(), [22], False))
    assert ufw.plan(found(text), wanted(), [22], []) == []


def test_rules_nobody_wants_any_more_go_and_foreign_ones_stay_and_are_named() -> None:
    warnings: list[str] = []
    text = USER_RULES + tuples(f"allow tcp 9999 0.0.0.0/0 any 0.0.0.0/0 in comment={COMMENT}")
    steps = ufw.plan(found(text), wanted(), [22], warnings)
    assert ("ufw", "ufw allows tcp port 9999 from 0.0.0.0/0, which is not wanted any more") in steps
    assert "tcp port 8080 from 0.0.0.0/0" in warnings[0]
    assert "80,443" in warnings[0]
    deleted = [" ".join(command) for command in ufw.commands(found(text), wanted(), [22]) if "delete" in command]
    assert deleted == ["ufw --force delete allow proto tcp from any to any port 9999"]


def test_a_foreign_rule_that_says_the_same_is_left_alone() -> None:
    rules = [rule._replace(ours=False) for rule in ufw.wanted_rules(wanted(), [22], False)]
    text = ours_of(rules).replace(f" comment={COMMENT}", "")
    assert ufw.plan(found(text), wanted(), [22], []) == []


def test_sources_decide_the_family_and_ipv6_can_be_off() -> None:
    with_ipv6 = ufw.wanted_rules(wanted(), [22], True)
    assert ("ipv6", "2001:db8::/64") in [(rule.family, rule.source) for rule in with_ipv6 if rule.port == "3306"]
    assert all(rule.family == "ipv4" for rule in ufw.wanted_rules(wanted(), [22], False))
    # ufw leaves the prefix length of a single address out.
    assert "10.0.0.5" in [rule.source for rule in with_ipv6]


@pytest.mark.parametrize(
    ("facts", "what"),
    [
        (found(enabled=False), "ufw is not enabled"),
        (found(policy="ACCEPT"), "ufw lets in by default (policy ACCEPT)"),
        (ufw.Facts(True, "DROP", False, [], "iptables: the policy of INPUT is not DROP"), "policy of INPUT is not"),
    ],
)
def test_ufw_switched_off_or_open_by_default_is_drift(facts: ufw.Facts, what: str) -> None:
    assert any(what in step for _, step in ufw.plan(facts, wanted(), [22], []))


def test_the_kernels_words_for_a_rule_equal_those_of_the_file() -> None:
    file = "-A ufw-user-input -p tcp --dport 443 -s 10.0.0.5 -j ACCEPT\n"
    kernel = "-N ufw-user-input\n-A ufw-user-input -s 10.0.0.5/32 -p tcp -m tcp --dport 443 -j ACCEPT\n"
    assert ufw._rule_lines(file, "ufw-user-input") == ufw._rule_lines(kernel, "ufw-user-input")
    assert ufw._rule_lines(file, "ufw-user-input") != ufw._rule_lines(kernel.replace("443", "444"), "ufw-user-input")


# -- firewalld --------------------------------------------------------------------------------------------


def test_the_zone_holds_what_is_declared_and_refuses_the_rest() -> None:
    zone = ET.fromstring(firewalld.zone_text(wanted(kind="firewalld"), [22, 2222]))  # noqa: S314 - our own text
    # No target means: what matches no rule is refused.
    assert zone.attrib == {}
    ports = [(port.get("port"), port.get("protocol")) for port in zone.findall("port")]
    assert ports == [("22", "tcp"), ("25", "tcp"), ("53", "udp"), ("2222", "tcp")]
    rules = []
    for rule in zone.findall("rule"):
        source, port = rule.find("source"), rule.find("port")
        assert source is not None
        assert rule.find("accept") is not None
        rules.append((rule.get("family"), source.get("address"), port.get("port") if port is not None else None))
    assert rules == [
        ("ipv4", "10.0.0.5/32", "3306"),
        ("ipv6", "2001:db8::/64", "3306"),
        ("ipv4", "172.29.25.0/24", None),
    ]


def test_only_the_default_zone_changes_in_firewalld_conf() -> None:
    conf = "# comment\nDefaultZone=public\nLogDenied=off\n"
    assert firewalld.with_default_zone(conf, "mailstack") == conf.replace("=public", "=mailstack")
    assert firewalld.with_default_zone("", "mailstack") == "DefaultZone=mailstack\n"
    assert firewalld.with_default_zone("LogDenied=off", "x") == "LogDenied=off\nDefaultZone=x\n"


ZONE_FILES = {
    "public": '<zone><service name="ssh"/><interface name="eth0"/></zone>',
    "work": '<zone target="ACCEPT"><source address="10.9.0.0/16"/></zone>',
    "docker": '<zone target="ACCEPT"><interface name="docker0"/></zone>',
    "mailstack": '<zone><interface name="eth5"/></zone>',
    "broken": "<zone>",
}


def zone_facts(**changes: Any) -> firewalld.Facts:
    facts = firewalld.Facts()
    facts.active = facts.enabled = True
    facts.default_zone = "mailstack"
    facts.zone_text = firewalld.zone_text(wanted(), [22])
    for name, value in changes.items():
        setattr(facts, name, value)
    return facts


def test_zones_of_others_are_named_and_kept() -> None:
    bound = firewalld.bound_zones(ZONE_FILES)
    assert bound == {"eth0": "public", "10.9.0.0/16": "work"}
    warnings: list[str] = []
    assert firewalld.plan(zone_facts(bound=bound), wanted(), [22], warnings) == []
    assert "10.9.0.0/16 in zone work" in warnings[0]


def test_a_way_out_bound_to_another_zone_is_refused_because_our_rules_would_not_apply() -> None:
    facts = zone_facts(bound={"eth0": "public"}, uplinks=["eth0"])
    with pytest.raises(RoleError, match="--zone=public --remove-interface=eth0"):
        firewalld.plan(facts, wanted(), [22], [])


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"zone_text": ""}, "is missing or has other content"),
        ({"default_zone": "public"}, "the default zone is public"),
        ({"enabled": False}, "does not start at boot"),
        ({"active": False}, "is not running"),
        ({"live_problem": "the running zone differs"}, "the running zone differs"),
    ],
)
def test_every_difference_of_firewalld_is_one_step(changes: dict[str, Any], what: str) -> None:
    steps = firewalld.plan(zone_facts(**changes), wanted(), [22], [])
    assert len(steps) == 1
    assert what in steps[0][1]


# -- containers -------------------------------------------------------------------------------------------


def test_only_container_ports_pass_to_containers_and_everything_else_is_dropped() -> None:
    lines = [line.strip() for line in containers.ruleset(wanted(), ["eth0"]).splitlines()]
    accepted = [line for line in lines if line.endswith("accept") and "proto-dst" in line]
    assert accepted == [
        "ct status dnat meta l4proto tcp ct original proto-dst 25 accept",
        "ct status dnat meta l4proto tcp ct original proto-dst 3306 ip saddr { 10.0.0.5/32 } accept",
        "ct status dnat meta l4proto tcp ct original proto-dst 3306 ip6 saddr { 2001:db8::/64 } accept",
    ]
    assert lines.index("ct status dnat drop") > lines.index(accepted[-1])
    assert 'oifname "br-*" drop' in lines


def test_a_way_out_that_is_a_bridge_counts_as_outside() -> None:
    rules = containers.ruleset(wanted(), ["br-lan"])
    assert rules.index('iifname "br-lan" goto outside') < rules.index('iifname "br-*" accept')
    assert "eth0" not in containers.ruleset(wanted(), ["eth0"])


def test_openings_in_another_order_give_the_same_rules() -> None:
    openings = [Opening(25, "tcp", (), True), Opening(587, "tcp", (), True)]
    one, other = Wanted("ufw", openings), Wanted("ufw", openings[::-1])
    assert containers.ruleset(one, []) == containers.ruleset(other, [])
    assert firewalld.zone_text(one, [22]) == firewalld.zone_text(other, [22])


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"rules": "other"}, "docker-firewall.nft is missing or has other content"),
        ({"unit": ""}, "mailstack-docker-firewall.service is missing or has other content"),
        ({"ready": False}, "not enabled or not running"),
        ({"live": "table inet x {}"}, "nftables table mailstack_containers is not what"),
        ({"live": "", "loaded": ""}, "nftables table mailstack_containers is not what"),
    ],
)
def test_every_difference_of_the_container_filter_is_one_step(changes: dict[str, Any], what: str) -> None:
    files = {file.path: file.content for file in containers.files(wanted(), ["eth0"])}
    values: dict[str, Any] = {
        "rules": files[containers.RULES_PATH],
        "unit": files[containers.UNIT_PATH],
        "ready": True,
        "live": "table inet mailstack_containers {}",
        "loaded": "table inet mailstack_containers {}",
    }
    assert containers.plan(containers.Facts(**values), wanted(), ["eth0"]) == []
    steps = containers.plan(containers.Facts(**{**values, **changes}), wanted(), ["eth0"])
    assert len(steps) == 1
    assert what in steps[0][1]


# -- undo -------------------------------------------------------------------------------------------------


def test_the_undo_knows_which_files_were_not_there() -> None:
    text = manifest_text({"/etc/ufw/user.rules": "file0", "/etc/firewalld/zones/mailstack.xml": "-"})
    assert text == "file0 /etc/ufw/user.rules\n- /etc/firewalld/zones/mailstack.xml\n"
    assert before_text({"touches_ufw": True, "firewalld_active": False}) == "firewalld_active=no\ntouches_ufw=yes\n"


# -- confirming -------------------------------------------------------------------------------------------


class Scene:
    """The role with a state directory of its own, on a host that is as declared (or not)."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, directory: Path) -> None:
        self.directory = directory
        self.steps: list[tuple[str, str]] = []
        self.here = "192.0.2.9 50001 192.0.2.1 22"
        monkeypatch.setattr(Firewall, "state_directory", lambda role: str(directory))
        monkeypatch.setattr(Firewall, "_steps", lambda role, warnings: self.steps)
        monkeypatch.setattr("firewall.role.ssh_access.ports", lambda declared: [22])
        monkeypatch.setattr("firewall.role.ssh_access.connection", lambda: self.here)
        monkeypatch.setattr("firewall.role.containers.default_route_interfaces", lambda: ["eth0"])
        monkeypatch.setattr("firewall.role.Undo.at_work", lambda undo: False)

    def arm(self, connection: str) -> None:
        (self.directory / "undo").mkdir()
        (self.directory / "undo" / "manifest").write_text("")
        (self.directory / "undo" / "connection").write_text(connection + "\n")

    def plan(self) -> list[str]:
        role = Firewall({**SETTINGS, "confirm": True}, {})
        return [change.step for change in role.plan()]


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Scene:
    return Scene(monkeypatch, tmp_path)


def test_another_connection_confirms(scene: Scene) -> None:
    scene.arm("192.0.2.9 50000 192.0.2.1 22")
    assert scene.plan() == ["confirm"]


def test_the_connection_the_change_came_over_confirms_nothing(scene: Scene) -> None:
    scene.arm(scene.here)
    with pytest.raises(RoleError, match="it proves nothing"):
        scene.plan()


def test_a_console_confirms_because_it_needs_no_firewall(scene: Scene) -> None:
    scene.arm("")
    scene.here = ""
    assert scene.plan() == ["confirm"]


def test_nothing_to_confirm_is_no_error(scene: Scene) -> None:
    assert scene.plan() == []


def test_a_change_that_was_taken_back_is_made_again_but_not_confirmed(scene: Scene) -> None:
    (scene.directory / "undone").write_text("2026-11-21T08:00:05Z\n")
    scene.steps = [("ufw", "ufw is not enabled")]
    assert scene.plan() == ["ufw"]


def test_a_change_taken_back_that_nobody_wants_any_more_is_forgotten(scene: Scene) -> None:
    (scene.directory / "undone").write_text("2026-11-21T08:00:05Z\n")
    assert scene.plan() == []


def test_a_firewall_that_is_not_as_declared_is_drift_and_never_confirmed(scene: Scene) -> None:
    scene.arm("")
    scene.steps = [("ufw", "ufw is not enabled")]
    plan = Firewall({**SETTINGS, "confirm": True}, {}).plan()
    assert [change.what for change in plan] == [
        "the firewall is not as declared, so it is not confirmed: ufw is not enabled"
    ]
    with pytest.raises(RoleError, match="as declared"):
        plan[0].mend()
