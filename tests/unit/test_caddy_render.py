"""The Caddyfile of a definition, and the definitions that are refused."""

import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailstack.caddy.definition import (
    Acme,
    CaddyDefinition,
    CaddyDefinitionError,
    Custom,
    Internal,
    MtaStsPolicy,
    SmtpDelivery,
    issuer_directory,
    role_settings,
)
from mailstack.caddy.render import caddyfile

ACME = Acme(email="it@example.com")
CERTIFICATE = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"


def define(**changes: Any) -> CaddyDefinition:
    values: dict[str, Any] = {
        "certificates": ACME,
        "web_names": ("postal.example.com",),
        "tracking_names": ("track.example.com",),
        "mta_sts": (MtaStsPolicy(domain="example.com", mode="enforce", mx=("mx.example.com",)),),
        "smtp": SmtpDelivery(name="mx.example.com"),
    }
    return CaddyDefinition(**(values | changes))


def block(text: str, head: str) -> str:
    """Return the lines of a block, without indentation."""
    start = text.index(f"\n{head} {{\n") + 1
    lines = text[start : text.index("\n}\n", start)].splitlines()[1:]
    return "\n".join(line.strip() for line in lines)


def test_the_whole_file_for_one_issuer_is_this() -> None:
    text = caddyfile(define(web_names=("postal.example.com",), tracking_names=(), mta_sts=(), access_log=False))
    assert text == (
        "# Managed by mailstack: the next run undoes changes made here.\n"
        "# Change the stack's settings instead; `mailstack check` shows what differs.\n"
        "{\n"
        "\tadmin unix//run/mailstack-caddy/admin.sock\n"
        "\tstorage file_system /var/lib/caddy/.local/share/caddy\n"
        "\tauto_https disable_redirects\n"
        "\tgrace_period 30s\n"
        "\tlog {\n\t\toutput stderr\n\t\tformat json\n\t}\n"
        "\tservers {\n"
        "\t\tprotocols h1 h2\n"
        "\t\ttimeouts {\n\t\t\tread_header 10s\n\t\t\tread_body 5m\n\t\t\twrite 10m\n\t\t\tidle 2m\n\t\t}\n"
        "\t}\n"
        "}\n"
        "\n"
        "(mailstack_site) {\n"
        "\ttls {\n\t\tissuer acme {\n"
        "\t\t\tdir https://acme-v02.api.letsencrypt.org/directory\n"
        "\t\t\temail it@example.com\n"
        "\t\t\tdisable_tlsalpn_challenge\n"
        "\t\t}\n\t}\n"
        "\theader {\n\t\tdefer\n\t\t-Server\n\t\t-Via\n\t\tX-Content-Type-Options nosniff\n"
        "\t\tX-Frame-Options SAMEORIGIN\n\t\tReferrer-Policy strict-origin-when-cross-origin\n"
        '\t\tStrict-Transport-Security "max-age=31536000"\n\t}\n'
        '\thandle_errors {\n\t\theader -Server\n\t\trespond "{err.status_code} {err.status_text}"\n\t}\n'
        "}\n"
        "\n"
        "https://postal.example.com {\n"
        "\timport mailstack_site\n"
        '\t@too_large expression `{http.request.header.Content-Length} != "" && '
        "int({http.request.header.Content-Length}) > 35000000`\n"
        "\terror @too_large 413\n"
        "\trequest_body {\n\t\tmax_size 35000000\n\t}\n"
        "\treverse_proxy 127.0.0.1:5000 {\n"
        "\t\theader_up -X-Postal-Track-Host\n"
        "\t\ttransport http {\n\t\t\tdial_timeout 5s\n\t\t\tresponse_header_timeout 2m\n\t\t}\n"
        "\t}\n"
        "}\n"
        "\n"
        "https://mx.example.com {\n\timport mailstack_site\n\trespond 404\n}\n"
        "\n"
        "https:// {\n\tabort\n}\n"
        "\n"
        "http://postal.example.com, http://mx.example.com {\n"
        "\theader -Server\n\tredir https://{host}{uri} 308\n}\n"
        "\n"
        "http:// {\n\tabort\n}\n"
    )


def test_exactly_one_issuer_and_one_challenge_are_pinned() -> None:
    text = caddyfile(define(certificates=Acme(email="it@example.com", directory="https://ca.example.com:9000/dir")))
    assert re.findall(r"issuer .*", text) == ["issuer acme {"]
    assert "dir https://ca.example.com:9000/dir\n" in text
    assert "disable_tlsalpn_challenge" in text
    assert "disable_http_challenge" not in text


def test_challenge_dns_reads_its_token_from_a_file_and_turns_the_other_challenges_off() -> None:
    acme = Acme(email="it@example.com", challenge="dns", resolvers=("1.1.1.1:53", "8.8.8.8:53"))
    text = caddyfile(define(certificates=acme))
    assert "dns cloudflare {file./etc/caddy/dns-token}\n" in text
    assert "disable_http_challenge" in text
    assert "disable_tlsalpn_challenge" in text
    assert "resolvers 1.1.1.1:53 8.8.8.8:53\n" in text


