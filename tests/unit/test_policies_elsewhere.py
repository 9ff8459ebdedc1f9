"""The policies hold for resources that are not of our components too: plain ones, as somebody adds them to a program.

And what only an update tells is neither passed over nor taken for a violation.
"""

import copy
from collections.abc import Iterator
from typing import Any

import pytest

from mailstack.policy import POLICIES, Checker, Resource
from mailstack.policy.report import policy_report
from mailstack.policy.wire import SIGNATURE, UNKNOWN_VALUES
from tests.unit.test_policies import (
    CONTAINER,
    DIGEST,
    HOST_KEY,
    ROLE,
    VOLUME,
    command,
    hidden,
    network_policy,
    of,
    record,
    service,
    violated,
    workload,
)

OLD_RECORD = "cloudflare:index/record:Record"
POD, CRON_JOB = "kubernetes:core/v1:Pod", "kubernetes:batch/v1:CronJob"
INGRESS = "kubernetes:networking.k8s.io/v1:Ingress"
CONFIG_MAP, SECRET = "kubernetes:core/v1:ConfigMap", "kubernetes:core/v1:Secret"
KUBERNETES = "pulumi:providers:kubernetes"
SWARM = "docker:index/service:Service"
REMOTE_IMAGE, BUILDX = "docker:index/remoteImage:RemoteImage", "docker-build:index:Image"
ZONE, ZONE_SETTING = "cloudflare:index/zone:Zone", "cloudflare:index/zoneSetting:ZoneSetting"
LOCAL = "command:local:Command"
PLANTED = "planted-7d31"
UNKNOWN = min(UNKNOWN_VALUES)


def old_record(kind: str = "A", **inputs: Any) -> Resource:
    """A record as programs of before version 6 of the provider write it."""
    return of(OLD_RECORD, {"type": kind, "name": "mail", **inputs})


def pod(**spec: Any) -> Resource:
    return of(POD, {"metadata": {"name": "one"}, "spec": spec})


def cron_job(**spec: Any) -> Resource:
    return of(CRON_JOB, {"spec": {"jobTemplate": {"spec": {"template": {"spec": spec}}}}})


def database(**more: Any) -> dict[str, Any]:
    return {"name": "db", "image": f"mariadb{DIGEST}", **more}


def ingress(**port: Any) -> Resource:
    backend = {"service": {"name": "one", "port": port}}
    return of(INGRESS, {"spec": {"rules": [{"http": {"paths": [{"path": "/", "backend": backend}]}}]}})


def local(text: str, part: str = "create") -> Resource:
    return of(LOCAL, {part: text})


def to_all(**more: Any) -> Resource:
    return service(type="LoadBalancer", **more)


def swarm(**port: Any) -> Resource:
    return of(SWARM, {"taskSpec": {"containerSpec": {"image": f"a{DIGEST}"}}, "endpointSpec": {"ports": [port]}})


LOOSE = "apiVersion: v1\nclusters: [{cluster: {insecure-skip-tls-verify: true, server: 'https://a'}}]"
IN_MEMORY = {"volumes": [{"name": "data", "emptyDir": {}}]}
ON_DATA = {"volumeMounts": [{"name": "data", "mountPath": "/var/lib/mysql"}]}

