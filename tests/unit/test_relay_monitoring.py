"""Objects of kinds that a cluster may not know are planned where it knows them, and a plan never fails for it."""

import base64
import http.server
import json
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
import yaml

from mailstack.kubernetes.objects import Placed
from mailstack.plan.relay_monitoring import plan_monitoring
from mailstack.reach.kubernetes_api import KubernetesUnknownError, ambient_kubeconfig, api_groups
from tests.unit.kubernetes_examples import placed, plan_of

TOKEN = "planted-token"
AUTHORITY = trustme.CA()


class ApiServer:
    """Answers /apis as a cluster does, to whoever has the token."""

    def __init__(self) -> None:
        self.groups = ["apps", "monitoring.coreos.com"]
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                right = self.headers["Authorization"] == f"Bearer {TOKEN}" and self.path == "/base/apis"
                body = json.dumps({"groups": [{"name": name} for name in server.groups]}).encode()
                self.send_response(200 if right else 403)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        AUTHORITY.issue_cert("127.0.0.1").configure_cert(tls)
        self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def kubeconfig(self, user: dict[str, Any] | None = None, *, authority: bytes | None = None) -> str:
        known = base64.b64encode(authority or AUTHORITY.cert_pem.bytes()).decode()
        cluster = {"server": f"https://127.0.0.1:{self.port}/base/", "certificate-authority-data": known}
        return yaml.safe_dump(
            {
                "current-context": "here",
                "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u"}}],
                "clusters": [{"name": "c", "cluster": cluster}],
                "users": [{"name": "u", "user": {"token": TOKEN} if user is None else user}],
            }
        )


@pytest.fixture
def api() -> Iterator[ApiServer]:
    made = ApiServer()
    yield made
    made.close()


def watched(api: ApiServer | None, *, before: bool = False, **monitoring: str) -> tuple[tuple[Placed, ...], str]:
    """Return what is planned in a cluster behind ``api`` (None: one that is down), and the notices."""
    text = "https://127.0.0.1:9" if api is None else None
    kubeconfig = ApiServer.kubeconfig(api) if api is not None else _down(str(text))
    plan = plan_of({"relay.kubernetes": {"kubeconfig": kubeconfig, "monitoring": monitoring or {"objects": "auto"}}})
    after, notes = plan_monitoring(plan, watched=before, environment={})
    return placed(after).objects(after.relay.shown), " ".join(notes)


def _down(server: str) -> str:
    return yaml.safe_dump(
        {
            "current-context": "x",
            "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
            "clusters": [{"name": "x", "cluster": {"server": server}}],
            "users": [{"name": "x", "user": {"token": TOKEN}}],
        }
    )


def monitors(found: tuple[Placed, ...]) -> list[str]:
    return [one.manifest["kind"] for one in found if one.manifest["apiVersion"].startswith("monitoring.coreos.com")]


def test_a_cluster_with_the_operator_gets_a_service_monitor(api: ApiServer) -> None:
    found, notes = watched(api)
    assert monitors(found) == ["ServiceMonitor", "PrometheusRule"]
    assert notes == ""


def test_a_cluster_without_the_operator_gets_none_and_a_notice(api: ApiServer) -> None:
    api.groups.remove("monitoring.coreos.com")
    found, notes = watched(api)
    assert monitors(found) == []
    assert "has no Prometheus operator" in notes


def test_a_cluster_that_does_not_answer_keeps_what_it_has_and_gets_nothing_new() -> None:
    found, notes = watched(None)
    assert monitors(found) == []
    assert "was not seen" in notes
    assert TOKEN not in notes
    found, notes = watched(None, before=True)
    assert monitors(found) == ["ServiceMonitor", "PrometheusRule"]
    assert "what is there stays" in notes


@pytest.mark.parametrize(("asked", "kinds"), [("yes", ["ServiceMonitor", "PrometheusRule"]), ("no", [])])
def test_who_says_it_is_believed_and_nobody_is_asked(asked: str, kinds: list[str]) -> None:
    found, notes = watched(None, objects=asked)
    assert monitors(found) == kinds
    assert notes == ""


def test_a_service_monitor_finds_the_metrics_of_every_pod(api: ApiServer) -> None:
    found, _ = watched(api)
    [monitor] = [one.manifest for one in found if one.manifest["kind"] == "ServiceMonitor"]
    services = [one.manifest for one in found if one.manifest["kind"] == "Service"]
    wanted = monitor["spec"]["selector"]["matchLabels"].items()
    [service] = [one for one in services if wanted <= one["metadata"]["labels"].items()]
    assert service["spec"]["clusterIP"] == "None"
    assert monitor["spec"]["endpoints"][0]["port"] in {port["name"] for port in service["spec"]["ports"]}


@pytest.mark.parametrize(
    ("user", "why"),
    [
        ({"token": "wrong"}, "403"),
        ({"exec": {"command": "aws"}}, "by a program"),
        ({"tokenFile": "/nowhere"}, "does not answer"),
    ],
)
def test_a_login_that_does_not_work_is_no_answer(api: ApiServer, user: dict[str, Any], why: str) -> None:
    with pytest.raises(KubernetesUnknownError, match=why):
        api_groups(api.kubeconfig(user))


def test_a_server_of_another_authority_gets_no_token(api: ApiServer) -> None:
    with pytest.raises(KubernetesUnknownError, match="certificate"):
        api_groups(api.kubeconfig(authority=trustme.CA().cert_pem.bytes()))


def test_a_server_without_tls_gets_no_token() -> None:
    with pytest.raises(KubernetesUnknownError, match="no https address"):
        api_groups(_down("http://127.0.0.1:9"))


def test_a_client_certificate_is_shown(api: ApiServer) -> None:
    mine = AUTHORITY.issue_cert("me")
    data = {
        "client-certificate-data": base64.b64encode(mine.cert_chain_pems[0].bytes()).decode(),
        "client-key-data": base64.b64encode(mine.private_key_pem.bytes()).decode(),
        "token": TOKEN,
    }
    assert "apps" in api_groups(api.kubeconfig(data))


def test_the_kubeconfig_is_the_one_kubectl_would_read(tmp_path: Path) -> None:
    (tmp_path / ".kube").mkdir()
    (tmp_path / ".kube/config").write_text("home")
    (tmp_path / "other").write_text("named")
    assert ambient_kubeconfig({"HOME": str(tmp_path)}) == "home"
    assert ambient_kubeconfig({"HOME": str(tmp_path), "KUBECONFIG": str(tmp_path / "other")}) == "named"
    for environment in ({"HOME": "/nowhere"}, {"KUBECONFIG": "/a:/b"}):
        with pytest.raises(KubernetesUnknownError):
            ambient_kubeconfig(environment)
