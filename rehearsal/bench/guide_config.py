"""The relay set up by hand: what the common installation guide puts into main.cf.

Source: the production guide this project replaces (requirements document 002, "Postfix Main
Configuration, For Port 587 (STARTTLS)"). Its seven lines, with the two changes that a fair run needs:

- `smtp_tls_CAfile` is the Debian path. The guide prints the Red Hat one, which does not exist on Debian;
  its own troubleshooting section names the Debian path.
- The three `smtp_sasl_*` lines are left out. The guide recommends the IP-authorised variant, where Google
  asks for no password, and the bench's upstream offers no AUTH. This favours the guide: it saves one round
  trip per connection.

Everything else, main.cf and master.cf, stays what Debian's postfix package installs.
"""

from __future__ import annotations

from types import MappingProxyType

__all__ = ["GUIDE_CA_BUNDLE", "GUIDE_LEFT_OUT", "GUIDE_PARAMETERS", "guide_arguments"]

GUIDE_CA_BUNDLE = "/etc/ssl/certs/ca-certificates.crt"

GUIDE_PARAMETERS = MappingProxyType(
    {
        "relayhost": "[smtp-relay.gmail.com]:587",
        "smtp_use_tls": "yes",
        "smtp_tls_security_level": "may",
        "smtp_tls_CAfile": GUIDE_CA_BUNDLE,
    }
)

GUIDE_LEFT_OUT = MappingProxyType(
    {
        "smtp_sasl_auth_enable": "yes",
        "smtp_sasl_password_maps": "hash:/etc/postfix/sasl_passwd",
        "smtp_sasl_security_options": "noanonymous",
    }
)


def guide_arguments() -> list[str]:
    """Arguments of `postconf -e` that turn a fresh Debian Postfix into the guide's relay."""
    return [f"{name}={value}" for name, value in GUIDE_PARAMETERS.items()]
