"""Stand-in for the Cloudflare API, as far as DNS records need it.

This is not Cloudflare. It serves ``/client/v4/user/tokens/verify``, ``/client/v4/zones`` and
``/client/v4/zones/{id}/dns_records`` with the quirks that bite a deployment, for the rehearsal ground and for
tests. Standard library only. Point ``CLOUDFLARE_BASE_URL`` (or the provider's ``baseUrl``) at
:attr:`.server.CloudflareStandin.api_url`.

What is known about Cloudflare (its documentation, the Terraform provider's code, public issue threads)
    * Envelope ``success, errors, messages, result, result_info``; validation errors are code 1004 with the real
      reason in ``error_chain`` (9004 proxied, 9008/9100 priority, 9009 MX to an address, 9021 TTL, 9300 tags).
    * Names come back as lower-case FQDN without a final dot; MX, CNAME and NS content likewise.
    * A quoted TXT string of more than 255 bytes is split; unquoted TXT is kept exactly as given.
    * MX takes content and a top-level priority; ``data`` on it counts for nothing (9100 and 9009).
    * CAA, TLSA and SRV take ``data``; their content is computed.
    * 81045 quota, 81053/81054 CNAME conflicts, 81058 identical record (81057 in older threads), 81044 missing record,
      10000 and 6003/6111 authentication, 429 with ``retry-after``.
    * Lists are given by pages: of zones 20, at most 50; of records 100, at most 5,000,000.
    * A record of more than 4,096 bytes and a name and type of more than 8,192 characters together are refused.
    * Settings are left out for a CNAME that is not proxied; ``tags_modified_on`` for a record without tags.

What is assumed
    * A page size above the most counts as the most. A token without "Zone Read" for a zone does not see it in the
      list and gets 9109 for it; without "DNS Read" or "DNS Write" it gets 10000.
    * Codes 9005, 9006, 9007, 9101, 9207 and 9999 (too large; Cloudflare's own code is not published), 9109 for a
      zone the token cannot see, 7003 for an id that is none, and the texts that go with them.
    * The computed content of SRV (``weight port target``) and that identical means name, type, content and
      priority.
    * Record types other than A, AAAA, CNAME, MX, NS, PTR, TXT, CAA, SRV and TLSA are refused here, not there.
"""

from rehearsal.serving import ConfigError

from .config import CloudflareStandinConfig, ZoneConfig
from .server import CloudflareStandin
from .store import RequestRecord

__all__ = ["CloudflareStandin", "CloudflareStandinConfig", "ConfigError", "RequestRecord", "ZoneConfig"]
