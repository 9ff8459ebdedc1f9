"""The renderer of main.cf, master.cf and maps: what is written is what Postfix reads, and nothing else."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailstack.postfix.platforms import PLATFORMS, reference_values
from mailstack.postfix.relay import (
    REASONS,
    RelayDefinition,
    RelayDefinitionError,
    main_cf,
    maps,
    master_cf,
    role_settings,
)
from mailstack.postfix.render import (
    Reference,
    RenderError,
    Service,
    decode_value,
    differences,
    encode_value,
    parse_main_cf,
    parse_master_cf,
    render_indexed_map,
    render_main_cf,
    render_master_cf,
    render_regexp_map,
    resolve,
    service_from,
    value_text,
)

BOOKWORM = {
    "mail_version": "3.7.11",
    "smtp_tls_mandatory_protocols": ">=TLSv1",
    "smtpd_forbid_bare_newline_reject_code": "550",
}
label = st.from_regex(r"[a-z]([a-z0-9-]{0,10}[a-z0-9])?", fullmatch=True)
domain = st.lists(label, min_size=2, max_size=4).map(".".join)
networks = st.sampled_from(["10.0.0.0/8", "192.168.7.0/24", "fd00:1::/32", "203.0.113.9/32", "2001:db8::1/128"])
addresses = st.sampled_from(["127.0.0.1", "::1", "10.1.2.3", "0.0.0.0", "fd00::5"])


@st.composite
def definitions(draw: st.DrawFn) -> RelayDefinition:
    domains = tuple(draw(st.lists(domain, min_size=1, max_size=4, unique=True)))
    return RelayDefinition(
        hostname=draw(domain),
        sender_domains=domains,
        upstream_host=draw(domain),
        upstream_port=draw(st.integers(1, 65535)),
        implicit_tls=draw(st.booleans()),
        tls_level=draw(st.sampled_from(["secure", "verify", "encrypt"])),
        sasl_username=draw(st.none() | st.just("relay@example.com")),
        listen_addresses=tuple(draw(st.lists(addresses, min_size=1, max_size=3, unique=True))),
        listen_port=draw(st.integers(1, 65535)),
        client_networks=tuple(draw(st.lists(networks, max_size=3))),
        masquerade_domains=tuple(draw(st.lists(st.sampled_from(domains), max_size=2, unique=True))),
        concurrency=draw(st.integers(1, 500)),
        ip_protocol=draw(st.sampled_from(["ipv4", "ipv6", "all"])),
        temporary_reply_patterns=tuple(
            draw(st.lists(st.from_regex(r"[A-Za-z (|)/.]{1,20}", fullmatch=True).filter(_compiles), max_size=3))
        ),
        postmaster=draw(st.none() | st.just("postmaster@example.com")),
        extra_parameters=draw(st.dictionaries(st.just("smtp_helo_timeout"), st.integers(1, 9), max_size=1)),
    )


def _compiles(pattern: str) -> bool:
    try:
        re.compile(pattern)
    except re.error:
        return False
    return pattern == pattern.strip()


def rendered(definition: RelayDefinition) -> str:
    parameters, _ = resolve(main_cf(definition), reference_values(PLATFORMS[0], BOOKWORM, ["hash", "btree"]))
    return render_main_cf(parameters, REASONS, "header\nsecond line")


@given(definitions())
def test_every_definition_gives_a_main_cf_that_reads_back_as_exactly_its_parameters(definition: Any) -> None:
    parameters, left_out = resolve(main_cf(definition), reference_values(PLATFORMS[0], BOOKWORM, ["hash", "btree"]))
    assert left_out == []
    read = parse_main_cf(rendered(definition))
    assert list(read) == list(parameters)
    for name, value in parameters.items():
        expected = ", ".join(value) if isinstance(value, tuple) else value_text(name, value)
        assert read[name] == " ".join(expected.split())


@given(definitions())
def test_the_same_definition_gives_the_same_text(definition: Any) -> None:
    assert rendered(definition) == rendered(definition)
    assert role_settings(definition) == role_settings(definition)


@given(definitions())
def test_every_definition_gives_a_master_cf_with_each_service_once(definition: Any) -> None:
    services = master_cf(definition)
    read = parse_master_cf(render_master_cf(services, "header"))
    assert list(read) == [f"{service.name}/{service.type}" for service in services]
    listeners = [name for name in read if name.endswith("/inet")]
    assert len(listeners) == len(set(definition.listen_addresses))
    for needed in ("tlsproxy/unix", "scache/unix", "tlsmgr/unix", "postlog/unix-dgram", "pickup/unix"):
        assert needed in read
    assert not {"local/unix", "virtual/unix", "lmtp/unix"} & set(read)


@given(definitions())
def test_no_definition_opens_the_relay(definition: Any) -> None:
    read = parse_main_cf(rendered(definition))
    for name in ("smtpd_client_restrictions", "smtpd_relay_restrictions", "smtpd_sender_restrictions"):
        assert read[name].split(", ")[-1] == "reject"
    assert read["mydestination"] == read["relay_domains"] == read["parent_domain_matches_subdomains"] == ""
    assert "0.0.0.0/0" not in read["mynetworks"]
    assert not re.search(r"\]/0\b", read["mynetworks"])


@given(definitions())
def test_every_definition_survives_the_trip_to_the_host(definition: Any) -> None:
    settings = role_settings(definition)
    assert {name: decode_value(value) for name, value in settings["main_cf"]} == main_cf(definition)
    assert [service_from(service) for service in settings["master_cf"]] == master_cf(definition)


@given(definitions())
def test_every_definition_gives_maps_that_can_be_written(definition: Any) -> None:
    for table in maps(definition).values():
        if table["kind"] == "indexed":
            text = render_indexed_map(table["entries"], "comment")
            assert len(text.splitlines()) == len(table["entries"]) + 1
        else:
            text = render_regexp_map([(pattern, result) for pattern, result in table["rules"]], "comment")
            assert len(text.splitlines()) == len(table["rules"]) + 1


INJECTIONS = [
    "a\nmynetworks = 0.0.0.0/0",
    "a\r\nrelayhost =",
    "a\x00b",
    "a\x0bb",
    "a\u2028mynetworks=0.0.0.0/0",
    " leading",
    "trailing ",
]


@pytest.mark.parametrize("value", INJECTIONS)
def test_a_value_cannot_set_another_parameter(value: Any) -> None:
    for wrapped in (value, (value,), ("fine", value)):
        with pytest.raises(RenderError):
            value_text("smtp_helo_name", wrapped)
    with pytest.raises(RenderError):
        render_indexed_map({"key": value}, "c")
    with pytest.raises(RenderError):
        render_regexp_map([("x", value)], "c")


@given(st.text())
def test_any_accepted_text_stays_within_its_parameter(text: Any) -> None:
    try:
        rendered_text = render_main_cf({"first": text, "second": "b"}, {}, "")
    except RenderError:
        return
    assert parse_main_cf(rendered_text) == {"first": " ".join(text.split()), "second": "b"}


@given(st.lists(st.text(min_size=1), min_size=1, max_size=4))
def test_any_accepted_list_stays_within_its_parameter(items: Any) -> None:
    try:
        rendered_text = render_main_cf({"first": tuple(items), "second": "b"}, {}, "")
    except RenderError:
        return
    read = parse_main_cf(rendered_text)
    assert list(read) == ["first", "second"]
    assert read["first"] == " ".join(", ".join(items).split())


@pytest.mark.parametrize("item", ["", "a,b", "#comment"])
def test_a_list_entry_that_would_vanish_or_split_is_refused(item: Any) -> None:
    with pytest.raises(RenderError):
        value_text("mynetworks", ("127.0.0.0/8", item))


@pytest.mark.parametrize("name", ["", "my name", "a=b", "a\nb", "1st", "x.y", "a:b"])
def test_a_name_that_is_no_parameter_name_is_refused(name: Any) -> None:
    with pytest.raises(RenderError, match="parameter name"):
        render_main_cf({name: "1"}, {}, "")


@pytest.mark.parametrize("field", ["name", "type", "command", "wakeup", "private"])
@pytest.mark.parametrize("text", ["a b", "a\nb", "", "$x"])
def test_a_service_cannot_carry_another_one(field: Any, text: Any) -> None:
    service = Service("smtp", "unix", "smtp")._replace(**{field: text})
    with pytest.raises(RenderError):
        render_master_cf([service], "")


def test_an_option_with_a_blank_is_put_in_braces() -> None:
    text = render_master_cf([Service("smtp", "unix", "smtp", options={"a": "b c", "d": ("e", "f")})], "")
    assert "    -o { a = b c }\n    -o d=e,f\n" in text


def test_values_become_what_postfix_calls_them() -> None:
    text = render_main_cf({"a": True, "b": False, "c": 5, "d": (), "e": ("x",), "f": ("x", "y")}, {"b": "why"}, "")
    assert text == "a = yes\n\n# why\nb = no\nc = 5\nd =\ne = x\nf =\n    x,\n    y\n"


def test_an_unresolved_reference_is_never_written() -> None:
    with pytest.raises(RenderError, match="platform"):
        render_main_cf({"smtp_tls_CAfile": Reference("ca_file")}, {}, "")


@pytest.mark.parametrize("data", [None, 1.5, {"platform": "nothing"}, {"a": "b"}, [1], [["x"]]])
def test_settings_that_are_no_value_are_refused(data: Any) -> None:
    with pytest.raises(RenderError):
        decode_value(data)


def test_references_survive_json() -> None:
    assert decode_value(encode_value(Reference("ca_file"))) == Reference("ca_file")


@pytest.mark.parametrize(
    "password",
    ["a b", "a:b", "#a", "$a$$b", "=a", "pässwörd", "  leading", 'quo"te', "back\\slash", "a#b", "{a}", "%s", "日本"],
)
def test_a_password_is_written_as_it_is(password: Any) -> None:
    text = render_indexed_map({"[smtp.example.com]:587": f"user:{password}"}, "c")
    assert text.splitlines()[1] == f"[smtp.example.com]:587 user:{password}"


@pytest.mark.parametrize("key", ["", "a b", "#a", '"a"', "a\nb"])
def test_a_map_key_that_postmap_would_read_differently_is_refused(key: Any) -> None:
    with pytest.raises(RenderError, match="key"):
        render_indexed_map({key: "v"}, "c")


def test_a_slash_in_a_pattern_does_not_end_it() -> None:
    assert render_regexp_map([("a/b\\/c", "4")], "c").splitlines()[1] == "/a\\/b\\/c/ 4"


def test_differences_name_the_parameter_and_both_values() -> None:
    old = parse_main_cf("smtp_tls_security_level = may\nrelayhost = [a]:25\nold = 1\n")
    new = parse_main_cf("smtp_tls_security_level = secure\nrelayhost = [a]:25\nnew =\n")
    assert differences(old, new) == ["new: added", "old: removed", "smtp_tls_security_level: may -> secure"]


def test_a_long_list_of_differences_is_cut() -> None:
    lines = differences({}, {f"p{number:02}": "1" for number in range(30)})
    assert len(lines) == 13
    assert lines[-1] == "and 18 more"


def test_reading_follows_postfix_on_comments_continuations_and_repeats() -> None:
    text = "# c\na = 1\n  2\n\n  # inside\n  3\na_b=x\nb = 1\nb = 2\n"
    assert parse_main_cf(text) == {"a": "1 2 3", "a_b": "x", "b": "2"}


def test_a_refused_definition_never_reaches_a_file() -> None:
    with pytest.raises(RelayDefinitionError, match="hostname"):
        RelayDefinition(
            hostname="relay.example.com\nmynetworks=0.0.0.0/0", sender_domains=("example.com",), upstream_host="x.test"
        )
