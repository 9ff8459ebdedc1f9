"""The relay as a container of one Docker engine, with pulumi-docker.

Owns: two networks, the queue's volume, the image where it is built, and two containers. The first is told settings and
secrets by upload, tries them and ends; the second, the relay, takes over its volumes, read-only. Docker refuses uploads
into a read-only root, and a bind mount would need a file on the engine's machine (docs/adr/0017).

A change of settings or secrets makes a new first container; only when that ends well is the relay replaced: stopped in
its own time, removed, started on the same queue.
"""

from collections.abc import Callable, Sequence

import pulumi
import pulumi_docker as docker

from components.relay_image import built_image, registry_logins
from mailstack.plan.relay_container import CAPABILITIES, WRITABLE, DockerRelay, NetworkPlan

__all__ = ["place_in_docker"]

Child = Callable[..., pulumi.ResourceOptions]

GIVEN, SETTINGS, SECRETS, QUEUE = "/given", "/etc/mailstack", "/run/secrets/mailstack", "/var/spool/postfix"
TMPFS_OPTIONS = "size=32m"
SMTP_PORT = 25
OPEN_FILES = 4096
READY_SECONDS = 300
# Every engine gives back what it is told in this spelling.
HEALTH_INTERVAL, HEALTH_TIMEOUT, HEALTH_START, HEALTH_RETRIES = "10s", "10s", "20s", 3


def place_in_docker(
    name: str, relay: DockerRelay, child: Child, after: Sequence[pulumi.Resource]
) -> list[pulumi.Resource]:
    """Declare everything; ``child`` makes the options of a child. Return what is there once the relay is healthy."""
    provider = _provider(f"{name}-docker", relay, child())

    def options(**extra: object) -> pulumi.ResourceOptions:
        return child(provider=provider, depends_on=list(after), **extra)

    network = _network(f"{name}-network", relay.network, options(delete_before_replace=True))
    egress = _network(f"{name}-egress", relay.egress, options(delete_before_replace=True))
    # A volume of that name that is there already is taken as it is: the queue of a relay of before goes on.
    queue = docker.Volume(f"{name}-queue", name=relay.queue_volume, opts=options(retain_on_delete=relay.keep_queue))
    if relay.image.built:
        image = pulumi.Output.from_input(built_image(f"{name}-image", relay.image, options()).image_name)
    else:
        # An image stays on the engine: a container of before may still need it.
        there = docker.RemoteImage(
            f"{name}-image", name=relay.image.name, platform=relay.image.platform, keep_locally=True, opts=options()
        )
        image = pulumi.Output.from_input(there.name)
    told = _told(f"{name}-settings", relay, image, options(delete_before_replace=False))
    container = docker.Container(
        f"{name}-container",
        name=relay.name,
        hostname=relay.name,
        image=image,
        read_only=True,
        init=False,
        **_confined(),
        envs=[f"{key}={text}" for key, text in sorted(relay.environment.items())],
        tmpfs=dict.fromkeys(WRITABLE, TMPFS_OPTIONS),
        volumes=[
            docker.ContainerVolumeArgs(from_container=_accepted(told)),
            docker.ContainerVolumeArgs(volume_name=queue.name, container_path=QUEUE),
        ],
        networks_advanced=[
            docker.ContainerNetworksAdvancedArgs(name=network.id, aliases=[relay.name]),
            docker.ContainerNetworksAdvancedArgs(name=egress.id),
        ],
        ports=None
        if relay.publish is None
        else [docker.ContainerPortArgs(internal=SMTP_PORT, external=relay.publish.port, ip=relay.publish.address)],
        memory=relay.memory_mb,
        memory_reservation=relay.memory_mb // 2,
        memory_swap=relay.memory_mb,  # together: no swap
        ulimits=[docker.ContainerUlimitArgs(name="nofile", soft=OPEN_FILES, hard=OPEN_FILES)],
        restart=relay.restart,
        # The first is for `docker stop`, the second for the plugin, which kills without it.
        stop_timeout=relay.stop_seconds,
        destroy_grace_seconds=relay.stop_seconds,
        log_driver=relay.log_driver,
        log_opts=dict(relay.log_options) or None,
        healthcheck=docker.ContainerHealthcheckArgs(
            tests=["CMD", "postfix-relay", "health"],
            interval=HEALTH_INTERVAL,
            timeout=HEALTH_TIMEOUT,
            start_period=HEALTH_START,
            retries=HEALTH_RETRIES,
        ),
        wait=True,
        wait_timeout=READY_SECONDS,
        # The plugin takes a change of these for one it can make in place, and makes none.
        opts=options(delete_before_replace=True, replace_on_changes=["healthcheck", "init", "tmpfs"]),
    )
    return [network, egress, container]


def _provider(name: str, relay: DockerRelay, opts: pulumi.ResourceOptions) -> docker.Provider:
    """Return a provider for this engine alone, whatever DOCKER_HOST and DOCKER_CERT_PATH say."""
    access = relay.access
    return docker.Provider(
        name,
        host=access.endpoint,
        ssh_opts=list(access.ssh_options) or None,
        ca_material=access.ca_certificate,
        cert_material=access.certificate,
        key_material=None if access.private_key is None else pulumi.Output.secret(access.private_key),
        registry_auth=registry_logins(relay.image),
        opts=opts,
    )


def _network(name: str, network: NetworkPlan, opts: pulumi.ResourceOptions) -> docker.Network:
    return docker.Network(
        name,
        name=network.name,
        driver="bridge",
        internal=network.internal,
        ipam_configs=[docker.NetworkIpamConfigArgs(subnet=network.subnet)],
        opts=opts,
    )


def _told(name: str, relay: DockerRelay, image: pulumi.Output[str], opts: pulumi.ResourceOptions) -> docker.Container:
    """Return the container that takes settings and secrets, tries them and ends. Pulumi names it: there may be two."""
    uploads = [
        {"file": f"{GIVEN}/{path}", "content": text, "permissions": "0400"}
        for path, text in sorted(relay.files.items())
    ]
    return docker.Container(
        name,
        image=image,
        hostname=relay.name,
        command=["receive"],
        uploads=pulumi.Output.secret(uploads),
        volumes=[docker.ContainerVolumeArgs(container_path=path) for path in (SETTINGS, SECRETS)],
        network_mode="none",
        init=False,
        **_confined(),
        restart="no",
        must_run=False,
        attach=True,
        logs=True,
        opts=pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(additional_secret_outputs=["uploads"])),
    )


def _confined() -> dict[str, object]:
    return {
        "capabilities": docker.ContainerCapabilitiesArgs(adds=list(CAPABILITIES), drops=["ALL"]),
        "security_opts": ["no-new-privileges"],
    }


def _accepted(told: docker.Container) -> pulumi.Output[str]:
    """Return where to take the volumes from, once Postfix took the configuration. Else the relay stays as it is."""

    def accepted(found: Sequence[object]) -> str:
        identity, code, words = found
        if code != 0:
            raise pulumi.RunError(
                f"the relay stays as it is, because its new configuration does not work:\n{str(words or '').strip()}\n"
                "What was tried is kept; correct the settings, or repeat it with `pulumi up --replace` and this "
                f"container's URN ({told._name})"  # noqa: SLF001 - the SDK has no public name for it
            )
        return f"{identity}:ro"  # the plugin hands it on as `docker run --volumes-from` takes it

    return pulumi.Output.all(told.id, told.exit_code, told.container_logs).apply(accepted)
