"""The rehearsal ground: throw-away hosts that boot like servers, on networks of their own.

``Ground(name).create_host("relay1")`` is all a test needs; see :mod:`rehearsal.ground.hosts`. By hand:
``python -m rehearsal.ground up NAME HOST...``.
"""

from rehearsal.ground.daemon import ensure_docker, stop_docker_if_ours
from rehearsal.ground.errors import GroundError
from rehearsal.ground.host import Host, Service
from rehearsal.ground.hosts import APT_VOLUME, Ground
from rehearsal.ground.image import ensure_base_image
from rehearsal.ground.leftovers import clean_leftovers, pieces, remove_ground
from rehearsal.ground.ports import wait_for_port

__all__ = [
    "APT_VOLUME",
    "Ground",
    "GroundError",
    "Host",
    "Service",
    "clean_leftovers",
    "ensure_base_image",
    "ensure_docker",
    "pieces",
    "remove_ground",
    "stop_docker_if_ours",
    "wait_for_port",
]
