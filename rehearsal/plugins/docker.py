"""Stand-in for pulumi-resource-docker: networks, volumes, images and containers over an engine's API.

Contract of 5.2.0, read in provider/ of github.com/pulumi/pulumi-docker and internal/provider of the Terraform provider
behind it (kreuzwerker/terraform-provider-docker 4.5.0); point by point, with what is not kept, in
tests/engine/test_docker_plugin.py, which holds the real plugin to the same promises.
"""

import contextlib
import json
import platform
import secrets
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mailstack.reach.docker_api import DockerApi, DockerError, EngineAccess
from rehearsal.plugins.differences import differences
from rehearsal.plugins.docker_parts import (
    build_context,
    container_body,
    demultiplexed,
    registry_header,
    resources,
    upload_tar,
)
from rehearsal.plugins.provider import (
    UNKNOWN,
    Difference,
    Log,
    PluginError,
    Properties,
    UnfinishedError,
    plain,
    serve,
)
from rehearsal.waiting import wait_for

__all__ = ["DockerProvider"]

NETWORK, VOLUME = "docker:index/network:Network", "docker:index/volume:Volume"
IMAGE, REMOTE_IMAGE = "docker:index/image:Image", "docker:index/remoteImage:RemoteImage"
CONTAINER = "docker:index/container:Container"
DEFAULT_HOST = "unix:///var/run/docker.sock"
# Changed in place, or of no effect on what is there; everything else makes a new one.
IN_PLACE: Mapping[str, frozenset[str]] = {
    NETWORK: frozenset(),
    VOLUME: frozenset(),
    REMOTE_IMAGE: frozenset({"keepLocally", "forceRemove"}),
    IMAGE: frozenset({"imageName", "build", "registry", "skipPush", "buildOnPreview"}),
    CONTAINER: frozenset(
        {"restart", "maxRetryCount", "memory", "memoryReservation", "memorySwap", "cpuShares", "cpuSet", "mustRun"}
        | {"start", "wait", "waitTimeout", "attach", "logs", "rm", "removeVolumes", "destroyGraceSeconds", "tmpfs"}
        | {"healthcheck", "init", "containerReadRefreshTimeoutMilliseconds"}
    ),
}
DEFAULTS: Mapping[str, Properties] = {
    NETWORK: {},
    VOLUME: {},
    REMOTE_IMAGE: {},
    IMAGE: {"skipPush": False, "buildOnPreview": False},
    CONTAINER: {
        "attach": False, "logs": False, "memoryReservation": 0, "mustRun": True, "networkMode": "bridge",
        "readOnly": False, "removeVolumes": True, "restart": "no", "rm": False, "start": True, "wait": False,
        "waitTimeout": 60,
    },
}  # fmt: skip
COMPUTED: Mapping[str, tuple[str, ...]] = {
    NETWORK: ("scope",),
    VOLUME: ("mountpoint",),
    REMOTE_IMAGE: ("imageId", "repoDigest"),
    IMAGE: ("repoDigest",),
    CONTAINER: ("exitCode", "containerLogs", "networkDatas"),
}
NAMED = frozenset({NETWORK, VOLUME, CONTAINER})
GONE_SECONDS, PAUSE_SECONDS = 30.0, 1.0


