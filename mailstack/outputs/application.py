"""What one application needs of a stack's outputs, as variables."""

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import yaml

from mailstack.outputs.contract import CONTRACT_VERSION

__all__ = ["SECRET_VARIABLES", "Application", "ApplicationError", "Via", "application"]

Via = Literal["postal", "relay", "login"]
SECRET_VARIABLES = frozenset({"SMTP_PASSWORD", "MAIL_API_KEY"})
# What the CLI writes in place of a secret unless it is asked to show them.
HIDDEN = "[secret]"


class ApplicationError(RuntimeError):
    """The outputs do not have what is asked for; the text says what they have."""


@dataclass(frozen=True, kw_only=True)
class Application:
    """``variables`` in the order they are written. ``networks`` are those of a compose file, for a container's relay.

    ``namespace_labels`` are what a namespace needs for its pods to reach a relay on a cluster.
    """

    about: str
    variables: Mapping[str, str]
    networks: Mapping[str, Any]
    namespace_labels: Mapping[str, str]

    @property
    def secrets(self) -> tuple[str, ...]:
        """Return the names of those variables that are secret."""
        return tuple(name for name in self.variables if name in SECRET_VARIABLES)


def application(
    outputs: Mapping[str, Any], *, via: Via | None = None, server: str | None = None, credential: str | None = None
) -> Application:
    """Return the variables for an application that sends ``via`` Postal, the relay, or the relay with a login.

    Absent: Postal where the stack has it, else the relay. ``server`` is the full name of a mail server of Postal's,
    ``credential`` one of its credentials, or who logs in; each may be left out where there is only one.
    Raises ApplicationError.
    """
    _check_version(outputs)
    try:
        return _application(outputs, via, server, credential)
    except (AttributeError, KeyError, TypeError, yaml.YAMLError) as error:
        # Its text is a name or a type, but for YAML's.
        what = type(error).__name__ if isinstance(error, yaml.YAMLError) else error
        raise ApplicationError(
            f"the outputs are not as the contract has them ({what}); docs/reference/outputs.md does: write them anew "
            "with `pulumi stack output --json --show-secrets --stack NAME`"
        ) from None


def _application(
    outputs: Mapping[str, Any], via: Via | None, server: str | None, credential: str | None
) -> Application:
    way = via or ("postal" if outputs.get("mail_servers") else "relay")
    if way == "postal":
        return _postal(outputs, server, credential)
    if server is not None:
        raise ApplicationError(f"--server {server} names a mail server of Postal's, but mail goes via {way}")
    if way == "login":
        return _login(outputs, credential)
    if credential is not None:
        raise ApplicationError(f"--credential {credential} has no effect: the relay asks for none; leave it away")
    return _relay(outputs)


def _check_version(outputs: Mapping[str, Any]) -> None:
    version = outputs.get("contract_version")
    if not isinstance(version, int) or version > CONTRACT_VERSION:
        raise ApplicationError(
            f"the outputs have contract_version {version!r}, this command knows {CONTRACT_VERSION}; use the mailstack "
            "that brought the stack up"
        )


def _relay(outputs: Mapping[str, Any]) -> Application:
    told = outputs.get("smtp_environment")
    if not isinstance(told, Mapping):
        raise ApplicationError("the stack has no relay for applications; with Postal, leave --via away")
    variables = {str(name): str(text) for name, text in told.items()}
    listed = [str(host) for host in outputs.get("smtp_hosts", ())]
    # On the machine of an application, loopback is that machine: whatever takes mail there is not the relay.
    hosts = [host for host in listed if not _is_loopback(host)]
    if len(hosts) > 1:
        variables["SMTP_HOSTS"] = ",".join(hosts)
    snippet = yaml.safe_load(outputs.get("compose_snippet") or "{}")
    here = "" if hosts or not listed else ", which only its own host reaches (relay.client_networks lets others in)"
    return Application(
        about=f"the relay, without a login{here}",
        variables=variables,
        networks=snippet.get("networks", {}),
        namespace_labels=outputs.get("smtp_client_namespace_labels") or {},
    )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False  # a name


