"""The files of a node as text. Pure."""

import json
from typing import Any, Dict, List
from urllib.parse import urlsplit

from k3s import paths

__all__ = ["config_yaml", "registries_yaml", "unit"]


def config_yaml(config: Dict[str, Any]) -> str:
    """Return config.yaml: keys of the command line, with texts, truth values and lists of texts."""
    return "\n".join([paths.MARK, *_mapping(config, "")]) + "\n"


def registries_yaml(registries: Dict[str, Any], passwords: Dict[str, str]) -> str:
    """Return registries.yaml; empty where no mirror is declared (https://docs.k3s.io/installation/private-registry).

    Logins go by the host of an endpoint, not by the registry it stands for.
    """
    if not registries["mirrors"]:
        return ""
    configs: Dict[str, Any] = {}
    for name, login in registries["logins"].items():
        entry: Dict[str, Any] = {}
        if login["username"] is not None:
            entry["auth"] = {"username": login["username"], "password": passwords[name]}
        if login["ca_file"] is not None:
            entry["tls"] = {"ca_file": login["ca_file"]}
        for endpoint in registries["mirrors"][name]:
            configs[urlsplit(endpoint).netloc] = entry
    document: Dict[str, Any] = {
        "mirrors": {name: {"endpoint": endpoints} for name, endpoints in registries["mirrors"].items()}
    }
    if configs:
        document["configs"] = configs
    return "\n".join([paths.MARK, *_mapping(document, "")]) + "\n"


def _mapping(values: Dict[str, Any], indent: str) -> List[str]:
    lines: List[str] = []
    for key, value in values.items():
        name = indent + (key if key.replace("-", "").replace("_", "").isalnum() else json.dumps(key))
        if isinstance(value, dict):
            lines += [f"{name}:", *_mapping(value, indent + "  ")]
        elif isinstance(value, list):
            lines += [f"{name}:", *(f"{indent}  - {json.dumps(item)}" for item in value)] if value else [f"{name}: []"]
        else:
            lines.append(f"{name}: {json.dumps(value)}")  # a text in JSON is one in YAML (YAML 1.2 section 7.3.1)
    return lines


def unit(kind: str) -> str:
    """Return the systemd unit of a ``server`` or an ``agent``, by the contract of k3s's own installer.

    What systemd could take away from it, pods would lose too: they are its children. So there is no private mount
    namespace (kubelet's mounts have to be seen), no filter of system calls and no smaller set of capabilities. What
    is left: no core dumps, which would hold keys, and no variables but those of one file.
    """
    after = "network-online.target firewalld.service ufw.service"
    return f"""{paths.MARK}
[Unit]
Description=Lightweight Kubernetes ({kind})
Documentation=https://docs.k3s.io
Wants=network-online.target
After={after}

[Service]
Type=notify
# Proxies (HTTP_PROXY, NO_PROXY) where the host needs them; no secret.
EnvironmentFile=-/etc/default/%N
ExecStartPre=-/sbin/modprobe br_netfilter
ExecStartPre=-/sbin/modprobe overlay
ExecStart={paths.BINARY} {kind}
# Pods outlive a restart of k3s, and with it an upgrade.
KillMode=process
Delegate=yes
User=root
LimitNOFILE=1048576
LimitNPROC=infinity
LimitCORE=0
TasksMax=infinity
TimeoutStartSec=0
Restart=always
RestartSec=5s

[Install]
WantedBy=multi-user.target
"""
