"""The comment of a pull request, on previews that the real engine gave (tests/engine/preview_recordings.py)."""

import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest

from cli.main import main
from mailstack.pull_request.comment import LONGEST, comment, declared_comment, marker
from mailstack.pull_request.cost import RESTART_PARAMETERS as POSTFIX_RESTARTS
from mailstack.pull_request.cost import ROLES
from mailstack.pull_request.preview import PreviewError, read_preview
from postfix_relay.planning import RESTART_PARAMETERS
from tests.unit.markdown_pages import HOSTILE, Page, assert_harmless

ROOT = Path(__file__).resolve().parents[2]
RECORDED = Path(__file__).resolve().parent / "recorded_previews"
Json = dict[str, Any]
POLICIES = ("quarantine", "reject")


def recorded(name: str) -> Json:
    found: Json = json.loads((RECORDED / f"{name}.json").read_text())
    return found


def shown(document: Json, **more: Any) -> str:
    return comment("prod", read_preview(json.dumps(document)), **more)


def section(text: str, title: str) -> str:
    """Return one part of a comment as a reader sees it; empty where there is none."""
    found = re.search(rf"(?:### |<summary>){re.escape(title)}.*?\n(.*?)(?=\n### |\n<details>|\Z)", text, re.DOTALL)
    return found[1].replace("`", "").replace(r"\|", "|").strip() if found else ""


def titles(text: str) -> list[str]:
    return re.findall(r"^(?:### |<details><summary>)([^<\n]+)", text, re.MULTILINE)


def named(document: Json, ending: str) -> Json:
    found: Json = next(step for step in document["steps"] if step["urn"].endswith(ending))
    return found


def test_records_are_told_with_what_they_were_and_will_be() -> None:
    records = section(shown(recorded("update")), "Records")
    assert (
        '| ~ | TXT example.com | "v=spf1 include:_spf.google.com include:spf.example.net -all" '
        '| "v=spf1 include:_spf.google.com include:spf.newsletter.example -all" |'
    ) in records
    assert "| + | MX shop.example.com |  | smtp.google.com priority=1 |" in records
    gone = section(shown(recorded("delete")), "Records")
    assert '| - | TXT notify.example.com | "v=spf1 include:_spf.google.com ~all" |  |' in gone


def test_records_are_told_in_one_order_whatever_the_engines_is() -> None:
    document = recorded("delete")
    before = section(shown(document), "Records")
    document["steps"].reverse()
    assert section(shown(document), "Records") == before


def test_records_on_a_server_of_our_own_are_told_like_those_at_a_provider() -> None:
    text = shown(recorded("own-server"))
    before, after = (f'600 "v=DMARC1; p={policy}; rua=mailto:dmarc@staging.example.com"' for policy in POLICIES)
    assert section(text, "Records").splitlines()[2:] == [
        f"| ~ | _dmarc.staging.example.com-txt-dmarc | {before} | {after} |"
    ]
    assert "Settings" not in titles(text)
    assert "| ns1 | dns_server (2 times) | its settings, secrets or code |" in section(text, "Roles that run")


def test_records_that_nobody_publishes_any_more_are_told_as_gone_and_as_nothing_else() -> None:
    document = recorded("own-server")
    dns = named(document, "DnsRecords::dns")
    entry = "record/_dmarc.staging.example.com-txt-dmarc"
    dns["newState"]["inputs"]["provider"] = "none"
    assert {row[:5] for row in section(shown(document), "Records").splitlines()[2:]} == {"| - |"}
    dns["oldState"]["inputs"], dns["newState"]["inputs"] = dns["newState"]["inputs"], dns["oldState"]["inputs"]
    assert {row[:5] for row in section(shown(document), "Records").splitlines()[2:]} == {"| + |"}
    # What was never published here is told as what people have to change.
    dns["newState"]["inputs"]["provider"] = "none"
    assert f"| ~ | {entry.removeprefix('record/')} |" in section(shown(document), "Records")


