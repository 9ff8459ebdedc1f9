"""ufw: its rules as values, what differs, and the commands that mend it.

ufw keeps every rule as a "tuple" comment in user.rules (IPv4) and user6.rules (IPv6); see ufw-framework(8).
Ours carry the comment ``mailstack``, so nobody else's is ever touched.
"""

import re
from typing import Dict, List, NamedTuple, Optional, Sequence, Set, Tuple

from firewall.wanted import Wanted, family_of
from rolelib.commands import run
from rolelib.files import read
from rolelib.host import RoleError

__all__ = ["COMMENT", "FILES", "Facts", "Rule", "add_command", "gather", "parse", "plan", "put", "wanted_rules"]

COMMENT = "mailstack"
USER_RULES = {"ipv4": "/etc/ufw/user.rules", "ipv6": "/etc/ufw/user6.rules"}
CONF = "/etc/ufw/ufw.conf"
DEFAULTS = "/etc/default/ufw"
FILES = [*USER_RULES.values(), CONF, DEFAULTS]
ANY = {"ipv4": "0.0.0.0/0", "ipv6": "::/0"}
_TUPLE = re.compile(r"^### tuple ### (.*)$", re.MULTILINE)

Rule = NamedTuple(
    "Rule",
    [
        ("family", str),
        ("action", str),
        ("protocol", str),
        ("port", str),
        ("source", str),
        ("plain", bool),
        ("ours", bool),
    ],
)


class Facts:
    """What ufw has. ``rules`` in the order in which they are tried. ``live``: what the kernel has, per family."""

    def __init__(
        self, enabled: bool, input_policy: str, ipv6: bool, rules: Sequence[Rule], live_problem: Optional[str]
    ) -> None:
        """Hold the values."""
        self.enabled = enabled
        self.input_policy = input_policy
        self.ipv6 = ipv6
        self.rules = list(rules)
        self.live_problem = live_problem


def parse(text: str, family: str) -> List[Rule]:
    """Return the rules of user.rules. ``plain`` is False for what our rules never are: application, interface, out."""
    rules = []
    for found in _TUPLE.findall(text):
        fields, _, comment = found.partition(" comment=")
        parts = fields.split()
        if len(parts) < 6:
            continue
        action, protocol, port, destination, source_port, source = parts[:6]
        plain = parts[6:] in ([], ["in"]) and destination == ANY[family] and source_port == "any"
        ours = bool(comment) and _decode(comment.strip()) == COMMENT
        rules.append(Rule(family, action.split("_")[0], protocol, port, source, plain, ours))
    return rules


def _decode(comment: str) -> str:
    try:
        return bytes.fromhex(comment).decode()
    except ValueError:
        return ""


def gather() -> Facts:
    """Read ufw's files and ask the kernel. Call it only where ufw is installed."""
    enabled = re.search(r"^ENABLED=yes", read(CONF) or "", re.MULTILINE | re.IGNORECASE) is not None
    defaults = read(DEFAULTS) or ""
    policy = re.search(r'^DEFAULT_INPUT_POLICY="?(\w+)', defaults, re.MULTILINE)
    ipv6 = re.search(r'^IPV6="?yes', defaults, re.MULTILINE | re.IGNORECASE) is not None
    rules = [rule for family, path in sorted(USER_RULES.items()) for rule in parse(read(path) or "", family)]
    problem = _live_problem(ipv6) if enabled else None
    return Facts(enabled, policy.group(1) if policy else "", ipv6, rules, problem)


def _live_problem(ipv6: bool) -> Optional[str]:
    """Say what the kernel lacks of what ufw's files promise."""
    for family, program in (("ipv4", "iptables"), ("ipv6", "ip6tables")):
        if family == "ipv6" and not ipv6:
            continue
        chain = "ufw-user-input" if family == "ipv4" else "ufw6-user-input"
        inputs = run([program, "-S", "INPUT"], check=False).out
        if not re.search(r"^-P INPUT (DROP|REJECT)", inputs, re.MULTILINE):
            return f"{program}: the policy of INPUT is not DROP"
        if chain.replace("user", "before") not in inputs:
            return f"{program}: ufw's chains are not in INPUT"
        expected = _rule_lines(read(USER_RULES[family]) or "", chain)
        found = _rule_lines(run([program, "-S", chain], check=False).out, chain)
        if expected != found:
            return f"{program}: chain {chain} is not what {USER_RULES[family]} says"
    return None


