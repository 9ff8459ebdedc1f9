"""Packages: which ones on this system, and getting them."""

import os
import re
from typing import Callable, List, Sequence, Set

from docker import repository
from docker.facts import Facts
from rolelib.commands import run
from rolelib.files import DesiredFile, write
from rolelib.host import APT_GET, INSTALL_SECONDS, RoleError, install_packages

__all__ = ["all_packages", "candidates", "distribution_packages", "install"]


def candidates(policy: str) -> Set[str]:
    """Return the packages that ``apt-cache policy`` (its output is ``policy``) says can be installed."""
    found = re.findall(r"^(\S+):\n(?:  Installed: .*\n)?  Candidate: (.*)$", policy, re.MULTILINE)
    return {name for name, version in found if version != "(none)"}


def distribution_packages(available: Set[str], engine_present: bool) -> List[str]:
    """Return the packages of Debian or Ubuntu. Raises RoleError where there is no Compose.

    Debian 13 has the ``docker`` program in docker-cli. Compose 2 is docker-compose-v2 in Ubuntu and docker-compose
    in Debian 13; docker-compose of Debian 12 is version 1.
    """
    compose = next((name for name in ("docker-compose-v2", "docker-compose") if name in available), None)
    if compose is None or "docker.io" not in available:
        raise RoleError(
            "packages",
            "the package lists have no docker.io with Compose: enable the distribution's main section "
            "(universe on Ubuntu), or set postal.docker.source to docker",
        )
    if engine_present:
        return [compose]
    return ["docker.io", *(["docker-cli"] if "docker-cli" in available else []), compose]


def all_packages() -> Set[str]:
    """Return the names of all installed packages."""
    if os.path.exists("/usr/bin/dpkg-query"):
        lines = run(["dpkg-query", "-W", "-f", "${db:Status-Status} ${Package}\n"]).out.splitlines()
        return {line.split()[1] for line in lines if line.startswith("installed ")}
    return set(run(["rpm", "-qa", "--qf", "%{NAME}\n"]).out.split())


def install(
    facts: Facts, source: str, remember: Callable[[List[str]], None], say: Callable[[str, str], None]
) -> List[str]:
    """Install what is missing; return every package that came, dependencies included.

    ``remember`` gets the names of what is to be installed first, and of all that came at the end.
    """
    before = all_packages()
    from_repository = (facts.engine_package or "docker-ce") == "docker-ce" and (
        source == "docker" or facts.engine_package == "docker-ce"
    )
    names = _from_repository(facts, say) if from_repository else _from_distribution(facts)
    if facts.family == "apt" and _apparmor_without_parser():
        # dockerd starts no container on such a host.
        names = [*names, "apparmor"]
    if facts.selinux_enforcing:
        names = [*names, "container-selinux"]
    say("packages", f"install {', '.join(names)}")
    remember(sorted(set(names) - before))
    install_packages(names)
    added = sorted(all_packages() - before)
    remember(added)
    return added


def _apparmor_without_parser() -> bool:
    try:
        with open("/sys/module/apparmor/parameters/enabled") as handle:
            return handle.read().strip() == "Y" and not os.path.exists("/sbin/apparmor_parser")
    except OSError:
        return False


def _from_distribution(facts: Facts) -> List[str]:
    query = ["apt-cache", "policy", "docker.io", "docker-cli", "docker-compose-v2", "docker-compose"]
    available = candidates(run(query).out)
    if "docker.io" not in available:
        run([*APT_GET, "update"], timeout=INSTALL_SECONDS)
        available = candidates(run(query).out)
    return distribution_packages(available, bool(facts.engine_package))


def _from_repository(facts: Facts, say: Callable[[str, str], None]) -> List[str]:
    if facts.engine_package:
        return ["docker-compose-plugin"]
    folder = repository.repository_folder(facts.release)
    key = repository.download_key(folder, facts.family)
    say("packages", "the signing key of Docker's repository is the one Docker has published")
    _write_all(repository.files(facts.release, repository.dpkg_architecture(), key))
    if facts.family == "apt":
        run([*APT_GET, "update"], timeout=INSTALL_SECONDS)
    return repository.PACKAGES


def _write_all(files: Sequence[DesiredFile]) -> None:
    for file in files:
        write(file)
