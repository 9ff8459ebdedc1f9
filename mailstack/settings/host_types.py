"""What may be said of a host in one word, for the settings and for whoever writes them."""

from typing import Literal

__all__ = ["FirewallKind"]

FirewallKind = Literal["none", "ufw", "firewalld"]
