"""Gives claims their volumes: a stand-in for the storage driver of a cluster.

A claim of the class waits for its pod, gets a directory of the node as a ``local`` volume, and loses it with the claim,
as with rancher.io/local-path (its image, which would make the directory, cannot be had here). Other than with a disk,
the size is not enforced. It asks every half second; runs as long as the node.
Usage: python -m rehearsal.kubernetes.volumes SERVER PKI_FOLDER VOLUMES_FOLDER PATH_ON_NODE NODE
"""

import logging
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import requests

__all__ = ["CLASS", "PROVISIONER", "volume_for"]

CLASS = "standard"
PROVISIONER = "rehearsal.mailstack/local"
PAUSE_SECONDS = 0.5
ANSWER_SECONDS = 10.0
_LOG = logging.getLogger(__name__)
Object = dict[str, Any]


def volume_for(claim: Object, path: str, node: str) -> Object | None:
    """Return the volume a claim waits for, in a directory below ``path``, or None where it needs none from here.

    The scheduler names the node once a pod of the claim fits it (``volumeBindingMode: WaitForFirstConsumer``).
    """
    meta, spec = claim["metadata"], claim["spec"]
    chosen = meta.get("annotations", {}).get("volume.kubernetes.io/selected-node")
    if spec.get("storageClassName") != CLASS or spec.get("volumeName") or chosen != node:
        return None
    name = f"pvc-{meta['uid']}"
    here = {"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name, "annotations": {"pv.kubernetes.io/provisioned-by": PROVISIONER}},
        "spec": {
            "capacity": {"storage": spec["resources"]["requests"]["storage"]},
            "accessModes": spec["accessModes"],
            "persistentVolumeReclaimPolicy": "Delete",
            "storageClassName": CLASS,
            "volumeMode": spec.get("volumeMode", "Filesystem"),
            "local": {"path": f"{path}/{name}"},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [here]}]}},
            "claimRef": {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "namespace": meta["namespace"],
                "name": meta["name"],
                "uid": meta["uid"],
            },
        },
    }


class _Driver:
    def __init__(self, server: str, pki: Path, folder: Path, path: str, node: str) -> None:
        self._server = server
        self._folder = folder
        self._path = path
        self._node = node
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.verify = str(pki / "ca.crt")
        self._session.cert = (str(pki / "volumes.crt"), str(pki / "volumes.key"))

    def _call(self, method: str, what: str, body: Object | None = None) -> Object:
        answer = self._session.request(method, f"{self._server}/api/v1/{what}", json=body, timeout=ANSWER_SECONDS)
        if answer.status_code != requests.codes.conflict:  # it was made in the round before
            answer.raise_for_status()
        result: Object = answer.json()
        return result

    def round(self) -> None:
        """Make the volumes that are wanted, remove those that are not any more."""
        for claim in self._call("GET", "persistentvolumeclaims")["items"]:
            volume = volume_for(claim, self._path, self._node)
            if volume is not None:
                directory = self._folder / volume["metadata"]["name"]
                directory.mkdir(exist_ok=True)
                # Whoever the pod runs as may write, as with rancher.io/local-path; ``fsGroup`` works too.
                directory.chmod(0o777)
                self._call("POST", "persistentvolumes", volume)
        for volume in self._call("GET", "persistentvolumes")["items"]:
            made_here = volume["metadata"].get("annotations", {}).get("pv.kubernetes.io/provisioned-by") == PROVISIONER
            if made_here and volume["status"].get("phase") == "Released":
                shutil.rmtree(self._folder / volume["metadata"]["name"], ignore_errors=True)
                self._call("DELETE", f"persistentvolumes/{volume['metadata']['name']}")


def main(server: str, pki: str, folder: str, path: str, node: str) -> None:
    """Serve claims until this process is ended."""
    driver = _Driver(server, Path(pki), Path(folder), path, node)
    while True:
        try:
            driver.round()
        except requests.RequestException as error:
            _LOG.warning("%s", error)
        time.sleep(PAUSE_SECONDS)


if __name__ == "__main__":
    logging.basicConfig(format="%(asctime)s %(message)s")
    main(*sys.argv[1:])