def test_a_private_acme_server_is_trusted_by_the_ca_file_alone() -> None:
    acme = Acme(email="it@example.com", directory="https://acme.internal/dir", ca_file="/etc/ssl/company.pem")
    assert "trusted_roots /etc/caddy/acme-ca.pem\n" in caddyfile(define(certificates=acme))


def test_another_custom_certificate_has_another_path_so_that_a_reload_reads_it() -> None:
    first, second = (
        re.findall(r"tls (\S+) (\S+)", caddyfile(define(certificates=Custom(certificate=text))))
        for text in (CERTIFICATE, CERTIFICATE.replace("MIIB", "MIIC"))
    )
    assert len(first) == len(second) == 1
    assert first != second
    assert "BEGIN" not in caddyfile(define(certificates=Custom(certificate=CERTIFICATE)))


def test_the_internal_ca_has_no_hsts_unless_it_is_asked_for() -> None:
    assert "Strict-Transport" not in caddyfile(define(certificates=Internal()))
    assert '"max-age=60"' in caddyfile(define(certificates=Internal(), hsts_seconds=60))
    assert "Strict-Transport" not in caddyfile(define(hsts_seconds=0))


def test_only_tracking_sites_turn_postals_host_check_off() -> None:
    text = caddyfile(define())
    assert "header_up -X-Postal-Track-Host" in block(text, "https://postal.example.com")
    assert "header_up X-Postal-Track-Host 1" in block(text, "https://track.example.com")
    assert text.count("X-Postal-Track-Host 1") == 1


def test_policies_are_written_with_crlf_and_served_at_one_path_only() -> None:
    policy = MtaStsPolicy(domain="example.com", mode="testing", mx=("a.example.com", "*.b.example.com"), max_age=86400)
    assert policy.text == (
        "version: STSv1\r\nmode: testing\r\nmx: a.example.com\r\nmx: *.b.example.com\r\nmax_age: 86400\r\n"
    )
    text = caddyfile(define(mta_sts=(policy,)))
    assert f'respond @policy "{policy.text}" 200' in text
    assert "@policy path /.well-known/mta-sts.txt" in text


def test_a_container_keeps_certificates_on_its_volume() -> None:
    assert "storage file_system /data/caddy\n" in caddyfile(define(placement="container"))


def test_the_smtp_name_has_a_site_of_its_own_only_where_no_other_site_has_it() -> None:
    text = caddyfile(define(smtp=SmtpDelivery(name="postal.example.com")))
    assert text.count("https://postal.example.com {") == 1
    assert "https://mx.example.com {" not in text


def test_what_is_not_declared_is_answered_by_nobody() -> None:
    text = caddyfile(define())
    assert block(text, "https://") == "abort"
    assert block(text, "http://") == "abort"
    redirected = re.findall(r"http://([a-z.-]+)", text)
    assert redirected == ["postal.example.com", "track.example.com", "mta-sts.example.com", "mx.example.com"]


def test_access_logs_leave_out_postals_key_and_one_time_links() -> None:
    text = caddyfile(define())
    assert "request>headers>X-Server-Api-Key delete" in text
    pattern = re.search(r'request>uri regexp "([^"]+)"', text)
    assert pattern is not None
    assert re.sub(pattern[1], r"/\1/-", "/login/reset/abc?x=1") == "/login/reset/-?x=1"
    assert re.sub(pattern[1], r"/\1/-", "/join/abc") == "/join/-"
    assert "output file" not in caddyfile(define(access_log=False))


def test_extra_lines_go_where_they_belong() -> None:
    text = caddyfile(define(extra_global=("renew_interval 5s",), extra_web=("encode gzip",)))
    assert text.index("renew_interval 5s") < text.index("(mailstack_site)")
    assert "encode gzip" in block(text, "https://postal.example.com")
    assert "encode gzip" not in block(text, "https://track.example.com")


SEEN_FOLDERS = {
    "https://acme-v02.api.letsencrypt.org/directory": "acme-v02.api.letsencrypt.org-directory",
    "https://acme.zerossl.com/v2/DV90": "acme.zerossl.com-v2-dv90",
    "https://pebble:14000/dir": "pebble-14000-dir",
    "https://ca.example.com": "ca.example.com",
    "https://ca.example.com/acme/acme/directory/": "ca.example.com-acme-acme-directory",
}


@pytest.mark.parametrize("directory", SEEN_FOLDERS)
def test_the_issuers_folder_in_caddys_storage_is_known(directory: str) -> None:
    assert issuer_directory(directory) == SEEN_FOLDERS[directory]


