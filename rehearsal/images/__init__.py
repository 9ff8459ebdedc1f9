"""The container images of a rehearsal and the registry hosts pull them from.

``images = ensure_images(log)`` obtains or builds them, ``start_registry(ground, ca, images)`` serves them.
"""

from rehearsal.images.catalogue import (
    MARIADB_IMAGE,
    POSTAL_IMAGE,
    POSTAL_VARIABLE,
    POSTAL_VERSION,
    POSTAL_VERSION_BROKEN,
    POSTAL_VERSION_NEXT,
    Images,
    ensure_docker_host_image,
    ensure_images,
    ensure_service_image,
    remove_outdated_images,
)
from rehearsal.images.registry import REGISTRY_NAME, REGISTRY_PORT, REGISTRY_VOLUME, Registry, start_registry

__all__ = [
    "MARIADB_IMAGE",
    "POSTAL_IMAGE",
    "POSTAL_VARIABLE",
    "POSTAL_VERSION",
    "POSTAL_VERSION_BROKEN",
    "POSTAL_VERSION_NEXT",
    "REGISTRY_NAME",
    "REGISTRY_PORT",
    "REGISTRY_VOLUME",
    "Images",
    "Registry",
    "ensure_docker_host_image",
    "ensure_images",
    "ensure_service_image",
    "remove_outdated_images",
    "start_registry",
]