def test_a_role_that_is_told_the_same_as_before_interrupts_nothing() -> None:
    document = recorded("update")
    roles = [step for step in document["steps"] if step["urn"].split("::")[2].endswith("remote:Command")]
    for step in roles:
        step["diffReasons"] = ["connection"]
    text = shown(document)
    assert section(text, "Restarts and interruptions") == ""
    assert "| relay1 | postfix_relay | the way to the host | finds nothing to do on the machine of before;" in section(
        text, "Roles that run"
    )


def test_roles_that_run_are_told_with_host_reason_and_what_happens_there() -> None:
    found = section(shown(recorded("update")), "Roles that run")
    assert "| relay1 | postfix_relay | the way to the host; its settings, secrets or code | Postfix reloads" in found
    assert "| relay1 | preflight | the way to the host | looks only; nothing stops |" in found
    assert section(shown(recorded("update")), "Restarts and interruptions") == ""


@pytest.mark.parametrize("name", RESTART_PARAMETERS)
def test_a_setting_that_postfix_reads_only_at_its_start_is_told_as_a_restart(name: str) -> None:
    document = recorded("update")
    named(document, "PostfixRelay::relay")["newState"]["inputs"][f"main.cf/{name}"] = "other"
    assert f"postfix_relay on relay1: Postfix restarts, since it reads {name} only then" in section(
        shown(document), "Restarts and interruptions"
    )


def test_the_parameters_that_need_a_restart_are_those_of_the_role() -> None:
    assert POSTFIX_RESTARTS == RESTART_PARAMETERS


def test_every_role_that_a_plan_runs_has_its_cost() -> None:
    roles = {path.parent.name for path in (ROOT / "roles").glob("*/__main__.py")}
    others = {"host_facts", "postal_operations", "relay_operations", "rolelib"}  # day-2 commands run these
    assert {role for role, _ in ROLES.values()} == roles - others


def test_deleted_and_replaced_things_come_first() -> None:
    for name in ("replace", "delete"):
        text = shown(recorded(name))
        assert titles(text)[0] == "⛔ Deleted and replaced", name
        assert text.splitlines()[1].startswith("## ⚠️")
    replaced = shown(recorded("replace"))
    assert "- **replace** Command relay-postfix, because of triggers" in section(replaced, "⛔ Deleted and replaced")
    assert "| relay1 → relay2 | postfix_relay | another host | removed from its host" in section(
        replaced, "Roles that run"
    )
    assert "refuses while mail is queued" in section(replaced, "Restarts and interruptions")
    assert "relay_probe" not in section(replaced, "Restarts and interruptions"), "it only looks"


def test_one_risk_of_many_domains_is_told_once_with_all_of_them() -> None:
    risk = {"level": "high", "reason": "r", "advice": "a", "certain": True}
    diff = {"version": 1, "restarts": [], "risks": [{**risk, "what": f"d{number}"} for number in range(12)]}
    found = section(shown(recorded("update"), diff=json.dumps(diff)), "What could lose or delay mail")
    assert found.splitlines() == ["- 🔴 **high** d0; d1; d2; d3; d4; d5; d6; d7; d8; d9; and 2 more: r", "  - a"]


def test_what_the_engine_only_forgets_is_not_told_as_lost() -> None:
    document = recorded("replace")
    for option in ({"retainOnDelete": True}, {"inputs": {"triggers": ["relay1"]}}):
        named(document, "Command::relay1-preflight")["oldState"].update(option)
        gone = section(shown(document), "⛔ Deleted and replaced")
        assert "- **delete** Command relay1-preflight: Pulumi forgets it, and it stays as it is" in gone
        assert "- **delete** RemoteHost relay1\n" in gone
    named(document, "Command::relay1-preflight")["oldState"] = {"inputs": {"delete": "remove", "triggers": ["relay1"]}}
    assert "relay1-preflight\n" in section(shown(document), "⛔ Deleted and replaced")


