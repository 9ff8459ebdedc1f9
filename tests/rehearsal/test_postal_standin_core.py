"""Configuration, database, models and programs of the stand-in for Postal.

The same tests pass on Postal itself: set MAILSTACK_POSTAL_IMAGE to its image. Promises only the stand-in makes are
skipped there.
"""

import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from rehearsal.ground import Ground
from rehearsal.ground.docker import docker_try
from rehearsal.images import POSTAL_VERSION, POSTAL_VERSION_BROKEN, POSTAL_VERSION_NEXT
from tests.rehearsal.postal_toolbox import SELECTOR, PostalToolbox

pytestmark = pytest.mark.hosts

FACTS = Path(__file__).with_name("postal_facts.rb")
PENDING = ("bundle", "exec", "rails", "db:abort_if_pending_migrations")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostalToolbox]:
    with Ground("postal-core") as ground:
        yield PostalToolbox(ground, tmp_path_factory.mktemp("postal") / "config")


@pytest.fixture(scope="module")
def postal(site: PostalToolbox) -> PostalToolbox:
    """The site with its database set up, from a database that was there but empty."""
    assert site.run("bundle", "exec", "rake", "db:create").returncode == 0
    assert site.run(*PENDING).returncode == 1
    assert site.run("postal", "initialize").returncode == 0
    return site


@pytest.fixture(scope="module")
def facts(postal: PostalToolbox) -> dict[str, Any]:
    """What the script of model facts found out, by name."""
    found: dict[str, Any] = postal.ruby(FACTS.read_text())
    return found


# --- configuration -----------------------------------------------------------------------------------------------


def test_file_beats_default_and_environment_beats_file(site: PostalToolbox) -> None:
    ask = "[:web_hostname, :web_protocol, :default_maximum_delivery_attempts].map { |k| Postal::Config.postal[k] }"
    assert site.config(ask) == ["from-file.example.com", "https", 18]
    assert site.config(ask, POSTAL_WEB_HOSTNAME="from-env.example.com")[0] == "from-env.example.com"


def test_null_in_the_file_replaces_the_default(site: PostalToolbox) -> None:
    assert site.config("Postal::Config.postal.smtp_hostname") is None


def test_unknown_keys_are_ignored_without_a_word(site: PostalToolbox) -> None:
    done = site.run("bundle", "exec", "ruby", "-r./lib/postal/config", "-e", "p Postal::Config.postal.no_such_key")
    assert (done.returncode, done.stdout) == (0, "nil\n")
    assert "no_such" not in done.stderr


def test_lists_in_the_environment_are_separated_by_commas_and_relays_lose_scheme_and_login(site: PostalToolbox) -> None:
    relays = "smtp://relay.corp.example:2525?ssl_mode=STARTLS, smtps://user:secret@other.corp.example"
    ask = "Postal::Config.postal.smtp_relays.map { |relay| [relay.host, relay.port, relay.ssl_mode] }"
    assert site.config(ask, POSTAL_SMTP_RELAYS=relays) == [
        ["relay.corp.example", 2525, "STARTLS"],
        ["other.corp.example", 25, "Auto"],
    ]


def test_the_directory_of_the_file_is_put_in_paths(site: PostalToolbox) -> None:
    assert site.config("Postal::Config.postal.signing_key_path") == "/config/signing.key"


@pytest.mark.parametrize(
    "broken", [{"version": 2, "postal": {"smtp_relays": None}}, {"version": 3}], ids=["null relays", "version 3"]
)
def test_a_file_postal_cannot_read_ends_every_program(site: PostalToolbox, broken: Mapping[str, Any]) -> None:
    site.ground.copy_in(site.tools, json.dumps(broken), "/config/broken.yml", mode=0o644)
    assert site.run("postal", "default-dkim-record", POSTAL_CONFIG_FILE_PATH="/config/broken.yml").returncode == 1


def test_a_file_without_version_is_an_old_one_whose_new_keys_do_not_count(site: PostalToolbox) -> None:
    old = {"postal": {"web_hostname": "from-file.example.com"}}
    site.ground.copy_in(site.tools, json.dumps(old), "/config/old.yml", mode=0o644)
    assert site.config("Postal::Config.postal.web_hostname", POSTAL_CONFIG_FILE_PATH="/config/old.yml") == (
        "postal.example.com"
    )


def test_where_the_configuration_came_from_is_told_on_stderr_only_and_can_be_silenced(site: PostalToolbox) -> None:
    loud = site.run("postal", "default-dkim-record")
    quiet = site.run("postal", "default-dkim-record", SILENCE_POSTAL_CONFIG_MESSAGES="true")
    assert "/config/postal.yml" in loud.stderr
    assert (loud.stdout, quiet.stderr) == (f"{site.record}\n", "")


# --- database ----------------------------------------------------------------------------------------------------


