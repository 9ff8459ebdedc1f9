"""From facts and settings to steps: the platform table and the relay role's pure plan."""

import copy
import hashlib
import json
from typing import Any

import pytest

from mailstack.postfix.platforms import PLATFORMS, PlatformError, map_type, platform_of, reference_values
from mailstack.postfix.relay import RelayDefinition, role_settings
from mailstack.postfix.render import parse_main_cf
from postfix_relay import paths
from postfix_relay.desired import desired
from postfix_relay.planning import needs_restart, plan
from rolelib.host import RoleError

# What `postconf -d` and `postconf -m` say on these systems, as far as the table asks.
SYSTEMS = {
    "debian-11": ({"ID": "debian", "VERSION_ID": "11"}, "3.5.25", False, ["btree", "hash", "texthash"]),
    "debian-12": ({"ID": "debian", "VERSION_ID": "12"}, "3.7.11", True, ["btree", "hash", "texthash"]),
    "ubuntu-20.04": ({"ID": "ubuntu", "ID_LIKE": "debian"}, "3.4.13", False, ["btree", "hash", "texthash"]),
    "ubuntu-24.04": ({"ID": "ubuntu", "ID_LIKE": "debian"}, "3.8.6", True, ["btree", "hash", "texthash"]),
    "rocky-8": ({"ID": "rocky", "ID_LIKE": "rhel centos fedora"}, "3.5.8", False, ["btree", "hash", "texthash"]),
    "rocky-9": ({"ID": "rocky", "ID_LIKE": "rhel centos fedora"}, "3.5.25", False, ["btree", "hash", "texthash"]),
    "rocky-10": ({"ID": "rocky", "ID_LIKE": "rhel centos fedora"}, "3.8.5", True, ["lmdb", "texthash"]),
}
EXPECTED = {
    "debian-11": ("hash", "2", "!SSLv2, !SSLv3, !TLSv1, !TLSv1.1", "btree:", None),
    "debian-12": ("hash", "3.6", ">=TLSv1.2", "btree:", "normalize"),
    "ubuntu-20.04": ("hash", "2", "!SSLv2, !SSLv3, !TLSv1, !TLSv1.1", "btree:", None),
    "ubuntu-24.04": ("hash", "3.6", ">=TLSv1.2", "btree:", "normalize"),
    "rocky-8": ("hash", "2", "!SSLv2, !SSLv3, !TLSv1, !TLSv1.1", "btree:", None),
    "rocky-9": ("hash", "2", "!SSLv2, !SSLv3, !TLSv1, !TLSv1.1", "btree:", None),
    "rocky-10": ("lmdb", "3.6", ">=TLSv1.2", "lmdb:", "normalize"),
}


def defaults_of(version: str, modern: bool) -> dict[str, str]:
    known = {"mail_version": version, "daemon_directory": "/usr/lib/postfix/sbin"}
    known["smtp_tls_mandatory_protocols"] = ">=TLSv1" if version >= "3.6" else "!SSLv2, !SSLv3"
    if modern:
        known["smtpd_forbid_bare_newline_reject_code"] = "550"
    for name, _ in role_settings(define())["main_cf"] + role_settings(define(sasl_username="u"))["main_cf"]:
        known.setdefault(name, "")
    if not modern:
        known.pop("smtpd_forbid_bare_newline")
        known.pop("smtpd_forbid_bare_newline_exclusions")
    return known


def define(**changes: Any) -> Any:
    values = {
        "hostname": "relay.example.com",
        "sender_domains": ("example.com",),
        "upstream_host": "smtp-relay.gmail.com",
        "temporary_reply_patterns": ("Daily",),
    }
    return RelayDefinition(**(values | changes))


