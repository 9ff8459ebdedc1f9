"""Tag lists, the form of DKIM, DMARC, MTA-STS, TLS-RPT and BIMI records (RFC 6376 §3.2): a=1; b=2."""

__all__ = ["tags_of"]


def tags_of(text: str) -> dict[str, str] | None:
    """Return the tags by name; None where it is none. Blanks around names and values mean nothing."""
    found: dict[str, str] = {}
    for part in text.strip().removesuffix(";").split(";"):
        name, equals, value = part.partition("=")
        if not equals or not name.strip() or name.strip() in found:
            return None
        found[name.strip()] = value.strip()
    return found
