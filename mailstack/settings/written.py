"""A configuration as it is written and handed over: what may not be in clear, and how large it may be."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mailstack.settings.config_size import size_problem, size_warning, sized
from mailstack.settings.model import Settings
from mailstack.settings.plain_secrets import plain_secrets
from mailstack.settings.problems import Problem
from mailstack.settings.stackfile import engine_config, sealed_config, stack_of

__all__ = ["Written"]


@dataclass(frozen=True, kw_only=True)
class Written:
    """``sealed`` is the configuration with its encrypted entries as they stand, ``config`` what a program gets."""

    stack: str
    sealed: Mapping[str, Any] = field(repr=False)
    config: Mapping[str, str] = field(repr=False)

    @classmethod
    def in_file(cls, path: Path) -> "Written":
        """Read ``Pulumi.<stack>.yaml``. Raises StackFileError for a file that is none."""
        sealed = sealed_config(path)
        stack = stack_of(path.name)
        # The engine adds what Pulumi.yaml has for sections that are left out: it counts, too.
        absent: dict[str, Any] = {name: {} for name in Settings.model_fields if name not in sealed}
        return cls(stack=stack, sealed=sealed, config=engine_config({**absent, **sized(sealed)}))

    def problems(self, settings: Settings | None) -> Iterator[Problem]:
        """Yield secrets in clear, where ``settings`` could be read, and a size the engine cannot hand over."""
        if settings is not None:
            yield from plain_secrets(settings, self.sealed, self.stack)
        too_large = size_problem(self.config)
        if too_large is not None:
            yield too_large

    def warning(self) -> str | None:
        """Return a sentence where the size comes close to what the engine can hand over."""
        return size_warning(self.config)