def test_a_protected_resource_that_would_go_is_told() -> None:
    document = recorded("delete")
    named(document, "notify.example.com-mx-smtp.google.com")["oldState"]["protect"] = True
    protected = section(shown(document), "🔒 Protected")
    assert protected == (
        "- DnsRecord dns-notify.example.com-mx-smtp.google.com is protected, and pulumi up refuses to delete it"
    )
    assert section(shown(recorded("delete")), "🔒 Protected") == ""


def test_the_deliverability_summary_of_every_domain_is_shown_as_it_was_logged() -> None:
    found = section(shown(recorded("update")), "Deliverability")
    assert "  policy     p=quarantine; rua=mailto:dmarc@example.com; MTA-STS none" in found
    assert "  signs      nobody: no DKIM key is published" in found


def test_policies_come_from_the_event_log_since_the_document_leaves_them_out() -> None:
    document, events = ((RECORDED / f"policies{kind}.json").read_text() for kind in ("", "-events"))
    assert "policyEvent" not in document
    for preview in (read_preview(document, events), read_preview(events)):
        text = comment("prod", preview)
        policies = section(text, "Policies").splitlines()
        assert policies[0] == (
            "- ⛔ mandatory dmarc-rejects at dns-_dmarc.example.com-txt-dmarc: _dmarc.example.com has to say p=reject"
        )
        assert len(policies) == 4
        assert all(line.startswith("- ⚠️ advisory ttl-short") for line in policies[1:])
        assert preview.failed
        assert "`pulumi up` would refuse this change." in text


def test_an_event_log_tells_the_same_as_the_document_of_its_preview() -> None:
    document, events = ((RECORDED / f"policies{kind}.json").read_text() for kind in ("", "-events"))
    assert comment("prod", read_preview(document, events)) == comment("prod", read_preview(events))


def test_policies_that_are_kept_are_counted() -> None:
    events = [event for event in recorded("policies-events")["events"] if "policyEvent" not in event]
    text = comment("prod", read_preview(json.dumps({"events": events})))
    assert section(text, "Policies") == "✅ 2 policies are kept."


def test_an_exception_that_was_granted_is_no_violation() -> None:
    log = recorded("policies-events")
    for event in log["events"]:
        if "policyEvent" in event:
            event["policyEvent"]["exceptions"] = [{"id": "EXC-1", "reason": "agreed"}]
    assert read_preview(json.dumps(log)).violations == ()


def test_nothing_to_do_is_said_with_the_number_of_unchanged_resources() -> None:
    text = shown(recorded("nothing"))
    assert text.splitlines()[1] == "## ✅ Preview of stack `prod`"
    assert "**21** unchanged. Nothing changes." in text
    assert titles(text) == ["Deliverability"]


def test_a_first_preview_counts_what_it_makes() -> None:
    text = shown(recorded("create"), commit="0123456789abcdef")
    assert "**21** to create" in text
    assert "Commit `0123456789ab`." in text
    assert "| relay1 | postfix_relay | new | installed for the first time |" in section(text, "Roles that run")


def test_no_secret_is_shown_even_if_the_engine_had_not_hidden_it() -> None:
    document = recorded("update")
    inputs = named(document, "PostfixRelay::relay")["newState"]["inputs"]
    inputs["sasl/password"] = {
        "4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270",
        "value": "hunter2",
    }
    inputs["some/key"] = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADAN\n-----END PRIVATE KEY-----"
    inputs["some/text"] = "v1:CUpAyQuVk7iKe2sZ:V+ujAwHbYrC6cqYbpE6IPtGwwZNmHO"
    document["diagnostics"].append({"severity": "warning", "message": "-----BEGIN RSA PRIVATE KEY-----\nMIIEvQIBADAN"})
    text = shown(document)
    for secret in ("hunter2", "MIIEvQIBADAN", "V+ujAwHbYrC6"):
        assert secret not in text
    for name in ("sasl/password", "some/key", "some/text"):
        assert f"| relay | {name} |  | [secret] |" in section(text, "Settings")
    assert "hunter2" not in repr(read_preview(json.dumps(document)))