PASS: dict[str, list[Resource]] = {
    "tls-is-checked": [
        of(KUBERNETES, {"kubeconfig": hidden("apiVersion: v1\nclusters: []")}),
        of(KUBERNETES, {"kubeconfig": hidden("clusters: [{cluster: {server: 'http://127.0.0.1:8001'}}]")}),
        of(ZONE_SETTING, {"settingId": "min_tls_version", "value": "1.2"}),
        of(CONFIG_MAP, {"data": {"main.cf": "smtp_tls_security_level = secure\n"}}),
        of(CONFIG_MAP, {"data": {"main.cf": "smtp_tls_mandatory_ciphers = high\nsmtp_tls_exclude_ciphers = RC4\n"}}),
        of(CONFIG_MAP, {"data": {"main.cf": "tls_medium_cipherlist = aNULL:-aNULL:HIGH:MEDIUM:+RC4:@STRENGTH\n"}}),
    ],
    "host-keys-are-pinned": [local("ssh -o StrictHostKeyChecking=yes host true")],
    "secrets-are-secret": [
        local('curl --token "$TOKEN" https://a.example.com'),
        local("DB_PASSWORD=$(cat /run/password) mysql"),
        local("mysql --defaults-file=/run/my.cnf --password-file /run/password"),
        pod(containers=[database(args=["--password=$(PASSWORD)", "--api-key-file=/run/key"])]),
        of(SECRET, {"data": hidden({"key": UNKNOWN})}),
        of(CONTAINER, {"command": ["run", "--password", hidden(PLANTED)]}),
        pod(containers=[database(env=[{"name": "PASSWORD", "value": "$(FROM_SECRET)"}])]),
        pod(containers=[database(env=[{"name": "URL", "value": "mysql://app:$(FROM_SECRET)@db/postal"}])]),
    ],
    "no-public-admin-port": [
        to_all(loadBalancerSourceRanges=["10.0.0.0/8", "93.184.216.0/24", "fc00::/7"], ports=[{"port": 3306.0}]),
        swarm(targetPort=25.0, publishedPort=25.0),
        of(CONTAINER, {"ports": [{"internal": 8443.0, "external": 443.0}]}),
        of(CONTAINER, {"ports": [{"internal": 3306.0, "external": 3306.0, "ip": "100.64.0.9"}]}),
        pod(containers=[database(ports=[{"containerPort": 3306.0}])]),
        ingress(number=5000.0),
        ingress(name="http"),
        network_policy({"ports": [{"port": 30000.0, "endPort": 30010.0}]}),
    ],
    "state-is-protected": [
        of(ZONE, {"name": "example.com"}, protect=True),
        pod(containers=[database(**ON_DATA)], volumes=[{"name": "data", "persistentVolumeClaim": {}}]),
        cron_job(containers=[database(**ON_DATA)], **IN_MEMORY),
    ],
    "deletes-are-safe": [
        local("systemctl stop one", "delete"),
        local("rm -f /etc/one.conf", "delete"),
        local("docker run --rm -v /var/lib/mysql:/data dump", "delete"),
    ],
    "images-are-pinned": [
        of(CONTAINER, {"image": DIGEST[1:]}),
        of(CONTAINER, {"image": f"caddy@sha512:{'0a' * 64}"}),
        of(REMOTE_IMAGE, {"name": "relay:1", "build": {"context": "."}}),
        pod(containers=[database()]),
    ],
    "mail-hosts-are-not-proxied": [old_record(proxied=False), old_record("MX", proxied=True)],
    "dmarc-is-enforced": [
        old_record("TXT", name="_dmarc", value="v=DMARC1; p=reject; np=reject"),
        old_record("TXT", name="_dmarcish.example.com", value="v=DMARC1; p=none"),
    ],
    "ttl-has-bounds": [record(ttl=1.0), old_record()],
    "workspace-rule-names-senders": [of("google:index:Rule", {"rule/allowed_senders": "any-address"})],
}
FAIL: dict[str, list[Resource]] = {
    "tls-is-checked": [
        of(KUBERNETES, {"kubeconfig": hidden(LOOSE)}),
        of(KUBERNETES, {"kubeconfig": hidden("clusters: [{cluster: {server: 'http://k8s.example.com:8080'}}]")}),
        of(KUBERNETES, {"kubeconfig": hidden('{"insecure-skip-tls-verify" : true}')}),
        of(ZONE_SETTING, {"settingId": "min_tls_version", "value": "1.0"}),
        of(ZONE_SETTING, {"settingId": "ssl", "value": "flexible"}),
        of(CONFIG_MAP, {"data": {"main.cf": "smtp_tls_security_level = may\n"}}),
        of(CONFIG_MAP, {"data": {"main.cf": "smtp_tls_security_level=may\n"}}),
        of(f"{CONFIG_MAP}Patch", {"data": {"main.cf": "smtp_tls_security_level = may\n"}}),
        of(CONFIG_MAP, {"data": {"main.cf": "smtp_tls_mandatory_protocols = !SSLv3\n"}}),
        of(CONFIG_MAP, {"data": {"main.cf": "smtp_tls_mandatory_ciphers = null\n"}}),
        of(CONFIG_MAP, {"data": {"main.cf": "tls_high_cipherlist = HIGH:eNULL\n"}}),
        of(CONFIG_MAP, {"data": {"main.cf": "tls_high_cipherlist = ALL\n"}}),
        of(CONFIG_MAP, {"data": {"main.cf": "smtp_tls_per_site = static:NONE\n"}}),
        of(CONFIG_MAP, {"data": {"main.cf": "smtpd_sasl_auth_enable = yes\n"}}),
    ],
    "host-keys-are-pinned": [
        local("ssh -o StrictHostKeyChecking=no root@host id"),
        local("scp -oUserKnownHostsFile=/dev/null a host:", "update"),
        of(LOCAL, {"create": "git pull", "environment": {"GIT_SSH_COMMAND": "ssh -o StrictHostKeyChecking=no"}}),
        of(LOCAL, {"create": "ansible-playbook a.yml", "environment": {"ANSIBLE_HOST_KEY_CHECKING": "False"}}),
        command(hidden({"host": "a", "hostKey": HOST_KEY}), create="ssh -o 'stricthostkeychecking off' b"),
    ],
    "secrets-are-secret": [
        local(f"MYSQL_PASSWORD={PLANTED} mysqldump postal"),
        local(f"export API_KEY='{PLANTED}'; deploy", "update"),
        local(f"mysql --password={PLANTED}"),
        local(f"deploy --api-key {PLANTED}", "delete"),
        pod(containers=[database(args=[f"--token={PLANTED}"])]),
        of(CONTAINER, {"command": ["run", f"--secret={PLANTED}"]}),
        of(CONTAINER, {"command": ["run", "--password", PLANTED]}),
        of(SECRET, {"stringData": {"key": PLANTED}}),
        of(f"{SECRET}Patch", {"stringData": {"key": PLANTED}}),
        of("docker:index/secret:Secret", {"name": "one", "data": PLANTED}),
        of(BUILDX, {"secrets": {"npm": PLANTED}}),
        local(f"MYSQL_PWD={PLANTED} mysqldump postal"),
        of(CONTAINER, {"envs": [f"SMTP_PASS={PLANTED}"]}),
        local("gpg --import <<END\n-----BEGIN PGP PRIVATE KEY BLOCK-----"),
    ],
    "no-public-admin-port": [
        to_all(ports=[{"port": 3306.0}]),
        to_all(ports=[{"port": 25.0, "targetPort": 3306.0}]),
        to_all(loadBalancerSourceRanges=["0.0.0.0/1", "128.0.0.0/1"], ports=[{"port": 3306.0}]),
        to_all(loadBalancerSourceRanges=["2000::/3"], ports=[{"port": 5432.0}]),
        of(CONTAINER, {"ports": [{"internal": 3306.0, "external": 3306.0}]}),
        of(CONTAINER, {"publishAllPorts": True}),
        swarm(targetPort=3306.0, publishedPort=3306.0),
        pod(containers=[database(ports=[{"containerPort": 3306.0, "hostPort": 3306.0}])]),
        pod(hostNetwork=True, containers=[database()]),
        cron_job(hostNetwork=True, containers=[database(ports=[{"containerPort": 6379.0}])]),
        of("kubernetes:core/v1:ServicePatch", {"spec": {"type": "NodePort", "ports": [{"port": 3306.0}]}}),
        ingress(number=3306.0),
        ingress(name="metrics"),
        network_policy({"ports": [{"port": 1.0, "endPort": 65535.0}]}),
        network_policy({"ports": [{"protocol": "TCP"}]}),
    ],
    "state-is-protected": [
        of(ZONE, {"name": "example.com"}),
        of("hcloud:index/volume:Volume", {"name": "mail"}),
        of("aws:route53/zone:Zone", {"name": "example.com"}),
        of("aws:rds/instance:Instance", {"engine": "mariadb"}),
        of("gcp:sql/databaseInstance:DatabaseInstance", {"name": "postal"}),
        pod(containers=[database(**ON_DATA)], volumes=[{"name": "data", "ephemeral": {"volumeClaimTemplate": {}}}]),
        pod(containers=[database(**ON_DATA)], **IN_MEMORY),
        workload(volumeClaimTemplates=[], pod={"containers": [database(**ON_DATA)], **IN_MEMORY}),
    ],
    "deletes-are-safe": [
        local(text, "delete")
        for text in (
            "rm \\\n  -rf /var/lib/mysql",
            "python3 -c 'import shutil; shutil.rmtree(\"/opt/postal\")'",
            "userdel --remove postal",
            "mariadb -e 'DELETE FROM messages'",
            "rsync -a --delete /empty/ /var/lib/mysql/",
            "docker-compose down -v",
            f"mysqladmin -uroot -p{PLANTED} drop postal",
        )
    ],
    "images-are-pinned": [
        pod(containers=[{"name": "db", "image": "mariadb:10.11"}]),
        cron_job(containers=[{"name": "db", "image": "mariadb:10.11"}]),
        pod(ephemeralContainers=[{"name": "look", "image": "busybox"}]),
        pod(volumes=[{"name": "site", "image": {"reference": "site:1"}}]),
        of(SWARM, {"taskSpec": {"containerSpec": {"image": "caddy:2"}}}),
        of("kubernetes:apps/v1:DeploymentPatch", {"spec": {"template": {"spec": {"containers": [{"image": "a:1"}]}}}}),
    ],
    "mail-hosts-are-not-proxied": [old_record(proxied=True), old_record("CNAME", proxied=True)],
    "dmarc-is-enforced": [
        old_record("TXT", name="_dmarc", value="v=DMARC1; p=none"),
        old_record("TXT", name="_dmarc", value=" v = DMARC1 ; p = none"),
        old_record("TXT", name="_dmarc", value="v=DMARC1; p=reject; pct=1"),
        old_record("TXT", name="_DMARC.example.com.", value="v=DMARC1; p=none"),
        record("TXT", name="_dmarc", content='"v=DMARC1; p=reject; np=none"'),
    ],
    "ttl-has-bounds": [old_record(ttl=30.0), record(ttl=100_000.0)],
}
# What it names as not known.
UNCLEAR: dict[str, list[tuple[Resource, str]]] = {
    "host-keys-are-pinned": [
        (command(hidden({"host": "a", "hostKey": UNKNOWN})), "connection"),
        (command(UNKNOWN), "connection"),
    ],
    "secrets-are-secret": [
        (command(hidden({"host": "a", "hostKey": HOST_KEY}), stdin=UNKNOWN), "stdin"),
        (of(SECRET, {"stringData": {"key": UNKNOWN}}), "stringData"),
    ],
    "no-public-admin-port": [
        (of(CONTAINER, {"ports": UNKNOWN}), "ports"),
        (of(CONTAINER, {"ports": [{"internal": 3306.0, "external": 3306.0, "ip": UNKNOWN}]}), "ports"),
        (of(CONTAINER, {"networkMode": UNKNOWN}), "networkMode"),
        (service(type=UNKNOWN, ports=[{"port": 3306.0}]), "spec.type"),
        (to_all(loadBalancerSourceRanges=UNKNOWN, ports=[{"port": 3306.0}]), "spec.loadBalancerSourceRanges"),
        (to_all(ports=[{"port": UNKNOWN}]), "spec.ports"),
        (network_policy({"from": UNKNOWN, "ports": [{"port": 3306.0}]}), "spec.ingress"),
        (pod(hostNetwork=UNKNOWN), "hostNetwork"),
    ],
    "images-are-pinned": [
        (of(CONTAINER, {"image": UNKNOWN}), "image"),
        (pod(containers=[{"name": "db", "image": UNKNOWN}]), "image of container db"),
    ],
    "mail-hosts-are-not-proxied": [(record(proxied=UNKNOWN), "proxied"), (record(UNKNOWN, proxied=UNKNOWN), "proxied")],
    "dmarc-is-enforced": [(record("TXT", name="_dmarc.example.com", content=UNKNOWN), "content")],
    "ttl-has-bounds": [(record(ttl=UNKNOWN), "ttl")],
}


