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


def checked(told: "list[Any]") -> Any:
    """Return the value beside the version. Outputs of another contract are refused: better now than mail lost later."""
    value, version = told
    if version != CONTRACT_VERSION:
        raise pulumi.RunError(f"the mail stack has contract_version {version:g}, this program knows {CONTRACT_VERSION}")
    return value


def by_postal(mail: pulumi.StackReference, server: str, credential: str) -> dict[str, pulumi.Output[str]]:
    """Return variables for Postal's HTTP API and for SMTP with a password. Flat outputs: one value each."""

    def key(name: str) -> pulumi.Output[str]:
        return mail.require_output(name).apply(lambda keys: str(keys[f"{server}/{credential}"]))

    return {
        "MAIL_API_URL": mail.require_output("api_url"),
        "MAIL_API_KEY": key("api_keys"),
        "SMTP_HOST": mail.require_output("postal_smtp_host"),
        # Numbers come as floats: between programs all of them are.
        "SMTP_PORT": mail.require_output("postal_smtp_port").apply(lambda port: str(int(port))),
        "SMTP_USE_TLS": mail.require_output("postal_smtp_starttls").apply(lambda tls: str(tls).lower()),
        "SMTP_USER": pulumi.Output.from_input(server),
        "SMTP_PASSWORD": key("postal_smtp_keys"),
    }


def by_relay(mail: pulumi.StackReference) -> pulumi.Output[dict[str, str]]:
    """Return variables for the relay, which asks for no login."""
    return mail.require_output("smtp_environment")


config = pulumi.Config()
stack = pulumi.StackReference(config.require("mail_stack"))
mail_server = config.get("mail_server")
variables = by_postal(stack, mail_server, config.get("credential") or "shop") if mail_server else by_relay(stack)
# Whoever uses it waits for the check.
environment = pulumi.Output.all(variables, stack.require_output("contract_version")).apply(checked)

# Give it to what runs the application: `envs` of a docker.Container, `stringData` of a kubernetes Secret.
pulumi.export("environment", environment)