def test_a_secret_that_changed_is_seen_by_its_version_alone() -> None:
    assert "| relay1 | ssh/private_key version | 1 | 2 |" in section(shown(recorded("update")), "Settings")


@pytest.mark.parametrize("place", ["content", "name", "domain", "warning", "error", "setting", "diff", "policy"])
def test_text_of_others_is_never_markdown_html_a_mention_or_a_link(place: str) -> None:
    document, log, diff = recorded("update"), recorded("policies-events"), None
    record = named(document, "example.com-txt-spf")
    if place in {"content", "name"}:
        record["newState"]["inputs"][place] = HOSTILE
    elif place == "domain":
        record["urn"] += HOSTILE
        record["op"] = "delete"
    elif place == "setting":
        named(document, "PostfixRelay::relay")["newState"]["inputs"][HOSTILE] = HOSTILE
    elif place == "diff":
        diff = f"{HOSTILE}\n```\n{HOSTILE}\n````"
    elif place == "policy":
        next(event for event in log["events"] if "policyEvent" in event)["policyEvent"]["message"] = HOSTILE
    else:
        document["diagnostics"].append({"severity": place, "message": f"{HOSTILE}\n```\n{HOSTILE}"})
    preview = read_preview(json.dumps(document), json.dumps(log))
    text = comment("prod", preview, diff=diff)
    assert "octocat" in text, "it is shown"
    assert_harmless(text)


def test_a_markdown_renderer_makes_of_hostile_text_what_it_was_and_nothing_else() -> None:
    document = recorded("update")
    named(document, "example.com-txt-spf")["newState"]["inputs"]["content"] = HOSTILE
    named(document, "PostfixRelay::relay")["newState"]["inputs"]["some|setting"] = HOSTILE
    document["diagnostics"].append({"severity": "warning", "message": HOSTILE})
    page = Page(shown(document, diff=f"{HOSTILE}\n```\n</details>\n"))
    assert page.within.count(HOSTILE) == 3
    assert page.text.count("octocat") == 4
    assert "octocat" not in page.outside
    assert page.tags == {
        *("h2", "h3", "p", "strong", "ul", "li", "code", "pre", "table", "thead", "tbody", "tr", "th", "td"),
        *("details", "summary"),
    }
    assert set(page.cells) == {4}, "no cell more in any row"


def test_a_branchs_own_words_are_a_text_and_cannot_end_the_block_they_stand_in() -> None:
    diff = f"{HOSTILE}\n```\n{HOSTILE}\n~~~\n`````\n<!-- mailstack:preview:prod -->\n\u202eevil\x1b[2J"
    text = declared_comment("prod", diff, commit="f" * 40)
    assert text.startswith(marker("prod"))
    assert_harmless(text)
    assert "\u202e" not in text
    assert "\x1b" not in text


@pytest.mark.slow
def test_a_comment_stays_below_githubs_limit_and_says_what_was_left_out() -> None:
    document = recorded("update")
    one = named(document, "shop.example.com-txt-spf")
    for number in range(2000):
        more = copy.deepcopy(one)
        more["urn"] += f"-{number}"
        document["steps"].append(more)
    text = shown(document, diff="- another line\n" * 20_000)
    assert len(text) <= LONGEST
    left_out = re.search(r"\*\*Shortened\*\* by (\d+) lines", text)
    assert left_out is not None
    assert int(left_out[1]) > 20_000
    assert_whole_lines(text)
    assert "Shortened" not in shown(recorded("update"))


def assert_whole_lines(text: str) -> None:
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert rows
    assert all(line.endswith("|") for line in rows)


DIFF = {
    "version": 1,
    "risks": [
        {"level": "high", "rule": "r", "what": "@octocat", "reason": "<b>", "advice": "ask first", "certain": True},
        {"level": "low", "rule": "r", "what": "a word", "reason": "why", "advice": "none", "certain": False},
    ],
    "restarts": [
        {
            "what": "Postfix",
            "how": "restart",
            "where": "relay1",
            "means": "a second without answers",
            "resource": "relay-postfix",
            "certain": True,
        }
    ],
}