def rows(table: dict[str, list[Any]]) -> list[tuple[str, Any]]:
    return [(name, row) for name, listed in table.items() for row in listed]


def test_only_the_relay_rule_has_nothing_like_it_elsewhere() -> None:
    """Google has no resource of it: it is steps in a console."""
    names = [policy.name for policy in POLICIES]
    assert list(PASS) == names
    assert [*FAIL, "workspace-rule-names-senders"] == names


@pytest.mark.parametrize(("name", "resource"), rows(PASS))
def test_a_policy_lets_through_a_plain_resource_that_is_right(name: str, resource: Resource) -> None:
    assert violated(name, (resource,)) == []


@pytest.mark.parametrize(("name", "resource"), rows(FAIL))
def test_a_policy_stops_a_plain_resource_as_it_stops_ours(name: str, resource: Resource) -> None:
    found = violated(name, (resource,))
    assert found
    assert PLANTED not in " ".join(found)


@pytest.mark.parametrize(("name", "row"), rows(UNCLEAR))
def test_what_only_an_update_tells_is_no_violation_and_is_not_passed_over(name: str, row: tuple[Resource, str]) -> None:
    resource, what = row
    found = [one for one in Checker().check(resource) if one.policy.name == name]
    assert [(one.message, one.unclear) for one in found] == [(what, True)]
    report = policy_report("prod", [resource], {})
    told = {one["name"]: one for one in report["policies"]}[name]
    assert (report["ok"], told["violations"], [one["message"] for one in told["unclear"]]) == (True, [], [what])


