"""What `mailstack init` finds out, and whom it asks: the real world, and whoever sits at the terminal."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

import typer

from cli.common import tell
from mailstack.reach.before import HostSeen, addresses_of, look_at_domains, look_at_host, provider_of
from mailstack.reach.before_cluster import ClusterSeen, contexts, docker_here, look_at_cluster
from mailstack.reach.bounded import all_within, within
from mailstack.reach.host_key import scan_host_key
from mailstack.settings.initialise import deployed_resources
from mailstack.start.answers import HostPlace, InDns

__all__ = ["LOOK_SECONDS", "Asker", "Looks", "Real", "Terminal"]

LOOK_SECONDS = 10.0
# A login takes several round trips, and a name server that is away delays each side's look-up.
LOGIN_SECONDS = 20.0


class Asker(Protocol):
    """A person at a terminal."""

    def ask(self, text: str, choices: Sequence[str], default: str | None) -> str:
        """Return the answer; where there is a default, an empty one stands for it."""

    def confirm(self, text: str, *, default: bool = False) -> bool:
        """Return whether the person agrees; ``default`` is what an empty answer means."""

    def secret(self, text: str) -> str:
        """Return what is typed without showing it, empty for nothing."""

    def tell(self, text: str) -> None:
        """Say what is wrong with an answer, before the question comes again."""


class Looks(Protocol):
    """What can be found out."""

    def host_key(self, place: HostPlace) -> str:
        """Return the key the host shows. Raises HostKeyError."""

    def host(self, place: HostPlace, host_key: str | None) -> HostSeen:
        """Return what the host says."""

    def addresses(self, name: str) -> tuple[str, ...]:
        """Return the public addresses of a name."""

    def provider(self, domain: str) -> str | None:
        """Return who has the zone."""

    def domains(self, names: Sequence[str]) -> Mapping[str, InDns]:
        """Return what DNS has of the domains."""

    def contexts(self) -> tuple[str, ...]:
        """Return the contexts of the kubeconfig, the current one first."""

    def cluster(self, context: str) -> ClusterSeen:
        """Return what a cluster says."""

    def docker(self) -> tuple[str | None, str]:
        """Return the version of this machine's engine, and why there is none."""

    def digests(self, images: Sequence[str]) -> tuple[dict[str, str], dict[str, str]]:
        """Return the digests of images, and why that of others is not known."""

    def deployed(self, stack: str) -> int:
        """Return how many resources the back end has of a stack; none where it does not answer."""


class Terminal:
    """Whoever sits there. Questions go to standard error: standard output may be the one JSON document."""

    def ask(self, text: str, choices: Sequence[str], default: str | None) -> str:
        """Ask until there is an answer, one of ``choices`` where there are any."""
        shown = f"{text} ({', '.join(choices)})" if choices else text
        while True:
            answer = str(typer.prompt(shown, default=default, err=True)).strip()
            if answer and (not choices or answer in choices):
                return answer
            tell(f"one of {', '.join(choices)}" if choices else "blanks alone are no answer")

    def tell(self, text: str) -> None:
        """Say it where the questions are."""
        tell(text)

    def confirm(self, text: str, *, default: bool = False) -> bool:
        """Ask for yes or no."""
        return typer.confirm(text, default=default, err=True)

    def secret(self, text: str) -> str:
        """Ask without showing what is typed."""
        return str(typer.prompt(text, default="", hide_input=True, show_default=False, err=True))


@dataclass(frozen=True, kw_only=True)
class Real:
    """Looks at the real world. ``resolvers`` as everywhere: None for the system's. ``root`` is the project's folder."""

    resolvers: Sequence[str] | None
    root: Path

    def host_key(self, place: HostPlace) -> str:
        """Ask ssh-keyscan."""
        return scan_host_key(place.address, place.port)

    def host(self, place: HostPlace, host_key: str | None) -> HostSeen:
        """Log in."""
        late = HostSeen(why=f"it did not answer within {LOGIN_SECONDS:.0f} s")
        return within(LOGIN_SECONDS, lambda: look_at_host(place, host_key), late)

    def addresses(self, name: str) -> tuple[str, ...]:
        """Ask the system's resolver."""
        return within(LOOK_SECONDS, lambda: addresses_of(name), ())

    def provider(self, domain: str) -> str | None:
        """Ask for the delegation."""
        return provider_of(domain, seconds=LOOK_SECONDS, resolvers=self.resolvers)

    def domains(self, names: Sequence[str]) -> Mapping[str, InDns]:
        """Ask the authoritative servers."""
        return look_at_domains(names, seconds=LOOK_SECONDS, resolvers=self.resolvers)

    def contexts(self) -> tuple[str, ...]:
        """Ask kubectl."""
        return contexts(LOOK_SECONDS)

    def cluster(self, context: str) -> ClusterSeen:
        """Ask the cluster."""
        return look_at_cluster(context, LOOK_SECONDS)

    def docker(self) -> tuple[str | None, str]:
        """Ask the engine."""
        return docker_here(LOOK_SECONDS)

    def digests(self, images: Sequence[str]) -> tuple[dict[str, str], dict[str, str]]:
        """Ask the registries, all at once."""
        from mailstack.reach.registry import RegistryError, digest_of

        def one(image: str) -> tuple[str, str]:
            try:
                return digest_of(image, seconds=LOOK_SECONDS), ""
            except RegistryError as error:
                return "", str(error)

        asked = all_within(LOOK_SECONDS, {image: partial(one, image) for image in images})
        late = ("", f"no answer within {LOOK_SECONDS:.0f} s")
        told = {image: asked.get(image, late) for image in images}
        found = {image: digest for image, (digest, _) in told.items() if digest}
        return found, {image: why for image, (digest, why) in told.items() if not digest}

    def deployed(self, stack: str) -> int:
        """Ask the engine's back end."""
        return deployed_resources(stack, self.root)
