"""Stand-in for k3s: no Kubernetes, but the command line, files and behaviour that role k3s relies on.

``k3s server`` and ``k3s agent`` read config.yaml and refuse keys that k3s does not have, join by token, tell systemd
when they are up, show themselves as nodes over HTTP on port 6443, and leave a "pod" running when they are stopped.
``k3s kubectl`` (get, drain, delete), ``k3s etcd-snapshot`` (save, prune) and ``k3s --version`` talk to them.
/etc/k3s-standin.json makes releases fail: {"never_ready": [versions], "exits": [versions]}.
"""

import hashlib
import json
import os
import socket
import stat
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NoReturn

VERSION = "@VERSION@"
CONFIG, FAULTS = Path("/etc/rancher/k3s/config.yaml"), Path("/etc/k3s-standin.json")
DATA, KUBECONFIG = Path("/var/lib/rancher/k3s"), Path("/etc/rancher/k3s/k3s.yaml")
KUBELET, DATABASE, SNAPSHOTS = (
    DATA / "agent/kubelet.kubeconfig",
    DATA / "server/db/nodes.json",
    DATA / "server/db/snapshots",
)
AGENT_KEYS = {"node-name", "node-ip", "node-label", "server", "token-file", "selinux"}
SERVER_KEYS = AGENT_KEYS | {
    "cluster-init", "tls-san", "cluster-cidr", "service-cidr", "disable", "secrets-encryption", "write-kubeconfig-mode",
}  # fmt: skip
CA = "-----BEGIN CERTIFICATE-----\nstand-in\n-----END CERTIFICATE-----\n"
SHIM, POD = DATA / "data/current/bin/containerd-shim-runc-v2", Path("/run/k3s/pod")


def fail(text: str) -> NoReturn:
    sys.exit(f'level=fatal msg="{text}"')


def read_config() -> dict[str, Any]:
    config: dict[str, Any] = {}
    key = ""
    for line in CONFIG.read_text().splitlines():
        if line.startswith("  - "):
            config[key].append(json.loads(line[4:]))
        elif line and not line.startswith("#"):
            key, _, value = line.partition(":")
            config[key] = json.loads(value) if value.strip() else []
    return config


def faulty(how: str) -> bool:
    return FAULTS.exists() and VERSION in json.loads(FAULTS.read_text()).get(how, [])


def ask(url: str, method: str = "GET", body: Any = None, token: str = "") -> Any:
    request = urllib.request.Request(  # noqa: S310 - made of settings of this test
        url.replace("https:", "http:"), method=method, data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": token},
    )  # fmt: skip
    with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310 - the same
        return json.loads(answer.read() or "null")


class Api(BaseHTTPRequestHandler):
    """GET /cacerts, /nodes; PUT /nodes/NAME (join=1 makes it), DELETE. Another server passes everything on."""

    password, lock = "", threading.Lock()
    upstream: str | None = None

    def log_message(self, *_arguments: object) -> None:
        """Keep quiet."""

    def _answer(self) -> None:
        size = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(size)) if size else None
        if self.upstream:
            try:
                self._send(200, ask(self.upstream + self.path, self.command, body, self.headers["Authorization"] or ""))
            except urllib.error.HTTPError as error:
                self._send(error.code, None)
            return
        if self.path == "/cacerts":
            self._send(200, CA)
            return
        if (self.headers["Authorization"] or "").rpartition(":")[2] != self.password:
            self._send(401, None)
            return
        with self.lock:
            nodes = json.loads(DATABASE.read_text()) if DATABASE.exists() else {}
            path, _, query = self.path.partition("?")
            name = path.rpartition("/")[2] if path != "/nodes" else ""
            code = 200
            if self.command == "PUT" and (name in nodes or query == "join"):
                nodes[name] = {**nodes.get(name, {}), **(body or {})}
            elif name and name not in nodes:
                code = 404
            elif self.command == "DELETE":
                del nodes[name]
            if self.command != "GET":
                new = DATABASE.with_suffix(".new")
                new.write_text(json.dumps(nodes))
                new.replace(DATABASE)
            self._send(code, (nodes.get(name) if name else nodes) if code == 200 else None)

    def _send(self, code: int, document: Any) -> None:
        data = json.dumps(document).encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_PUT = do_DELETE = _answer  # noqa: N815 - http.server's names


