"""Reads YAML as the engine does where the usual reader is more lenient: a key that stands twice is a mistake.

The usual reader takes the last one. A merge of two branches that leaves two lists of domains would lose one of them,
with all its records.
"""

from collections.abc import Iterator
from typing import Any

import yaml

__all__ = ["TwiceError", "read_yaml"]

# The C parser is several times as fast on a large file; it accepts the same safe subset.
LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
MERGE = "tag:yaml.org,2002:merge"


class TwiceError(yaml.YAMLError):
    """A key stands twice in one mapping; the text says which and where."""


def read_yaml(text: str) -> Any:
    """Return what one document of YAML says. Raises yaml.YAMLError; its text is for people."""
    try:
        loader = LOADER(text)
        try:
            node = loader.get_single_node()
            for mapping in _mappings(node):
                _no_key_twice(mapping)
            return None if node is None else loader.construct_document(node)
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = "" if mark is None else "".join(text.splitlines()[mark.line : mark.line + 1])
        if "\t" in line[: len(line) - len(line.lstrip())]:
            raise yaml.YAMLError(f"{error}\nThat line begins with a tab. Fix: indent it with spaces") from None
        raise


def _mappings(root: yaml.Node | None) -> Iterator[yaml.MappingNode]:
    """Yield every mapping below ``root`` once, however many aliases name it."""
    left, seen = [root] if root is not None else [], set()
    while left:
        node = left.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            yield node
            left += [part for pair in node.value for part in pair]
        elif isinstance(node, yaml.SequenceNode):
            left += node.value


def _no_key_twice(mapping: yaml.MappingNode) -> None:
    first: dict[str, int] = {}
    for key, _ in mapping.value:
        if not isinstance(key, yaml.ScalarNode) or key.tag == MERGE:
            continue
        line = key.start_mark.line + 1
        if key.value in first:
            raise TwiceError(
                f"`{key.value}` stands twice, in lines {first[key.value]} and {line}. Fix: keep one of them"
            )
        first[key.value] = line
