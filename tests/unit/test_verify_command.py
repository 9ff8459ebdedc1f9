"""`mailstack verify` and `mailstack diagnose`, as people and cron call them."""

import json
import socket
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.common import ROOT
from cli.main import app, commands, main
from cli.verify import HISTORY
from mailstack.reach import drift
from mailstack.verify import waiting
from mailstack.verify.context import Context
from mailstack.verify.model import Check, Finding, State, fail, ok, unknown, warn
from mailstack.verify.own_name import own_name
from mailstack.verify.surroundings import around
from mailstack.verify.target import DomainTarget, Target
from tests.unit.stack_examples import example
from tests.unit.verify_examples import only_these

runner = CliRunner()
Makers = {
    State.OK: lambda subject: ok(subject, "fine"),
    State.WARN: lambda subject: warn(subject, "old", expected="new", fix="renew it"),
    State.FAIL: lambda subject: fail(subject, "wrong", expected="right", fix="mend it"),
    State.UNKNOWN: lambda subject: unknown(subject, "no answer in time"),
}


@dataclass
class World:
    """What the made-up checks see, by name; and what they were asked to look at."""

    states: dict[str, State] = field(default_factory=dict)
    seen: list[Context] = field(default_factory=list)
    ran: list[str] = field(default_factory=list)

    def check(self, number: int, name: str, group: str) -> Check:
        def look(context: Context) -> Iterator[Finding]:
            self.seen.append(context)
            self.ran.append(name)
            for domain in context.target.domains:
                yield Makers[self.states.get(name, State.OK)](domain.name)

        return Check(number=number, name=name, group=group, title=f"Made-up {name}", source="RFC 1", look=look)


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    with only_these(made.check(14, "spf", "C"), made.check(40, "open-relay", "G"), made.check(1, "delegation", "A")):
        yield made


Call = Callable[..., tuple[int, str]]


@pytest.fixture
def call(world: World, tmp_path: Path) -> Call:
    """Call verify for example.com, with a history of its own; return exit code and standard output."""

    def call(*arguments: str) -> tuple[int, str]:
        every = ["verify", "--history", str(tmp_path / "history"), *arguments]
        if "--stack" not in arguments:
            every += ["--domain", "example.com"]
        result = runner.invoke(app, every)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result.exit_code, result.stdout

    return call


# --- exit codes and choices ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "fail_on", "code"),
    [
        (State.OK, "unknown", 0),
        (State.WARN, "fail", 0),
        (State.WARN, "warn", 1),
        (State.FAIL, "fail", 1),
        (State.UNKNOWN, "fail", 0),
        (State.UNKNOWN, "unknown", 3),
    ],
)
def test_the_exit_code_says_what_came_out(world: World, call: Call, state: State, fail_on: str, code: int) -> None:
    world.states["spf"] = state
    assert call("--fail-on", fail_on)[0] == code


@pytest.mark.parametrize(
    ("arguments", "ran"),
    [
        ((), ["delegation", "open-relay", "spf"]),
        (("--only", "spf"), ["spf"]),
        (("--only", "14", "--only", "g"), ["open-relay", "spf"]),
        (("--skip", "C"), ["delegation", "open-relay"]),
    ],
)
def test_checks_are_chosen_by_name_number_and_group(
    world: World, call: Call, arguments: tuple[str, ...], ran: list[str]
) -> None:
    call(*arguments)
    assert sorted(world.ran) == ran


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--domain", "example.com", "--only", "sfp"], "'sfp' is no check and no group; did you mean spf?"),
        (["--domain", "example.com", "--skip", "46"], "'46' is no check"),
        (["--domain", "example.com", "--only", "A", "--skip", "delegation"], "leave no check to run"),
        ([], "nothing to look at: name a --domain, a --host or a --stack"),
        (["--from-file"], "--from-file needs --stack"),
        (["--domain", "example.com", "--inside"], "--inside needs --stack"),
        (["--stack", "nowhere", "--from-file"], "Pulumi.nowhere.yaml does not exist"),
        (["--stack", "prod", "--selector", "s1"], "--selector goes with --domain alone"),
        (["--domain", "exa mple.com"], "--domain 'exa mple.com'"),
        (["--domain", "example.com", "--wait", "--deadline", "soon"], "'soon' is no length of time"),
        (["--domain", "example.com", "--format", "yaml"], "--format"),
        (["--domain", "example.com", "--watch", "--format", "json"], "needs --output"),
    ],
)
def test_a_wrong_call_ends_with_2_and_says_what_is_wrong(
    world: World, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["verify", *arguments])
    assert ended.value.code == 2
    assert message in capsys.readouterr().err
    assert world.ran == []


