"""What tests here share: small pods of Debian's busybox and a program that fetches a page, a project for the engine."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from rehearsal.engine import find_cli
from rehearsal.kubernetes import Cluster
from rehearsal.kubernetes.programs import PROGRAMS, missing
from rehearsal.plugins import real_plugin

__all__ = ["IMAGE", "TOOLS", "container", "pod", "project_for_the_real_plugin", "serving", "web_page"]

IMAGE = "rehearsal.invalid/busybox:1"
# scripts/kubernetes.sh installs the one and builds the other.
TOOLS = (Path("/bin/busybox"), PROGRAMS / "fetch")
Object = dict[str, Any]


def container(script: str, **fields: Any) -> Object:
    """Return a container that runs a shell script with busybox."""
    # Process 1 gets no signal that it has not asked for, and a pod would be waited for half a minute.
    command = ["/busybox", "sh", "-c", f"trap exit TERM; {script} & wait"]
    return {"name": "main", "image": IMAGE, "imagePullPolicy": "IfNotPresent", "command": command, **fields}


def pod(name: str, namespace: str, script: str = "/busybox sleep 3600", **labels: str) -> Object:
    """Return a pod that runs a script."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": {"name": name, **labels}},
        "spec": {"containers": [container(script)], "terminationGracePeriodSeconds": 1},
    }


def serving(*ports: int) -> str:
    """Return a script that serves the host's name as a page on each port."""
    return "/busybox mkdir -p /www; /busybox hostname >/www/index.html; " + " ".join(
        f"/busybox httpd -f -h /www -p {port} &" for port in ports
    ).removesuffix("&")


def web_page(cluster: Cluster, namespace: str, name: str, url: str) -> str | None:
    """Return what a pod gets from a URL, or None where it gets nothing within two seconds."""
    done = cluster.try_kubectl("exec", "--namespace", namespace, name, "--", "/fetch", url)
    return done.stdout.strip() if done.returncode == 0 else None


def project_for_the_real_plugin(folder: Path, name: str, program: str) -> Path:
    """Return a project of ``program``, a file beside this one; skip the test where API server, CLI or plugin lack."""
    reason = missing(api_server=True)
    if reason is not None:
        pytest.skip(reason)
    if find_cli() is None:
        pytest.skip("no Pulumi CLI: `make engine` builds one")
    if real_plugin("kubernetes") is None:
        pytest.skip("no kubernetes plugin: `make kubernetes-plugin` builds one")
    here, project = Path(__file__).resolve(), folder / "project"
    project.mkdir()
    options = "toolchain: pip\n    virtualenv: .venv\n"
    (project / "Pulumi.yaml").write_text(f"name: {name}\nruntime:\n  name: python\n  options:\n    {options}")
    (project / ".venv").symlink_to(here.parents[2] / ".venv")
    shutil.copy(here.with_name(program), project / "__main__.py")
    return project
