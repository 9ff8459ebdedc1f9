"""What to do about a refusal of the Pulumi CLI that everybody meets once: no login, no passphrase, another back end."""

__all__ = ["refused", "way_out"]

WAYS_OUT = {
    "passphrase must be set": "set PULUMI_CONFIG_PASSPHRASE, or PULUMI_CONFIG_PASSPHRASE_FILE, to the passphrase that "
    "the stack's secrets are encrypted with. For a new stack choose one, and keep it where it outlives this machine; "
    "or name a key service by --secrets-provider of `mailstack init`",
    "incorrect passphrase": "set PULUMI_CONFIG_PASSPHRASE to the one that the file was encrypted with",
    "PULUMI_ACCESS_TOKEN must be set": "log in to who keeps the state: `pulumi login file://DIRECTORY`, "
    "or a bucket's URL",
    "unable to open state directory": "make that folder (`mkdir -p`), where the state is to begin; where there is one "
    "already, log in to it: `pulumi login file://DIRECTORY`",
    "no stack named": "this back end does not have it (`pulumi whoami -v` says which it is). Log in to the one that "
    "does: `pulumi login URL`, or PULUMI_BACKEND_URL; `pulumi stack init` makes a stack that is new",
}


def way_out(reason: str) -> str | None:
    """Return what to do about what the CLI says, where that is known."""
    return next((fix for words, fix in WAYS_OUT.items() if words in reason), None)


def refused(reason: str) -> str:
    """Return what the CLI says, with what to do about it on a line of its own, where that is known."""
    fix = way_out(reason)
    return reason if fix is None else f"{reason}\nFix: {fix}"
