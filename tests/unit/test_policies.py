"""Each policy lets through what it should, and stops what it is there for."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from mailstack.policy import POLICIES, Checker, Level, Options, Resource
from mailstack.policy.checker import PolicyConfigError, level_of, read_config
from mailstack.policy.model import EVERYWHERE
from mailstack.policy.report import policy_report
from mailstack.policy.wire import SECRET, SIGNATURE, UNKNOWN_VALUES
from mailstack.reach.bundle import command_line

COMMAND = "command:remote:Command"
RECORD = "cloudflare:index/dnsRecord:DnsRecord"
CONTAINER = "docker:index/container:Container"
VOLUME = "docker:index/volume:Volume"
CLAIM = "kubernetes:core/v1:PersistentVolumeClaim"
STATEFUL_SET = "kubernetes:apps/v1:StatefulSet"
DIGEST = f"@sha256:{'0a' * 32}"
HOST_KEY = "ssh-ed25519 AAAA"
UNKNOWN_TEXT = min(UNKNOWN_VALUES)
KEY = "-----BEGIN PRIVATE KEY-----\nMIIE"


def hidden(value: Any) -> dict[str, Any]:
    return {SIGNATURE: SECRET, "value": value}


def of(kind: str, inputs: Mapping[str, Any], name: str = "one", **options: Any) -> Resource:
    return Resource(kind, name, inputs, Options(**options))


def part(name: str, environment: str = "prod", **inputs: Any) -> Resource:
    """A component of the stack, with what it shows."""
    shown = {key.replace("__", "/").replace("_cf", ".cf"): value for key, value in inputs.items()}
    return of(f"mailstack:index:{name}", {"environment": environment, **shown})


def shown(name: str, inputs: Mapping[str, Any], environment: str = "prod") -> Resource:
    return of(f"mailstack:index:{name}", {"environment": environment, **inputs})


def command(connection: Any, **inputs: Any) -> Resource:
    options = {"delete_before_replace": inputs.pop("delete_before_replace", True)}
    return of(COMMAND, {"connection": connection, "create": "true", **inputs}, **options)


def record(kind: str = "A", **inputs: Any) -> Resource:
    return of(RECORD, {"type": kind, "name": "mail.example.com", "ttl": 3600.0, "proxied": False, **inputs})


def dmarc(text: str, domain: str = "example.com") -> Resource:
    return record("TXT", name=f"_dmarc.{domain}", content=f'"{text}"')


def service(**spec: Any) -> Resource:
    return of("kubernetes:core/v1:Service", {"metadata": {"name": "one"}, "spec": spec})


def network_policy(*rules: Mapping[str, Any]) -> Resource:
    return of("kubernetes:networking.k8s.io/v1:NetworkPolicy", {"spec": {"ingress": list(rules)}})


def workload(image: str = f"postfix{DIGEST}", **spec: Any) -> Resource:
    """A StatefulSet with the relay's queue on a claim."""
    pod = {
        "containers": [
            {"name": "postfix", "image": image, "volumeMounts": [{"name": "queue", "mountPath": "/var/spool/postfix"}]}
        ],
        **spec.pop("pod", {}),
    }
    told = {"volumeClaimTemplates": [{"metadata": {"name": "queue"}}], "template": {"spec": pod}, **spec}
    return of(STATEFUL_SET, {"metadata": {"name": "one", "namespace": "mail"}, "spec": told})


def namespace(*, stays: bool | None) -> Resource:
    return of("kubernetes:core/v1:Namespace", {"metadata": {"name": "mail"}}, retain_on_delete=stays)


def kept_claim() -> Resource:
    return of(CLAIM, {"metadata": {"name": "queue", "namespace": "mail"}}, retain_on_delete=True)


def relay(**inputs: str) -> Resource:
    return shown("PostfixRelay", {"main.cf/smtp_tls_security_level": "secure", **inputs})


def bounces(**more: str) -> Resource:
    to_postal = {"master.cf": "postal unix - - n - - smtp -o smtp_tls_security_level=may"}
    return relay(**to_postal, **{"maps/bounces/entries/rp.example.com": "postal:[10.0.0.2]:25"}, **more)


def firewall(**openings: str) -> Resource:
    return shown("RemoteHost", {f"firewall/allow/{key}": text for key, text in openings.items()})


