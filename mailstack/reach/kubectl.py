"""Speaks to a cluster by kubectl, which knows every way there is to log in: clouds have programs for it."""

import json
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mailstack.reach.ssh import begun

__all__ = ["Kubectl", "KubectlError", "address_of", "labelled_namespaces"]

Manifest = Mapping[str, Any]
SECONDS = 120.0
# Logs hold what others have sent, in whatever encoding.
TEXT: Any = {"encoding": "utf-8", "errors": "replace"}


class KubectlError(RuntimeError):
    """kubectl failed, or is not there; the text is its reason."""


class Kubectl:
    """One cluster. ``kubeconfig`` is the text of one, None for what kubectl finds itself; of it ``context``."""

    def __init__(self, kubeconfig: str | None, context: str | None = None, *, program: str | Path = "kubectl") -> None:
        """Nothing is asked yet."""
        self._kubeconfig = kubeconfig
        self._context = context
        self._program = program

    def run(self, *arguments: str, stdin: str = "", seconds: float = SECONDS) -> str:
        """Run ``kubectl ARGUMENTS`` and return what it prints. Raises KubectlError."""
        done = self.finish(*arguments, stdin=stdin, seconds=seconds)
        if done.returncode != 0:
            raise KubectlError((done.stderr or done.stdout).strip())
        return done.stdout

    def finish(self, *arguments: str, stdin: str = "", seconds: float = SECONDS) -> "subprocess.CompletedProcess[str]":
        """Run ``kubectl ARGUMENTS`` and return how it ended. Raises KubectlError where it did not."""
        with self._login() as login:
            try:
                return subprocess.run(
                    [self._program, *login, *arguments],
                    input=stdin, capture_output=True, timeout=seconds, check=False, **TEXT,
                )  # fmt: skip
            except FileNotFoundError:
                raise KubectlError("kubectl is not on PATH; see https://kubernetes.io/docs/tasks/tools/") from None
            except subprocess.TimeoutExpired:
                raise KubectlError(f"kubectl {arguments[0]} did not end within {seconds:.0f} s") from None

    def lines(self, *arguments: str) -> Iterator[str]:
        """Run ``kubectl ARGUMENTS`` and yield its lines as they come; it ends with whoever reads them.

        Raises KubectlError where it fails by itself, not where it was interrupted. Its own words go to the terminal.
        """
        with self._login() as login:
            command = [self._program, *login, *arguments]

            def start() -> "subprocess.Popen[str]":
                try:
                    return subprocess.Popen(
                        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, encoding="utf-8", errors="replace"
                    )
                except FileNotFoundError:
                    raise KubectlError("kubectl is not on PATH; see https://kubernetes.io/docs/tasks/tools/") from None

            with begun(start, "") as process:
                try:
                    yield from (line.rstrip("\n") for line in process.stdout or ())
                    code = process.wait()
                finally:
                    process.terminate()
            if code > 0:
                raise KubectlError(f"kubectl {' '.join(arguments[:2])} ended with {code}")

    @contextmanager
    def _login(self) -> Iterator[list[str]]:
        context = [] if self._context is None else [f"--context={self._context}"]
        if self._kubeconfig is None:
            yield context
            return
        with tempfile.TemporaryDirectory() as folder:  # only its owner may look into it
            path = Path(folder) / "kubeconfig"
            path.write_text(self._kubeconfig, encoding="utf-8")
            yield [f"--kubeconfig={path}", *context]

    def get(self, manifest: Manifest) -> dict[str, Any] | None:
        """Return the object of that kind and name as it is, None where there is none. Raises KubectlError."""
        text = self.run("get", *address_of(manifest), "--ignore-not-found", "--output=json")
        found: dict[str, Any] | None = json.loads(text) if text else None
        return found

    def all_of(self, manifest: Manifest) -> list[dict[str, Any]]:
        """Return all objects of that kind in that namespace. Raises KubectlError."""
        kind, *where = address_of(manifest)
        found = json.loads(self.run("get", kind.partition("/")[0], *where, "--output=json"))
        items: list[dict[str, Any]] = found["items"]
        return items

    def apply(self, manifest: Manifest, *, manager: str, dry_run: bool = False) -> dict[str, Any]:
        """Apply an object on the server and return it as it then is, with ``dry_run`` as it would be.

        Its fields become those of ``manager``, whoever had them. Raises KubectlError.
        """
        options = ["--server-side", "--force-conflicts", f"--field-manager={manager}", "--output=json"]
        if dry_run:
            options.append("--dry-run=server")
        text = self.run("apply", "--validate=strict", *options, "--filename=-", stdin=json.dumps(manifest))
        found: dict[str, Any] = json.loads(text)
        return found


def address_of(manifest: Manifest) -> tuple[str, ...]:
    """Return the arguments by which kubectl finds the object: its kind with version and group, and its name."""
    group, _, version = str(manifest["apiVersion"]).rpartition("/")
    kind = ".".join(filter(None, (str(manifest["kind"]), version, group))) if group else str(manifest["kind"])
    metadata = manifest["metadata"]
    where = (f"--namespace={metadata['namespace']}",) if "namespace" in metadata else ()
    return (f"{kind}/{metadata['name']}", *where)


def labelled_namespaces(kubectl: Kubectl, selector: str) -> list[str]:
    """Return the names of the namespaces that ``selector`` matches (``key=value,…``), sorted, but those that go.

    Raises KubectlError, for a selector that the server refuses too.
    """
    found = json.loads(kubectl.run("get", "namespaces", f"--selector={selector}", "--output=json"))
    # One that is being deleted takes nothing new (admission plugin NamespaceLifecycle).
    there = (item for item in found["items"] if item.get("status", {}).get("phase") != "Terminating")
    return sorted(str(item["metadata"]["name"]) for item in there)
