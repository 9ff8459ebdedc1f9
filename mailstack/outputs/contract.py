"""The contract: every output of a stack with its type, its meaning and whether it is secret, once.

The reference page, the JSON schema and the record that a breaking change is seen against are made from these models;
tests hold the outputs of every committed stack against them. Outputs are only ever added. One that goes, is renamed,
changes its type or its secret mark is a breaking change: then ``CONTRACT_VERSION`` goes up (``contract_record``).
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr

__all__ = [
    "CONTRACT_VERSION",
    "GROUPS",
    "ConsoleProbe",
    "MailServerOutput",
    "OutputGroup",
    "Outputs",
    "PostalDomain",
    "ServedCertificate",
]

CONTRACT_VERSION = 1
OutputGroup = Literal["stack", "smtp", "submission", "api", "dns", "workspace", "health", "metrics", "kubernetes"]
POSTAL = "`postal` with a mail server"
# In the order of the reference page.
GROUPS: dict[OutputGroup, str] = {
    "stack": "The contract itself, and what is seen from outside.",
    "smtp": "The relay, for applications on its networks: plain SMTP, no login.",
    "submission": "The relay, for clients elsewhere: by login, below TLS only.",
    "api": "Postal: HTTP API and SMTP with a key for each application.",
    "dns": "What the zones hold.",
    "workspace": "The SMTP relay rule of Google Workspace.",
    "health": "Whether it works.",
    "metrics": "Where Prometheus asks.",
    "kubernetes": "The cluster of the stack.",
}


class _Told(BaseModel):
    """Exactly what is declared, in exactly these types. Where null is told, some SDKs leave the key out."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def _output(group: OutputGroup, there: str, about: str, *, always: bool = False) -> Any:
    """Return a field of ``Outputs``. ``there`` says which stacks tell it; ``always`` those are all."""
    extra: dict[str, Any] = {"x-group": group, "x-there-with": there}
    if always:
        return Field(description=about, json_schema_extra=extra)
    return Field(default=None, description=about, json_schema_extra=extra)


class MailServerOutput(_Told):
    """A mail server of Postal's."""

    smtp_host: str = Field(description="where applications submit")
    smtp_port: int = Field(description="port of the same")
    smtp_starttls: bool = Field(
        description="upgrade before login; insist on it, since Postal takes a login in clear too"
    )
    smtp_user: str = Field(description="login name; Postal looks at the password only")
    smtp_keys: dict[str, SecretStr] = Field(description="credential name to password")
    api_url: str = Field(description="base of the HTTP API: POST to `<api_url>/send/raw` or `/send/message`")
    api_keys: dict[str, SecretStr] = Field(description="credential name to `X-Server-API-Key`")
    sender_domains: list[str] = Field(
        description="domains allowed in From; others get `530` or `UnauthenticatedFromAddress`"
    )
    web_url: str = Field(description="this mail server in the web UI")
    health_url: str = Field(description="answers 200 without login while the web server works")


class PostalDomain(_Told):
    """What Postal itself found in DNS of a domain: `OK`, or what is wrong; null where it has not looked."""

    dkim: str | None = Field(default=None, description="its look at the DKIM key")
    spf: str | None = Field(default=None, description="its look at SPF")
    mx: str | None = Field(default=None, description="its look at MX")
    return_path: str | None = Field(default=None, description="its look at the return path")
    errors: dict[str, str] = Field(description="check to the sentence that says what is wrong")
    dkim_record_name: str = Field(description="name of the DKIM record below the domain")
    dkim_record_sha256: str = Field(description="SHA-256 of the record's text, in hexadecimal digits")


class ServedCertificate(_Told):
    """A certificate that Caddy serves."""

    issuer: str = Field(description="who issued it")
    not_after: str = Field(description="when it ends, as `2027-02-19T08:00:00Z`")
    days_left: int = Field(description="days until then, at the last run")
    sha256: str = Field(description="fingerprint")


class ConsoleProbe(_Told):
    """What the last probe of the relay rule saw."""

    ok: bool = Field(description="whether the upstream takes mail from there")
    target: str = Field(description="`host:port` that was asked")
    tls_version: str | None = Field(default=None, description="null where it came to no TLS")
    certificate_expires: str | None = Field(default=None, description="null where it came to no TLS")
    failure: dict[str, Any] | None = Field(
        default=None, description="null where all is well, else `text`, `reply`, `cause`, `fix` and more"
    )


