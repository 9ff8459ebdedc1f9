"""Brings any stack up on throw-away hosts and proves that mail goes through.

Settings stay as the stack file has them; hosts, upstream and DNS end points are throw-away ones (``endpoints``), and
no secret of the real stack is opened. With a Pulumi CLI the real engine runs the program, without one the in-process
back end does; the checks and their table are the same.
"""

import dataclasses
import hashlib
import ipaddress
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Any, Self
from unittest.mock import patch

from mailstack.plan import load_plan
from mailstack.reach.cloudflare import CLOUDFLARE_API
from mailstack.reach.drift import find_drift
from mailstack.reach.ssh import SshError
from mailstack.settings.initialise import rehearsal_config
from mailstack.settings.model import Settings
from mailstack.settings.stackfile import engine_config
from rehearsal.checks import run_checks, table
from rehearsal.cloudflare_standin import CloudflareStandin, CloudflareStandinConfig, ZoneConfig
from rehearsal.cluster_place import ClusterPlace, remove_cluster_place
from rehearsal.container_place import ContainerPlace, remove_container_place
from rehearsal.endpoints import google_rule, with_certificates, with_hosts, with_images, without_cluster
from rehearsal.engine import Engine, EngineError, find_cli
from rehearsal.google_standin import GoogleStandinClient
from rehearsal.ground import (
    Ground,
    GroundError,
    clean_leftovers,
    ensure_base_image,
    ensure_docker,
    remove_ground,
    stop_docker_if_ours,
)
from rehearsal.ground.docker import docker
from rehearsal.in_process import InProcessBackend, ResourceFailedError, run_program
from rehearsal.kept import (
    DEMO_STACK,
    Way,
    engine_folder,
    engine_way,
    environment_file,
    leave_answers,
    leave_environment,
    rehearsal_name,
)
from rehearsal.kubernetes import KubernetesError
from rehearsal.pki import PrivateCa, ServerPki, make_server_pki
from rehearsal.plugins.kubernetes import find_kubectl
from rehearsal.relay_place import RelayPlace
from rehearsal.site import Check, Site
from rehearsal.standins import PORTS, start_google
from rehearsal.surroundings import Surroundings
from rehearsal.told_cli import shown

__all__ = ["Rehearsal", "rehearse", "tear_down"]

ROOT = Path(__file__).resolve().parent.parent
Say = Callable[[str], None]
# Placements of the relay that are no host.
PLACES: Mapping[str, type[ContainerPlace | ClusterPlace]] = {"docker": ContainerPlace, "kubernetes": ClusterPlace}


def rehearse(
    stack: str, say: Say, *, keep: bool = False, report: Callable[[Mapping[str, Any]], None] | None = None
) -> int:
    """Rehearse ``stack``; return 0 only when every check passed. ``keep`` leaves hosts and engine state behind.

    ``report`` gets what came of it as one document, however it ended, for whoever reads no table.
    """
    started = time.monotonic()
    raw = rehearsal_config(ROOT / f"Pulumi.{stack}.yaml")
    load_plan(raw)  # a mistake in the file is told before a host is made
    try:
        with Rehearsal(stack, raw, say, keep=keep) as rehearsal:
            checks = rehearsal.prove(rehearsal.bring_up())
    except (GroundError, EngineError, KubernetesError, ResourceFailedError, SshError) as error:
        say(f"FAILED: {error}")
        if report is not None:
            report({"stack": stack, "passed": False, "error": str(error), "checks": []})
        if keep:
            say(f"What came up stays, to be looked at. Remove it with: {_down_command(stack)}")
        return 1
    failed = [check for check in checks if not check.passed]
    say("")
    for line in table(checks):
        say(line)
    seconds = time.monotonic() - started
    if report is not None:
        found = [dataclasses.asdict(check) for check in checks]
        report({"stack": stack, "passed": not failed, "error": None, "checks": found, "seconds": round(seconds, 1)})
    say(f"\n{len(checks) - len(failed)} of {len(checks)} checks passed in {seconds:.0f} s.")
    if keep:
        for line in _afterwards(stack, {name: host.container for name, host in rehearsal.hosts.items()}):
            say(line)
    return 1 if failed else 0


def tear_down(stack: str, say: Say) -> int:
    """Remove what a kept rehearsal left: hosts, network, engine state, and the Docker daemon if we started it."""
    ensure_docker(log=say)
    name = rehearsal_name(stack, keep=True)
    remove_cluster_place(name)
    remove_container_place(name)
    remove_ground(name)
    shutil.rmtree(engine_folder(name), ignore_errors=True)
    environment_file(stack).unlink(missing_ok=True)
    if docker(["ps", "--quiet"]):
        say("Docker stays: something else runs on it")
    else:
        stop_docker_if_ours(log=say)
    say(f"nothing of the rehearsal of {stack} is left")
    return 0