ROLE = command_line("remove", 1800)
QUEUE_IN_MEMORY: dict[str, Any] = {"pod": {"volumes": [{"name": "queue", "emptyDir": {}}]}, "volumeClaimTemplates": []}
SUBMISSION = "10.0.0.5:587 inet n - n - - smtpd -o smtpd_sasl_auth_enable=yes"
EVERY = "main.cf of every relay"
POSTAL = {"relay/name": "relay-internal.example.com"}
ALL_MAIL = {"type": "LoadBalancer", "ports": [{"port": 25.0, "targetPort": "smtp"}]}
RAMP = shown("DnsRecords", {"dmarc/example.com": "none since 2026-11-01; quarantine may follow from 2026-12-01 on"})

# Policy to what it lets through, and what it stops; of several resources the last one is asked about.
PASS: dict[str, list[tuple[Resource, ...]]] = {
    "tls-is-checked": [
        (relay(**{EVERY: "smtp_tls_mandatory_protocols = (tls_protocols of the host)"}),),
        (relay(**{EVERY: "smtp_tls_protocols = !SSLv2, !SSLv3, !TLSv1, !TLSv1.1"}),),
        (relay(**{EVERY: "smtp_tls_protocols = >=TLSv1.2\nsmtp_tls_loglevel = 1"}),),
        (relay(**{"main.cf/smtp_tls_security_level": "verify"}),),
        (relay(**{"master.cf": f"{SUBMISSION} -o smtpd_tls_auth_only=yes"}),),
        (bounces(),),
        (
            shown(
                "PostalHost", POSTAL | {"config/postal/smtp_relays": "smtp://relay-internal.example.com?ssl_mode=None"}
            ),
        ),
        (shown("PostalHost", {"config/postal/smtp_relays": "smtp://up.example.net:587?ssl_mode=STARTLS"}),),
        (shown("WorkspaceRelayRule", {"rule/require_tls": "yes"}),),
        (of("pulumi:providers:docker", {"host": "tcp://10.0.0.9:2376", "keyMaterial": hidden(KEY)}),),
    ],
    "host-keys-are-pinned": [
        (command(hidden({"host": "a", "hostKey": HOST_KEY, "proxy": {"host": "b", "hostKey": HOST_KEY}})),),
        (shown("RemoteHost", {"ssh/host_key": HOST_KEY}),),
        (part("RemoteHost", "local"), command(hidden({"host": "a"}))),
        (of("pulumi:providers:docker", {"host": "ssh://a", "sshOpts": '["-oStrictHostKeyChecking=yes"]'}),),
    ],
    "secrets-are-secret": [
        (command(hidden({"host": "a", "privateKey": KEY}), stdin=hidden("payload")),),
        (shown("PostalHost", {"mariadb/password": hidden("x"), "mariadb/password version": "3"}),),
        (shown("RemoteHost", {"ssh/private_key": "of the SSH agent", "code of role k3s_kubeconfig": "12ab"}),),
        (relay(**{"main.cf/smtp_sasl_password_maps": "hash:/etc/postfix/sasl_passwd"}),),
        (of("kubernetes:core/v1:Secret", {"data": hidden({"key": "eA=="}), "metadata": {"name": "one"}}),),
        (of(CONTAINER, {"envs": ["LOG_FORMAT=json"], "uploads": hidden([{"content": KEY}])}),),
    ],
    "no-public-admin-port": [
        (firewall(**{"443 tcp/container": "no", "25 tcp/container": "yes", "53 udp/container": "no"}),),
        (firewall(**{"3306 tcp/container": "yes", "3306 tcp/sources": "10.0.0.2/32"}),),
        (shown("PostalHost", {"compose/web_publish": "127.0.0.1", "mariadb/listen": "10.0.0.6"}),),
        (relay(**{"metrics/networks": "10.0.0.0/8"}),),
        (of(CONTAINER, {"ports": [{"internal": 5000.0, "external": 5000.0, "ip": "10.0.0.5"}]}),),
        (of(CONTAINER, {"ports": [{"internal": 25.0, "external": 587.0}]}),),
        (service(**ALL_MAIL),),
        (service(type="ClusterIP", ports=[{"port": 3306.0}]),),
        (service(type="LoadBalancer", loadBalancerSourceRanges=["10.0.0.0/8"], ports=[{"port": 3306.0}]),),
        (network_policy({"ports": [{"port": 25.0}]}, {"from": [{"podSelector": {}}], "ports": [{"port": 9154.0}]}),),
    ],
    "state-is-protected": [
        (of(VOLUME, {"name": "queue"}, retain_on_delete=True),),
        (of(VOLUME, {"name": "queue"}, protect=True),),
        (relay(**{"container/queue": "volume queue, kept on destroy"}), of(VOLUME, {"name": "queue"})),
        (part("PostfixRelay", "staging"), of(VOLUME, {"name": "queue"}, retain_on_delete=False)),
        (namespace(stays=True), workload()),
        (namespace(stays=True), kept_claim()),
        (namespace(stays=None), workload(persistentVolumeClaimRetentionPolicy={"whenDeleted": "Retain"})),
        (shown("PostalHost", {"mariadb/remove_data": "no"}),),
    ],
    "deletes-are-safe": [
        (command({}, delete=ROLE, triggers=["mail1"]),),
        (command({}, delete="systemctl disable --now one.service && rm -f /etc/systemd/system/one.service"),),
        (command({}, triggers=["mail1"], delete_before_replace=False),),
    ],
    "images-are-pinned": [
        (of(CONTAINER, {"image": f"docker.io/library/caddy{DIGEST}"}),),
        (
            of("docker:index/image:Image", {"imageName": "relay:1", "build": {}}),
            of(CONTAINER, {"image": f"a:1{DIGEST}"}),
        ),
        (
            of("docker:index/image:Image", {"imageName": "relay:1", "build": {"context": "."}}),
            of(CONTAINER, {"image": "relay:1"}),
        ),
        (shown("PostalHost", {"image/repository": "a/postal", "image/tag": "3.3.7", "image/digest": DIGEST[1:]}),),
        (shown("CaddyTls", {"placement": "service", "image": "caddy:2"}),),
        (part("PostfixRelay", "staging"), workload("postfix:latest")),
        (workload(),),
    ],
    "mail-hosts-are-not-proxied": [(record(),), (record("TXT", proxied=True),)],
    "dmarc-is-enforced": [
        (dmarc("v=DMARC1; p=reject; sp=quarantine"),),
        (dmarc("v=DMARC1; p=Quarantine"),),
        (RAMP, dmarc("v=DMARC1; p=none")),
        (part("DnsRecords", "staging"), dmarc("v=DMARC1; p=none")),
        (record("TXT", name="_dmarc.example.com", content='"google-site-verification=x"'),),
    ],
    "ttl-has-bounds": [
        (record(ttl=300.0),),
        (record(ttl=1.0),),
        (shown("DnsRecords", {"record/example.com-mx-a.example.com": "3600 10 a.example.com."}),),
    ],
    "workspace-rule-names-senders": [
        (shown("WorkspaceRelayRule", {"rule/allowed_senders": "domain-addresses", "rule/ip_ranges": "192.0.2.1/32"}),),
        (shown("WorkspaceRelayRule", {"rule/allowed_senders": "registered-users", "rule/require_smtp_auth": "yes"}),),
    ],
}
FAIL: dict[str, list[tuple[Resource, ...]]] = {
    "tls-is-checked": [
        (relay(**{"main.cf/smtp_tls_security_level": "may"}),),
        (relay(**{"relay2/main.cf/smtp_tls_security_level": "encrypt"}),),
        (relay(**{EVERY: "smtp_tls_mandatory_protocols = >=TLSv1"}),),
        (relay(**{EVERY: "smtp_tls_mandatory_protocols = !SSLv2, !SSLv3"}),),
        (relay(**{"main.cf/smtp_tls_protocols": "TLSv1.1, TLSv1.2"}),),
        (relay(**{"main.cf/smtp_sasl_security_options": "noanonymous"}),),
        (relay(**{"master.cf": SUBMISSION}),),
        (relay(**{"master.cf": "other unix - - n - - smtp -o smtp_tls_security_level=may"}),),
        (bounces(**{"maps/transports/entries/example.org": "postal:[up.example.net]:25"}),),
        (shown("PostalHost", {"config/smtp_server/tls_enabled": "no"}),),
        (shown("PostalHost", POSTAL | {"config/postal/smtp_relays": "smtp://up.example.net:587?ssl_mode=Auto"}),),
        (shown("WorkspaceRelayRule", {"rule/require_tls": "no"}),),
        (of("pulumi:providers:docker", {"host": "tcp://10.0.0.9:2375"}),),
    ],
    "host-keys-are-pinned": [
        (command(hidden({"host": "a"})),),
        (command(hidden({"host": "a", "hostKey": HOST_KEY, "proxy": {"host": "b"}})),),
        (of("command:remote:CopyToRemote", {"connection": hidden({"host": "a", "hostKey": ""})}),),
        (shown("RemoteHost", {"ssh/host_key": "not pinned"}, "staging"),),
        (shown("RemoteHost", {"ssh/host_key": HOST_KEY, "jump/host_key": "not pinned"}),),
        (of("pulumi:providers:docker", {"host": "ssh://a", "sshOpts": '["-oStrictHostKeyChecking=accept-new"]'}),),
    ],
    "secrets-are-secret": [
        (command(hidden({}), stdin="payload"),),
        (command({"host": "a", "privateKey": "x"}),),
        (command(hidden({}), environment={"PGPASSWORD": "x"}),),
        (command(hidden({}), create=f"echo '{KEY}'"),),
        (of("pulumi:providers:cloudflare", {"apiToken": "x"}),),
        (of("pulumi:providers:docker", {"registryAuth": json.dumps([{"username": "a", "password": "x"}])}),),
        (shown("PostalHost", {"config/main_db/password": "x"}),),
        (shown("PostalHost", {"credentials/org/server/smtp-shop": "x"}),),
        (of("kubernetes:core/v1:Secret", {"stringData": {"key": "x"}}),),
        (of("kubernetes:core/v1:ConfigMap", {"data": {"url": "smtp://user:pass@up.example.net"}}),),
        (of(CONTAINER, {"envs": ["DB_PASSWORD=x"]}),),
        (workload(pod={"containers": [{"env": [{"name": "API_TOKEN", "value": "x"}]}]}),),
    ],
    "no-public-admin-port": [
        (firewall(**{"3306 tcp/container": "yes"}),),
        (firewall(**{"5000 tcp/container": "no", "5000 tcp/sources": "0.0.0.0/0"}),),
        (firewall(**{"9154 tcp/sources": "10.0.0.0/8, ::/0"}),),
        (shown("PostalHost", {"compose/web_publish": "0.0.0.0"}),),
        (shown("PostalHost", {"mariadb/listen": "93.184.216.34"}),),
        (relay(**{"metrics/networks": "10.0.0.0/8, 0.0.0.0/0"}),),
        (of(CONTAINER, {"ports": [{"internal": 3306.0, "external": 3306.0}]}),),
        (of(CONTAINER, {"ports": [{"internal": 5000.0, "external": 443.0, "ip": "::"}]}),),
        (of(CONTAINER, {"networkMode": "host"}),),
        (service(type="NodePort", ports=[{"port": 3306.0}]),),
        (service(type="LoadBalancer", ports=[{"port": 80.0, "targetPort": 5000.0}]),),
        (service(type="ClusterIP", externalIPs=["192.0.2.1"], ports=[{"port": 9154.0, "targetPort": "metrics"}]),),
        (network_policy({"ports": [{"port": 3306.0}]}),),
        (network_policy({"from": [{"ipBlock": {"cidr": "0.0.0.0/0"}}], "ports": [{"port": 9154.0}]}),),
        (network_policy({}),),
        (workload(pod={"containers": [{"name": "db", "ports": [{"containerPort": 3306.0, "hostPort": 3306.0}]}]}),),
        (workload(pod={"hostNetwork": True, "containers": [{"name": "db", "ports": [{"containerPort": 3306.0}]}]}),),
    ],
    "state-is-protected": [
        (of(VOLUME, {"name": "queue"}, retain_on_delete=False),),
        (of(VOLUME, {"name": "queue"}),),
        (relay(**{"container/queue": "volume queue, removed on destroy"}), of(VOLUME, {"name": "queue"})),
        (of(CLAIM, {"metadata": {"name": "queue"}}),),
        (namespace(stays=False), workload()),
        (
            namespace(stays=False),
            kept_claim(),
        ),
        (workload(persistentVolumeClaimRetentionPolicy={"whenDeleted": "Delete"}),),
        (workload(persistentVolumeClaimRetentionPolicy={"whenScaled": "Delete"}),),
        (workload(**QUEUE_IN_MEMORY),),
        (shown("PostalHost", {"mariadb/remove_data": "yes"}),),
        (shown("KubernetesCluster", {"remove_volumes": "yes"}),),
    ],
    "deletes-are-safe": [
        *(
            (command({}, delete=text),)
            for text in (
                "rm -rf /var/lib/mysql",
                "rm -f -r /opt/postal",
                "cd /opt/postal && docker compose down --volumes",
                "docker volume rm postal-data",
                "mysql -e 'DROP DATABASE postal'",
                "postsuper -d ALL",
                "kubectl delete namespace mail",
                f"{ROLE}; rm -rf /var/lib/mysql",
                UNKNOWN_TEXT,
            )
        ),
        (command({}, delete=ROLE, triggers=["mail1"], delete_before_replace=False),),
        (of("command:local:Command", {"delete": "find /var/backups -delete"}),),
    ],
    "images-are-pinned": [
        (of(CONTAINER, {"image": "docker.io/library/caddy:2"}),),
        (of("docker:index/remoteImage:RemoteImage", {"name": "mariadb:10.11"}),),
        (of("docker:index/image:Image", {"imageName": "relay:1"}), of(CONTAINER, {"image": "relay:1"})),
        (shown("PostalHost", {"image/repository": "a/postal", "image/tag": "3.3.7"}),),
        (shown("PostalHost", {"mariadb/image": "mariadb:10.11"}),),
        (shown("CaddyTls", {"placement": "container", "image": "caddy:2"}),),
        (workload("registry.example.com/postfix:2"),),
        (workload(pod={"initContainers": [{"name": "check", "image": "postal:3"}]}),),
    ],
    "mail-hosts-are-not-proxied": [(record(proxied=True),), (record("CNAME", proxied=True, name="track.example.com"),)],
    "dmarc-is-enforced": [
        (dmarc("v=DMARC1; p=none; rua=mailto:a@example.com"),),
        (dmarc("v=DMARC1; p=reject; sp=none"),),
        (dmarc("v=DMARC1; p=quarantine; t=y"),),
        (dmarc("v=DMARC1; rua=mailto:a@example.com"),),
        (RAMP, dmarc("v=DMARC1; p=none", "example.org")),
        (shown("DnsRecords", {"record/_dmarc.example.com-txt-dmarc": '600 "v=DMARC1; p=none"'}),),
    ],
    "ttl-has-bounds": [
        (record(ttl=30.0),),
        (record(ttl=604800.0),),
        (shown("DnsRecords", {"record/example.com-mx-a.example.com": "30 10 a.example.com."}),),
    ],
    "workspace-rule-names-senders": [
        (shown("WorkspaceRelayRule", {"rule/allowed_senders": "domain-addresses", "rule/ip_ranges": "0.0.0.0/1"}),),
        (shown("WorkspaceRelayRule", {"rule/allowed_senders": "any-address", "rule/ip_ranges": "192.0.2.1/32"}),),
        (shown("WorkspaceRelayRule", {"rule/allowed_senders": "domain-addresses", "rule/require_smtp_auth": "no"}),),
    ],
}


