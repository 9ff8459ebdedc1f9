"""`mailstack env`: what an application is given, in each form, and where secrets never go."""

import base64
import json
import os
import stat
import subprocess
import sys
from io import StringIO
from pathlib import Path
from typing import Any

import dotenv as python_dotenv
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from cli import env
from cli.main import main
from mailstack.outputs.application import Application, ApplicationError, application
from mailstack.outputs.formats import FormatError, compose, dotenv, json_text, k8s_secret
from tests.unit.env_examples import API_KEY, LOGIN, SMTP_KEY, decoded, logins, postal, relay, written
from tests.unit.kubernetes_versions import VERSIONS, hold_against

# --- variables ------------------------------------------------------------------------------------------------------


def test_an_application_of_postals_gets_smtp_and_api_with_its_own_key() -> None:
    assert application(postal(), credential="shop").variables == {
        # The relay's own sender may not send there.
        "SMTP_FROM_EMAIL": "noreply@example.org",
        "SMTP_FROM_NAME": "example.org",
        "SMTP_HOST": "mx.example.com",
        "SMTP_PORT": "25",
        "SMTP_USE_TLS": "true",
        "SMTP_USER": "company/apps",
        "SMTP_PASSWORD": SMTP_KEY,
        "MAIL_API_URL": "https://postal.example.com/api/v1",
        "MAIL_API_KEY": API_KEY,
    }


def test_a_credential_for_the_api_alone_gets_no_smtp() -> None:
    variables = application(postal(), credential="report").variables
    assert variables["MAIL_API_KEY"] == "other"
    assert "SMTP_HOST" not in variables


def test_the_declared_sender_is_kept_where_its_domain_may_send() -> None:
    outputs = postal()
    outputs["mail_servers"]["company/apps"]["sender_domains"] = ["example.org", "example.com"]
    assert application(outputs, credential="shop").variables["SMTP_FROM_EMAIL"] == "shop@example.com"


def test_an_application_of_the_relay_gets_every_address_and_no_secret() -> None:
    found = application(relay())
    assert found.variables == {**relay()["smtp_environment"], "SMTP_HOSTS": "10.20.0.5,10.20.0.6"}
    assert found.secrets == ()
    assert application(postal(), via="relay").variables == found.variables


def test_an_application_is_never_told_to_try_its_own_machine() -> None:
    told = {**relay(), "smtp_hosts": ["10.20.0.5", "10.20.0.6", "127.0.0.1", "::1"]}
    assert application(told).variables["SMTP_HOSTS"] == "10.20.0.5,10.20.0.6"
    assert "SMTP_HOSTS" not in application({**relay(), "smtp_hosts": ["10.20.0.5", "127.0.0.1"]}).variables


def test_who_gets_a_relay_that_listens_on_loopback_is_told_that_only_its_host_reaches_it() -> None:
    assert "only its own host reaches" in dotenv(application({**relay(), "smtp_hosts": ["127.0.0.1"]}))
    assert "only its own host reaches" not in dotenv(application(relay()))


@pytest.mark.parametrize(
    ("ports", "told"),
    [
        ({"submission_starttls_port": 587, "submission_tls_port": 465}, ("587", "true", None)),
        ({"submission_tls_port": 465}, ("465", "false", "true")),
    ],
)
def test_a_login_of_the_relay_is_below_tls_from_the_start_or_by_starttls(
    ports: dict[str, int], told: tuple[str, str, str | None]
) -> None:
    variables = application(logins(**ports), via="login", credential="shop").variables
    assert (variables["SMTP_PORT"], variables["SMTP_USE_TLS"], variables.get("SMTP_USE_SSL")) == told
    assert (variables["SMTP_USER"], variables["SMTP_PASSWORD"]) == ("shop", LOGIN)


def hidden(outputs: dict[str, Any]) -> dict[str, Any]:
    outputs["mail_servers"]["company/apps"]["smtp_keys"] = "[secret]"
    return outputs