@pytest.mark.parametrize("system", sorted(SYSTEMS))
def test_each_system_gets_what_its_build_can_do(system: Any) -> None:
    release, version, modern, supported = SYSTEMS[system]
    platform = platform_of(release)
    values = reference_values(platform, defaults_of(version, modern), supported)
    indexed, level, protocols, cache, newline = EXPECTED[system]
    assert values["map_type"] == indexed
    assert values["compatibility_level"] == level
    assert values["tls_protocols"] == protocols
    assert values["session_cache"] == f"{cache}$data_directory/smtp_scache"
    assert values["bare_newline"] == newline
    debian = system.startswith(("debian", "ubuntu"))
    assert platform.sasl_packages == (("libsasl2-modules",) if debian else ("cyrus-sasl-plain",))
    assert values["ca_file"] == ("/etc/ssl/certs/ca-certificates.crt" if debian else "/etc/pki/tls/certs/ca-bundle.crt")
    assert str(values["log_file"]).startswith("/var/")


def test_an_unknown_system_is_named_in_the_error() -> None:
    with pytest.raises(PlatformError, match="plan9"):
        platform_of({"ID": "plan9"})


def test_a_derivative_is_found_by_what_it_is_like() -> None:
    assert platform_of({"ID": "linuxmint", "ID_LIKE": "ubuntu debian"}).family == "debian"


def test_without_indexed_maps_the_text_itself_is_read() -> None:
    assert map_type(["regexp", "texthash"]) == "texthash"


def settings_of(**changes: Any) -> Any:
    """The settings as they arrive: through JSON."""
    return json.loads(json.dumps(role_settings(define(**changes))))


def entry(content: str, mode: int = 0o644, ctime: float = 100.0) -> Any:
    return {
        "sha256": hashlib.sha256(content.encode()).hexdigest(),
        "mode": mode,
        "owner": "root:root",
        "ctime": ctime,
        "text": content,
    }


def good_facts(settings: Any, secrets: Any = None) -> Any:
    """Facts of a host that is exactly as declared."""
    facts: dict[str, Any] = {
        "family": "debian",
        "packages": {"postfix": "3.7.11", "ca-certificates": "1", "libsasl2-modules": "2"},
        "postfix": {"defaults": defaults_of("3.7.11", True), "maps": ["hash", "btree"]},
        "service": {"unit": "postfix@-.service", "active": True, "enabled": True, "masked": False},
        "log_timer": True,
        "files": {},
        "log_directory": {"mode": 0o755, "owner": "root"},
        "recorded": {},
        "recorded_hostname": "relay.example.com",
        "master_started": 150.0,
        "queue_manager": True,
        "pending": False,
        "answers": {f"{address} {port}": "220 relay.example.com" for address, port in settings["listen"]},
        "python": "/usr/bin/python3",
        "selinux_ports": [],
        "metrics": {"installed": False},
    }
    wanted = desired(settings, secrets or {}, facts)
    for path, file in wanted.files.items():
        facts["files"][path] = entry(file.content, file.mode)
    for source in wanted.indexed:
        facts["files"][wanted.compiled(source)] = entry("compiled", wanted.files[source].mode)
    facts["recorded"] = {
        path: {"sha256": file["sha256"], "ctime": file["ctime"]} for path, file in facts["files"].items()
    }
    return facts


def whats(facts: Any, settings: Any, secrets: Any = None) -> Any:
    return [step["what"] for step in plan(facts, settings, secrets or {})]


def test_a_host_as_declared_needs_nothing() -> None:
    settings = settings_of()
    assert plan(good_facts(settings), settings, {}) == []


def test_facts_and_plan_are_plain_json() -> None:
    settings = settings_of()
    facts = good_facts(settings)
    assert json.loads(json.dumps(facts)) == facts
    facts["service"]["active"] = False
    steps = plan(facts, settings, {})
    assert json.loads(json.dumps(steps)) == steps


def test_planning_changes_neither_facts_nor_settings() -> None:
    settings = settings_of()
    facts = good_facts(settings)
    before = copy.deepcopy((facts, settings))
    plan(facts, settings, {})
    assert (facts, settings) == before


def bare(settings: Any) -> Any:
    facts = good_facts(settings, {"sasl_password": "any"})
    facts.update(packages={}, postfix=None, files={}, recorded={}, log_timer=False, log_directory=None)
    facts["service"] = {"unit": "postfix.service", "active": False, "enabled": False, "masked": False}
    return facts


