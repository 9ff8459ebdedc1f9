"""The shape of ``cluster``: Kubernetes (k3s) on hosts of the stack."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, SecretStr

from mailstack.settings.cluster_types import ClusterVersion, LabelName, LabelValue, RegistryName, Sha256
from mailstack.settings.section import Section
from mailstack.settings.types import AbsolutePath, HostAddress, IpNetwork, LogicalName, OneLineSecret, WebUrl, broken

__all__ = ["AirgapImages", "Architecture", "Cluster", "Registry"]

Architecture = Literal["amd64", "arm64"]
MIN_TOKEN_CHARACTERS = 32


def _token(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    # k3s reads a colon as the end of a user name, and the prefix K10 as the long form with the CA's hash in it.
    if not text.isascii() or not text.isalnum() or len(text) < MIN_TOKEN_CHARACTERS or text.startswith("K10"):
        raise broken(
            f"must be {MIN_TOKEN_CHARACTERS} letters and digits or more, and not begin with K10",
            "let `mailstack init` make it: whoever has it is administrator of the cluster",
        )
    return value


ClusterToken = Annotated[SecretStr, AfterValidator(_token)]


class AirgapImages(Section):
    """An archive of container images that is on the hosts already."""

    file: AbsolutePath = Field(description="Where it is on each of the cluster's hosts of that architecture.")
    sha256: Sha256 = Field(description="Its SHA-256, as in sha256sum-<architecture>.txt of the release.")
    architecture: Architecture = Field(default="amd64", description="Hosts it is for.")


class Registry(Section):
    """Where images of one registry come from, and the login there."""

    name: RegistryName = Field(description="The registry it stands for, such as docker.io; * for all others.")
    endpoints: tuple[WebUrl, ...] = Field(min_length=1, description="Tried in this order, then the registry itself.")
    username: str | None = Field(default=None, min_length=1, description="Login at the endpoints.")
    password: OneLineSecret | None = Field(default=None, description="Its password.")
    ca_file: AbsolutePath | None = Field(default=None, description="CA on the hosts for a private registry.")


class Cluster(Section):
    """A Kubernetes cluster of hosts of this stack, by k3s."""

    servers: tuple[LogicalName, ...] = Field(
        min_length=1, description="Which of `hosts` are servers: 1, or 3, 5, … of them. The first starts the cluster."
    )
    agents: tuple[LogicalName, ...] = Field(default=(), description="Which of `hosts` only run pods.")
    version: ClusterVersion = Field(description="Exact release of k3s, such as v1.33.5+k3s1.")
    sha256: dict[Architecture, Sha256] = Field(
        min_length=1, description="SHA-256 of that release's program, for each architecture of the hosts."
    )
    download_url: WebUrl = Field(
        default="https://github.com/k3s-io/k3s/releases/download",
        description="Where releases are; `/<version>/k3s` (or k3s-arm64) is added.",
    )
    binary_file: AbsolutePath | None = Field(
        default=None, description="The program as a file on each host, for hosts that download nothing."
    )
    airgap_images: tuple[AirgapImages, ...] = Field(default=(), description="Images for hosts that download nothing.")
    token: ClusterToken = Field(description="What nodes join with; `mailstack init` makes it.")
    ca_sha256: Sha256 | None = Field(
        default=None, description="SHA-256 of the cluster's CA, once there is one: nodes that join then check it."
    )
    api_address: HostAddress | None = Field(
        default=None, description="Name or address in the kubeconfig. Absent: that of SSH to the first server."
    )
    api_networks: tuple[IpNetwork, ...] = Field(
        default=(), description="Who but the cluster's own hosts reaches the API, where a host has a firewall."
    )
    tls_san: tuple[HostAddress, ...] = Field(default=(), description="Further names in the API's certificate.")
    pod_network: IpNetwork = Field(default="10.42.0.0/16", description="Addresses of pods; each node gets a /24 of it.")
    service_network: IpNetwork = Field(default="10.43.0.0/16", description="Addresses of services.")
    disable: tuple[Literal["coredns", "local-storage", "metrics-server", "servicelb", "traefik"], ...] = Field(
        default=("traefik", "servicelb"),
        description="Parts of k3s to leave out. These two would take ports of the hosts that Caddy and Postal own.",
    )
    registries: tuple[Registry, ...] = Field(default=(), description="Mirrors of registries.")
    node_labels: dict[LogicalName, dict[LabelName, LabelValue]] = Field(
        default={}, description="Labels of nodes, by host."
    )
    encrypt_secrets: bool = Field(default=True, description="Secrets are encrypted in the cluster's database.")
    ready_seconds: int = Field(default=300, ge=30, le=1200, description="How long a node may take to become ready.")
    on_destroy: Literal["remove", "keep"] = Field(
        default="keep", description="What becomes of a node that is no longer declared, and of all by `pulumi destroy`."
    )
    remove_volumes: bool = Field(
        default=False, description="With on_destroy remove: also where pods have kept data on the node's disk."
    )

    @property
    def hosts(self) -> tuple[str, ...]:
        """Return all hosts of the cluster, servers first: the order they are made and upgraded in."""
        return (*self.servers, *self.agents)