def test_risks_to_mail_and_exact_restarts_come_from_mailstack_diff() -> None:
    text = shown(recorded("update"), diff=json.dumps(DIFF))
    assert titles(text)[0] == "What could lose or delay mail"
    assert section(text, "What could lose or delay mail").splitlines() == [
        "- 🔴 **high** @octocat: <b>",
        "  - ask first",
        "- 🔵 **low** (perhaps) a word: why",
        "  - none",
    ]
    exact = "postfix_relay on relay1: Postfix: restart; a second without answers"
    assert exact in section(text, "Restarts and interruptions")
    assert "Postfix reloads" not in text
    assert_harmless(text)


@pytest.mark.parametrize("more", [{"version": 2}, {"risks": [{}]}, {"risks": 3}, {"restarts": ["x"]}])
def test_a_diff_of_another_form_is_shown_as_the_text_it_is(more: Json) -> None:
    text = shown(recorded("update"), diff=json.dumps({**DIFF, **more, "note": HOSTILE}))
    assert titles(text)[-1] == "What the branch declares otherwise"
    assert "Not judged" in section(text, "What could lose or delay mail")
    assert_harmless(text)


def test_one_line_longer_than_a_comment_is_left_out_and_counted() -> None:
    text = declared_comment("prod", "x" * 100_000)
    assert len(text) <= LONGEST
    assert "**Shortened** by 1 lines" in text


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "holds no JSON"),
        ("error: no stack selected", "holds no JSON"),
        ('{"steps": [', "no whole JSON"),
        ('{"steps": [{"op": "create"}]}', "not what `pulumi preview --json` prints"),
        ('{"steps": 3}', "not what `pulumi preview --json` prints"),
        ('{"diagnostics": ["x"]}', "not what `pulumi preview --json` prints"),
    ],
)
def test_what_is_no_preview_is_refused_with_the_file_and_the_reason(text: str, reason: str) -> None:
    with pytest.raises(PreviewError, match=re.escape(reason)):
        read_preview(text, name="preview.json")


def test_lines_that_the_cli_prints_before_its_document_do_no_harm() -> None:
    plain = json.dumps(recorded("nothing"))
    assert shown(recorded("nothing")) == comment("prod", read_preview(f"warning: a new version\n{plain}\n"))


@pytest.mark.parametrize("name", ["", "prod -->", "../x", "a b", "x" * 200])
def test_a_name_that_is_no_stacks_cannot_become_a_mark(name: str) -> None:
    with pytest.raises(ValueError, match="a stack's name has letters"):
        marker(name)


def test_the_command_writes_the_comment_and_ends_with_whether_up_would_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "comment.md"
    preview = str(RECORDED / "update.json")
    (tmp_path / "diff").write_text("example.com: one record")
    more = ["--diff", str(tmp_path / "diff"), "--output", str(target)]
    assert main(["pr", "comment", "--stack", "prod", "--preview", preview, *more]) == 0
    assert target.read_text().startswith("<!-- mailstack:preview:prod -->\n")
    assert "example.com: one record" in target.read_text()
    assert main(["pr", "comment", "--stack", "prod", "--preview", str(RECORDED / "failing.json")]) == 1
    assert "⛔ The preview failed" in capsys.readouterr().out
    assert main(["pr", "comment", "--stack", "prod", "--preview", str(tmp_path / "none")]) == 1
    assert "cannot be read" in capsys.readouterr().err


def test_no_recording_holds_a_secret_or_a_folder_of_a_machine() -> None:
    for path in RECORDED.glob("*.json"):
        text = path.read_text()
        assert "PRIVATE KEY" not in text, path.name
        assert not re.search(r'"/(?:root|home|tmp|work)/', text), path.name