def _login(outputs: Mapping[str, Any], user: str | None) -> Application:
    passwords = outputs.get("submission_passwords")
    if passwords is None:
        raise ApplicationError("nobody may log in to the relay: relay.submission is not declared")
    _opened(passwords)
    name = _one(user, outputs["submission_users"], "--credential", "who logs in")
    upgraded, wrapped = outputs.get("submission_starttls_port"), outputs.get("submission_tls_port")
    variables = {
        "SMTP_HOST": str(outputs["submission_host"]),
        "SMTP_PORT": str(upgraded or wrapped),
        # TLS by STARTTLS; a port that begins with TLS is SMTP_USE_SSL in most libraries' words.
        "SMTP_USE_TLS": "true" if upgraded else "false",
        **({} if upgraded else {"SMTP_USE_SSL": "true"}),
        "SMTP_USER": name,
        "SMTP_PASSWORD": str(passwords[name]),
        **_sender(outputs, outputs.get("sender_domains", ())),
    }
    about = f"the relay, as {name}"
    return Application(about=about, variables=variables, networks={}, namespace_labels={})


def _postal(outputs: Mapping[str, Any], server: str | None, credential: str | None) -> Application:
    servers = outputs.get("mail_servers")
    if not servers:
        raise ApplicationError("the stack has no Postal with a mail server; leave --via away for the relay")
    _opened(servers)
    name = _one(server, servers, "--server", "the mail server")
    told = servers[name]
    _opened(told["smtp_keys"], told["api_keys"])
    key = _one(credential, {**told["smtp_keys"], **told["api_keys"]}, "--credential", f"the credential of {name}")
    smtp, api = told["smtp_keys"].get(key), told["api_keys"].get(key)
    _opened(smtp, api)
    variables = _sender(outputs, told["sender_domains"])
    if smtp is not None:
        variables |= {
            "SMTP_HOST": str(told["smtp_host"]),
            "SMTP_PORT": str(told["smtp_port"]),
            "SMTP_USE_TLS": "true" if told["smtp_starttls"] else "false",
            "SMTP_USER": str(told["smtp_user"]),
            "SMTP_PASSWORD": str(smtp),
        }
    if api is not None:
        variables |= {"MAIL_API_URL": str(told["api_url"]), "MAIL_API_KEY": str(api)}
    about = f"mail server {name}, credential {key}"
    return Application(about=about, variables=variables, networks={}, namespace_labels={})


def _sender(outputs: Mapping[str, Any], domains: Iterable[str]) -> dict[str, str]:
    """Return whom mail is from: what the relay tells, where its domain may send here, else the first that may."""
    listed = list(domains)
    told = outputs.get("smtp_environment") or {}
    address, name = str(told.get("SMTP_FROM_EMAIL", "")), str(told.get("SMTP_FROM_NAME", ""))
    if address.rpartition("@")[2] not in listed:
        if not listed:
            return {}
        address, name = f"noreply@{listed[0]}", listed[0]
    return {"SMTP_FROM_EMAIL": address, "SMTP_FROM_NAME": name}


def _one(wanted: str | None, names: Iterable[str], option: str, what: str) -> str:
    listed = list(names)
    if wanted is not None and wanted in listed:
        return wanted
    if wanted is None and len(listed) == 1:
        return listed[0]
    there = f"there are {', '.join(listed)}" if listed else "there is none"
    if wanted is None:
        raise ApplicationError(f"{option} is needed to say {what}: {there}")
    raise ApplicationError(f"{option} {wanted} is not there: {there}")


def _opened(*values: Any) -> None:
    """Refuse secrets that the CLI has hidden."""
    if HIDDEN in values or any(HIDDEN in value.values() for value in values if isinstance(value, Mapping)):
        raise ApplicationError(
            f"the outputs hide their secrets ({HIDDEN}); write them anew with "
            "`pulumi stack output --json --show-secrets --stack NAME`"
        )