def violated(name: str, resources: tuple[Resource, ...], config: Mapping[str, Any] | None = None) -> list[str]:
    checker = Checker(config or {})
    found = [finding for resource in resources for finding in checker.check(resource)]
    return [finding.message for finding in found if finding.policy.name == name]


def cases(table: dict[str, list[tuple[Resource, ...]]]) -> list[tuple[str, tuple[Resource, ...]]]:
    return [(name, resources) for name, listed in table.items() for resources in listed]


def test_every_policy_is_shown_to_pass_and_to_fail() -> None:
    names = [policy.name for policy in POLICIES]
    assert list(PASS) == list(FAIL) == names
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(("name", "resources"), cases(PASS))
def test_a_policy_lets_through_what_is_right(name: str, resources: tuple[Resource, ...]) -> None:
    assert violated(name, resources) == []


@pytest.mark.parametrize(("name", "resources"), cases(FAIL))
def test_a_policy_stops_what_it_is_there_for(name: str, resources: tuple[Resource, ...]) -> None:
    assert violated(name, resources) != []


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.name)
def test_every_policy_tells_where_it_comes_from_and_what_to_do(policy: Any) -> None:
    assert policy.description.endswith(".")
    assert policy.source
    assert policy.remedy
    assert policy.environments


def test_no_message_holds_a_secret() -> None:
    planted = "planted-5c1f"
    told = [
        command({"host": "a", "privateKey": planted}, stdin=planted),
        of(CONTAINER, {"envs": [f"DB_PASSWORD={planted}"]}),
        shown("PostalHost", {"config/main_db/password": planted}),
    ]
    assert planted not in repr([finding for one in told for finding in Checker().check(one)])