BAD: list[tuple[dict[str, Any], str]] = [
    ({"web_names": ("postal",)}, "web_names 'postal'"),
    ({"web_names": ("*.example.com",)}, "no wildcard"),
    ({"web_names": ("Postal.example.com",)}, "lower case"),
    ({"web_names": ("a.example.com {\n}\nb.example.com",)}, "must be a full host name"),
    ({"web_names": ("a.example.com", "a.example.com")}, "is in web_names as well"),
    ({"tracking_names": ("postal.example.com",)}, "is in web_names as well"),
    ({"web_names": (), "tracking_names": (), "mta_sts": (), "smtp": None}, "there is no name to serve"),
    ({"web_upstream": "127.0.0.1"}, "host:port"),
    ({"web_upstream": "127.0.0.1:70000"}, "host:port"),
    ({"web_upstream": "127.0.0.1:5000 10.0.0.1:5000"}, "host:port"),
    ({"image": "caddy:2 --privileged"}, "without blanks"),
    ({"max_request_mb": 0}, "max_request_mb 0: must be at least 1"),
    ({"expiry_warning_days": 0}, "expiry_warning_days 0"),
    ({"issue_wait_seconds": -1}, "issue_wait_seconds -1"),
    ({"hsts_seconds": -1}, "hsts_seconds -1"),
    ({"smtp": SmtpDelivery(name="mx")}, "smtp.name 'mx'"),
    ({"smtp": SmtpDelivery(name="mx.example.com", directory="config")}, "smtp.directory"),
    ({"smtp": SmtpDelivery(name="mx.example.com", port=0)}, "smtp.port 0"),
    ({"certificates": Acme(email="nobody")}, "certificates.email"),
    ({"certificates": Acme(email="a@b c")}, "certificates.email"),
    ({"certificates": Acme(email="a@b", directory="http://ca/dir")}, "must be an https URL"),
    ({"certificates": Acme(email="a@b", directory="https://ca/{env.HOME}")}, "must be an https URL"),
    ({"certificates": Acme(email="a@b", ca_file="ca.pem")}, "ca_file 'ca.pem'"),
    ({"certificates": Acme(email="a@b", resolvers=("1.1.1.1",))}, "only asked with challenge dns"),
    ({"certificates": Acme(email="a@b", challenge="dns", resolvers=("1.1.1.1 }",))}, "certificates.resolvers"),
    ({"certificates": Custom(certificate="MIIB")}, "must be PEM text"),
    ({"mta_sts": (MtaStsPolicy(domain="example.com"),)}, "at least one mail exchanger"),
    ({"mta_sts": (MtaStsPolicy(domain="example.com", mx=('m"\nx',)),)}, "mta_sts.mx"),
    ({"mta_sts": (MtaStsPolicy(domain="example.com", mx=("m.example.com",), max_age=31_557_601),)}, "31557600"),
    ({"mta_sts": (MtaStsPolicy(domain="example.com", mode="off", mx=("m.example.com",)),)}, "RFC 8461"),  # type: ignore[arg-type]
]


@pytest.mark.parametrize(("changes", "words"), BAD, ids=[words for _, words in BAD])
def test_a_bad_field_is_refused_with_its_name_and_rule(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(CaddyDefinitionError, match=re.escape(words)):
        define(**changes)


def test_the_roles_settings_are_plain_json_and_name_every_site_once() -> None:
    chosen = role_settings(define())
    assert json.loads(json.dumps(chosen)) == chosen
    kinds = {site["name"]: site["kind"] for site in chosen["sites"]}
    assert kinds == {
        "postal.example.com": "web",
        "track.example.com": "tracking",
        "mta-sts.example.com": "mta-sts",
        "mx.example.com": "smtp",
    }
    assert chosen["certificates"]["issuer_directory"] == "acme-v02.api.letsencrypt.org-directory"


LABEL = st.from_regex(r"[a-z][a-z0-9-]{0,8}[a-z0-9]", fullmatch=True)
HOST = st.builds(lambda first, second: f"{first}.{second}.example", LABEL, LABEL)


@settings(max_examples=60, deadline=None)
@given(names=st.lists(HOST, min_size=2, max_size=6, unique=True), megabytes=st.integers(1, 500))
def test_any_definition_gives_balanced_blocks_and_one_site_for_each_name(names: list[str], megabytes: int) -> None:
    text = caddyfile(
        CaddyDefinition(
            certificates=Internal(),
            web_names=tuple(names[1:]),
            smtp=SmtpDelivery(name=names[0]),
            max_request_mb=megabytes,
        )
    )
    lines = text.splitlines()
    depth = 0
    for line in lines:
        depth += line.endswith("{") - (line.strip() == "}")
        assert depth >= 0
        assert len(line) - len(line.lstrip("\t")) == depth - line.endswith("{")
    assert depth == 0
    assert [line for line in lines if line.startswith("https://")] == [
        *(f"https://{name} {{" for name in [*names[1:], names[0]]),
        "https:// {",
    ]