class DockerProvider:
    """Keeps what one engine runs."""

    name = "docker"
    version = "5.2.0"

    def __init__(self) -> None:
        """The engine configures it before anything else."""
        self._api = DockerApi(EngineAccess(endpoint=DEFAULT_HOST))
        self._logins: list[Properties] = []

    def configure(self, settings: Properties) -> None:
        """Take where the engine is, and the logins of registries; lists come as JSON."""
        access = EngineAccess(
            endpoint=settings.get("host") or DEFAULT_HOST,
            ssh_options=tuple(_listed(settings.get("sshOpts"))),
            ca_certificate=settings.get("caMaterial"),
            certificate=settings.get("certMaterial"),
            private_key=settings.get("keyMaterial"),
        )
        self._api = DockerApi(access)
        self._logins = _listed(settings.get("registryAuth"))

    def check(self, kind: str, inputs: Properties, *, old: Properties, name: str) -> Properties:
        """Fill in defaults, and a name where none is given: the resource's with a few digits, which then stays."""
        if kind not in IN_PLACE:
            raise PluginError(f"the stand-in for the docker plugin does not know {kind}")
        found = {**DEFAULTS[kind], **inputs}
        if kind in NAMED and not found.get("name"):
            found["name"] = old.get("name") or f"{name}-{secrets.token_hex(4)[:7]}"
        if kind == IMAGE:
            found["build"] = _checked_build(found.get("build") or {})
        return found

    def diff(self, kind: str, old: Properties, new: Properties) -> Difference:
        """Compare inputs. A container that has to be replaced is removed first."""
        old = {key: value for key, value in old.items() if key not in COMPUTED[kind]}
        changes = dict(differences(old, new))
        replaces = tuple(path for path in changes if path.partition(".")[0].partition("[")[0] not in IN_PLACE[kind])
        return Difference(changes=changes, replaces=replaces, delete_first=kind == CONTAINER)

    def create(self, kind: str, inputs: Properties, *, preview: bool, log: Log) -> tuple[str, Properties]:
        """Make it."""
        if preview:
            return "", {**inputs, **dict.fromkeys(COMPUTED[kind], UNKNOWN), **_known_in_preview(kind, inputs)}
        make: Mapping[str, Callable[[Properties, Log], tuple[str, Properties]]] = {
            NETWORK: self._network,
            VOLUME: self._volume,
            REMOTE_IMAGE: self._remote_image,
            IMAGE: self._image,
            CONTAINER: self._container,
        }
        with _failing():
            identity, computed = make[kind](plain(inputs), log)
        return identity, {**inputs, **computed}

    def update(
        self, kind: str, identity: str, old: Properties, inputs: Properties, *, preview: bool, log: Log
    ) -> Properties:
        """Change it in place."""
        kept = {key: old[key] for key in COMPUTED[kind] if key in old}
        if preview:
            return {**inputs, **kept}
        told = plain(inputs)
        with _failing():
            if kind == IMAGE:
                _identity, computed = self._image(told, log)
                return {**inputs, **computed}
            if kind == CONTAINER:
                if told["mustRun"] and told["start"] and not plain(old).get("mustRun", True):
                    self._api.call("POST", f"/containers/{identity}/start")
                if resources(told) != resources(plain(old)):
                    self._api.call("POST", f"/containers/{identity}/update", resources(told))
        return {**inputs, **kept}

    def read(
        self, kind: str, identity: str, inputs: Properties, outputs: Properties
    ) -> tuple[str, Properties, Properties] | None:
        """Tell what is gone, and of a container whether it runs: one that should and does not is a difference."""
        if kind == IMAGE:
            return identity, inputs, outputs
        places = {NETWORK: f"/networks/{identity}", VOLUME: f"/volumes/{identity}"}
        name = plain(inputs).get("name") or plain(outputs).get("name") or identity
        places |= {REMOTE_IMAGE: f"/images/{name}/json", CONTAINER: f"/containers/{identity}/json"}
        with _failing():
            found = self._api.call("GET", places[kind], missing_is_none=True)
        if found is None:
            return None
        if kind != CONTAINER:
            return identity, inputs, outputs
        seen = {} if found["State"]["Running"] or not plain(inputs).get("mustRun", True) else {"mustRun": False}
        return identity, {**inputs, **seen}, {**outputs, **seen, "exitCode": found["State"]["ExitCode"]}

    def delete(self, kind: str, identity: str, outputs: Properties, *, log: Log) -> None:
        """Remove it; a network and a volume wait until nothing uses them."""
        told = plain(outputs)
        with _failing():
            if kind == CONTAINER:
                self._remove_container(identity, told)
            elif kind == NETWORK:
                self._remove_when_free(f"/networks/{identity}")
            elif kind == VOLUME:
                self._remove_when_free(f"/volumes/{identity}")
            elif kind == REMOTE_IMAGE and not told.get("keepLocally"):
                self._api.call("DELETE", f"/images/{told['name']}", missing_is_none=True)

    def remove_of_name(self, kind: str, told: Properties) -> None:
        """Remove the container or network of that name, where there is one."""
        place = "containers" if kind == CONTAINER else "networks"
        suffix = "/json" if kind == CONTAINER else ""
        with _failing():
            found = self._api.call("GET", f"/{place}/{told['name']}{suffix}", missing_is_none=True)
            if found is not None and kind == CONTAINER:
                self._remove_container(found["Id"], told)
            elif found is not None:
                for identity in found.get("Containers") or {}:
                    self._api.call(
                        "POST", f"/networks/{found['Id']}/disconnect", {"Container": identity, "Force": True}
                    )
                self._remove_when_free(f"/networks/{found['Id']}")

    # -- what each is made of -----------------------------------------------------------------------------

    def _network(self, told: Properties, _log: Log) -> tuple[str, Properties]:
        configs = [{"Subnet": each["subnet"], **({"Gateway": each["gateway"]} if each.get("gateway") else {})}
                   for each in told.get("ipamConfigs") or []]  # fmt: skip
        body = {
            "Name": told["name"],
            # As every client asks: without it, an engine makes a second one of the same name.
            "CheckDuplicate": True,
            "Driver": told.get("driver") or "bridge",
            "Internal": bool(told.get("internal")),
            **({"IPAM": {"Driver": "default", "Config": configs}} if configs else {}),
        }
        made = self._api.call("POST", "/networks/create", body)
        return made["Id"], {"scope": "local"}

    def _volume(self, told: Properties, _log: Log) -> tuple[str, Properties]:
        made = self._api.call(
            "POST", "/volumes/create", {"Name": told["name"], "Driver": told.get("driver") or "local"}
        )
        return made["Name"], {"mountpoint": made["Mountpoint"]}

    def _remote_image(self, told: Properties, log: Log) -> tuple[str, Properties]:
        found = self._found_image(told["name"], log)
        digests = found.get("RepoDigests") or [""]
        return f"{found['Id']}{told['name']}", {"imageId": found["Id"], "repoDigest": digests[0]}

    def _found_image(self, name: str, log: Log) -> Properties:
        found = self._api.call("GET", f"/images/{name}/json", missing_is_none=True)
        if found is None:
            log.info(f"pulling {name}")  # noqa: G004 - the engine's log, not logging's
            logins = [login for login in self._logins if name.startswith(f"{login['address'].split('//')[-1]}/")]
            headers = {"X-Registry-Auth": registry_header(_login(logins[0]))} if logins else {}
            _raise_for(self._api.call("POST", "/images/create", fromImage=name, headers=headers))
            found = self._api.call("GET", f"/images/{name}/json")
        answer: Properties = found
        return answer

    def _image(self, told: Properties, log: Log) -> tuple[str, Properties]:
        build, name = told["build"], told["imageName"]
        folder = Path(build.get("context") or ".").resolve()
        dockerfile = Path(build.get("dockerfile") or folder / "Dockerfile").resolve()
        tar, _digest = build_context(folder, dockerfile)
        log.info(f"building {name}")  # noqa: G004 - likewise
        query = {"t": name, "dockerfile": str(dockerfile.relative_to(folder)), "platform": build["platform"]}
        query["buildargs"] = json.dumps(build.get("args") or {})
        if build.get("network"):
            query["networkmode"] = build["network"]
        _raise_for(self._api.call("POST", "/build", tar, **query))
        identity = self._api.call("GET", f"/images/{name}/json")["Id"]
        outputs = {"baseImageName": name, "imageName": name, "context": build.get("context"), "repoDigest": identity}
        if not told["skipPush"]:
            registry = told.get("registry") or {}
            repository, _, tag = name.rpartition(":")
            headers = {"X-Registry-Auth": registry_header(_login({**registry, "address": registry.get("server", "")}))}
            pushed = self._api.call("POST", f"/images/{repository}/push", tag=tag, headers=headers)
            _raise_for(pushed)
            digests = [line["aux"]["Digest"] for line in pushed if line.get("aux", {}).get("Digest")]
            outputs["repoDigest"] = f"{repository}@{digests[0]}" if digests else identity
        return name, outputs

    def _container(self, told: Properties, log: Log) -> tuple[str, Properties]:
        self._found_image(told["image"], log)
        try:
            made = self._api.call("POST", "/containers/create", container_body(told), name=told["name"])
        except DockerError as error:
            raise PluginError(f"Unable to create container: {error}") from None
        identity: str = made["Id"]
        try:
            self._connect(identity, told.get("networksAdvanced") or [])
            for upload in told.get("uploads") or []:
                self._upload(identity, upload)
            if told["start"]:
                self._start(identity, told)
            return identity, self._ended(identity, told)
        except (DockerError, PluginError) as error:
            raise UnfinishedError(str(error), identity, told) from None

    def _connect(self, identity: str, networks: list[Properties]) -> None:
        if networks:
            with contextlib.suppress(DockerError):
                self._api.call("POST", "/networks/bridge/disconnect", {"Container": identity, "Force": False})
        for network in networks:
            config: Properties = {"Aliases": network.get("aliases") or [], "IPAMConfig": {}}
            body = {"Container": identity, "EndpointConfig": config}
            self._api.call("POST", f"/networks/{network['name']}/connect", body)

    def _upload(self, identity: str, upload: Properties) -> None:
        try:
            self._api.call("PUT", f"/containers/{identity}/archive", upload_tar(upload), path="/")
        except DockerError as error:
            raise PluginError(f"Unable to upload volume content: {error}") from None

    def _start(self, identity: str, told: Properties) -> None:
        try:
            self._api.call("POST", f"/containers/{identity}/start")
        except DockerError as error:
            raise PluginError(f"Unable to start container: {error}") from None
        if told["wait"] and not wait_for(lambda: self._healthy(identity), told["waitTimeout"], pause=PAUSE_SECONDS):
            raise PluginError("container failed to be in healthy state")

    def _healthy(self, identity: str) -> bool:
        state = self._api.call("GET", f"/containers/{identity}/json")["State"]
        if "Health" not in state:
            raise PluginError("you have supplied a 'wait' argument, but the container does not have a healthcheck")
        return bool(state["Health"]["Status"] == "healthy")

    def _ended(self, identity: str, told: Properties) -> Properties:
        found: Properties = {}
        if told["attach"]:
            self._api.call("POST", f"/containers/{identity}/wait", condition="not-running")
            if told["logs"]:
                path = f"/containers/{identity}/logs"
                found["containerLogs"] = demultiplexed(self._api.call("GET", path, raw=True, stdout="1", stderr="1"))
        state = self._api.call("GET", f"/containers/{identity}/json")["State"]
        return found if state["Running"] else {**found, "exitCode": state["ExitCode"]}

    def _remove_container(self, identity: str, told: Properties) -> None:
        grace = str(told.get("destroyGraceSeconds") or 0)
        if not told.get("attach"):
            self._api.call("POST", f"/containers/{identity}/stop", missing_is_none=True, t=grace)
        volumes = "1" if told.get("removeVolumes", True) else "0"
        self._api.call("DELETE", f"/containers/{identity}", missing_is_none=True, v=volumes, force="1")

    def _remove_when_free(self, path: str) -> None:
        deadline = time.monotonic() + GONE_SECONDS
        while True:
            try:
                self._api.call("DELETE", path, missing_is_none=True)
            except DockerError as error:
                used = "has active endpoints" in str(error) or "volume is in use" in str(error)
                if not used or time.monotonic() > deadline:
                    raise
                time.sleep(PAUSE_SECONDS)
            else:
                return


