"""Postal's configuration: real keys only, nothing that Postal would ignore, misread or crash on."""

import re
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from mailstack.postal.config import OWNED_KEYS, config_problems
from mailstack.postal.config_keys import KEYS, LIST, SECRET_KEYS, key_problems
from mailstack.postal.relays import Relay, RelayError, relay_url
from mailstack.postal.render import RenderError, config_digest, merge, render_postal_yml

BASE = {"postal": {"web_hostname": "postal.example.com"}, "dns": {"mx_records": ["mx.example.com"]}}


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"postal": {"web_host": "x"}}, ["postal.config.postal.web_host", "did you mean web_hostname?"]),
        ({"message_db": {"prefix": "postal"}}, ["ignore this key"]),
        ({"dns": {"helo": "x"}}, ["did you mean helo_hostname?"]),
        ({"postal": {"threads": 4}}, ["it belongs to worker"]),
        ({"smtp_sever": {}}, ["no such group; did you mean smtp_server?"]),
        ({"worker": {"threads": "4"}}, ["a whole number", "'4'"]),
        ({"worker": {"threads": True}}, ["a whole number"]),
        ({"smtp_server": {"tls_enabled": "yes"}}, ["true or false"]),
        ({"oidc": {"scopes": "openid"}}, ["a list of texts"]),
        ({"gelf": {"host": None}}, ["null would replace Postal's default"]),
        ({"gelf": {"host": "a\nb"}}, ["line ends"]),
        ({"gelf": "x"}, ["must be a group of keys"]),
    ],
)
def test_a_key_postal_would_ignore_or_misread_is_named_with_the_way_out(values: Any, words: list[str]) -> None:
    [problem] = key_problems(values)
    assert all(word in problem for word in words), problem


def test_a_wrong_secret_is_not_shown() -> None:
    [problem] = key_problems({"rails": {"secret_key": 12345678}})
    assert "12345678" not in problem


@pytest.mark.parametrize("password", ['with"quote', "with\\backslash"])
def test_a_database_password_that_breaks_postals_own_database_yml_is_refused(password: str) -> None:
    [problem] = key_problems({"main_db": {"password": password}})
    assert "database.yml" in problem
    assert password not in problem
    assert key_problems({"message_db": {"password": password}}) == []


def test_keys_another_setting_owns_and_secrets_are_refused_as_extra_configuration() -> None:
    owned = config_problems({"postal": {"smtp_relays": ["smtp://x"]}})
    assert any("postal.sending" in problem for problem in owned)
    secret = config_problems({"smtp": {"password": "recognisable"}})
    assert any("is a secret" in problem for problem in secret)
    assert "recognisable" not in " ".join(secret)


@pytest.mark.parametrize(
    "values",
    [
        {"postal": {"default_maximum_delivery_attempts": 1}},
        {"postal": {"queued_message_lock_stale_days": 0}},
        {"smtp_client": {"read_timeout": 1}},
    ],
)
def test_settings_that_lose_mail_or_block_recipients_are_refused(values: Any) -> None:
    [problem] = config_problems(values)
    assert "must be at least" in problem


def test_every_owned_and_secret_key_is_one_postal_has() -> None:
    assert [pair for pair in [*OWNED_KEYS, *SECRET_KEYS] if pair[1] not in KEYS.get(pair[0], {})] == []


text = st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp")), max_size=40)


@given(name=text, relays=st.lists(text, max_size=3), number=st.integers(-(2**31), 2**31), switch=st.booleans())
def test_whatever_is_declared_is_what_postal_reads(name: str, relays: list[str], number: int, switch: bool) -> None:
    config: dict[str, dict[str, Any]] = {
        "postal": {"web_hostname": name, "smtp_relays": relays, "use_ip_pools": switch},
        "worker": {"threads": number},
    }
    assert yaml.safe_load(render_postal_yml(config)) == {"version": 2, **config}


def test_an_unknown_key_or_null_is_never_written() -> None:
    with pytest.raises(RenderError, match=re.escape("postal.web_host is no key")):
        render_postal_yml({"postal": {"web_host": "x"}})
    with pytest.raises(RenderError, match="is null"):
        render_postal_yml({"postal": {"web_hostname": None}})


def test_a_secret_cannot_replace_a_declared_key_silently() -> None:
    assert merge(BASE, {"rails": {"secret_key": "s"}})["rails"] == {"secret_key": "s"}
    with pytest.raises(RenderError, match=r"postal\.web_hostname"):
        merge(BASE, {"postal": {"web_hostname": "other"}})


def test_only_processes_that_read_a_change_get_another_digest() -> None:
    def digests(config: Any, key: str = "key") -> list[str]:
        return [config_digest(process, config, key) for process in ("web", "smtp", "worker")]

    before = digests(BASE)
    only_smtp = digests({**BASE, "smtp_server": {"tls_enabled": True}})
    assert [old == new for old, new in zip(before, only_smtp, strict=True)] == [True, False, True]
    only_worker = digests({**BASE, "worker": {"threads": 4}})
    assert [old == new for old, new in zip(before, only_worker, strict=True)] == [True, True, False]
    assert not set(before) & set(digests({**BASE, "logging": {"enabled": False}}))
    assert not set(before) & set(digests(BASE, "another key"))


def test_the_relay_entry_uses_the_values_postal_really_compares_with() -> None:
    assert relay_url(Relay(name="r.example.com", port=2525, tls="auto")) == "smtp://r.example.com:2525?ssl_mode=Auto"
    assert relay_url(Relay(name="r.example.com", port=2525, tls="none")) == "smtp://r.example.com:2525?ssl_mode=None"
    # Spelt correctly, STARTTLS would be unknown to Postal and mean plain text.
    verified = relay_url(Relay(name="r.example.com", port=587, tls="starttls-verified"))
    assert verified == "smtp://r.example.com:587?ssl_mode=STARTLS"
    assert relay_url(Relay(name="r.example.com", port=465, tls="tls")).endswith("ssl_mode=TLS")


@pytest.mark.parametrize(
    ("name", "port", "tls", "words"),
    [
        ("127.0.0.1", 25, "none", "only asks DNS"),
        ("[::1]", 25, "none", "only asks DNS"),
        ("localhost", 25, "none", "the container itself"),
        ("Relay.example.com", 25, "none", "lower case"),
        ("r.example.com", 0, "none", "port"),
        ("r.example.com", 587, "tls", "starts in clear"),
        ("r.example.com", 25, "STARTTLS", "is none of"),
    ],
)
def test_a_relay_postal_could_not_use_is_refused(name: str, port: int, tls: Any, words: str) -> None:
    with pytest.raises(RelayError, match=re.escape(words)):
        Relay(name=name, port=port, tls=tls)


def test_lists_and_texts_are_those_of_the_documentation() -> None:
    lists = {f"{group}.{key}" for group, keys in KEYS.items() for key, kind in keys.items() if kind == LIST}
    assert lists == {"postal.smtp_relays", "postal.trusted_proxies", "dns.mx_records", "oidc.scopes"}
