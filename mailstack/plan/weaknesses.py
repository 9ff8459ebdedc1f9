"""What was weakened on purpose. Every `pulumi up` reports it."""

from mailstack.settings.hosts_model import Host, Jump
from mailstack.settings.model import Settings
from mailstack.upstreams import IMPLICIT_TLS_PORTS

__all__ = ["weaknesses"]


def _postal_weaknesses(settings: Settings) -> list[str]:
    postal, found = settings.postal, []
    if postal is None:
        return []
    if not postal.smtp_tls:
        found.append("postal.smtp_tls is false: applications send their keys and mail to Postal in clear")
    if postal.sending.path == "direct" and settings.relay.upstream.port not in IMPLICIT_TLS_PORTS:
        found.append(
            "postal.sending.path is direct: Postal checks who issued the upstream's certificate, not whom it is for; "
            "path postfix checks both, and so does port 465"
        )
    if postal.database_host not in {None, postal.host}:
        found.append("postal.database.host is another machine: Postal's connection to it is not encrypted")
    return found


def weaknesses(settings: Settings) -> list[str]:
    """Return what was weakened on purpose, one sentence each. Every `pulumi up` reports them."""
    found = []
    for field, upstream in settings.upstreams_by_field.items():
        if upstream.tls == "secure":
            continue
        found.append(
            f"{field}.tls is {upstream.tls}: the upstream's certificate is not checked for "
            "its name as `secure` does, so someone in between could read the mail"
        )
    if settings.relay.placement == "docker" and not settings.relay_docker.keep_queue:
        volume = settings.relay_docker.queue_volume
        found.append(
            f"relay.docker.keep_queue is false: `pulumi destroy` removes {volume} with the mail that waits in it"
        )
    if settings.relay_rule is not None and settings.relay_rule.allowed_senders == "any-address":
        found.append("relay_rule.allowed_senders is any-address: a stolen relay could send in anyone's name")
    proof = settings.relay_proof
    if settings.relay.hosts and proof is not None and proof.on_failure == "warn":
        found.append("relay.proof.on_failure is warn: a change that does not deliver reaches every host of the relay")
    pods = settings.relay.kubernetes
    if pods is not None and pods.ephemeral_queue:
        found.append(
            "relay.kubernetes.ephemeral_queue is true: accepted mail is lost with its pod, unless another takes it in "
            "time"
        )
    found += _postal_weaknesses(settings)
    cluster = settings.cluster
    if cluster is not None and len(cluster.hosts) > 1 and cluster.ca_sha256 is None:
        found.append(
            "cluster.ca_sha256 is not set: a node that joins shows the token to whoever answers as "
            f"{cluster.servers[0]}; docs/how-to/kubernetes-cluster.md says how to read it once the cluster is there"
        )
    for name, host in settings.hosts.items():
        reached: dict[str, Host | Jump] = {f"hosts.{name}": host}
        if host.jump is not None:
            reached[f"hosts.{name}.jump"] = host.jump
        found += [
            f"{field}.host_key is not set: the first one to answer at {target.address} is trusted"
            for field, target in reached.items()
            if target.host_key is None
        ]
    return found
