"""Outputs of stacks that `mailstack env` reads, and what it wrote."""

import base64
import json
from pathlib import Path
from typing import Any

SMTP_KEY, API_KEY, LOGIN = "planted-smtp-key", "planted-api-key", "planted-login"


def relay() -> dict[str, Any]:
    environment = {
        "SMTP_HOST": "10.20.0.5", "SMTP_PORT": "25", "SMTP_USE_TLS": "false", "SMTP_FROM_EMAIL": "shop@example.com",
        "SMTP_FROM_NAME": "Müller & Söhne",
    }  # fmt: skip
    return {
        "contract_version": 1,
        "smtp_environment": environment,
        "smtp_hosts": ["10.20.0.5", "10.20.0.6"],
        "sender_domains": ["example.com"],
    }


def postal() -> dict[str, Any]:
    server = {
        "smtp_host": "mx.example.com", "smtp_port": 25, "smtp_starttls": True, "smtp_user": "company/apps",
        "smtp_keys": {"shop": SMTP_KEY}, "api_url": "https://postal.example.com/api/v1",
        "api_keys": {"shop": API_KEY, "report": "other"}, "sender_domains": ["example.org"],
    }  # fmt: skip
    return {**relay(), "mail_servers": {"company/apps": server}}


def logins(**ports: int) -> dict[str, Any]:
    told = {
        "submission_host": "relay.example.com", "submission_users": ["shop", "scanner"],
        "submission_passwords": {"shop": LOGIN, "scanner": "other"},
    }  # fmt: skip
    return {**relay(), **told, **ports}


def written(outputs: dict[str, Any], tmp_path: Path) -> str:
    path = tmp_path / "outputs.json"
    path.write_text(json.dumps(outputs))
    return str(path)


def decoded(manifest: dict[str, Any]) -> dict[str, str]:
    return {name: base64.b64decode(text, validate=True).decode() for name, text in manifest["data"].items()}
