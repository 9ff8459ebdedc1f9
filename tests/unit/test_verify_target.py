"""What of a stack the world is to see: from the plan, from a stack's output, from flags."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mailstack.plan import load_plan
from mailstack.plan.verification import target_text, verify_target, without_made_up_keys
from mailstack.settings.initialise import rehearsal_config
from mailstack.settings.problems import SettingsError
from mailstack.verify.aiming import TargetError, limited, target_of_flags, target_of_output
from mailstack.verify.target import DomainTarget, HostTarget, Target
from tests.unit.cluster_examples import single
from tests.unit.mistakes import changed
from tests.unit.postal_cluster_examples import VARIANTS, postal_on_cluster
from tests.unit.stack_examples import dkim_key, example, postal_example, ssh_key, with_value


def target_of(raw: dict[str, Any]) -> Target:
    return verify_target(load_plan(raw))


def domain(target: Target, name: str) -> DomainTarget:
    [found] = [one for one in target.domains if one.name == name]
    return found


def host(target: Target, name: str) -> HostTarget:
    [found] = [one for one in target.hosts if one.name == name]
    return found


def test_a_domain_has_its_records_as_they_are_declared() -> None:
    plan = load_plan(example())
    found = domain(verify_target(plan), "example.com")
    declared = {record.name: record.data for record in plan.dns.records if record.type == "TXT"}
    assert found.mx == ((1, "smtp.google.com"),)
    assert found.receives is True
    assert f"{found.spf}" in str(declared["example.com"])
    assert f"{found.dmarc}" in str(declared["_dmarc.example.com"])
    assert [key.selector for key in found.dkim] == ["google", "mail202611"]
    assert all(key.text and key.text in str(declared[f"{key.selector}._domainkey.example.com"]) for key in found.dkim)
    assert found.records == (("relay.example.com", "TXT", '"v=spf1 a -all"'),), "what is something else is kept too"


def test_a_domain_whose_mx_is_not_ours_says_nothing_about_it() -> None:
    raw = with_value("relay.upstream", {"preset": "custom", "host": "smtp.example.net"})
    del raw["relay_rule"]
    found = domain(target_of(raw), "example.org")
    assert (found.mx, found.receives) == (None, None)


def test_a_domain_that_receives_nothing_expects_a_null_mx() -> None:
    found = domain(target_of(with_value("domains.1.mx", [])), "example.org")
    assert (found.mx, found.receives) == (((0, "."),), False)


def test_senders_are_our_addresses_only_where_no_provider_sends_for_us() -> None:
    own = with_value("relay.upstream", {"preset": "custom", "host": "smtp.example.net"})
    del own["relay_rule"]
    assert domain(target_of(own), "example.com").senders == ("93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946")
    assert domain(target_of(example()), "example.com").senders == (), "Google does, and its addresses are its own"


def test_mail_of_postal_has_its_return_path_and_others_their_own() -> None:
    target = target_of(postal_example())
    assert domain(target, "example.com").return_paths == ("rp.example.com",)
    assert domain(target, "rp.example.com").mx == ((10, "mx.example.com"),), "bounces come back to Postal"
    assert domain(target_of(example()), "example.com").return_paths == ("example.com",)


def test_custom_return_paths_are_each_domains_own() -> None:
    target = target_of(with_value("postal.custom_return_paths", True, postal_example))
    assert domain(target, "example.com").return_paths == ("psrp.example.com",)
    assert domain(target, "example.org").return_paths == ("psrp.example.org",)
    assert ("psrp.example.org", "CNAME", "rp.example.com.") in domain(target, "example.org").records


def test_tracking_names_belong_to_their_domain() -> None:
    target = target_of(postal_example())
    assert domain(target, "example.com").tracking == ("click.example.com",)
    assert domain(target, "example.org").tracking == ()


def test_mta_sts_is_what_is_served_with_the_id_that_dns_tells() -> None:
    policy = {"domain": "example.org", "mode": "testing", "mx": ["mx.example.com"]}
    plan = load_plan(with_value("caddy.mta_sts", [policy], postal_example))
    [text] = [record.data for record in plan.dns.records if record.name == "_mta-sts.example.org"]
    found = domain(verify_target(plan), "example.org").mta_sts
    assert found is not None
    assert (found.mode, found.mx) == ("testing", ("mx.example.com",))
    assert f"id={found.policy_id}" in str(text)


def test_only_the_relays_name_is_said_in_ehlo() -> None:
    target = target_of(postal_example())
    assert [one.name for one in target.hosts if one.helo] == ["relay.example.com"]


def test_every_name_of_a_machine_has_all_that_is_open_there() -> None:
    target = target_of(postal_example())
    for name in ("relay.example.com", "mx.example.com", "postal.example.com"):
        ports = host(target, name).ports or ()
        assert [(one.port, one.role) for one in ports] == [(25, "mx"), (80, "web"), (443, "web")], name
    [smtp] = [one for one in host(target, "relay.example.com").ports or () if one.port == 25]
    assert smtp.name == "mx.example.com", "the certificate is Postal's, whatever name led there"


def test_submission_is_open_where_it_is_declared() -> None:
    users = [{"name": "printer", "password": "p" * 20}]
    raw = with_value("relay.submission", {"listen_addresses": ["93.184.216.34"], "users": users}, postal_example)
    ports = host(target_of(raw), "relay.example.com").ports or ()
    assert {(one.port, one.tls) for one in ports if one.role == "submission"} == {(587, "starttls"), (465, "implicit")}


def test_a_closed_machine_has_no_port_and_one_without_a_firewall_is_not_known() -> None:
    assert host(target_of(with_value("hosts.relay1.firewall", "ufw")), "relay.example.com").ports == ()
    assert host(target_of(example()), "relay.example.com").ports is None


def test_addresses_that_the_world_never_sees_are_left_out() -> None:
    raw = with_value("relay.client_name", "smtp.example.com")
    raw["relay"] |= {"listen_addresses": ["10.20.0.5"], "client_networks": ["10.20.0.0/16"]}
    names = {one.name for one in target_of(raw).hosts}
    assert "smtp.example.com" not in names
    assert "relay.example.com" in names


def test_zones_name_their_servers_where_a_server_of_ours_has_them() -> None:
    server = {"host": "relay1", "nameservers": ["ns1.example.com"], "hostmaster": "hostmaster@example.com"}
    zones = target_of(example(dns={"provider": "server", "server": server})).zones
    assert set(zones.values()) == {("ns1.example.com",)}
    assert set(target_of(example()).zones.values()) == {()}, "Cloudflare's are not known"


def test_a_name_server_of_ours_is_open_where_it_listens() -> None:
    server = {"host": "relay1", "nameservers": ["ns1.example.com"], "hostmaster": "hostmaster@example.com"}

    def opened(**more: Any) -> dict[str, set[tuple[int, str]]]:
        hosts = target_of(example(dns={"provider": "server", "server": {**server, **more}})).hosts
        return {one.name: {(port.port, port.protocol) for port in one.ports or ()} for one in hosts}

    assert opened()["relay.example.com"] == {(53, "dns")}
    assert opened(port=5353)["relay.example.com"] == {(5353, "dns")}
    assert opened(listen_addresses=["10.20.0.5"])["relay.example.com"] == {(53, "dns")}, "the world comes in elsewhere"
    assert opened(listen_addresses=["93.184.216.99"])["relay.example.com"] == set(), "another address has it"


@pytest.mark.parametrize(
    ("directory", "issuers"),
    [
        (None, ("letsencrypt.org",)),
        ("https://acme-staging-v02.api.letsencrypt.org/directory", ("letsencrypt.org",)),
        ("https://acme.zerossl.com/v2/DV90", ("sectigo.com",)),
        ("https://ca.example.net/acme", ()),
        ("https://notletsencrypt.org/directory", ()),
    ],
)
def test_issuers_are_called_as_caa_calls_them(directory: str | None, issuers: tuple[str, ...]) -> None:
    raw = postal_example()
    if directory is not None:
        raw["caddy"]["acme"]["directory"] = directory
    assert target_of(raw).issuers == issuers


def test_an_issuer_is_called_as_the_settings_say_whatever_its_directory() -> None:
    raw = postal_example()
    raw["caddy"]["acme"] |= {"directory": "https://ca.example.net/acme/directory", "caa_name": "ca.example.net"}
    assert target_of(raw).issuers == ("ca.example.net",)


def test_web_names_are_those_that_the_web_server_has() -> None:
    assert target_of(postal_example()).web == ("postal.example.com",)
    assert target_of(example()).web == ()


def test_postal_on_a_cluster_is_seen_at_the_addresses_of_its_ways_in() -> None:
    target = target_of(changed(postal_on_cluster(), VARIANTS["everything"]))
    smtp, web = host(target, "mx.example.com"), host(target, "postal.example.com")
    assert (smtp.addresses, [one.port for one in smtp.ports or ()]) == (("93.184.216.40", "2606:2800:220:1::40"), [25])
    assert (web.addresses, [one.port for one in web.ports or ()]) == (("93.184.216.41",), [443])
    assert target.web == ("postal.example.com",)


@pytest.mark.parametrize("raw", [example(), postal_example(), single()], ids=["relay", "postal", "cluster"])
def test_a_stack_says_all_of_it_in_one_line_that_holds_no_secret(raw: dict[str, Any]) -> None:
    plan = load_plan(raw)
    text = target_text(plan)
    assert "\n" not in text
    assert target_of_output(text, "prod") == verify_target(plan).model_copy(update={"stack": "prod"})
    for secret in (ssh_key().splitlines()[1], dkim_key().splitlines()[1], "t" * 40, "s" * 64, "password"):
        assert secret not in text


@pytest.mark.slow
def test_keys_of_a_file_that_was_not_opened_are_not_held_against_dns() -> None:
    plan = load_plan(rehearsal_config(Path("Pulumi.prod.yaml")))
    found = domain(without_made_up_keys(plan.settings, verify_target(plan)), "example.com")
    assert {key.selector: key.text is not None for key in found.dkim} == {"google": True, "mail202611": False}


def test_settings_name_only_checks_that_there_are() -> None:
    with pytest.raises(SettingsError, match=r"verify\.checks\[1\] is sfp: must be the name of a check"):
        load_plan(example(verify={"after_up": "warn", "checks": ["A", "sfp"]}))


def test_off_is_read_however_yaml_understands_the_word() -> None:
    assert load_plan(example(verify={"after_up": False})).settings.verify.after_up == "off"
    assert load_plan(example()).settings.verify.after_up == "off"


# --- from an output --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", "null", "[]", json.dumps({"version": 1, "unheard-of": 1})])
def test_an_output_that_is_no_target_is_told_as_such(text: str) -> None:
    with pytest.raises(TargetError, match="output `verify` of stack prod cannot be read"):
        target_of_output(text, "prod")


def test_a_stack_may_be_looked_at_for_some_of_its_domains() -> None:
    target = target_of(example()).model_copy(update={"stack": "prod"})
    assert [one.name for one in limited(target, ["Example.ORG."]).domains] == ["example.org"]
    assert limited(target, []) is target
    with pytest.raises(TargetError, match=r"stack prod does not declare example\.net; it declares example\.com"):
        limited(target, ["example.net"])


# --- from flags ------------------------------------------------------------------------------------------------------


def test_flags_alone_make_a_target_of_what_is_known() -> None:
    target = target_of_flags(
        ["Bücher.example"],
        selectors=["s1", "k2.team"],
        return_paths=["bounce.example.com"],
        senders=["2001:DB8::1"],
        hosts=["mail.example.com"],
    )
    [found] = target.domains
    assert found.name == "xn--bcher-kva.example"
    assert [key.selector for key in found.dkim] == ["s1", "k2.team"]
    assert (found.return_paths, found.senders) == (("bounce.example.com",), ("2001:db8::1",))
    assert (found.mx, found.spf, found.dmarc) == (None, None, None), "nothing that was not said"
    assert (target.hosts[0].name, target.complete) == ("mail.example.com", False)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"domains": []}, "nothing to look at"),
        ({"domains": ["exa mple.com"]}, "--domain 'exa mple.com'"),
        ({"domains": ["localhost"]}, "--domain 'localhost'"),
        ({"domains": ["example.com"], "selectors": ["a b"]}, "--selector"),
        ({"domains": ["example.com"], "senders": ["mail.example.com"]}, "--sender 'mail.example.com': must be an IPv4"),
        ({"domains": [], "hosts": ["-"]}, "--host '-'"),
    ],
)
def test_a_flag_that_cannot_be_meant_is_refused_by_its_name(flags: dict[str, Any], message: str) -> None:
    with pytest.raises(TargetError, match=message):
        target_of_flags(**flags)


@pytest.mark.slow
def test_a_preview_pays_for_no_resolver() -> None:
    program = "import sys, mailstack.plan.verification; print('dns.message' in sys.modules, 'dns.query' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
