"""Asks a cluster's API server which kinds of objects it knows. A plan looks, and changes nothing there."""

import base64
import http
import http.client
import json
import os
import ssl
import tempfile
import urllib.parse
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import yaml

__all__ = ["KubernetesUnknownError", "ambient_kubeconfig", "api_groups"]

SECONDS = 5.0
# Far more than the list of a cluster with hundreds of kinds.
MOST_BYTES = 4_000_000


class KubernetesUnknownError(Exception):
    """The cluster could not be asked; the text says why and holds no secret."""


def ambient_kubeconfig(environment: Mapping[str, str]) -> str:
    """Return the text of the kubeconfig that kubectl would read. Raises KubernetesUnknownError where there is none."""
    named = [part for part in environment.get("KUBECONFIG", "").split(os.pathsep) if part]
    if len(named) > 1:
        raise KubernetesUnknownError("KUBECONFIG names several files")
    path = Path(named[0]) if named else Path(environment.get("HOME", "/")) / ".kube/config"
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise KubernetesUnknownError("there is no kubeconfig to read") from None


def api_groups(kubeconfig: str, context: str | None = None, *, seconds: float = SECONDS) -> frozenset[str]:
    """Return the names of the API groups that the cluster serves, such as ``monitoring.coreos.com``.

    Raises KubernetesUnknownError for a kubeconfig that cannot be followed (logins by a program are not run while
    planning), and for a cluster that does not answer in time or not to us.
    """
    try:
        cluster, user = _entries(yaml.safe_load(kubeconfig), context)
        place = urllib.parse.urlsplit(str(cluster["server"]))
        if place.scheme != "https" or place.hostname is None:
            raise KubernetesUnknownError("its server is no https address")
        with _tls(cluster, user) as tls:
            connection = http.client.HTTPSConnection(place.hostname, place.port, timeout=seconds, context=tls)
            with closing(connection):
                path = f"{place.path.rstrip('/')}/apis"
                connection.request("GET", path, headers={"Accept": "application/json", **_login(user)})
                answer = connection.getresponse()
                text = answer.read(MOST_BYTES)
        if answer.status != http.HTTPStatus.OK:
            raise KubernetesUnknownError(f"it answered {answer.status}")
        return frozenset(str(group["name"]) for group in json.loads(text)["groups"])
    except (OSError, http.client.HTTPException) as error:
        raise KubernetesUnknownError(f"it does not answer ({error})") from None
    except (ValueError, KeyError, TypeError, yaml.YAMLError):
        raise KubernetesUnknownError("its kubeconfig, or its answer, cannot be read") from None


def _entries(found: Mapping[str, Any], context: str | None) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    chosen = _named(found, "context", context or found.get("current-context"))
    user = _named(found, "user", chosen["user"])
    if "exec" in user or "auth-provider" in user:
        raise KubernetesUnknownError("its kubeconfig logs in by a program, which is not run while planning")
    return _named(found, "cluster", chosen["cluster"]), user


def _named(found: Mapping[str, Any], kind: str, name: Any) -> Mapping[str, Any]:
    by_name: dict[Any, Mapping[str, Any]] = {one["name"]: one[kind] for one in found[f"{kind}s"]}
    return by_name[name]


def _login(user: Mapping[str, Any]) -> dict[str, str]:
    token = user.get("token")
    if token is None and "tokenFile" in user:
        token = Path(user["tokenFile"]).read_text(encoding="utf-8").strip()
    return {} if token is None else {"Authorization": f"Bearer {token}"}


@contextmanager
def _tls(cluster: Mapping[str, Any], user: Mapping[str, Any]) -> Iterator[ssl.SSLContext]:
    authority = cluster.get("certificate-authority-data")
    tls = ssl.create_default_context(
        cafile=cluster.get("certificate-authority"),
        cadata=None if authority is None else base64.b64decode(authority).decode(),
    )
    if cluster.get("insecure-skip-tls-verify"):
        tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    with tempfile.TemporaryDirectory() as folder:  # only its owner may look into it
        certificate = _file(user, "client-certificate", Path(folder))
        if certificate is not None:
            tls.load_cert_chain(certificate, _file(user, "client-key", Path(folder)))
        yield tls


def _file(user: Mapping[str, Any], key: str, folder: Path) -> str | None:
    """Return the path of a certificate or key: OpenSSL takes no text."""
    data = user.get(f"{key}-data")
    if data is None:
        return user.get(key)
    path = folder / key
    path.write_bytes(base64.b64decode(data))
    return str(path)