def _afterwards(stack: str, containers: Mapping[str, str]) -> Iterator[str]:
    """Yield what can be done with what stays up; ``containers`` are those of its hosts."""
    named = "" if stack == DEMO_STACK else f" --stack {stack}"
    yield f"It stays up, for every command: mailstack demo status{named}"
    for name, container in containers.items():
        yield f"A shell on {name}: docker exec -it {container} bash"
    yield f"Remove it with: {_down_command(stack)}"


def _down_command(stack: str) -> str:
    demos = {"local": "make demo-down", **{name: f"make demo-down PLACEMENT={name}" for name in PLACES}}
    return demos.get(stack, f"mailstack rehearse --stack {stack} --down")


class Rehearsal:
    """The throw-away ground of one stack: hosts, a stand-in for the upstream, one for Cloudflare where needed."""

    def __init__(self, stack: str, raw: dict[str, Any], say: Say, *, keep: bool = False) -> None:
        """``raw`` is the stack's configuration with throw-away secrets. Nothing starts before ``with``."""
        self.stack = stack
        self._raw = without_cluster(raw)
        if "cluster" in raw:
            say("left out: the Kubernetes cluster, which the ground has neither program nor kernel modules for")
        self._say = say
        self._keep = keep
        self.name = rehearsal_name(stack, keep=keep)
        self.engine_folder = engine_folder(self.name)
        self._cleanup = ExitStack()
        self._resolver: str | None = None

    @property
    def settings(self) -> Settings:
        """Return the settings with the throw-away hosts."""
        return self.plan.settings

    def __enter__(self) -> Self:
        """Start everything the program will meet."""
        with ExitStack() as cleanup:
            self._prepare(cleanup)
            self._cleanup = cleanup.pop_all()
        return self

    def __exit__(self, *_exception: object) -> None:
        """Remove everything, unless it is kept."""
        self._cleanup.close()

    def _prepare(self, cleanup: ExitStack) -> None:
        declared = load_plan(self._raw)
        settings = declared.settings
        self._say("[1/6] Docker and the base image of the hosts")
        ensure_docker(log=self._say)
        ensure_base_image(log=self._say)
        clean_leftovers(log=self._say)
        remove_container_place(self.name)
        remove_ground(self.name)
        shutil.rmtree(self.engine_folder, ignore_errors=True)
        if not self._keep:
            cleanup.callback(shutil.rmtree, self.engine_folder, ignore_errors=True)
        self._say(f"[2/6] throw-away hosts: {', '.join(settings.hosts)}")
        upstream = settings.relay.upstream
        authority = PrivateCa()
        self._authorities = authority.certificate
        self.place: RelayPlace | None = None
        pki = make_server_pki(upstream.host_name, ca=authority)
        self.ground = cleanup.enter_context(Ground(self.name, keep=self._keep, log=self._say))
        self.hosts = {
            name: self.ground.create_host(
                name,
                hostname=settings.relay.hostname if name in settings.relay.host_names else f"{name}.rehearsal.test",
                admin_user=host.user != "root",
                ca_certificates=[authority.certificate],
                unsafe_dpkg=True,
                docker=any(run.role == "docker" for run in declared.hosts[name].runs),
            )
            for name, host in settings.hosts.items()
        }
        self.raw = with_hosts(self._raw, self.hosts)
        if settings.relay.placement in PLACES:
            place = PLACES[settings.relay.placement](self.ground, self.raw, authority, self._say)
            cleanup.push(place.__exit__)
            self.place, self.raw = place, dict(place.raw)
        self.plan = load_plan(self.raw)
        self._add_addresses(self.settings)
        self._say(f"[3/6] stand-in for {upstream.host_name}: refuses what Google refuses")
        self.google = self._start_upstream(pki)
        self._surround(authority)
        self.cloudflare = self._start_cloudflare(cleanup)

    def _surround(self, authority: PrivateCa) -> None:
        """Start what Postal and Caddy need of the Internet: images, an ACME server, DNS that finds this stack."""
        if self.settings.postal is None and self.settings.caddy is None:
            return
        self._say("      registry, ACME server (pebble), resolver, and a neighbour for applications")
        around = Surroundings(self.ground, authority, self.plan, self.hosts, self._say)
        raw = with_images(self.raw, postal=around.postal_image, mariadb=around.mariadb_image)
        pair = (around.company_pair.certificate, around.company_pair.key)
        self._authorities, self._resolver = around.roots, around.resolver.address
        self.raw = with_certificates(raw, directory=around.acme_directory, pair=pair)
        self.plan = load_plan(self.raw)

    def _add_addresses(self, settings: Settings) -> None:
        """Give the hosts the addresses their services are declared to listen on."""
        container_side = settings.postal.gateway if settings.postal is not None else None
        wanted = [
            (name, address)
            for name in settings.relay.host_names
            for address in settings.relay_listens_on(name)
            if address != container_side
        ]
        server = settings.dns.server
        if server is not None:
            wanted += [(server.host, address) for address in server.listen_addresses]
        for name, text in wanted:
            address = ipaddress.ip_address(text)
            if text == self.hosts[name].address:
                continue
            if not address.is_loopback and not address.is_unspecified:
                mask = address.max_prefixlen
                self.ground.exec(self.hosts[name], ["ip", "address", "add", f"{address}/{mask}", "dev", "lo"])

    def _start_upstream(self, pki: ServerPki) -> GoogleStandinClient:
        settings, upstream = self.settings, self.settings.relay.upstream
        own_kind = "implicit" if self.plan.relay.definition.implicit_tls else "starttls"
        login = None
        if upstream.auth == "sasl" and upstream.username and upstream.password:
            login = (upstream.username, upstream.password.get_secret_value())
        rule = self.plan.relay_rule.rule if self.plan.relay_rule else None
        self._granted = google_rule(
            domains=list(rule.domains if rule else self.plan.relay.definition.sender_domains),
            # A container's address is known once it runs.
            allowed_ips=[f"{self.hosts[name].address}/32" for name in settings.relay.host_names] or ["192.0.2.1/32"],
            allowed_senders=rule.allowed_senders if rule else "domain-addresses",
            require_tls=True,
            login=login,
            require_smtp_auth=rule.require_smtp_auth if rule else login is not None,
        )
        ports = {**PORTS, upstream.port: own_kind}
        return start_google(
            self.ground, pki, self._granted, host_name=upstream.host_name, service="upstream", ports=ports
        )

    def _start_cloudflare(self, cleanup: ExitStack) -> CloudflareStandin | None:
        declared = self.plan.dns.cloudflare
        if declared is None:
            return None
        self._say("      stand-in for the Cloudflare API")
        config = CloudflareStandinConfig(
            token=declared.api_token.value,
            zones=tuple(
                # A zone whose ID is looked up has one there too.
                ZoneConfig(id=identity or hashlib.md5(name.encode(), usedforsecurity=False).hexdigest(), name=name)
                for name, identity in declared.zone_ids.items()
            ),
        )
        return cleanup.enter_context(CloudflareStandin(config))

    def bring_up(self) -> dict[str, Any]:
        """Run the program and return the stack outputs."""
        cli = find_cli()
        url = self.cloudflare.api_url if self.cloudflare else None
        if cli is None:
            self._say("[4/6] no Pulumi CLI on PATH: the same program runs in this process (docs/adr/0003)")
            backend = InProcessBackend(self._say, cloudflare_url=url)
            # The program looks zone IDs up, and what zones hold, where this says.
            with patch.dict(os.environ, {} if url is None else {"CLOUDFLARE_BASE_URL": url}):
                marked = run_program(self.stack, engine_config(self.raw), backend, marked=True)
            if self._keep:
                self._leave(leave_answers(self.engine_folder, self.stack, self.raw, marked))
            opened: dict[str, Any] = shown(marked, secrets=True)
            return opened
        self._say(f"[4/6] pulumi up, with {cli}")
        engine = Engine(self.stack, self.engine_folder, self._say)
        if url is not None:
            engine.environment["CLOUDFLARE_BASE_URL"] = url
        engine.configure(self.raw)
        engine.select()
        engine.up()
        if self._keep:
            self._leave(engine_way(engine))
        return engine.outputs()

    def _leave(self, way: Way) -> None:
        """Leave what the commands for a running stack need to find this one."""
        leave_environment(
            environment_file(self.stack), self.engine_folder, self.stack, way,
            resolver=self._resolver, authorities=self._authorities,
        )  # fmt: skip

    def drift(self) -> list[str]:
        """Compare every host and record with the declaration; return the differences, in words."""
        url = self.cloudflare.api_url if self.cloudflare else CLOUDFLARE_API
        return find_drift(self.plan, lambda _line: None, cloudflare_url=url, kubectl=find_kubectl())

    def prove(self, outputs: dict[str, Any]) -> list[Check]:
        """Send mail through the stack and look at everything from outside."""
        if self.place is not None:
            self.place.join(self.plan, self.google, self._granted)
        self._say("[5/6] checks: DNS, relay rule, a message, refusals")
        return run_checks(self._site(outputs), self._say)

    def _site(self, outputs: dict[str, Any]) -> Site:
        settings = self.settings
        return Site(
            plan=self.plan,
            outputs=outputs,
            ground=self.ground,
            relay=self.hosts[settings.relay.host_names[0]] if settings.relay.host_names else None,
            place=self.place,
            hosts=self.hosts,
            google=self.google,
            cloudflare=self.cloudflare,
            drift=cache(self.drift),
            authorities=self._authorities,
        )
