"""Asks a registry which bytes a tag means today: the OCI distribution API, without a login."""

import hashlib
import json
import re
import time
from collections.abc import Mapping

import requests

__all__ = ["RegistryError", "digest_of"]

DOCKER_HUB = "registry-1.docker.io"
# An index first: its digest is the same for every processor.
KINDS = (
    "application/vnd.oci.image.index.v1+json, application/vnd.docker.distribution.manifest.list.v2+json, "
    "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json"
)
# Parameters of a challenge are quoted (RFC 6750 §3).
CHALLENGE = re.compile(r'([a-z]+)="([^"]*)"')
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
LARGEST = 4 * 1024 * 1024  # what registries take as a manifest at most
OK, NOT_ALLOWED, FORBIDDEN, NOT_FOUND = 200, 401, 403, 404


class RegistryError(RuntimeError):
    """The registry did not say; the text is its reason."""


def digest_of(image: str, *, seconds: float) -> str:
    """Return the digest behind ``registry/name:tag``. Raises RegistryError, within ``seconds``."""
    registry, name, tag = _parts(image)
    return _Asked(registry, name, time.monotonic() + seconds).digest(tag)


def _parts(image: str) -> tuple[str, str, str]:
    """Return registry, repository and tag, as Docker reads a name: without a registry it is Docker Hub's."""
    place, _, tag = image.rpartition(":")
    first, slash, rest = place.partition("/")
    if not slash or not ("." in first or ":" in first or first == "localhost"):
        first, rest = "docker.io", place
    if first in {"docker.io", "index.docker.io"}:
        return DOCKER_HUB, rest if "/" in rest else f"library/{rest}", tag
    return first, rest, tag


def _without_login(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Keep a login of ~/.netrc, meant for somebody else, out of the request."""
    return request


class _Asked:
    """One repository of a registry, until ``deadline``."""

    def __init__(self, registry: str, name: str, deadline: float) -> None:
        self._registry, self._name, self._deadline = registry, name, deadline
        host = registry.partition(":")[0]
        # Docker, too, asks one on this machine for no certificate.
        self._scheme = "http" if host in {"localhost", "127.0.0.1"} else "https"
        self._headers = {"Accept": KINDS}

    def digest(self, tag: str) -> str:
        """Return the digest of a tag. HEAD is not counted against the pulls that Docker Hub allows."""
        url = f"{self._scheme}://{self._registry}/v2/{self._name}/manifests/{tag}"
        response, _ = self._ask("HEAD", url)
        if response.status_code == NOT_ALLOWED:
            self._headers["Authorization"] = f"Bearer {self._token(response.headers.get('WWW-Authenticate', ''))}"
            response, _ = self._ask("HEAD", url)
        if response.status_code in {NOT_ALLOWED, FORBIDDEN}:
            raise RegistryError(f"{self._registry} wants a login for {self._name}")
        if response.status_code == NOT_FOUND:
            raise RegistryError(f"{self._registry} has no {self._name}:{tag}")
        if response.status_code != OK:
            raise RegistryError(f"{self._registry} answered {response.status_code}")
        told = response.headers.get("Docker-Content-Digest", "")
        if DIGEST.fullmatch(told):
            return told
        response, body = self._ask("GET", url)
        if response.status_code != OK:
            raise RegistryError(f"{self._registry} answered {response.status_code}")
        return f"sha256:{hashlib.sha256(body).hexdigest()}"

    def _token(self, challenge: str) -> str:
        """Return what lets anybody read a public image."""
        kind, _, rest = challenge.partition(" ")
        asked = dict(CHALLENGE.findall(rest))
        realm = asked.get("realm", "")
        if kind.lower() != "bearer" or not realm.startswith((f"{self._scheme}://", "https://")):
            raise RegistryError(f"{self._registry} wants a login for {self._name}")
        query = {key: asked[key] for key in ("service", "scope") if key in asked}
        query.setdefault("scope", f"repository:{self._name}:pull")
        response, body = self._ask("GET", realm, query)
        try:
            told = json.loads(body)
            token = told.get("token") or told.get("access_token")
        except (ValueError, AttributeError):
            token = None
        if response.status_code != OK or not isinstance(token, str):
            raise RegistryError(f"{self._registry} wants a login for {self._name}")
        return token

    def _ask(self, method: str, url: str, query: Mapping[str, str] | None = None) -> tuple[requests.Response, bytes]:
        """Return the answer and its body, read piece by piece: a slow one must not outlive the deadline."""
        try:
            with requests.request(
                method, url, params=query, headers=self._headers, timeout=self._left(), stream=True,
                allow_redirects=True, auth=_without_login,
            ) as response:  # fmt: skip
                body = b""
                for piece in response.iter_content(16 * 1024):
                    body += piece
                    if self._left() and len(body) > LARGEST:
                        raise RegistryError(f"{self._registry} sent more than a manifest")
                return response, body
        except requests.Timeout:
            raise RegistryError(f"{self._registry} did not answer in time") from None
        except requests.RequestException as error:
            raise RegistryError(f"{self._registry} was not reached ({type(error).__name__})") from None

    def _left(self) -> float:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise RegistryError(f"{self._registry} did not answer in time")
        return left