def kubeconfig(path: Path, server: str, user: str, password: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(0o600)
    path.write_text(
        f"apiVersion: v1\nclusters:\n- cluster:\n    certificate-authority-data: c3RhbmQtaW4=\n    server: {server}\n"
        f"  name: default\nusers:\n- name: {user}\n  user:\n    token: {password}\n"
    )


def run_node(kind: str) -> NoReturn:
    config = read_config()
    unknown = set(config) - (SERVER_KEYS if kind == "server" else AGENT_KEYS)
    if unknown:
        fail(f"flag provided but not defined: {min(unknown)}")
    secret = Path(config["token-file"])
    if stat.S_IMODE(secret.stat().st_mode) != 0o600:
        fail("the token can be read by others")
    if faulty("exits"):
        fail("this release ends at once")
    token = secret.read_text().strip()
    password, name, server = token.rpartition(":")[2], config["node-name"], config.get("server")
    if server:
        ca = ask(f"{server}/cacerts")
        if token.startswith("K10") and token[3:].partition("::")[0] != hashlib.sha256(ca.encode()).hexdigest():
            fail("the CA of the server is another one than that of the token")
        try:
            ask(f"{server}/nodes", token=token)
        except urllib.error.HTTPError as error:
            fail(f"the server refuses the token: {error}")
    if kind == "server":
        SNAPSHOTS.mkdir(parents=True, exist_ok=True)
        if not server and not config.get("cluster-init"):
            fail("neither cluster-init nor server")
        long = f"K10{hashlib.sha256(CA.encode()).hexdigest()}::server:{password}\n"
        (DATA / "server/token").write_text(long)
        Api.password, Api.upstream = password, server
        api = ThreadingHTTPServer(("0.0.0.0", 6443), Api)
        threading.Thread(target=api.serve_forever, daemon=True).start()
        kubeconfig(KUBECONFIG, "https://127.0.0.1:6443", "default", password)
    url = server or "https://127.0.0.1:6443"
    kubeconfig(KUBELET, url, f"system:node:{name}", password)
    start_pod()
    ask(f"{url}/nodes/{name}?join", "PUT", {"labels": config.get("node-label", [])}, token)
    notify()
    while True:
        if not faulty("never_ready"):
            report = {"version": VERSION, "heard": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
            try:
                ask(f"{url}/nodes/{name}", "PUT", report, token)
            except urllib.error.URLError as error:
                sys.stderr.write(
                    f"not reported: {error}\n"
                )  # a node that was deleted makes itself anew at a start only
        time.sleep(0.5)


def notify() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as place:
        place.connect(os.environ["NOTIFY_SOCKET"].replace("@", "\0"))
        place.send(b"READY=1")


def start_pod() -> None:
    """Start a shim with a container below it, once; both outlive k3s."""
    if POD.exists() and Path("/proc", POD.read_text()).exists():
        return
    SHIM.parent.mkdir(parents=True, exist_ok=True)
    SHIM.write_text("#!/bin/sh\nsetsid sleep 1000001 &\nwait\n")
    SHIM.chmod(0o755)
    POD.parent.mkdir(parents=True, exist_ok=True)
    POD.write_text(str(subprocess.Popen([SHIM], start_new_session=True).pid))


def shown(name: str, node: dict[str, Any]) -> dict[str, Any]:
    ready = {"type": "Ready", "status": "True", "message": "kubelet is posting ready status", "reason": "KubeletReady"}
    conditions = [{**ready, "lastHeartbeatTime": node["heard"]}] if "heard" in node else []
    status = {"conditions": conditions, "nodeInfo": {"kubeletVersion": node.get("version", "")}}
    return {"kind": "Node", "metadata": {"name": name}, "spec": {"unschedulable": node.get("cordoned", False)},
            "status": status}  # fmt: skip


def kubectl(arguments: Sequence[str]) -> None:
    option, path, verb, *rest = arguments
    assert option == "--kubeconfig"
    text = Path(path).read_text()
    words = dict(line.strip(" -").split(": ", 1) for line in text.splitlines() if ": " in line)
    url, token = words["server"], words["token"]
    if "system:node:" in text and (verb, rest[0]) != ("get", "node"):
        sys.exit("Error from server (Forbidden): a node may only read its own entry")
    try:
        if verb == "get" and rest == ["nodes", "-o", "json"]:
            found = ask(f"{url}/nodes", token=token)
            sys.stdout.write(json.dumps({"kind": "List", "items": [shown(name, each) for name, each in found.items()]}))
        elif verb == "get" and rest[0] == "node" and rest[2:] == ["-o", "json"]:
            sys.stdout.write(json.dumps(shown(rest[1], ask(f"{url}/nodes/{rest[1]}", token=token))))
        elif verb == "drain":
            assert {"--ignore-daemonsets", "--delete-emptydir-data"} <= set(rest[1:])
            ask(f"{url}/nodes/{rest[0]}", "PUT", {"cordoned": True}, token)
            with (DATA / "server/db/drained").open("a") as stream:
                stream.write(rest[0] + "\n")
        elif verb == "delete" and rest[0] == "node":
            ask(f"{url}/nodes/{rest[1]}", "DELETE", token=token)
        else:
            sys.exit(f"error: unknown command {verb} {rest}")
    except urllib.error.HTTPError as error:
        sys.exit(f"Error from server: {error}")
    except urllib.error.URLError as error:
        sys.exit(f"The connection to the server was refused: {error}")


def etcd_snapshot(arguments: Sequence[str]) -> None:
    name = arguments[arguments.index("--name") + 1]
    if arguments[0] == "save":
        ask("https://127.0.0.1:6443/cacerts")
        place = SNAPSHOTS / f"{name}-{read_config()['node-name']}-{time.time_ns()}"
        place.write_text("stand-in")
    elif arguments[0] == "prune":
        keep = int(arguments[arguments.index("--snapshot-retention") + 1])
        for old in sorted(SNAPSHOTS.glob(f"{name}*"))[:-keep]:
            old.unlink()
    else:
        sys.exit(f"No help topic for '{arguments[0]}'")


def main() -> None:
    command, arguments = sys.argv[1], sys.argv[2:]
    if command == "--version":
        sys.stdout.write(f"k3s version {VERSION} (0123abcd)\ngo version go1.24.6\n")
    elif command in ("server", "agent") and not arguments:
        run_node(command)
    elif command == "kubectl":
        kubectl(arguments)
    elif command == "etcd-snapshot":
        etcd_snapshot(arguments)
    else:
        sys.exit(f"No help topic for '{command}'")


if __name__ == "__main__":
    main()