def places(value: Any, before: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of everything inside ``value``."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield (*before, key)
        yield from places(item, (*before, key))


def changed(resource: Resource, place: tuple[Any, ...], new: Any) -> Resource:
    wire = copy.deepcopy(dict(resource.wire))
    inner: Any = wire
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = new
    return Resource(resource.type, resource.name, wire, resource.options)


PLAIN = [(name, one) for name, one in [*rows(PASS), *rows(FAIL)] if not one.type.startswith("mailstack:")]


@pytest.mark.parametrize(("name", "resource"), PLAIN)
def test_no_shape_of_an_input_ends_in_anything_but_an_answer(name: str, resource: Resource) -> None:
    for place in places(dict(resource.wire)):
        for new in (UNKNOWN, [UNKNOWN], {"a": UNKNOWN}, None, "text", 5.0, True, [], {}, [None]):
            list(Checker().check(changed(resource, place, new)))


@pytest.mark.parametrize(("name", "resource"), [row for row in rows(PASS) if row[0] != "deletes-are-safe"])
def test_what_is_right_is_never_refused_for_what_is_not_known_of_it(name: str, resource: Resource) -> None:
    for place in places(dict(resource.wire)):
        if SIGNATURE not in place:
            found = Checker().check(changed(resource, place, UNKNOWN))
            assert [one.message for one in found if one.policy.name == name and not one.unclear] == [], place


def test_an_unknown_delete_is_refused_since_nobody_can_read_it() -> None:
    assert violated("deletes-are-safe", (local(UNKNOWN, "delete"),)) != []
    assert violated("deletes-are-safe", (local(ROLE, "delete"),)) == []


def test_an_image_that_the_stack_builds_itself_is_its_own() -> None:
    built = of(BUILDX, {"tags": ["registry.example.com/relay:1"], "context": {"location": "."}})
    assert violated("images-are-pinned", (built, of(CONTAINER, {"image": "registry.example.com/relay:1"}))) == []


def test_where_the_engine_does_not_tell_whether_data_is_retained_the_message_says_so() -> None:
    """`protect` is told to policies, `retainOnDelete` is not: PolicyResourceOptions of pulumi-policy has none."""
    [silent] = violated("state-is-protected", (of(VOLUME, {"name": "queue"}),))
    assert "`except`" in silent
    [known] = violated("state-is-protected", (of(VOLUME, {"name": "queue"}, retain_on_delete=False),))
    assert "neither protected nor retained" in known
