"""Postal, its database and a stand-in for the relay on a real node, applied stage by stage as the plugin does."""

import json
import smtplib
import ssl
import subprocess
from collections.abc import Callable, Sequence
from email.message import EmailMessage
from pathlib import Path
from typing import Any, TypeVar

import trustme

from mailstack.kubernetes.objects import Placed, Stage
from mailstack.plan import Plan
from rehearsal.ground.docker import docker
from rehearsal.images import POSTAL_VERSION, POSTAL_VERSION_NEXT, Images
from rehearsal.kubernetes import Cluster
from rehearsal.waiting import wait_for
from tests.unit.postal_cluster_examples import ADMIN_PASSWORD, objects, plan_of

__all__ = [
    "API_KEY",
    "CONTROLLER",
    "NAMESPACE",
    "REPOSITORY",
    "SETTINGS",
    "SMTP_KEY",
    "STRANGERS",
    "PostalOnNode",
]

NAMESPACE, DATABASES, RELAY, CONTROLLER, STRANGERS = "mail-postal", "databases", "mail-relay", "ingress-nginx", "others"
REPOSITORY = "docker.io/library/mailstack-postal-pods"
PATIENCE = 150
SMTP_KEY, API_KEY = "smtpsmtpsmtpsmtpsmtpsmtp", "apiapiapiapiapiapiapiapi"
KEPT = "/tmp/kept.jsonl"  # noqa: S108 - of the stand-in's container
SINK = Path(__file__).with_name("relay_standin.rb")
Object = dict[str, Any]
T = TypeVar("T")
# Small enough for this machine, and quick to give up on records that nobody publishes here.
SETTINGS: dict[str, Any] = {
    "postal.image": {"repository": REPOSITORY, "tag": POSTAL_VERSION},
    "postal.memory": {"web": 256, "smtp": 256, "worker": 256},
    "postal.dns_check": {"wait_minutes": 0},
    "postal.config": {"dns": {"timeout": 2}, "smtp_client": {"open_timeout": 5, "read_timeout": 20}},
    "postal.kubernetes.create_namespace": False,
    "postal.kubernetes.web": {"tls_secret": "web-certificate"},
    "postal.kubernetes.smtp_tls_secret": "mx-certificate",
    "postal.kubernetes.cpu": {"web": "50m", "smtp": "50m", "worker": "50m"},
    "postal.kubernetes.replicas": {"web": 1, "smtp": 1},
    "postal.kubernetes.network_policies": {"database_namespace": DATABASES},
}


