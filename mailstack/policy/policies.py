"""All policies, in the order in which they are listed everywhere."""

from mailstack.policy.exposure import NO_PUBLIC_ADMIN
from mailstack.policy.images import IMAGES
from mailstack.policy.model import Policy
from mailstack.policy.names import DMARC, NOT_PROXIED, TTL
from mailstack.policy.reaching import HOST_KEYS, SAFE_DELETES
from mailstack.policy.secret_values import SECRETS
from mailstack.policy.state import STATE
from mailstack.policy.weak_tls import WEAK_TLS
from mailstack.policy.workspace import WORKSPACE

__all__ = ["POLICIES"]

POLICIES: tuple[Policy, ...] = (
    WEAK_TLS,
    HOST_KEYS,
    SECRETS,
    NO_PUBLIC_ADMIN,
    STATE,
    SAFE_DELETES,
    IMAGES,
    NOT_PROXIED,
    DMARC,
    TTL,
    WORKSPACE,
)