@pytest.mark.parametrize(
    ("outputs", "asked", "said"),
    [
        (postal(), {}, "--credential is needed to say the credential of company/apps: there are shop, report"),
        (postal(), {"credential": "gone"}, "--credential gone is not there: there are shop, report"),
        (postal(), {"server": "company/other"}, "--server company/other is not there: there are company/apps"),
        (relay(), {"credential": "shop"}, "the relay asks for none"),
        (relay(), {"server": "company/apps"}, "names a mail server of Postal's"),
        (relay(), {"via": "postal"}, "no Postal"),
        (relay(), {"via": "login"}, "relay.submission is not declared"),
        ({"contract_version": 1}, {}, "no relay"),
        ({**relay(), "contract_version": 2}, {}, "contract_version 2, this command knows 1"),
        (hidden(postal()), {"credential": "shop"}, "hide their secrets"),
        ({**postal(), "mail_servers": "[secret]"}, {"credential": "shop"}, "hide their secrets"),
    ],
)
def test_what_the_outputs_do_not_have_is_said_with_what_they_have(
    outputs: dict[str, Any], asked: dict[str, Any], said: str
) -> None:
    with pytest.raises(ApplicationError) as error:
        application(outputs, **asked)
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("outputs", "asked"),
    [
        ({**postal(), "mail_servers": ["x"]}, {}),
        ({**postal(), "mail_servers": {"company/apps": {}}}, {}),
        ({**relay(), "smtp_hosts": None}, {}),
        ({**relay(), "compose_snippet": "[planted"}, {}),
        ({"contract_version": 1, "submission_passwords": {"shop": "planted"}}, {"via": "login"}),
    ],
)
def test_outputs_that_somebody_has_edited_are_refused_in_words(outputs: dict[str, Any], asked: dict[str, Any]) -> None:
    with pytest.raises(ApplicationError, match=r"not as the contract has them .* write them anew") as error:
        application(outputs, **asked)
    assert "planted" not in str(error.value)


# --- forms ----------------------------------------------------------------------------------------------------------


def of(text: str) -> Application:
    return Application(about="a test", variables={"VALUE": text, "AFTER": "1"}, networks={}, namespace_labels={})


def written_or_refused(text: str) -> str | None:
    try:
        return dotenv(of(text))
    except FormatError:
        return None


@given(st.text())
def test_python_dotenv_reads_what_was_written_or_it_is_refused(text: str) -> None:
    file = written_or_refused(text)
    if file is not None:
        assert python_dotenv.dotenv_values(stream=StringIO(file)) == {"VALUE": text, "AFTER": "1"}


@pytest.mark.parametrize("text", ["", "a b", "a#b", "it's", 'say "x"', "$HOME", "`id`", "a=b", "\\d", "ü", "!", "~"])
def test_usual_values_are_never_refused(text: str) -> None:
    assert python_dotenv.dotenv_values(stream=StringIO(dotenv(of(text))))["VALUE"] == text


@pytest.mark.parametrize("text", ["a\nb", "${HOME}", "it's $5", "a\\\\b", "a\\", "a\x00"])
def test_a_value_that_readers_would_read_differently_is_refused_by_name(text: str) -> None:
    with pytest.raises(FormatError, match=r"^VALUE has .* use --format json") as error:
        dotenv(of(f"planted{text}"))
    assert "planted" not in str(error.value)


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cs"])))
def test_json_compose_and_secret_keep_every_text(text: str) -> None:
    assert json.loads(json_text(of(text)))["VALUE"] == text
    told = yaml.safe_load(compose(of(text), "app"))["services"]["app"]["environment"]
    assert told["VALUE"].replace("$$", "$") == text
    assert decoded(yaml.safe_load(k8s_secret(of(text), "mail"))) == {"VALUE": text, "AFTER": "1"}


@pytest.mark.parametrize("namespace", [None, "shop"])
def test_the_secret_is_one_that_kubernetes_takes(namespace: str | None) -> None:
    namespaces = () if namespace is None else (namespace,)
    manifest = yaml.safe_load(k8s_secret(application(postal(), credential="shop"), "mail", namespaces))
    hold_against(VERSIONS[-1], manifest)
    assert manifest["metadata"].get("namespace") == namespace
    assert decoded(manifest) == application(postal(), credential="shop").variables


def test_a_variable_that_is_gone_does_not_stay_in_the_cluster() -> None:
    """`kubectl apply` takes away what was in ``data`` and is no longer; what was in ``stringData`` it keeps."""
    assert "stringData" not in yaml.safe_load(k8s_secret(application(relay()), "mail"))