@contextlib.contextmanager
def _failing() -> Any:
    try:
        yield
    except DockerError as error:
        raise PluginError(str(error)) from None


def _listed(value: Any) -> list[Any]:
    found: list[Any] = json.loads(value) if isinstance(value, str) else value or []
    return found


def _login(login: Properties) -> Properties:
    return {
        "username": login.get("username") or "",
        "password": login.get("password") or "",
        "serveraddress": login["address"],
    }


def _raise_for(lines: Any) -> None:
    """Raise what a stream of progress ends with, where that is an error."""
    for line in lines if isinstance(lines, list) else [lines or {}]:
        if "error" in line:
            raise PluginError(line["error"])


def _checked_build(build: Properties) -> Properties:
    told = plain(build)
    folder = Path(told.get("context") or ".").resolve()
    dockerfile = Path(told.get("dockerfile") or folder / "Dockerfile").resolve()
    if not dockerfile.is_file():
        raise PluginError(f'could not open dockerfile at relative path "{told.get("dockerfile")}"')
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    _tar, digest = build_context(folder, dockerfile)
    return {"platform": f"linux/{machine}", **build, "contextDigest": digest}


def _known_in_preview(kind: str, inputs: Properties) -> Properties:
    return {"imageName": inputs["imageName"]} if kind == IMAGE else {}


if __name__ == "__main__":
    serve(DockerProvider())
