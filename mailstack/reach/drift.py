"""Compares real hosts and records with the plan, which `pulumi refresh` cannot: it does not see into hosts."""

import json
import subprocess
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from mailstack.dns import resource_name
from mailstack.dns.existing import Existing, declared_content
from mailstack.plan import CloudflarePlan, Plan, RoleRun
from mailstack.reach.bundle import Action, command_line, payload
from mailstack.reach.cloudflare import CLOUDFLARE_API, CloudflareError
from mailstack.reach.connection import Connection
from mailstack.reach.docker_api import DockerApi
from mailstack.reach.docker_drift import docker_drift
from mailstack.reach.errors import DriftError
from mailstack.reach.kubectl import Kubectl
from mailstack.reach.kubernetes_drift import kubernetes_drift
from mailstack.reach.ssh import SshError, run_over_ssh
from mailstack.reach.zone_ids import api_and_ids
from mailstack.settings.refusals import refused
from mailstack.settings.stackfile import PROJECT, StackFileError

__all__ = ["DriftError", "decrypted_config", "find_drift", "made_records", "own_kubeconfig", "repair"]

# A role's exit code when its check found differences.
EXIT_DRIFT = 2
SHOWN_ERROR_LINES = 12
DOING: Mapping[Action, str] = {"check": "the check", "apply": "the repair"}
ATTEMPTS = 2
RECORD_TYPE = "cloudflare:index/dnsRecord:DnsRecord"


def find_drift(
    plan: Plan,
    say: Callable[[str], None],
    *,
    cloudflare_url: str = CLOUDFLARE_API,
    kubectl: str | Path = "kubectl",
    own_cluster: Callable[[], str] | None = None,
    unseen: dict[str, str] | None = None,
) -> list[str]:
    """Run every role with ``--check``, look at containers and objects, look every record up.

    Returns the differences, in words. ``own_cluster`` gives the kubeconfig of a cluster that the stack makes itself.
    Changes nothing. What cannot be looked at gets into ``unseen``, by its name, and keeps nothing else from being
    looked at; without ``unseen`` it raises DriftError, SshError, DockerError, KubectlError or CloudflareError.
    """
    found: list[str] = []

    def take(name: str, look: Callable[[], Iterable[str]], part: str | None = None) -> None:
        try:
            found.extend(look())
        except (RuntimeError, StackFileError) as error:
            if unseen is None:
                raise
            # A host that is away tells nothing; where one check of it fails, the others still tell.
            where = name if part is None or isinstance(error, SshError) else part
            unseen[where] = str(error).removeprefix(f"{where}: ")

    for run in plan.runs():
        # One look is enough to know that a host is away: each takes as long as a connection is waited for.
        if unseen is None or run.host not in unseen:
            take(run.host, partial(_on_host, plan, run, say), run.name)
    if plan.relay.docker is not None:
        engine = plan.relay.docker
        say(f"{engine.name}: asking the Docker engine")
        take(engine.name, lambda: docker_drift(engine, DockerApi(engine.access)))
    for placed in (plan.relay.kubernetes, None if plan.postal is None else plan.postal.kubernetes):
        if placed is None:
            continue
        say(f"{placed.access.identifier}: asking the cluster")
        take(placed.access.identifier, partial(_on_cluster, placed, kubectl, own_cluster))
    if plan.dns.cloudflare is not None:
        take("Cloudflare", partial(_at_cloudflare, plan, plan.dns.cloudflare, cloudflare_url))
    return found


def _on_cluster(placed: Any, kubectl: str | Path, own_cluster: Callable[[], str] | None) -> Iterable[str]:
    access = placed.access
    kubeconfig = access.kubeconfig
    if kubeconfig is None and access.context is None and own_cluster is not None:
        kubeconfig = own_cluster()
    return kubernetes_drift(placed.declared(), Kubectl(kubeconfig, access.context, program=kubectl))


def _on_host(plan: Plan, run: RoleRun, say: Callable[[str], None]) -> Iterator[str]:
    say(f"{run.name}: checking over SSH")
    connection = plan.hosts[run.host].connection
    # An update waits for a host that is about to come up; whoever looks wants to know that it is away.
    patient = replace(connection, attempts=min(connection.attempts, ATTEMPTS))
    yield from (f"{run.name}: {what}" for what in _run(run, "check", patient, say))


def repair(plan: Plan, names: Collection[str], say: Callable[[str], None]) -> Iterator[tuple[str, list[str]]]:
    """Run the roles of these names with what is declared, as an update would run them, in its order.

    Yields the name of each and what it has changed, once its check finds no difference any more. Raises DriftError or
    SshError at the first that fails: those behind it may build on it.
    """
    for run in plan.runs():
        if run.name in names:
            say(f"{run.name}: running over SSH")
            connection = plan.hosts[run.host].connection
            changed = _run(run, "apply", connection, say)
            if left := _run(run, "check", connection, say):
                raise DriftError(f"{run.name}: has run, and its host still differs: {'; '.join(left)}")
            yield run.name, changed


def _run(run: RoleRun, action: Action, connection: Connection, say: Callable[[str], None]) -> list[str]:
    finished = run_over_ssh(
        connection,
        command_line(action, run.timeout_seconds),
        payload(run.role, run.settings, run.secrets),
        on_line=lambda line: say(f"  {line}"),
    )
    if finished.code != 0 and (action, finished.code) != ("check", EXIT_DRIFT):
        tail = "\n".join(finished.stderr.strip().splitlines()[-SHOWN_ERROR_LINES:])
        raise DriftError(f"{run.name}: {DOING[action]} failed with exit code {finished.code}\n{tail}")
    if action == "check" and finished.code == 0:
        return []
    changed: list[str] = json.loads(finished.stdout.splitlines()[-1])["changed"]
    return changed


def _at_cloudflare(plan: Plan, cloudflare: CloudflarePlan, url: str) -> Iterator[str]:
    api, ids = api_and_ids(cloudflare, url)
    hidden = [zone for zone in plan.dns.zones if ids[zone] is None]
    for zone, records in plan.dns.zones.items():
        if zone in hidden:
            continue
        shown = [Existing.at_cloudflare(zone, str(ids[zone]), record) for record in api.records(str(ids[zone]))]
        served = {(there.name, there.type, there.content) for there in shown}
        for record in records:
            if (record.name, record.type, declared_content(record)) not in served:
                yield f"dns-{resource_name(record)}: {record.type} {record.name} is not as declared"
    if hidden:
        raise CloudflareError("; ".join(f"{zone} is no zone that the API token sees" for zone in hidden))


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
        raise StackFileError(
            "the Pulumi CLI is not on PATH; it decrypts the stack's secrets. Fix: run scripts/install-pulumi.sh"
        ) from None
    if finished.returncode != 0:
        raise StackFileError(f"pulumi {arguments[0]} failed: {refused(finished.stderr.strip())}")
    return finished.stdout