def test_who_may_not_reach_the_relay_of_a_cluster_is_told_the_labels() -> None:
    outputs = {**relay(), "smtp_client_namespace_labels": {"email-server.kubernetes.io/smtp-access": "true"}}
    text = k8s_secret(application(outputs), "mail", ("shop",))
    assert "kubectl label namespace shop email-server.kubernetes.io/smtp-access=true" in text


def test_a_service_gets_the_network_of_a_relay_in_a_container() -> None:
    snippet = "services: {app: {networks: [default, mail]}}\nnetworks: {mail: {name: mail-net, external: true}}\n"
    document = yaml.safe_load(compose(application({**relay(), "compose_snippet": snippet}), "shop"))
    assert document["services"]["shop"]["networks"] == ["default", "mail"]
    assert document["networks"] == {"mail": {"name": "mail-net", "external": True}}


def test_no_name_breaks_out_of_the_comment() -> None:
    found = Application(about="x\nSMTP_HOST=evil", variables={"A": "1"}, networks={}, namespace_labels={})
    assert python_dotenv.dotenv_values(stream=StringIO(dotenv(found))) == {"A": "1"}
    assert yaml.safe_load(compose(found, "app"))["services"]["app"]["environment"] == {"A": "1"}


# --- the command ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["dotenv", "json", "k8s-secret", "compose"])
def test_a_file_is_private_whole_and_replaces_one_that_others_could_read(form: str, tmp_path: Path) -> None:
    out = tmp_path / "app.env"
    out.write_text("old")
    out.chmod(0o644)
    told = ["env", "--from-json", written(postal(), tmp_path), "--credential", "shop", "--format", form]
    assert main([*told, "--out", str(out)]) == 0
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert (base64.b64encode(SMTP_KEY.encode()).decode() if form == "k8s-secret" else SMTP_KEY) in out.read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["app.env", "outputs.json"], "nothing is left over"


