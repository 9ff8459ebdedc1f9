"""What the settings and secrets mean as files on the host. Pure."""

import hashlib
import json
from typing import Any, Dict, List

from mailstack.postal.compose import image_reference, render_compose
from mailstack.postal.config_keys import key_problems
from mailstack.postal.render import PROCESSES, config_digest, merge, render_postal_yml
from postal import paths
from rolelib.host import RoleError
from rolelib.owned_files import OwnedFile

__all__ = ["Desired", "desired", "expected_containers", "fold", "provision_digest"]

# Slow enough that nobody tries passwords against the digest, quick enough for every run.
DIGEST_ROUNDS = 60_000


class Desired:
    """Postal's files: ``config`` is the merged configuration, ``files`` those in /config, ``compose`` its file."""

    def __init__(self, config: Dict[str, Dict[str, Any]], files: List[OwnedFile], compose: OwnedFile) -> None:
        """Hold the values as given."""
        self.config = config
        self.files = files
        self.compose = compose

    @property
    def every_file(self) -> List[OwnedFile]:
        """All files of the running installation, the configuration first."""
        return [*self.files, self.compose]


def desired(settings: Dict[str, Any], secrets: Dict[str, Any]) -> Desired:
    """Return what should be on the host. Raises RoleError for keys Postal does not know."""
    config = merge(settings["config"], secrets["config"])
    problems = key_problems(config)
    if problems:
        raise RoleError("settings", "; ".join(problems))
    key = secrets["signing_key"].strip() + "\n"
    digests = {process: config_digest(process, config, key) for process in PROCESSES}
    compose = render_compose(settings["compose"], image_reference(settings["image"]), config, digests)
    private = {"mode": 0o400, "uid": paths.USER_ID, "gid": paths.USER_ID}
    return Desired(
        config=config,
        files=[
            OwnedFile(paths.POSTAL_YML, render_postal_yml(config), **private),
            OwnedFile(paths.SIGNING_KEY, key, **private),
        ],
        compose=OwnedFile(paths.COMPOSE, compose),
    )


def expected_containers(settings: Dict[str, Any]) -> Dict[str, int]:
    """Return service → number of containers."""
    return {"web": 1, "smtp": 1, "worker": settings["compose"]["worker_replicas"]}


def provision_digest(settings: Dict[str, Any], secrets: Dict[str, Any], salt: str, script: str) -> str:
    """Return a digest of all that decides what is provisioned, secrets and the script itself included."""
    kept = {name: secrets.get(name, {}) for name in ("user_passwords", "credentials", "dkim")}
    return fold(json.dumps([settings["provision"], kept, script], sort_keys=True), salt)


def fold(text: str, salt: str) -> str:
    """Return a salted digest of ``text`` that is slow to guess."""
    return hashlib.pbkdf2_hmac("sha256", text.encode("utf-8"), salt.encode("ascii"), DIGEST_ROUNDS).hex()