def test_initialize_can_be_run_again_and_keeps_what_is_there(postal: PostalToolbox) -> None:
    count = "puts ActiveRecord::Base.connection.select_value('SELECT COUNT(*) FROM statistics')"
    before = postal.ruby(f"Statistic.create!; {count}")
    done = postal.run("postal", "initialize")
    assert (done.returncode, "Running migrations" in done.stdout) == (0, True)
    assert (postal.ruby(count), postal.run(*PENDING).returncode) == (before, 0)


# --- models ------------------------------------------------------------------------------------------------------


def test_the_key_of_a_credential_is_made_on_creation_and_only_update_column_changes_it(facts: dict[str, Any]) -> None:
    assert facts["credential"] == {
        "kept_given_key": False,
        "key_length": 24,
        "save_with_other_key": False,
        "after_update_column": "key-from-stack",
        "after_other_change": "key-from-stack",
    }


def test_a_domain_gets_a_key_of_1024_bits_whatever_it_is_given(facts: dict[str, Any]) -> None:
    assert facts["domain"] == {
        "bits": 1024,
        "identifier_length": 6,
        "record_name": "postal-IDENTIFIER._domainkey",
        "verification_token_length": 32,
        "dkim_status": None,
        "verified": False,
    }


def test_an_object_that_has_used_its_key_does_not_see_a_new_one(facts: dict[str, Any]) -> None:
    assert facts["new_key_seen"] == {"by_same_object": False, "by_fresh_object": True}


def test_creating_a_server_wipes_a_message_database_of_the_same_number(facts: dict[str, Any]) -> None:
    assert facts["wiped"] == {"old_table_before": True, "old_table_after": False, "messages_after": 0}


def test_a_deleted_organization_is_only_marked_and_keeps_its_name(facts: dict[str, Any]) -> None:
    assert facts["soft_destroyed"] == {"present": False, "found": True, "permalink_free": False}


def test_names_and_modes_postal_refuses_are_refused(facts: dict[str, Any]) -> None:
    assert facts["refused"] == {
        "organization": ["owner must exist", "permalink exclusion"],
        "server": ["mode inclusion", "permalink exclusion"],
        "domain": ["name invalid", "verification_method inclusion"],
        "credential": ["name blank", "type inclusion"],
        "route": ["domain not verified", "spam_mode inclusion"],
        "user": ["password too_short"],
    }


def test_servers_keep_what_postal_keeps_by_default(facts: dict[str, Any]) -> None:
    assert facts["server"] == {
        "permalink": "mail-one",
        "token": "6 lower case",
        "retention": [60, 30, 2048],
        "thresholds": [5.0, 20.0],
        "database": "postal-server-ID",
    }


def test_the_sender_domain_must_be_verified(facts: dict[str, Any]) -> None:
    assert facts["sender"] == {"verified": "sender.example", "unverified": None, "use_for_any": "sender.example"}


def test_a_queue_entry_with_an_old_lock_counts_as_stale_and_a_late_retry_waits_longer(facts: dict[str, Any]) -> None:
    assert facts["queue"] == {"stale": [False, True], "attempts": [1, 2], "minutes": [5, 6.5]}


# --- check_dns ---------------------------------------------------------------------------------------------------

CHECK = """
key, identifier = JSON.parse(ARGV[0])
owner = User.first
organization = Organization.find_or_create_by!(name: "DNS", permalink: "dns", owner: owner)
answers = ARGV.drop(1).to_h do |name|
  Domain.where(name: name).destroy_all
  domain = Domain.create!(owner: organization, name: name, verification_method: "DNS")
  domain.update_columns(dkim_private_key: key, dkim_identifier_string: identifier)
  domain = Domain.find(domain.id)
  ok = domain.check_dns
  kept = Domain.find(domain.id)
  [name, [kept.spf_status, kept.dkim_status, kept.mx_status, kept.return_path_status, ok, !kept.dns_checked_at.nil?]]
end
puts JSON.generate(answers)
"""


def check_dns(site: PostalToolbox, *names: str, local: str = "false") -> dict[str, Any]:
    key = json.dumps([site.key.decode(), SELECTOR])
    found: dict[str, Any] = site.ruby(CHECK, key, *names, POSTAL_USE_LOCAL_NS_FOR_DOMAIN_VERIFICATION=local)
    return found


def test_check_dns_finds_what_the_domains_own_server_says(postal: PostalToolbox, facts: dict[str, Any]) -> None:
    assert facts  # made the user the organization belongs to
    names = ("good.example", "bare.example", "bad.example", "twice.example")
    assert check_dns(postal, *names) == {
        "good.example": ["OK", "OK", "OK", "OK", True, True],
        "bare.example": ["OK", "OK", "Missing", "Missing", True, True],
        "bad.example": ["Invalid", "Invalid", "Invalid", "Invalid", False, True],
        "twice.example": ["Missing", "Invalid", "Missing", "Missing", False, True],
    }


