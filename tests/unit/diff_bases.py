"""Stacks that changes are made of, for what `mailstack diff` says of them; and some of these changes."""

from typing import Any

from tests.unit.diff_examples import Raw
from tests.unit.docker_examples import docker_example
from tests.unit.kubernetes_examples import on_cluster
from tests.unit.mistakes import MAILGUN, direct
from tests.unit.stack_examples import example, postal_example


def server(raw: Raw) -> Raw:
    found: Raw = raw["postal"]["organizations"][0]["mail_servers"][0]
    return found


def pop(holder: Any, key: str | int) -> Any:
    return holder.pop(key)


def with_clients() -> Raw:
    raw = example()
    raw["relay"].update(listen_addresses=["127.0.0.1", "10.1.0.1"], client_networks=["10.1.0.0/24", "10.3.0.0/24"])
    return raw


def with_submission() -> Raw:
    raw = example()
    files = {"certificate_file": "/etc/ssl/relay.pem", "key_file": "/etc/ssl/relay.key"}
    users = [{"name": name, "password": f"{name}-password-1"} for name in ("printer", "crm")]
    raw["relay"]["submission"] = {"listen_addresses": ["93.184.216.34"], "certificate": files, "users": users}
    return raw


def with_fallback() -> Raw:
    raw = example()
    raw["relay"]["upstreams"] = {"other": {"preset": "custom", "host": "smtp.example.net", "port": 587, "auth": "none"}}
    raw["relay"]["fallback_upstream"] = "other"
    return raw


def allowing() -> Raw:
    raw = postal_example()
    raw["postal"]["removal"] = "allow"
    return raw


def at_home() -> Raw:
    raw = postal_example()
    raw["environment"] = "local"
    server(raw)["track_domains"] = []
    return raw


def with_firewall() -> Raw:
    raw = with_clients()
    raw["hosts"]["relay1"]["firewall"] = "ufw"
    return raw


def two_hosts() -> Raw:
    raw = example()
    raw["hosts"]["relay2"] = {**raw["hosts"]["relay1"], "address": "relay2.example.com", "public_ipv4": "93.184.216.36"}
    del raw["hosts"]["relay2"]["public_ipv6"]
    del raw["relay"]["host"]
    raw["relay"].update(hosts=["relay1", "relay2"], client_networks=["10.1.0.0/24"])
    return raw


def enforced() -> Raw:
    raw = postal_example()
    raw["caddy"]["mta_sts"] = [{"domain": "example.org", "mode": "enforce", "mx": ["mx.example.com"]}]
    return raw


def in_testing() -> Raw:
    raw = enforced()
    raw["caddy"]["mta_sts"][0]["mode"] = "testing"
    return raw


def logging_in() -> Raw:
    raw = example()
    raw["relay"]["upstream"].update(auth="sasl", username="relay@example.com", password="first-password-1")
    return raw


def unpublished() -> Raw:
    return {**example(), "dns": {"provider": "none"}}


def not_kept() -> Raw:
    raw = docker_example()
    raw["relay"]["docker"]["keep_queue"] = False
    return raw


def other_exchanger(raw: Raw) -> None:
    raw["domains"][1]["mx"] = [{"preference": 10, "exchange": "mx.example.net"}]
    raw["caddy"]["mta_sts"][0]["mx"] = ["mx.example.net"]
    server(raw)["routes"] = []


def not_in_docker(raw: Raw) -> None:
    raw["relay"].update(example()["relay"], placement="vm")
    for name in ("docker", "image", "egress_addresses"):
        raw["relay"].pop(name, None)


def another_service(raw: Raw) -> None:
    raw["relay"]["upstreams"] = {"mailgun": dict(MAILGUN)}
    raw["domains"][1]["upstream"] = "mailgun"


def with_another_service() -> Raw:
    raw = example()
    another_service(raw)
    return raw


def with_tlsa() -> Raw:
    raw = unlooked()
    raw["dns"]["tlsa"] = [{"host": "mx.example.org", "values": [f"3 1 1 {'0a' * 32}"]}]
    return raw


def with_application() -> Raw:
    raw = on_cluster()
    raw["relay"]["kubernetes"]["application_secrets"] = [{"namespace": "shop"}]
    return raw


def published() -> Raw:
    raw = docker_example()
    raw["relay"]["docker"]["publish"] = {"address": "10.1.0.1"}
    raw["relay"]["client_networks"] = ["10.1.0.0/24"]
    return raw


def pooled() -> Raw:
    raw = direct()
    addresses = [{"ipv4": "93.184.216.34", "hostname": "mx.example.com"}]
    raw["postal"]["ip_pools"] = [{"name": "main", "default": True, "addresses": addresses}]
    return raw


def pool(raw: Raw) -> Raw:
    found: Raw = raw["postal"]["ip_pools"][0]["addresses"][0]
    return found


def unlooked() -> Raw:
    raw = example()
    raw["domains"][1]["mx"] = [{"preference": 10, "exchange": "mx.example.org"}]
    raw["dns"]["signed_zones"] = ["example.org"]
    return raw
