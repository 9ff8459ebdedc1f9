"""The program of the plugin's test: one ConfigMap, on the API server whose kubeconfig is the secret `key`."""

import pulumi
import pulumi_kubernetes as kubernetes

config = pulumi.Config()
cluster = kubernetes.Provider("cluster", kubeconfig=config.require_secret("key"))
kubernetes.core.v1.ConfigMap(
    "paint",
    metadata={"name": "paint", "namespace": "default"},
    data={"colour": config.require("colour")},
    opts=pulumi.ResourceOptions(provider=cluster),
)