def test_check_dns_asks_the_resolver_only_when_told_to(postal: PostalToolbox, facts: dict[str, Any]) -> None:
    assert facts
    own = check_dns(postal, "split.example")
    local = check_dns(postal, "split.example", local="true")
    assert (own["split.example"][0], local["split.example"][0]) == ("Missing", "OK")


# --- programs ----------------------------------------------------------------------------------------------------


def test_a_runner_script_gets_arguments_and_stdin_and_sets_the_exit_status(site: PostalToolbox) -> None:
    site.ground.copy_in(
        site.tools, "puts [ARGV, $stdin.read, Server.name].inspect; exit 7", "/config/script.rb", mode=0o644
    )
    done = site.run("bundle", "exec", "rails", "runner", "/config/script.rb", "one", "--two", stdin="secret")
    assert (done.returncode, done.stdout) == (7, '[["one", "--two"], "secret", "Server"]\n')


@pytest.mark.parametrize(
    "command",
    [
        ("rails", "runner"),
        ("rails", "runner", "/no/such/file.rb"),
        ("rails", "runner", "raise 'no'"),
        ("rails", "no-such-command"),
        ("rake", "no:such:task"),
        ("no-such-program",),
    ],
    ids=" ".join,
)
def test_what_rails_would_refuse_fails(site: PostalToolbox, command: tuple[str, ...]) -> None:
    assert site.run("bundle", "exec", *command).returncode != 0


def test_make_user_ends_with_status_0_even_when_it_could_not_make_one(postal: PostalToolbox) -> None:
    done = postal.run("postal", "make-user", stdin="nobody@example.com\nNo\nBody\nshort\n")
    assert (done.returncode, "Failed to create user" in done.stdout) == (0, True)


def test_test_app_smtp_ends_with_status_0_on_failure_and_prints_the_password(site: PostalToolbox) -> None:
    done = site.run("postal", "test-app-smtp", "a@example.com", SMTP_PORT="9", SMTP_PASSWORD="the-password")
    assert (done.returncode, "the-password" in done.stdout) == (0, True)


def test_an_unknown_command_prints_the_usage_with_status_0(site: PostalToolbox) -> None:
    done = site.run("postal", "no-such-command")
    assert (done.returncode, done.stdout.startswith("Usage: postal")) == (0, True)


# --- image -------------------------------------------------------------------------------------------------------


def image_run(site: PostalToolbox, *options: str, command: Sequence[str]) -> subprocess.CompletedProcess[bytes]:
    image = site.images.postal[POSTAL_VERSION]
    return docker_try(["run", "--rm", "--network", "none", *options, image, *command])


def test_processes_run_as_user_999_and_find_the_version(site: PostalToolbox) -> None:
    assert image_run(site, command=["id", "-u"]).stdout == b"999\n"
    assert image_run(site, command=["postal", "version"]).stdout.strip().decode().startswith("3.3.")


def test_ruby_does_not_start_without_the_capability_to_bind_low_ports(site: PostalToolbox) -> None:
    assert image_run(site, "--cap-drop", "ALL", command=["postal", "version"]).returncode != 0
    least = ("--cap-drop", "ALL", "--cap-add", "NET_BIND_SERVICE")
    assert image_run(site, *least, command=["postal", "version"]).returncode == 0


def test_the_entrypoint_waits_for_its_targets_and_gives_up_in_time(site: PostalToolbox) -> None:
    options = ("--env", "WAIT_FOR_TARGETS=127.0.0.1:9", "--env", "WAIT_FOR_TIMEOUT=1")
    done = image_run(site, *options, command=["echo", "started"])
    assert (done.returncode, b"started" in done.stdout) == (1, False)
    assert site.run("/docker-entrypoint.sh", "echo", "ok", WAIT_FOR_TARGETS="mariadb:3306").stdout.endswith("ok\n")


# --- upgrade: last, because it spoils the database ---------------------------------------------------------------


def test_an_upgrade_migrates_and_keeps_what_is_there(postal: PostalToolbox, facts: dict[str, Any]) -> None:
    if postal.images.real_postal:
        pytest.skip("there is no second schema to migrate to")
    assert facts
    newer = postal.start("newer", POSTAL_VERSION_NEXT)
    assert postal.run(*PENDING, where=newer).returncode == 1
    assert postal.run("postal", "upgrade", where=newer).returncode == 0
    assert postal.run(*PENDING, where=newer).returncode == 0
    assert postal.ruby('puts Credential.where(key: "key-from-stack").count', where=newer) == 1


def test_a_broken_upgrade_leaves_a_database_no_release_can_use(postal: PostalToolbox, facts: dict[str, Any]) -> None:
    if postal.images.real_postal:
        pytest.skip("the broken release of Postal itself fails before it changes anything")
    assert facts
    broken = postal.start("broken", POSTAL_VERSION_BROKEN)
    assert [postal.run("postal", "upgrade", where=broken).returncode for _attempt in range(2)] == [1, 1]
    done = postal.run("bundle", "exec", "rails", "runner", 'Credential.find_by!(key: "key-from-stack")')
    assert done.returncode != 0