def _rule_lines(text: str, chain: str) -> List[Tuple[str, ...]]:
    """Return the rules of a chain, normalised: the kernel names matches and prefixes that the file leaves out."""
    lines = []
    for line in text.splitlines():
        if not line.startswith(f"-A {chain} "):
            continue
        short = re.sub(r" -m (tcp|udp|multiport)(?= )", "", line).replace(" --dports ", " --dport ")
        short = re.sub(r"(?<=[0-9a-f:])/(32|128)(?= )", "", short)
        lines.append(tuple(sorted(short.split())))
    return lines


def wanted_rules(wanted: Wanted, ssh_ports: Sequence[int], ipv6: bool) -> List[Rule]:
    """Return the rules that should be there, SSH first."""
    rules: List[Rule] = []

    def add(protocol: str, port: str, sources: Sequence[str]) -> None:
        for source in sources or [ANY["ipv4"], ANY["ipv6"]]:
            family = family_of(source)
            rule = Rule(family, "allow", protocol, port, source.replace("/32", "").replace("/128", ""), True, True)
            if (family == "ipv4" or ipv6) and rule not in rules:
                rules.append(rule)

    for port in ssh_ports:
        add("tcp", str(port), [])
    for opening in wanted.openings:
        add(opening.protocol, str(opening.port), opening.sources)
    for network in wanted.trusted:
        add("any", "any", [network])
    return rules


def _same(one: Rule, other: Rule) -> bool:
    """Tell whether two rules let the same in, whoever made them."""
    return other.plain and one[:5] == other[:5]


def missing(wanted: Sequence[Rule], found: Sequence[Rule]) -> List[Rule]:
    """Return what is wanted and not there. A foreign rule that says the same will do."""
    return [rule for rule in wanted if not any(_same(rule, other) for other in found)]


def _opposite(rule: Rule, wanted: Sequence[Rule]) -> bool:
    """Tell whether a foreign rule refuses exactly what a wanted one allows."""
    return rule.action != "allow" and any(_same(one, rule._replace(action="allow")) for one in wanted)


def surplus(wanted: Sequence[Rule], found: Sequence[Rule]) -> List[Rule]:
    """Return rules of ours that are not wanted any more."""
    return [rule for rule in found if rule.ours and not any(_same(rule, other) for other in wanted)]


def blocked_ssh(ssh_ports: Sequence[int], found: Sequence[Rule]) -> List[int]:
    """Return SSH ports that a foreign rule refuses to everybody before an allowing rule is reached."""
    blocked: Set[int] = set()
    for port in ssh_ports:
        for family in ("ipv4", "ipv6"):
            for rule in found:
                covers = rule.family == family and rule.protocol in ("tcp", "any") and rule.source == ANY[family]
                if covers and rule.port in (str(port), "any"):
                    if rule.action in ("deny", "reject"):
                        blocked.add(port)
                    break
    return sorted(blocked)


def foreign(wanted: Sequence[Rule], found: Sequence[Rule]) -> List[str]:
    """Describe the rules that are not ours and open more than is declared."""
    return [
        f"{rule.action} {rule.protocol} port {rule.port} from {rule.source}"
        for rule in found
        if not rule.ours and not any(_same(one, rule) for one in wanted)
    ]