class Outputs(_Told):
    """All outputs. A stack tells those whose part it declares."""

    contract_version: int = _output("stack", "every stack", "version of this contract", always=True)
    verify: str = _output(
        "stack",
        "every stack",
        "what the world is to see of the stack, as JSON (`mailstack/verify/target.py`): domains with their records, "
        "hosts with addresses and open ports, zones, issuers, web names; `mailstack verify` reads it",
        always=True,
    )

    operations: str = _output(
        "stack",
        "every stack",
        "where what runs, as JSON without secrets (`mailstack/reach/operations.py`): hosts with address, port, user, "
        "host key and jump host, the relay's hosts, container or pods, Postal's host or pods; day-2 commands go by it",
        always=True,
    )

    smtp_host: str | None = _output(
        "smtp",
        "a relay",
        "where applications connect: `relay.client_name` where there is one, else the first address; of a container "
        "its name, for applications on its Docker network; on a cluster the service's name, for pods of labelled "
        "namespaces",
    )
    smtp_hosts: list[str] | None = _output(
        "smtp",
        "a relay",
        "every address they may connect to: with several hosts one for each, with one host those it listens on, "
        "loopback last",
    )
    smtp_port: int | None = _output("smtp", "a relay", "port of the same, plain SMTP without login")
    smtp_environment: dict[str, str] | None = _output(
        "smtp",
        "a relay",
        "the same as variables for an application: `SMTP_HOST`, `SMTP_PORT`, `SMTP_USE_TLS` (`false`: the relay offers "
        "none on this side), `SMTP_FROM_EMAIL`, `SMTP_FROM_NAME`",
    )
    smtp_from_email: str | None = _output("smtp", "a relay", "address to send from: `relay.from_email`, or noreply@")
    smtp_from_name: str | None = _output("smtp", "a relay", "name beside it")
    smtp_client_namespace_labels: dict[str, str] | None = _output(
        "smtp",
        "`relay.placement: kubernetes`",
        "labels a namespace needs, all of them, for its pods to reach the relay",
    )
    compose_snippet: str | None = _output(
        "smtp",
        "`relay.placement: docker`",
        "YAML for `docker compose`: a service on the relay's network with those variables",
    )
    relay_hostname: str | None = _output("smtp", "a relay", "name the relay greets with (EHLO)")
    sender_domains: list[str] | None = _output(
        "smtp",
        "a relay",
        "domains allowed in MAIL FROM, Postal's return paths included; others get `554 5.7.1`",
    )

    submission_host: str | None = _output(
        "submission", "`relay.submission`", "name to connect to, the one in its certificate"
    )
    submission_starttls_port: int | None = _output(
        "submission", "`relay.submission.starttls_port`", "port that demands STARTTLS"
    )
    submission_tls_port: int | None = _output(
        "submission", "`relay.submission.tls_port`", "port that starts with TLS (RFC 8314)"
    )
    submission_users: list[str] | None = _output("submission", "`relay.submission`", "who may log in")
    submission_passwords: dict[str, SecretStr] | None = _output("submission", "`relay.submission`", "user to password")

    mail_servers: dict[str, MailServerOutput] | None = _output(
        "api", "`postal`", "Postal's mail servers by full name, such as `company/apps`; see below"
    )
    postal_url: str | None = _output("api", "`postal`", "Postal's web UI")
    api_url: str | None = _output("api", POSTAL, "base of the HTTP API, the same for every mail server")
    api_key_names: list[str] | None = _output(
        "api", POSTAL, "keys there are for the API, as `company/apps/shop`: mail server, then credential"
    )
    api_keys: dict[str, SecretStr] | None = _output("api", POSTAL, "each of these names to its key")
    postal_smtp_host: str | None = _output("api", POSTAL, "where applications submit to Postal by SMTP")
    postal_smtp_port: int | None = _output("api", POSTAL, "port of the same")
    postal_smtp_starttls: bool | None = _output("api", POSTAL, "upgrade before login, and insist on it")
    postal_smtp_key_names: list[str] | None = _output(
        "api", POSTAL, "passwords there are for SMTP, as `company/apps/shop`"
    )
    postal_smtp_keys: dict[str, SecretStr] | None = _output("api", POSTAL, "each of these names to its password")

    dns_zones: dict[str, str] = _output(
        "dns",
        "every stack",
        "zone name to its declared records in BIND format, for zones kept elsewhere",
        always=True,
    )
    postal_domains: dict[str, PostalDomain] | None = _output(
        "dns", "`postal`", "what Postal itself found in DNS, by place (`organizations/…/domains/<name>`); see below"
    )

    relay_rule_console_steps: str | None = _output(
        "workspace", "`relay_rule`", "Markdown: what to set in the Google Admin console"
    )
    relay_rule_probe: ConsoleProbe | None = _output(
        "workspace",
        "`relay_rule`, and a host that mail leaves from",
        "what the last probe saw; of several hosts the first that fails, else the first; see below",
    )
    relay_rule_probes: dict[str, ConsoleProbe] | None = _output(
        "workspace",
        "`relay_rule`, and a host that mail leaves from",
        "host name to the same, for every host of the relay",
    )

    health_urls: dict[str, str] = _output(
        "health",
        "every stack",
        "what answers 200 without a login while it works: `postal`, `relay` (of a container or a cluster, from its "
        "network; the pods' needs `relay.kubernetes.monitoring`), `mta-sts <domain>`",
        always=True,
    )
    postal_health: dict[str, str] | None = _output(
        "health",
        "`postal`",
        "process (`web`, `smtp`, `worker`) to `healthy`, as seen at the end of the last change; on a cluster `stopped` "
        "where settings say so",
    )
    certificates: dict[str, ServedCertificate] | None = _output(
        "health", "`caddy`", "name to the certificate that is served, at the last run; see below"
    )

    metrics_urls: dict[str, str] = _output(
        "metrics",
        "every stack",
        "where Prometheus reads, without a login: `relay`, or `relay <host>` for each of several; `postal worker` on a "
        "cluster with `metrics_namespace`. Empty where no metrics are served. 127.0.0.1 is the host itself. Names of "
        "a cluster and of a container lead to all its pods, one at a time",
        always=True,
    )

    kubeconfig: SecretStr | None = _output(
        "kubernetes",
        "`cluster`",
        "the administrator's access to the Kubernetes cluster, at `cluster.api_address`",
    )
    kubernetes_version: str | None = _output(
        "kubernetes", "`cluster`", "oldest version that a declared node runs, such as `v1.33.5+k3s1`"
    )
