"""What a job is told by its forge, in the environment."""

from collections.abc import Mapping

from mailstack.pull_request.api import ForgeError

__all__ = ["variables"]


def variables(environment: Mapping[str, str], *names: str) -> tuple[str, ...]:
    """Return the values of ``names``. Raises ForgeError for one that is not there, or empty."""
    for name in names:
        if not environment.get(name):
            raise ForgeError(
                f"{name} is not set. Fix: run this in a job of GitHub Actions or GitLab CI; "
                "docs/how-to/pull-requests.md says which step needs which token"
            )
    return tuple(environment[name] for name in names)