class PostalOnNode:
    """An installation on ``cluster``; :meth:`place` brings it to what ``changes`` of the settings ask for."""

    def __init__(self, cluster: Cluster, images: Images) -> None:
        """Bring images, database and relay; nothing of Postal yet."""
        self.cluster = cluster
        self.authority = trustme.CA()
        self._names: dict[str, str] = {}
        for version in (POSTAL_VERSION, POSTAL_VERSION_NEXT):
            self._bring(images.postal[version], f"mailstack-postal-pods:{version}")
        self._bring(images.mariadb, "mailstack-mariadb-pods:1")
        for name in (NAMESPACE, DATABASES, RELAY, CONTROLLER, STRANGERS):
            cluster.kubectl("create", "namespace", name)
            cluster.wait_for_namespace(name)
        cluster.kubectl("label", "namespace", NAMESPACE, "pod-security.kubernetes.io/enforce=restricted")
        cluster.apply([*self._database(), *self._relay(), *self._certificate()])
        cluster.apply([self._client("controller", CONTROLLER), self._client("stranger", STRANGERS)])
        for name in (DATABASES, RELAY, CONTROLLER, STRANGERS):
            wait = ("--for=condition=Ready", "pod", "--all", "--namespace", name, f"--timeout={PATIENCE}s")
            cluster.kubectl("wait", *wait, timeout=PATIENCE + 30)

    def _bring(self, image: str, name: str) -> None:
        docker(["tag", image, name])
        try:
            self.cluster.import_image(name)
        finally:
            docker(["image", "rm", name])

    # --- what is around Postal --------------------------------------------------------------------------------------

    def _database(self) -> list[Object]:
        labels = {"name": "mariadb"}
        running = {
            "name": "mariadb", "image": "docker.io/library/mailstack-mariadb-pods:1", "imagePullPolicy": "IfNotPresent",
            "args": ["mariadbd", "--innodb-log-file-size=160M", "--max-allowed-packet=64M", "--skip-name-resolve"],
            "env": [{"name": "MARIADB_ROOT_PASSWORD", "value": ADMIN_PASSWORD}],
            "readinessProbe": {"tcpSocket": {"port": 3306}, "periodSeconds": 1},
            "volumeMounts": [{"name": "data", "mountPath": "/var/lib/mysql"}],
        }  # fmt: skip
        volumes = [{"name": "data", "emptyDir": {}}]
        return [*_with_service("mariadb", DATABASES, 3306, labels, {"containers": [running], "volumes": volumes})]

    def _relay(self) -> list[Object]:
        labels = {
            "app.kubernetes.io/name": "postfix-relay", "app.kubernetes.io/instance": "postfix-relay",
            "app.kubernetes.io/component": "relay",
        }  # fmt: skip
        files = {
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "sink", "namespace": RELAY},
            "data": {SINK.name: SINK.read_text(encoding="utf-8")},
        }  # fmt: skip
        running = {
            "name": "sink", "image": f"{REPOSITORY}:{POSTAL_VERSION}", "imagePullPolicy": "IfNotPresent",
            "args": ["ruby", f"/sink/{SINK.name}", "25"], "securityContext": {"runAsUser": 0},
            "readinessProbe": {"tcpSocket": {"port": 25}, "periodSeconds": 1},
            "volumeMounts": [{"name": "sink", "mountPath": "/sink"}],
        }  # fmt: skip
        spec = {"containers": [running], "volumes": [{"name": "sink", "configMap": {"name": "sink"}}]}
        return [files, *_with_service("postfix-relay", RELAY, 25, labels, spec)]

    def _certificate(self) -> list[Object]:
        pair = self.authority.issue_cert("mx.example.com")
        data = {
            "tls.crt": b"".join(blob.bytes() for blob in pair.cert_chain_pems).decode(),
            "tls.key": pair.private_key_pem.bytes().decode(),
        }
        metadata = {"name": "mx-certificate", "namespace": NAMESPACE}
        return [{
            "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "metadata": metadata, "stringData": data
        }]  # fmt: skip

    def _client(self, name: str, namespace: str) -> Object:
        running = {
            "name": "main", "image": f"{REPOSITORY}:{POSTAL_VERSION}", "imagePullPolicy": "IfNotPresent",
            "command": ["sleep", "3600"],
        }  # fmt: skip
        return {
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": namespace},
            "spec": {"containers": [running], "terminationGracePeriodSeconds": 1},
        }  # fmt: skip

    def renew_certificate(self) -> None:
        """Replace the SMTP server's certificate, as who renews it does."""
        self.cluster.apply(self._certificate())

    # --- Postal -----------------------------------------------------------------------------------------------------

    def plan(self, changes: dict[str, Any] | None = None) -> Plan:
        return plan_of(SETTINGS | (changes or {}))

    def objects(self, changes: dict[str, Any] | None = None) -> tuple[Placed, ...]:
        return objects(SETTINGS | (changes or {}))

    def place(self, changes: dict[str, Any] | None = None) -> tuple[Placed, ...]:
        """Apply one stage after the other, each once the one before is ready."""
        found = self.objects(changes)
        for stage in Stage:
            these = [one for one in found if one.stage is stage]
            if these:
                manifests = [dict(one.manifest) for one in these]
                self.cluster.apply(manifests, "--server-side", "--field-manager=mailstack")
            for one in these:
                self._wait(one.manifest["kind"].lower(), one.manifest["metadata"]["name"])
        return found

    def _wait(self, kind: str, name: str) -> None:
        if kind in {"deployment", "statefulset"}:
            question = ("rollout", "status", f"{kind}/{name}", "--namespace", NAMESPACE, f"--timeout={PATIENCE}s")
            done = self.cluster.try_kubectl(*question, timeout=PATIENCE + 30)
            assert done.returncode == 0, done.stderr + self.state()
        if kind == "job":
            ended = self.eventually(lambda: self.ended(name))
            assert ended == "Complete", self.log(f"job/{name}") + self.state()

    def ended(self, job: str) -> str | None:
        status = self.cluster.get("job", job, "--namespace", NAMESPACE)["status"]
        kinds = [one["type"] for one in status.get("conditions", ()) if one["status"] == "True"]
        return next((kind for kind in kinds if kind in {"Complete", "Failed"}), None)

    def eventually(self, ask: Callable[[], T], seconds: float = PATIENCE) -> T:
        answer = wait_for(ask, seconds)
        assert answer, f"nothing after {seconds} s\n{self.state()}"
        return answer

    def state(self) -> str:
        return "\n" + self.cluster.try_kubectl("get", "pods,jobs", "--namespace", NAMESPACE).stdout

    def log(self, of: str) -> str:
        return self.cluster.try_kubectl("logs", of, "--namespace", NAMESPACE, "--all-containers", "--tail=50").stdout

    def pods(self, component: str) -> list[Object]:
        chosen = f"--selector=app.kubernetes.io/component={component}"
        found: list[Object] = self.cluster.get("pods", "--namespace", NAMESPACE, chosen)["items"]
        return found

    def versions(self) -> dict[str, str]:
        """Return the version of every object of Postal's, jobs and their pods included."""
        kinds = "secrets,configmaps,services,deployments,statefulsets,jobs,pods,networkpolicies,ingresses,roles"
        found = self.cluster.get(kinds, "--namespace", NAMESPACE)["items"]
        return {f"{one['kind']} {one['metadata']['name']}": one["metadata"]["resourceVersion"] for one in found}

    # --- the ways in ------------------------------------------------------------------------------------------------

    @property
    def smtp_address(self) -> str:
        """The load balancer's address."""

        def given() -> str | None:
            status = self.cluster.get("service", "postal-smtp", "--namespace", NAMESPACE)["status"]["loadBalancer"]
            return next((str(entry["ip"]) for entry in status.get("ingress", [])), None)

        return str(self.eventually(given))

    def connect(self) -> smtplib.SMTP:
        """Log in with the declared key, below TLS whose certificate is verified."""
        address = self.smtp_address
        context = ssl.create_default_context()
        self.authority.configure_trust(context)

        def logged_in() -> smtplib.SMTP | None:
            try:
                client = smtplib.SMTP(address, 25, timeout=20)
                client._host = "mx.example.com"  # type: ignore[attr-defined] # the name that the certificate is for
                client.starttls(context=context)
                client.login("example/apps", SMTP_KEY)
            except OSError:
                return None
            return client

        client = self.eventually(logged_in)
        assert client is not None
        return client

    def send(self, names: Sequence[str]) -> None:
        """Hand a message to Postal for each recipient."""
        with self.connect() as client:
            for name in names:
                message = EmailMessage()
                message["From"], message["To"] = "shop@example.com", f"{name}@recipient.test"
                message["Subject"] = name
                message.set_content("text")
                client.send_message(message)

    def kept(self) -> list[Object]:
        """Return what the relay has."""
        out = self.cluster.kubectl("exec", "postfix-relay", "--namespace", RELAY, "--", "cat", KEPT)
        return [json.loads(line) for line in out.splitlines()]

    def arrived(self) -> list[str]:
        return [one["recipients"][0].partition("@")[0] for one in self.kept()]

    def page(self, where: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Ask with curl from the client pod of a namespace."""
        name = "controller" if where == CONTROLLER else "stranger"
        curl = ["curl", "-sS", "--max-time", "5", *arguments]
        return self.cluster.try_kubectl("exec", name, "--namespace", where, "--", *curl)

    def sql(self, query: str) -> str:
        asked = ["mariadb", "--batch", "--skip-column-names", "--user=root", f"--password={ADMIN_PASSWORD}"]
        return self.cluster.kubectl(
            "exec", "mariadb", "--namespace", DATABASES, "--", *asked, "--host=127.0.0.1", "--execute", query
        ).strip()


def _with_service(name: str, namespace: str, port: int, labels: dict[str, str], spec: Object) -> list[Object]:
    metadata = {"name": name, "namespace": namespace}
    pod = {
        "apiVersion": "v1", "kind": "Pod", "metadata": {**metadata, "labels": labels},
        "spec": {**spec, "terminationGracePeriodSeconds": 1},
    }  # fmt: skip
    service = {
        "apiVersion": "v1", "kind": "Service", "metadata": metadata,
        "spec": {"selector": labels, "ports": [{"port": port}]},
    }  # fmt: skip
    return [pod, service]
