"""How the world reaches Postal's pods: services, routes of browsers, and certificates."""

from collections.abc import Iterator
from typing import Any

from mailstack.kubernetes.objects import Placed, Stage, manifest
from mailstack.kubernetes.postal_definition import WORKER_HEALTH_PORT, PostalOnCluster
from mailstack.kubernetes.workloads import families

__all__ = ["access_objects", "headless_worker"]

LOAD_BALANCER_CLASS = "spec.loadBalancerClass"
TRACKING_HEADER = {"name": "X-Postal-Track-Host", "value": "1"}


def access_objects(postal: PostalOnCluster) -> Iterator[Placed]:
    """Yield services, routes, and the certificate of the SMTP server where an issuer makes it."""
    if postal.smtp_tls_issued:
        yield Placed(name="smtp-certificate", manifest=_certificate(postal), stage=Stage.BASIS)
    yield Placed(name="web-service", manifest=_web_service(postal), stage=Stage.ACCESS)
    yield Placed(name="smtp-service", manifest=_smtp_service(postal), stage=Stage.ACCESS, fixed=(LOAD_BALANCER_CLASS,))
    if postal.route.gateway is None:
        yield Placed(name="ingress", manifest=_ingress(postal), stage=Stage.ACCESS)
        return
    yield Placed(name="route", manifest=_http_route(postal, "web", [postal.web_hostname]), stage=Stage.ACCESS)
    if postal.tracking_names:
        marked = {"type": "RequestHeaderModifier", "requestHeaderModifier": {"set": [TRACKING_HEADER]}}
        route = _http_route(postal, "tracking", list(postal.tracking_names), marked)
        yield Placed(name="tracking-route", manifest=route, stage=Stage.ACCESS)


def headless_worker(postal: PostalOnCluster) -> dict[str, Any]:
    """Return the service that gives workers their stable names, by which one knows what it held before."""
    ports = [{"name": "health", "port": WORKER_HEALTH_PORT, "targetPort": "health", "protocol": "TCP"}]
    spec = {"clusterIP": "None", "selector": postal.pods("worker"), "ports": ports, **families(dual_stack=False)}
    return manifest("Service", postal.called("worker"), postal.namespace, labels=postal.labels("worker"), spec=spec)


def _web_service(postal: PostalOnCluster) -> dict[str, Any]:
    ports = [{"name": "http", "port": 80, "targetPort": "http", "protocol": "TCP"}]
    spec = {"type": "ClusterIP", "selector": postal.pods("web"), "ports": ports, **families(dual_stack=False)}
    return manifest("Service", postal.called("web"), postal.namespace, labels=postal.labels("web"), spec=spec)


def _smtp_service(postal: PostalOnCluster) -> dict[str, Any]:
    """Return the load balancer. Local: a node hands on to its own pods only, so these see who really connects."""
    ports = [{"name": "smtp", "port": 25, "targetPort": "smtp", "protocol": "TCP"}]
    spec: dict[str, Any] = {
        "type": "LoadBalancer",
        "externalTrafficPolicy": "Local",
        "selector": postal.pods("smtp"),
        "ports": ports,
        **families(dual_stack=postal.dual_stack),
    }
    if postal.load_balancer_class is not None:
        spec["loadBalancerClass"] = postal.load_balancer_class
    return manifest(
        "Service",
        postal.called("smtp"),
        postal.namespace,
        labels=postal.labels("smtp"),
        annotations=postal.smtp_annotations,
        spec=spec,
    )


def _ingress(postal: PostalOnCluster) -> dict[str, Any]:
    route, annotations = postal.route, dict(postal.route.annotations)
    if route.tls_secret is None and postal.issuer is not None:
        kind, name = postal.issuer
        annotations["cert-manager.io/" + ("cluster-issuer" if kind == "ClusterIssuer" else "issuer")] = name
    backend = {"service": {"name": postal.called("web"), "port": {"name": "http"}}}
    paths = [{"path": "/", "pathType": "Prefix", "backend": backend}]
    secret = route.tls_secret or postal.called("web-tls")
    return manifest(
        "Ingress",
        postal.called("web"),
        postal.namespace,
        version="networking.k8s.io/v1",
        labels=postal.labels("web"),
        annotations=annotations,
        spec={
            **({"ingressClassName": route.ingress_class} if route.ingress_class is not None else {}),
            "tls": [{"hosts": [postal.web_hostname], "secretName": secret}],
            "rules": [{"host": postal.web_hostname, "http": {"paths": paths}}],
        },
    )


def _http_route(postal: PostalOnCluster, component: str, names: list[str], *filters: dict[str, Any]) -> dict[str, Any]:
    parent = dict(postal.route.gateway or {})
    rule: dict[str, Any] = {"backendRefs": [{"name": postal.called("web"), "port": 80}]}
    if filters:
        rule["filters"] = list(filters)
    return manifest(
        "HTTPRoute",
        postal.called(component),
        postal.namespace,
        version="gateway.networking.k8s.io/v1",
        labels=postal.labels("web"),
        annotations=postal.route.annotations,
        spec={"parentRefs": [parent], "hostnames": names, "rules": [rule]},
    )


def _certificate(postal: PostalOnCluster) -> dict[str, Any]:
    kind, name = postal.issuer or ("", "")
    return manifest(
        "Certificate",
        postal.called("smtp"),
        postal.namespace,
        version="cert-manager.io/v1",
        labels=postal.labels("smtp"),
        spec={
            "secretName": postal.smtp_tls_secret,
            "dnsNames": [postal.smtp_hostname],
            "issuerRef": {"group": "cert-manager.io", "kind": kind, "name": name},
        },
    )