def plan(facts: Facts, wanted: Wanted, ssh_ports: Sequence[int], warnings: List[str]) -> List[Tuple[str, str]]:
    """Return (step, what) for everything in which ufw differs."""
    rules = wanted_rules(wanted, ssh_ports, facts.ipv6)
    others = foreign(rules, facts.rules)
    if others:
        warnings.append("ufw has rules that are not declared here; they are kept: " + "; ".join(others))
    steps = []
    if facts.input_policy != "DROP":
        steps.append(("ufw", f"ufw lets in by default (policy {facts.input_policy or 'unknown'})"))
    steps += [("ufw", f"ufw does not allow {words(rule)}") for rule in missing(rules, facts.rules)]
    steps += [
        ("ufw", f"ufw allows {words(rule)}, which is not wanted any more") for rule in surplus(rules, facts.rules)
    ]
    steps += [("ufw", f"a rule refuses SSH on port {port}") for port in blocked_ssh(ssh_ports, facts.rules)]
    if not facts.enabled:
        steps.append(("ufw", "ufw is not enabled"))
    elif facts.live_problem:
        steps.append(("ufw", facts.live_problem))
    return steps


def words(rule: Rule) -> str:
    """Say a rule in words."""
    port = "every port" if rule.port == "any" else f"{rule.protocol} port {rule.port}"
    return f"{port} from {rule.source}"


def _clause(rule: Rule) -> List[str]:
    source = ["from", "any" if rule.source in ANY.values() else rule.source]
    if rule.port == "any":
        return source
    return ["proto", rule.protocol, *source, "to", "any", "port", rule.port]


def add_command(rule: Rule, first: bool) -> List[str]:
    """Return the argv that adds a rule, before all others or after them."""
    return ["ufw", *(["prepend"] if first else []), "allow", *_clause(rule), "comment", COMMENT]


def delete_command(rule: Rule) -> List[str]:
    """Return the argv that deletes a rule."""
    return ["ufw", "--force", "delete", rule.action, *_clause(rule)]


def commands(facts: Facts, wanted: Wanted, ssh_ports: Sequence[int]) -> List[List[str]]:
    """Return the commands that make the rules right. SSH comes first, whatever happens after it."""
    rules = wanted_rules(wanted, ssh_ports, facts.ipv6)
    ssh = {str(port) for port in ssh_ports}
    # ufw changes the action of a rule when the opposite is added at the end, but not when it is added at the front.
    result = [delete_command(rule) for rule in facts.rules if rule.port in ssh and _opposite(rule, rules)]
    for port in blocked_ssh(ssh_ports, facts.rules):
        again = Rule("ipv4", "allow", "tcp", str(port), ANY["ipv4"], True, True)
        if any(_same(again, rule) for rule in facts.rules):
            result.append(delete_command(again))
        result.append(add_command(again, True))
    result += [
        add_command(rule, rule.port in ssh and rule.source in ANY.values()) for rule in missing(rules, facts.rules)
    ]
    if facts.input_policy != "DROP":
        result.append(["ufw", "default", "deny", "incoming"])
    result += [delete_command(rule) for rule in surplus(rules, facts.rules)]
    return [command for number, command in enumerate(result) if command not in result[:number]]


def put(facts: Facts, wanted: Wanted, ssh_ports: Sequence[int]) -> None:
    """Make ufw as declared. Raises CommandError; the caller goes back."""
    for command in commands(facts, wanted, ssh_ports):
        run(command)
    if not facts.enabled:
        run(["ufw", "--force", "enable"])
    elif facts.live_problem:
        run(["ufw", "--force", "disable"])
        run(["ufw", "--force", "enable"])
    left = plan(gather(), wanted, ssh_ports, [])
    if left:
        raise RoleError("ufw", "ufw took the rules and still differs: " + "; ".join(what for _, what in left))


def take_away(before: Dict[str, object]) -> List[str]:
    """Remove our rules and put ufw's switch and policy back as ``before`` says; return what was done."""
    facts = gather()
    ours = [rule for rule in facts.rules if rule.ours]
    if not before.get("enabled") and facts.enabled:
        run(["ufw", "--force", "disable"])
    done: List[List[str]] = []
    for rule in ours:
        command = delete_command(rule)
        if command not in done:
            run(command)
            done.append(command)
    policy = {"ACCEPT": "allow", "REJECT": "reject"}.get(str(before.get("input_policy")))
    if policy and facts.input_policy != before.get("input_policy"):
        run(["ufw", "default", policy, "incoming"])
    return [f"{len(done)} rules of ufw removed"] + ([] if before.get("enabled") else ["ufw disabled"])
