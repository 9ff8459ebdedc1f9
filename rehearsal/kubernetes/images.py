"""Images of a node: those that are a program of ours, and those that Docker has."""

import hashlib
import io
import json
import subprocess
import tarfile
from collections.abc import Sequence
from pathlib import Path

from rehearsal.kubernetes.errors import KubernetesError

__all__ = ["canonical", "of_programs", "save_from_docker"]


def of_programs(name: str, *programs: Path) -> bytes:
    """Return an image, as ``docker save`` writes one, that holds ``programs`` only; the first is its entry point."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as archive:
        for program in programs:
            record = tarfile.TarInfo(program.name)
            record.mode = 0o755
            content = program.read_bytes()
            record.size = len(content)
            archive.addfile(record, io.BytesIO(content))
    config = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Entrypoint": [f"/{programs[0].name}"]},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer.getbuffer()).hexdigest()}"]},
        }
    ).encode()
    manifest = json.dumps([{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]).encode()
    image = io.BytesIO()
    with tarfile.open(fileobj=image, mode="w") as archive:
        for member, data in (
            ("config.json", config),
            ("manifest.json", manifest),
            ("layer.tar", layer.getvalue()),
        ):
            record = tarfile.TarInfo(member)
            record.size = len(data)
            archive.addfile(record, io.BytesIO(data))
    return image.getvalue()


def save_from_docker(tag: str, load: Sequence[str | Path]) -> None:
    """Pipe an image of the ground's Docker into the command ``load``. Raises ``KubernetesError``."""
    with subprocess.Popen(["docker", "image", "save", tag], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as save:
        loaded = subprocess.run(load, stdin=save.stdout, capture_output=True, text=True, check=False, cwd="/")
        assert save.stdout is not None  # noqa: S101 - tells the type checker what PIPE means
        save.stdout.close()
        said = save.stderr.read().decode(errors="replace") if save.stderr is not None else ""
    if save.returncode != 0 or loaded.returncode != 0:
        raise KubernetesError(f"The image {tag} did not get from Docker to the node: {(said + loaded.stderr).strip()}")


def canonical(tag: str) -> str:
    """Return the name under which Kubernetes looks for an image that Docker calls ``tag``.

    As github.com/distribution/reference has it: without a registry it is Docker's, without a user the library's.
    """
    first, slash, _ = tag.partition("/")
    if not slash:
        tag = f"docker.io/library/{tag}"
    elif first != "localhost" and not set(first) & set(".:"):
        tag = f"docker.io/{tag}"
    return tag if ":" in tag.rpartition("/")[2] else f"{tag}:latest"
