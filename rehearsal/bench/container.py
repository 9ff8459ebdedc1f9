"""What the relay costs as a container: its image, its start, its memory at rest, and what it carries."""

import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

from mailstack.plan.relay_container import CAPABILITIES, WRITABLE
from mailstack.postfix.relay import RelayDefinition, role_settings
from mailstack.settings.relay_tiers import TIERS
from rehearsal.bench.cgroup import Memory
from rehearsal.bench.docker import inspect
from rehearsal.bench.relay_host import set_up_guide
from rehearsal.bench.throughput import Load, Relay, compare
from rehearsal.ground import Ground, GroundError, Service
from rehearsal.ground.docker import docker, docker_try
from rehearsal.images.relay import ensure_relay_base, ensure_relay_image
from rehearsal.waiting import wait_for

__all__ = ["UPSTREAM", "measure_container", "start_relay"]

UPSTREAM = "smtp-relay.gmail.com"
AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"
STARTS = 5
READY_SECONDS, REST_SECONDS = 60, 10
MEGABYTE, DOCKERS_MEGABYTE = 1024 * 1024, 1_000_000
# A cluster or an engine has no overlay file system under its queue; here neither relay has one.
QUEUE_VOLUME = ("--volume=/var/spool/postfix",)


def start_relay(
    ground: Ground, image: str, authorities: Path, *, memory_mb: int, processes: int, name: str = "relay"
) -> Service:
    """Start the relay as placement docker does, and return once it is healthy; what it trusts is in ``authorities``."""
    definition = RelayDefinition(
        hostname="relay.example.com", sender_domains=("example.com",), upstream_host=UPSTREAM,
        listen_addresses=("0.0.0.0",), client_networks=(ground.subnet,), message_size_limit_bytes=25_000_000,
        process_limit=processes,
    )  # fmt: skip
    settings = ground.state / f"{name}.json"
    settings.write_text(json.dumps(role_settings(definition)))
    arguments = ["--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"]
    arguments += [f"--cap-add={capability}" for capability in CAPABILITIES]
    arguments += [part for path in WRITABLE for part in ("--tmpfs", path)]
    # Below a read-only root Docker's own is read-only too, and the bench points it elsewhere.
    resolver = ground.state / f"{name}.resolv.conf"
    resolver.write_text("nameserver 127.0.0.11\n")
    arguments += [*QUEUE_VOLUME, f"--volume={authorities}:{AUTHORITIES}", f"--volume={resolver}:/etc/resolv.conf"]
    mounts = {"/etc/mailstack/relay.json": settings}
    made = ground.create_service(
        name, ["run"], image=image, init=False, memory_mb=memory_mb, extra_run_args=arguments, mounts=mounts
    )

    def healthy() -> bool:
        return docker_try(["exec", made.container_id, "postfix-relay", "health"]).returncode == 0

    if not wait_for(healthy, READY_SECONDS, pause=0.02):
        raise GroundError(f"the relay is not healthy: {ground.logs(made)[-2000:]}")
    return made


def measure_container(ground: Ground, cache: Path, say: Callable[[str], None]) -> None:
    """Measure all of it, and compare the throughput with the main.cf of the old wiki page on a host beside it."""
    image, base = ensure_relay_image(say), ensure_relay_base(say)
    sizes = [int(docker(["image", "inspect", "--format", "{{.Size}}", name])) for name in (image, base)]
    whole, debian = (size / DOCKERS_MEGABYTE for size in sizes)
    say(f"image: {whole:.0f} MB, of it the Debian it is built on {debian:.0f} MB")
    authorities = ground.state / "authorities.pem"
    authorities.write_text("")
    tier = TIERS[-1]
    seconds = []
    for _ in range(STARTS):
        started = time.monotonic()
        relay = start_relay(ground, image, authorities, memory_mb=tier.megabytes, processes=tier.processes)
        seconds.append(time.monotonic() - started)
        ground.remove(relay)
    say(f"start to healthy: median {statistics.median(seconds):.2f} s of {', '.join(f'{one:.2f}' for one in seconds)}")
    relay = start_relay(ground, image, authorities, memory_mb=tier.megabytes, processes=tier.processes)
    time.sleep(REST_SECONDS)
    say(f"memory at rest: {Memory(relay.container_id).anonymous() / MEGABYTE:.0f} MB")
    guide = ground.create_host("guide", extra_run_args=QUEUE_VOLUME)
    set_up_guide(inspect(guide.container))
    compare(
        base=Relay(name="guide", container=guide.container),
        candidate=Relay(name="container", container=relay.container_id),
        load=Load(),
        cache=cache,
        report=say,
    )