def test_until_somebody_says_the_environment_the_strictest_rules_hold() -> None:
    assert violated("images-are-pinned", (of(CONTAINER, {"image": "caddy:2"}),)) != []


def test_a_resource_that_is_named_is_left_out_and_nothing_else() -> None:
    config = {"images-are-pinned": {"except": ["one"]}}
    assert violated("images-are-pinned", (of(CONTAINER, {"image": "a:1"}),), config) == []
    assert violated("images-are-pinned", (of(CONTAINER, {"image": "a:1"}, "two"),), config) != []


def test_bounds_are_settings() -> None:
    assert violated("ttl-has-bounds", (record(ttl=3600.0),), {"ttl-has-bounds": {"max_seconds": 600}}) != []


def test_the_level_decides_whether_a_stack_is_refused() -> None:
    bad = [shown("WorkspaceRelayRule", {"rule/require_tls": "no", "rule/ip_ranges": "192.0.2.1/32"})]
    assert policy_report("prod", bad, {})["ok"] is False
    assert policy_report("prod", bad, {"tls-is-checked": "advisory"})["ok"] is True
    report = policy_report("prod", bad, {"tls-is-checked": "disabled"})
    assert [one["violations"] for one in report["policies"]] == [[]] * len(POLICIES)


def test_the_configuration_is_the_engines() -> None:
    text = '{"all": "advisory", "ttl-has-bounds": {"enforcementLevel": "mandatory", "min_seconds": 300}}'
    config = read_config(text)
    levels = {policy.name: level_of(policy, config) for policy in POLICIES}
    assert levels.pop("ttl-has-bounds") == Level.MANDATORY
    assert set(levels.values()) == {Level.ADVISORY}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "no JSON"),
        ("[]", "no mapping"),
        ('{"tls": "advisory"}', "no policy 'tls'"),
        ('{"ttl-has-bounds": {"least": 1}}', "least means nothing here"),
        ('{"ttl-has-bounds": 1}', "1 means nothing here"),
        ('{"state-is-protected": {"except": "postal"}}', "except is 'postal'"),
        ('{"ttl-has-bounds": {"min_seconds": "60"}}', "min_seconds is '60'"),
        ('{"ttl-has-bounds": {"enforcementLevel": ["advisory"]}}', "is no level"),
        ('{"all": "strict"}', "'strict' is no level"),
    ],
)
def test_a_mistake_in_the_configuration_is_told_with_its_fix(text: str, told: str) -> None:
    with pytest.raises(PolicyConfigError, match=told) as caught:
        read_config(text)
    assert "Fix: " in str(caught.value)


def test_a_level_that_there_is_not_is_refused() -> None:
    with pytest.raises(PolicyConfigError, match="'strict' is no level"):
        policy_report("prod", [record()], {"ttl-has-bounds": "strict"})


def test_the_page_lists_every_policy_as_it_is() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs/how-to/policy.md").read_text()
    rows = [[cell.strip() for cell in line.split("|")[1:4]] for line in page.splitlines() if line.startswith("| `")]
    assert [row for row in rows if row[1] in set(Level)] == [
        [
            f"`{one.name}`",
            str(one.level),
            "all" if one.environments == EVERYWHERE else ", ".join(sorted(one.environments)),
        ]
        for one in POLICIES
    ]
    example = page.partition("```json\n")[2].partition("```")[0]
    assert set(read_config(example)) <= {policy.name for policy in POLICIES}
