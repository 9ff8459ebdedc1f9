"""Compares real hosts and records with the plan, which `pulumi refresh` cannot: it does not see into hosts."""

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from mailstack.dns import resource_name
from mailstack.dns.existing import Existing, declared_content
from mailstack.plan import CloudflarePlan, Plan, RoleRun
from mailstack.reach.bundle import command_line, payload
from mailstack.reach.cloudflare import CLOUDFLARE_API, CloudflareError
from mailstack.reach.docker_api import DockerApi
from mailstack.reach.docker_drift import docker_drift
from mailstack.reach.errors import DriftError
from mailstack.reach.kubectl import Kubectl
from mailstack.reach.kubernetes_drift import kubernetes_drift
from mailstack.reach.ssh import run_over_ssh
from mailstack.reach.zone_ids import api_and_ids
from mailstack.settings.stackfile import PROJECT, StackFileError

__all__ = ["DriftError", "decrypted_config", "find_drift", "made_records", "own_kubeconfig"]

# A role's exit code when its check found differences.
EXIT_DRIFT = 2
SHOWN_ERROR_LINES = 12
RECORD_TYPE = "cloudflare:index/dnsRecord:DnsRecord"


def find_drift(
    plan: Plan,
    say: Callable[[str], None],
    *,
    cloudflare_url: str = CLOUDFLARE_API,
    kubectl: str | Path = "kubectl",
    own_cluster: Callable[[], str] | None = None,
) -> list[str]:
    """Run every role with ``--check``, look at containers and objects, look every record up.

    Returns the differences, in words. ``own_cluster`` gives the kubeconfig of a cluster that the stack makes itself.
    Changes nothing. Raises DriftError, SshError, DockerError, KubectlError or
    CloudflareError for what cannot be looked at.
    """
    found = [difference for run in plan.runs() for difference in _on_host(plan, run, say)]
    if plan.relay.docker is not None:
        say(f"{plan.relay.docker.name}: asking the Docker engine")
        found += docker_drift(plan.relay.docker, DockerApi(plan.relay.docker.access))
    for placed in (plan.relay.kubernetes, None if plan.postal is None else plan.postal.kubernetes):
        if placed is None:
            continue
        access = placed.access
        say(f"{access.identifier}: asking the cluster")
        kubeconfig = access.kubeconfig
        if kubeconfig is None and access.context is None and own_cluster is not None:
            kubeconfig = own_cluster()
        found += kubernetes_drift(placed.declared(), Kubectl(kubeconfig, access.context, program=kubectl))
    if plan.dns.cloudflare is not None:
        found += _at_cloudflare(plan, plan.dns.cloudflare, cloudflare_url)
    return found


def _on_host(plan: Plan, run: RoleRun, say: Callable[[str], None]) -> Iterator[str]:
    say(f"{run.name}: checking over SSH")
    finished = run_over_ssh(
        plan.hosts[run.host].connection,
        command_line("check"),
        payload(run.role, run.settings, run.secrets),
        on_line=lambda line: say(f"  {line}"),
    )
    if finished.code == EXIT_DRIFT:
        yield from (f"{run.name}: {what}" for what in json.loads(finished.stdout.splitlines()[-1])["changed"])
    elif finished.code != 0:
        tail = "\n".join(finished.stderr.strip().splitlines()[-SHOWN_ERROR_LINES:])
        raise DriftError(f"{run.name}: the check failed with exit code {finished.code}\n{tail}")


def _at_cloudflare(plan: Plan, cloudflare: CloudflarePlan, url: str) -> Iterator[str]:
    api, ids = api_and_ids(cloudflare, url)
    for zone, records in plan.dns.zones.items():
        if ids[zone] is None:
            raise CloudflareError(f"{zone} is no zone that the API token sees")
        shown = [Existing.at_cloudflare(zone, str(ids[zone]), record) for record in api.records(str(ids[zone]))]
        served = {(there.name, there.type, there.content) for there in shown}
        for record in records:
            if (record.name, record.type, declared_content(record)) not in served:
                yield f"dns-{resource_name(record)}: {record.type} {record.name} is not as declared"


def own_kubeconfig(stack: str, folder: Path) -> str:
    """Return the stack's output ``kubeconfig``, from the Pulumi CLI. Raises StackFileError when it cannot."""
    return _cli(folder, "stack", "output", "kubeconfig", "--show-secrets", "--stack", stack)


def made_records(stack: str, folder: Path) -> frozenset[str]:
    """Return the IDs at Cloudflare of the stack's records, from the Pulumi CLI. Raises StackFileError."""
    deployment = json.loads(_cli(folder, "stack", "export", "--stack", stack)).get("deployment") or {}
    resources = deployment.get("resources") or ()
    return frozenset(str(one["id"]) for one in resources if one["type"] == RECORD_TYPE and one.get("id"))


def decrypted_config(stack: str, folder: Path) -> dict[str, Any]:
    """Return the stack's configuration with its secrets, from the Pulumi CLI. Raises StackFileError when it cannot."""
    entries = json.loads(_cli(folder, "config", "--json", "--show-secrets", "--stack", stack))
    return {
        key.removeprefix(f"{PROJECT}:"): value
        for key, entry in entries.items()
        # Pulumi.yaml gives optional sections an empty default: they count as absent.
        if key.startswith(f"{PROJECT}:") and (value := entry.get("objectValue", entry.get("value"))) not in ({}, [], "")
    }


def _cli(folder: Path, *arguments: str) -> str:
    try:
        finished = subprocess.run(
            ["pulumi", *arguments, "--non-interactive"], check=False, capture_output=True, text=True, cwd=folder
        )
    except FileNotFoundError:
        raise StackFileError("the Pulumi CLI is not on PATH; it decrypts the stack's secrets") from None
    if finished.returncode != 0:
        raise StackFileError(f"pulumi {arguments[0]} failed: {finished.stderr.strip()}")
    return finished.stdout