# --- what is looked at -----------------------------------------------------------------------------------------------


def test_a_stack_is_looked_at_by_what_it_tells(world: World, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    told = Target(domains=(DomainTarget(name="example.org"), DomainTarget(name="example.net")), complete=True)
    asked: list[tuple[str, ...]] = []

    def pulumi(command: list[str], **_options: object) -> subprocess.CompletedProcess[str]:
        asked.append(tuple(command[:6]))
        return subprocess.CompletedProcess(command, 0, stdout=told.model_dump_json() + "\n", stderr="")

    monkeypatch.setattr(subprocess, "run", pulumi)
    assert call("--stack", "prod", "--only", "spf", "--domain", "example.net")[0] == 0
    assert asked == [("pulumi", "stack", "output", "verify", "--stack", "prod")]
    [context] = world.seen
    assert [domain.name for domain in context.target.domains] == ["example.net"]
    assert (context.target.stack, context.target.complete) == ("prod", True)


@pytest.mark.parametrize(
    ("failure", "message"),
    [
        (FileNotFoundError(), "there is none on PATH"),
        (
            subprocess.CompletedProcess([], 255, "", "warning: x\nerror: no stack named 'prod' found\n"),
            "no stack named",
        ),
        (subprocess.CompletedProcess([], 0, "{}x", ""), "cannot be read"),
    ],
)
def test_a_stack_that_tells_nothing_is_a_wrong_call_that_says_what_to_do(
    world: World, failure: object, message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def pulumi(*_arguments: object, **_options: object) -> object:
        if isinstance(failure, Exception):
            raise failure
        return failure

    monkeypatch.setattr(subprocess, "run", pulumi)
    with pytest.raises(SystemExit) as ended:
        main(["verify", "--stack", "prod"])
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


def test_a_stack_file_is_looked_at_without_an_engine(world: World, call: Call) -> None:
    assert call("--stack", "prod", "--from-file", "--only", "spf")[0] == 0
    [context] = world.seen
    assert [domain.name for domain in context.target.domains] == ["example.com", "notify.example.com"]


def test_a_domain_without_a_stack_is_looked_at_with_what_flags_tell_of_it(world: World, call: Call) -> None:
    told = ["--selector", "google", "--return-path", "rp.example.com", "--sender", "192.0.2.25"]
    assert call("--only", "spf", "--domain", "example.com", *told, "--host", "mail.example.com")[0] == 0
    [context] = world.seen
    [domain] = {domain.name: domain for domain in context.target.domains}.values()
    assert [key.selector for key in domain.dkim] == ["google"]
    assert domain.return_paths == ("rp.example.com",)
    assert [str(address) for address in domain.senders] == ["192.0.2.25"]
    assert [host.name for host in context.target.hosts] == ["mail.example.com"]


def test_questions_go_where_flags_or_a_rehearsal_say(world: World, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    call("--only", "spf", "--resolver", "192.0.2.1", "--resolver", "192.0.2.2", "--own-resolver", "192.0.2.3")
    assert world.seen[-1].around.resolvers == ("192.0.2.1", "192.0.2.2")
    assert world.seen[-1].around.own_resolver == "192.0.2.3"
    monkeypatch.setenv("MAILSTACK_RESOLVERS", "127.0.0.1:5353,127.0.0.2")
    call("--only", "spf")
    assert world.seen[-1].around.resolvers == ("127.0.0.1:5353", "127.0.0.2")
    assert world.seen[-1].around.own_resolver == "127.0.0.1:5353", "nobody outside is asked"
    assert around({}).own_resolver is None


def test_resolvers_that_are_set_to_nothing_mean_nobody_until_a_flag_names_one() -> None:
    nothing = {"MAILSTACK_RESOLVERS": ""}
    assert around(nothing).asks_nobody
    assert not around({}).asks_nobody
    named = around(nothing, resolvers=("127.0.0.1:5353",))
    assert (named.asks_nobody, named.resolvers, named.own_resolver) == (False, ("127.0.0.1:5353",), "127.0.0.1:5353")
    own = around(nothing, own="127.0.0.1:5353")
    assert (own.asks_nobody, own.resolvers, own.own_resolver) == (False, ("127.0.0.1:5353",), "127.0.0.1:5353")


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ("Admin.Corp.example.com.", "admin.corp.example.com"),
        ("xn--bcher-kva.example.com", "xn--bcher-kva.example.com"),
        *(
            (name, "")
            for name in ("box", "localhost", "box.local", "box.lan", "a_b.example.com", "192.0.2.1", "x..com")
        ),
    ],
)
def test_a_name_is_said_in_ehlo_only_where_the_world_could_look_it_up(
    told: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "getfqdn", lambda: told)
    own_name.cache_clear()
    assert around({}).helo == said
    own_name.cache_clear()
    assert around({}, helo="probe.example.com").helo == "probe.example.com"


def test_hosts_are_asked_only_where_a_flag_says_so(world: World, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    call("--only", "spf")
    assert (world.seen[-1].access, world.seen[-1].drift, world.seen[-1].probe_outbound) == (None, None, False)
    call("--only", "spf", "--probe-outbound")
    assert world.seen[-1].probe_outbound is True
    monkeypatch.setattr(drift, "decrypted_config", lambda _stack, _folder: example())
    monkeypatch.setattr(drift, "find_drift", lambda _plan, _say, **_options: ["relay1: main.cf differs"])
    call("--stack", "prod", "--from-file", "--only", "spf", "--inside")
    access, differences = world.seen[-1].access, world.seen[-1].drift
    assert access is not None
    assert list(access.machines()) == ["relay1"]
    assert differences is not None
    assert differences() == ["relay1: main.cf differs"]


# --- forms -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["table", "json", "junit", "html", "prometheus", "markdown"])
def test_every_form_is_printed_or_written(world: World, call: Call, form: str, tmp_path: Path) -> None:
    world.states["spf"] = State.FAIL
    code, text = call("--format", form)
    assert code == 1
    assert "spf" in text
    path = tmp_path / "new" / "report"
    assert call("--format", form, "--output", str(path))[0] == 1
    assert "spf" in path.read_text()
    assert [one.name for one in path.parent.iterdir()] == ["report"], "written as a whole"


def test_json_and_junit_are_nothing_but_that(world: World, call: Call) -> None:
    assert json.loads(call("--format", "json")[1])["state"] == "ok"
    assert ET.fromstring(call("--format", "junit")[1]).attrib["tests"] == "3"  # noqa: S314 - it is our own


# --- history, --watch ------------------------------------------------------------------------------------------------


def test_watch_prints_only_what_changed(world: World, call: Call) -> None:
    world.states["spf"] = State.FAIL
    code, first = call("--watch")
    assert (code, "new → fail" in first, "open-relay" in first) == (1, True, False)
    assert call("--watch") == (0, ""), "cron sends no mail"
    world.states["spf"] = State.OK
    code, well = call("--watch")
    assert (code, "fail → ok" in well) == (0, True)


def test_watch_may_write_a_report_besides(world: World, call: Call, tmp_path: Path) -> None:
    path = tmp_path / "mailstack.prom"
    code, text = call("--watch", "--format", "prometheus", "--output", str(path))
    assert (code, text) == (0, "")
    assert 'mailstack_verify_findings{stack="",group="C",check="spf",state="ok"} 1' in path.read_text()


def test_the_page_draws_the_runs_before(world: World, call: Call) -> None:
    call()
    call()
    assert call("--format", "html")[1].count("<g>") == 3


def test_a_run_that_cannot_be_remembered_is_shown_all_the_same(world: World, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = runner.invoke(app, ["verify", "--domain", "example.com", "--history", str(tmp_path / "file" / "x")])
    assert result.exit_code == 0
    assert "this run is not remembered" in result.stderr


def test_history_stays_out_of_version_control() -> None:
    folder = HISTORY.relative_to(ROOT).parts[0]
    assert f"{folder}/" in Path(".gitignore").read_text().splitlines()


# --- --wait ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "FIRST_PAUSE_SECONDS", 0.01)


@pytest.mark.usefixtures("_at_once")
def test_wait_looks_again_until_it_is_there(world: World, call: Call) -> None:
    world.states |= {"spf": State.FAIL}
    checks = world.ran

    class Later(dict[str, State]):
        def get(self, name: str, default: State | None = None) -> State | None:  # type: ignore[override]
            return State.FAIL if name == "spf" and checks.count("spf") < 3 else default

    world.states = Later()
    code, _ = call("--wait", "--deadline", "30s")
    assert code == 0
    assert (checks.count("spf"), checks.count("open-relay")) == (3, 1)


@pytest.mark.usefixtures("_at_once")
def test_a_deadline_that_passes_has_an_exit_code_of_its_own(world: World, call: Call) -> None:
    world.states["spf"] = State.FAIL
    assert call("--wait", "--deadline", "0.05s")[0] == 4


def test_what_waiting_does_not_mend_is_not_waited_for(world: World, call: Call) -> None:
    world.states["open-relay"] = State.FAIL
    assert call("--wait", "--deadline", "1h")[0] == 1
    assert world.ran.count("open-relay") == 1


# --- diagnose --------------------------------------------------------------------------------------------------------


def test_diagnose_without_a_symptom_lists_them(world: World) -> None:
    result = runner.invoke(app, ["diagnose"])
    assert result.exit_code == 0
    for name in ("not-delivering", "spam", "tls-error", "auth-failure", "relay-refused", "dns-not-there"):
        assert name in result.stdout
    assert world.ran == []


def test_diagnose_tells_cause_evidence_and_what_is_next(world: World) -> None:
    world.states["spf"] = State.FAIL
    result = runner.invoke(app, ["diagnose", "spam", "--domain", "example.com"])
    text = " ".join(result.stdout.split())
    assert result.exit_code == 1
    assert "1. SPF does not let the sender pass" in text
    assert "spf, example.com: wrong" in text
    assert "fix: mend it" in text
    assert "next: pulumi up" in text
    assert "000 Emails Marked as Spam" in text
    assert world.ran == ["spf"], "only what may be behind it is looked at"


def test_diagnose_says_when_it_sees_nothing_and_when_it_saw_too_little(world: World) -> None:
    assert runner.invoke(app, ["diagnose", "spam", "--domain", "example.com"]).exit_code == 0
    world.states["spf"] = State.UNKNOWN
    result = runner.invoke(app, ["diagnose", "spam", "--domain", "example.com"])
    assert result.exit_code == 3
    assert "Not seen, so neither there nor ruled out: spf" in result.stdout


def test_diagnose_names_the_symptoms_there_are(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["diagnose", "slow", "--domain", "example.com"])
    assert ended.value.code == 2
    assert "'slow' is no symptom; use one of not-delivering" in capsys.readouterr().err


# --- the command line ------------------------------------------------------------------------------------------------


def test_the_commands_are_those_that_people_know() -> None:
    before = ["init", "doctor", "validate", "diff", "policy", "rehearse", "demo", "pr"]
    after = [
        "status",
        "drift",
        "check",
        "verify",
        "diagnose",
        "send",
        "relay",
        "postal",
        "rotate",
        "dns",
        "dmarc",
        "env",
    ]
    assert set(commands()) == {*before, *after, "schema", "monitoring"}


def test_help_is_there_for_every_command_and_says_the_exit_codes() -> None:
    for name in commands():
        assert runner.invoke(app, [name, "--help"]).exit_code == 0, name
    text = " ".join(runner.invoke(app, ["verify", "--help"]).stdout.split())
    for code in ("0 nothing is wrong", "1 something is wrong", "2 wrong call", "3 with --fail-on unknown", "4 --wait"):
        assert code in text


def test_help_imports_nothing_that_takes_time() -> None:
    heavy = ("pulumi", "dns", "cryptography", "checkdmarc", "pydantic", "yaml", "mailstack.plan", "rehearsal")
    program = (
        "import sys\nfrom cli.main import main\nmain(['--help'])\n"
        f"print([name for name in {heavy!r} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"
    assert "verify" in done.stdout


def test_diagnose_tells_machines_the_same(world: World) -> None:
    world.states["spf"] = State.FAIL
    result = runner.invoke(app, ["diagnose", "spam", "--domain", "example.com", "--json"])
    told = json.loads(result.stdout)
    assert (result.exit_code, told["symptom"]) == (1, "spam")
    [cause] = told["causes"]
    assert (cause["certain"], cause["evidence"][0]["check"]) == (True, "spf")
    assert cause["next"] == "pulumi up --stack <stack>"
    assert set(json.loads(runner.invoke(app, ["diagnose", "--json"]).stdout)) >= {"spam", "tls-error"}


def test_json_is_said_as_in_every_other_command(call: Call) -> None:
    code, text = call("--json")[:2]
    assert (code, json.loads(text)["version"]) == (0, 1)
    assert call("--json", "--format", "html")[0] == 2