def test_a_file_that_cannot_be_replaced_stays_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "app.env"
    out.write_text("old")

    def full(_self: Path, _target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    assert main(["env", "--from-json", written(relay(), tmp_path), "--out", str(out)]) == 1
    assert "app.env cannot be written: No space left on device" in capsys.readouterr().err
    assert out.read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["app.env", "outputs.json"]


@pytest.mark.parametrize(
    ("name", "reason"),
    [("outputs.json/app.env", "Not a directory"), ("gone/app.env", "No such"), ("a" * 300, "too long")],
    ids=["below a file", "in no folder", "long"],
)
def test_a_place_where_no_file_can_be_is_told_in_words(
    name: str, reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = ["env", "--from-json", written(relay(), tmp_path)]
    assert main([*told, "--out", str(tmp_path / name)]) == 1
    said = capsys.readouterr().err
    assert "cannot be written: " in said
    assert reason in said


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives a file to somebody else")
def test_who_could_read_the_file_before_is_told_and_never_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "app.env"
    out.write_text("old")
    os.chown(out, 65534, 65534)
    assert main(["env", "--from-json", written(relay(), tmp_path), "--out", str(out)]) == 0
    assert (out.stat().st_uid, stat.S_IMODE(out.stat().st_mode)) == (0, 0o600)
    assert f"`chown 65534 {out}`" in capsys.readouterr().err


def test_a_link_is_not_followed_and_that_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    elsewhere, out = tmp_path / "elsewhere", tmp_path / "app.env"
    elsewhere.write_text("old")
    out.symlink_to(elsewhere)
    assert main(["env", "--from-json", written(relay(), tmp_path), "--out", str(out)]) == 0
    assert (elsewhere.read_text(), out.is_symlink()) == ("old", False)
    assert f"{out} was a link to {elsewhere}" in capsys.readouterr().err


@pytest.mark.parametrize("umask", [0o000, 0o777])
def test_the_mode_is_whole_under_every_umask(umask: int, tmp_path: Path) -> None:
    told, out = written(postal(), tmp_path), tmp_path / "app.env"
    before = os.umask(umask)
    try:
        assert main(["env", "--from-json", told, "--credential", "shop", "--out", str(out)]) == 0
    finally:
        os.umask(before)
    assert stat.S_IMODE(out.stat().st_mode) == 0o600


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


def test_secrets_are_shown_on_a_terminal_only_where_that_is_insisted_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    told = ["env", "--from-json", written(postal(), tmp_path), "--credential", "shop"]
    monkeypatch.setattr("sys.stdout", screen := Terminal())
    with pytest.raises(SystemExit) as error:
        main(told)
    assert (error.value.code, screen.getvalue()) == (2, "")
    said = capsys.readouterr().err
    assert "--show-secrets" in said
    assert SMTP_KEY not in said
    assert main([*told, "--show-secrets"]) == 0
    assert SMTP_KEY in screen.getvalue()
    monkeypatch.setattr("sys.stdout", screen := Terminal())
    assert main(["env", "--from-json", written(relay(), tmp_path)]) == 0
    assert "SMTP_HOST=10.20.0.5" in screen.getvalue(), "the relay has no secret"


@pytest.mark.slow
def test_output_that_is_not_whole_is_said(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "cli", "env", "--from-json", written(relay(), tmp_path)]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            command, cwd=Path(__file__).parents[2], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 1
    assert done.stderr == "standard output cannot be written: No space left on device; it is not whole\n"


def test_outputs_come_on_standard_input_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", StringIO(json.dumps(relay())))
    assert main(["env", "--from-json", "-", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["SMTP_HOST"] == "10.20.0.5"


@pytest.mark.parametrize(
    "wrong",
    [
        [],
        ["--stack", "prod", "--from-json", "-"],
        ["--from-json", "-", "--format", "k8s-secret", "--name", "Not_A_Name"],
        ["--from-json", "-", "--format", "k8s-secret", "--namespace", "a.b"],
        ["--from-json", "-", "--namespace", "shop"],
        ["--from-json", "-", "--selector", "mail=yes"],
        ["--from-json", "-", "--format", "k8s-secret", "--namespace", "shop", "--selector", "mail=yes"],
        ["--from-json", "-", "--format", "compose", "--service", "a b"],
        ["--from-json", "-", "--format", "toml"],
        ["--from-json", "-", "--out", "/dev/null"],
        ["--from-json", "-", "--out", "-"],
    ],
)
def test_a_wrong_call_ends_with_2_and_reads_nothing(
    wrong: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(SystemExit) as error:
        main(["env", *wrong])
    assert error.value.code == 2
    assert capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "said"),
    [("nothing", "is no JSON"), ("[]", "no outputs of this program"), ('{"a": 1}', "no contract_version")],
)
def test_what_are_no_outputs_is_said_with_how_to_get_them(
    text: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "outputs.json"
    path.write_text(text)
    assert main(["env", "--from-json", str(path)]) == 1
    told = capsys.readouterr().err
    assert said in told
    assert "pulumi stack output --json --show-secrets" in told


def test_a_file_that_is_not_there_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["env", "--from-json", str(tmp_path / "gone.json")]) == 1
    assert "gone.json cannot be read" in capsys.readouterr().err


def test_the_stack_is_asked_once_and_no_secret_is_in_an_argument(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[list[str]] = []

    def run(argv: list[str], **_options: Any) -> subprocess.CompletedProcess[str]:
        asked.append(argv)
        return subprocess.CompletedProcess(argv, 0, stdout=json.dumps(postal()), stderr="")

    monkeypatch.setattr("mailstack.reach.outputs.subprocess.run", run)
    monkeypatch.setattr(env, "_for_git", lambda _out: False)
    out = tmp_path / "app.env"
    assert main(["env", "--stack", "prod", "--credential", "shop", "--out", str(out)]) == 0
    assert asked == [["pulumi", "stack", "output", "--json", "--show-secrets", "--stack", "prod", "--non-interactive"]]
    assert capsys.readouterr() == ("", "")
    assert SMTP_KEY in out.read_text()


def test_without_a_cli_the_other_way_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "")
    assert main(["env", "--stack", "prod"]) == 1
    assert "--from-json FILE" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["app.env", "-app.env"])
@pytest.mark.parametrize("ignored", [True, False])
def test_a_file_with_secrets_that_git_would_take_is_warned_of(
    ignored: bool, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clean = {name: text for name, text in os.environ.items() if not name.startswith("GIT_")}
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True, env=clean)
    (tmp_path / ".gitignore").write_text("*.env\n" if ignored else "")
    told = ["env", "--from-json", written(postal(), tmp_path), "--credential", "shop"]
    assert main([*told, "--out", str(tmp_path / name)]) == 0
    assert ("git does not ignore it" in capsys.readouterr().err) is not ignored
