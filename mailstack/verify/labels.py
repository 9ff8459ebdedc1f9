"""Names as they are asked for. Nothing else is imported: every preview reads the target, and asks nobody."""

from mailstack.dns import NameRuleError, normalise_name

__all__ = ["a_labels"]


def a_labels(name: str) -> str:
    """Return a name in lower case without final dot, an IDN as A-labels; what is no name stays as it is."""
    plain = name.strip().lower()
    plain = plain.rstrip(".") or plain  # a null MX has the root as its host
    if plain.isascii():
        return plain
    try:
        return normalise_name(plain, service=True)
    except NameRuleError:
        return plain
