"""The relay's image, built by a Docker engine and pushed to its registry."""

import pulumi
import pulumi_docker as docker

from mailstack.plan.relay_image import CONTEXT, DOCKERFILE, ImagePlan

__all__ = ["build_for_cluster", "built_image", "registry_logins"]


def built_image(name: str, image: ImagePlan, opts: pulumi.ResourceOptions) -> docker.Image:
    """Declare the build, and the push where there is a registry."""
    return docker.Image(
        name,
        image_name=image.name,
        build=docker.DockerBuildArgs(
            context=CONTEXT,
            dockerfile=DOCKERFILE,
            platform=image.platform,
            args=dict(image.arguments),
            network=image.network,
        ),
        registry=None
        if image.registry is None
        else docker.RegistryArgs(
            server=image.registry.server,
            username=image.registry.username,
            password=pulumi.Output.secret(image.registry.password),
        ),
        skip_push=image.registry is None,
        opts=opts,
    )


def registry_logins(image: ImagePlan) -> list[docker.ProviderRegistryAuthArgs] | None:
    """Return the logins of a provider that pulls or pushes ``image``, None where it needs none."""
    if image.registry is None:
        return None
    return [
        docker.ProviderRegistryAuthArgs(
            address=image.registry.server,
            username=image.registry.username,
            password=pulumi.Output.secret(image.registry.password),
        )
    ]


def build_for_cluster(name: str, image: ImagePlan, opts: pulumi.ResourceOptions) -> docker.Image:
    """Declare the build on the Docker engine of who runs Pulumi (DOCKER_HOST): a cluster builds nothing."""
    builder = docker.Provider(f"{name}-builder", registry_auth=registry_logins(image), opts=opts)
    return built_image(name, image, pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(provider=builder)))
