"""An application's stack that reads a mail stack's outputs.

    pulumi config set mail_stack organization/mailstack/prod    # "organization" is literal on self-managed back ends
    pulumi config set mail_server company/apps
    pulumi up

Who runs it needs to read the mail stack's state, and for the keys its secrets provider (with a passphrase: the same
PULUMI_CONFIG_PASSPHRASE). What is secret there is secret here.
"""

from typing import Any

import pulumi

CONTRACT_VERSION = 1
BY_POSTAL = (
    "api_url", "api_keys", "postal_smtp_host", "postal_smtp_port", "postal_smtp_starttls", "postal_smtp_keys",
    "mail_servers",
)  # fmt: skip


def told_by(mail: pulumi.StackReference, *names: str) -> "pulumi.Output[dict[str, Any]]":
    """Return outputs by name. Those of another contract are refused first: better now than mail lost later."""
    # `require_output` would say of a later contract that an output is missing, and nothing of the contract.
    found = {name: mail.get_output(name) for name in ("contract_version", *names)}
    return pulumi.Output.all(**found).apply(checked)


def checked(told: "dict[str, Any]") -> "dict[str, Any]":
    """Return the outputs. Raises pulumi.RunError where they are of another contract, or some are not there."""
    version = told["contract_version"]
    if version is None:
        raise pulumi.RunError("the mail stack has no contract_version: was `pulumi up` run there?")
    if version != CONTRACT_VERSION:
        raise pulumi.RunError(f"the mail stack has contract_version {version:g}, this program knows {CONTRACT_VERSION}")
    missing = [name for name, value in told.items() if value is None]
    if missing:
        raise pulumi.RunError(f"the mail stack does not tell {', '.join(missing)}: it has no such part")
    return told


def by_postal(mail: pulumi.StackReference, server: str, credential: str) -> "pulumi.Output[dict[str, str]]":
    """Return variables for Postal's HTTP API and for SMTP with a password, for whichever the credential has a key."""
    return told_by(mail, *BY_POSTAL).apply(lambda told: variables_of(told, server, f"{server}/{credential}"))


def variables_of(told: "dict[str, Any]", server: str, key: str) -> "dict[str, str]":
    """Pick what one credential needs. Raises pulumi.RunError for a key that is not there."""
    found: dict[str, str] = {}
    if key in told["api_keys"]:
        found |= {"MAIL_API_URL": told["api_url"], "MAIL_API_KEY": told["api_keys"][key]}
    if key in told["postal_smtp_keys"]:
        found |= {
            "SMTP_HOST": told["postal_smtp_host"],
            # Numbers come as floats: between programs all of them are.
            "SMTP_PORT": str(int(told["postal_smtp_port"])),
            "SMTP_USE_TLS": str(told["postal_smtp_starttls"]).lower(),
            "SMTP_USER": server,
            "SMTP_PASSWORD": told["postal_smtp_keys"][key],
        }
    if not found:
        there = sorted({*told["api_keys"], *told["postal_smtp_keys"]})
        raise pulumi.RunError(f"the mail stack has no credential {key}; it has {', '.join(there) or 'none'}")
    domain = told["mail_servers"][server]["sender_domains"][0]  # Postal refuses a sender of any other
    return {"SMTP_FROM_EMAIL": f"noreply@{domain}", "SMTP_FROM_NAME": domain, **found}


def by_relay(mail: pulumi.StackReference) -> "pulumi.Output[dict[str, str]]":
    """Return variables for the relay, which asks for no login."""
    return told_by(mail, "smtp_environment").apply(lambda told: told["smtp_environment"])


config = pulumi.Config()
stack = pulumi.StackReference(config.require("mail_stack"))
mail_server = config.get("mail_server")
environment = by_postal(stack, mail_server, config.get("credential") or "shop") if mail_server else by_relay(stack)

# Give it to what runs the application: `envs` of a docker.Container, `stringData` of a kubernetes Secret.
pulumi.export("environment", environment)