def test_a_bare_host_gets_packages_then_configuration() -> None:
    settings = settings_of()
    steps = plan(bare(settings), settings, {})
    assert [step["kind"] for step in steps] == ["install", "files"]
    assert steps[0]["packages"] == ["postfix", "ca-certificates"]


def test_the_sasl_package_is_installed_only_with_credentials() -> None:
    settings = settings_of(sasl_username="u@example.com")
    steps = plan(bare(settings), settings, {"sasl_password": "secret"})
    assert steps[0]["packages"] == ["postfix", "ca-certificates", "libsasl2-modules"]


def test_a_replaced_mail_server_is_named() -> None:
    settings = settings_of()
    facts = bare(settings)
    facts["packages"] = {"exim4-daemon-light": "4.96"}
    assert whats(facts, settings)[0].endswith("Postfix takes the place of exim4-daemon-light")


def test_a_hand_edit_is_said_as_parameter_and_both_values() -> None:
    settings = settings_of()
    facts = good_facts(settings)
    text = facts["files"][paths.MAIN_CF]["text"].replace(
        "smtp_tls_security_level = secure", "smtp_tls_security_level = may"
    )
    facts["files"][paths.MAIN_CF] = entry(text)
    assert f"{paths.MAIN_CF}: smtp_tls_security_level: may -> secure" in whats(facts, settings)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"mode": 0o666}, "has mode 0666"),
        ({"owner": "mail:mail"}, "is owned by mail:mail"),
        ({"sha256": "0" * 64}, "content differs"),
    ],
)
def test_mode_owner_and_content_of_each_file_are_watched(change: Any, words: Any) -> None:
    settings = settings_of()
    for path in list(good_facts(settings)["files"]):
        if path.endswith(".db"):
            continue
        facts = good_facts(settings)
        facts["files"][path].update(change, text="# edited\n")
        expected = "comments or layout differ" if "sha256" in change and "text" in change else words
        found = [what for what in whats(facts, settings) if what.startswith(path)]
        assert len(found) == 1, path
        assert words in found[0] or "removed" in found[0] or "added" in found[0] or expected in found[0]


def test_a_missing_file_is_named() -> None:
    settings = settings_of()
    facts = good_facts(settings)
    facts["files"][paths.STATISTICS] = None
    assert whats(facts, settings)[0] == f"{paths.STATISTICS} is missing"


def test_a_compiled_map_that_is_not_ours_is_replaced() -> None:
    settings = settings_of()
    facts = good_facts(settings)
    facts["files"]["/etc/postfix/mailstack/senders.db"]["sha256"] = "f" * 64
    assert "is not what was compiled" in whats(facts, settings)[0]


def test_a_password_map_left_from_before_is_removed() -> None:
    with_password = settings_of(sasl_username="u@example.com")
    facts = good_facts(with_password, {"sasl_password": "secret"})
    changes = whats(facts, settings_of())
    assert f"{paths.SASL_MAP} is no longer needed" in changes
    assert f"{paths.SASL_MAP}.db is no longer needed" in changes


def test_the_password_map_is_for_root_only() -> None:
    settings = settings_of(sasl_username="u@example.com")
    secrets = {"sasl_password": "secret"}
    assert good_facts(settings, secrets)["files"][paths.SASL_MAP]["mode"] == 0o600
    facts = good_facts(settings, secrets)
    facts["files"][paths.SASL_MAP + ".db"]["mode"] = 0o644
    assert whats(facts, settings, secrets) == [f"{paths.SASL_MAP}.db has mode 0644 and owner root:root"]


def test_no_step_ever_holds_the_password() -> None:
    settings = settings_of(sasl_username="u@example.com")
    facts = good_facts(settings, {"sasl_password": "old secret"})
    steps = plan(facts, settings, {"sasl_password": "new secret"})
    assert [step["what"] for step in steps] == [f"{paths.SASL_MAP}: content differs"]
    assert "secret" not in json.dumps(steps)


@pytest.mark.parametrize("password", ["", "blank at the end ", "line\nend"])
def test_a_password_postfix_cannot_keep_is_refused(password: Any) -> None:
    settings = settings_of(sasl_username="u@example.com")
    with pytest.raises(RoleError, match="upstream"):
        plan(good_facts(settings_of()), settings, {"sasl_password": password})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"service": {"unit": "u", "active": False, "enabled": True, "masked": False}}, "is not running"),
        ({"service": {"unit": "u", "active": True, "enabled": False, "masked": False}}, "does not start at boot"),
        ({"service": {"unit": "u", "active": True, "enabled": True, "masked": True}}, "is masked"),
        ({"answers": {"127.0.0.1 25": "220 other.example.com"}}, "says '220 other.example.com'"),
        ({"answers": {"127.0.0.1 25": "no answer: Connection refused"}}, "Connection refused"),
        ({"queue_manager": False}, "qmgr"),
        ({"log_timer": False}, "mailstack-postfix-log.timer"),
        ({"pending": True}, "did not finish"),
        ({"log_directory": None}, "/var/log/mailstack"),
        ({"log_directory": {"mode": 0o777, "owner": "root"}}, "/var/log/mailstack"),
        ({"selinux_ports": [26]}, "label port 26"),
    ],
)
def test_each_deviation_of_the_running_service_is_seen(change: Any, words: Any) -> None:
    settings = settings_of()
    facts = good_facts(settings)
    facts.update(change)
    assert any(words in what for what in whats(facts, settings))


def test_a_file_changed_and_changed_back_means_a_reload() -> None:
    settings = settings_of()
    facts = good_facts(settings)
    facts["files"][paths.MAIN_CF]["ctime"] = 200.0
    assert whats(facts, settings) == ["Postfix was not reloaded after the last change of its files"]


def test_a_start_after_the_last_change_of_files_is_as_good_as_a_reload() -> None:
    settings = settings_of()
    facts = good_facts(settings)
    facts["files"][paths.MAIN_CF]["ctime"] = 200.0
    facts["master_started"] = 300.0
    assert whats(facts, settings) == []


def test_a_parameter_unknown_to_an_old_postfix_is_left_out() -> None:
    settings = settings_of()
    facts = good_facts(settings)
    facts["postfix"] = {"defaults": defaults_of("3.5.25", False), "maps": ["hash", "btree"]}
    wanted = desired(settings, {}, facts)
    assert sorted(wanted.left_out) == ["smtpd_forbid_bare_newline", "smtpd_forbid_bare_newline_exclusions"]
    assert "smtpd_forbid_bare_newline" not in parse_main_cf(wanted.files[paths.MAIN_CF].content)


def test_a_parameter_asked_for_by_name_is_never_left_out() -> None:
    settings = settings_of(extra_parameters={"no_such_parameter": "1"})
    wanted = desired(settings, {}, good_facts(settings_of()))
    assert parse_main_cf(wanted.files[paths.MAIN_CF].content)["no_such_parameter"] == "1"


@pytest.mark.parametrize(
    ("changes", "restart"),
    [
        ({"concurrency": 10}, False),
        ({"client_networks": ("10.0.0.0/8",)}, False),
        ({"listen_addresses": ("127.0.0.1", "10.0.0.5")}, True),
        ({"ip_protocol": "all"}, True),
    ],
)
def test_postfix_is_restarted_only_for_what_a_reload_does_not_read(changes: Any, restart: Any) -> None:
    facts = good_facts(settings_of())
    wanted = desired(settings_of(**changes), {}, facts)
    assert needs_restart(facts, wanted) is restart


def test_settings_that_could_inject_never_become_a_file() -> None:
    settings = settings_of()
    settings["main_cf"].append(["smtp_helo_name", "x\nmynetworks = 0.0.0.0/0"])
    with pytest.raises(RoleError, match="line end"):
        desired(settings, {}, good_facts(settings_of()))


def test_every_family_has_a_row_of_its_own() -> None:
    assert [platform.family for platform in PLATFORMS] == ["debian", "rhel"]
