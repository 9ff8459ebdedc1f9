"""What is provisioned inside Postal: a quick look without Rails, and the runner script that compares and mends."""

import json
from typing import Any, Dict, List, Optional

from postal.candidate import script_text, scripts
from postal.desired import fold, provision_digest
from postal.processes import telling_lines
from postal.state import State
from rolelib.commands import redact, run
from rolelib.containers import Compose, Container
from rolelib.host import RoleError

__all__ = [
    "dns_settled",
    "fingerprint",
    "judge_dns",
    "password_hashes",
    "provisioned_before",
    "run_script",
    "status_now",
]

SCRIPT = "bootstrap.rb"
RAILS_SECONDS = 240
DNS_KINDS = ("dkim", "spf", "return_path", "mx")
MAY_BE_MISSING = ("mx", "return_path")


def fingerprint(web: Optional[Container]) -> Optional[Dict[str, Any]]:
    """Return digest and DNS states from a running web container; None where that is not possible."""
    if web is None or not web.running:
        return None
    result = run(["docker", "exec", "-i", web.id, "ruby", "-"], stdin=script_text("fingerprint.rb"), check=False)
    if not result.ok:
        return None
    found: Dict[str, Any] = json.loads(result.out.strip().splitlines()[-1])
    return found


def provisioned_before(
    settings: Dict[str, Any], secrets: Dict[str, Any], state: State, now: Optional[Dict[str, Any]]
) -> bool:
    """Tell whether all that is declared was applied, and nobody changed it since."""
    applied = state.applied()
    if now is None or applied.get("fingerprint") != now["fingerprint"]:
        return False
    digest = provision_digest(settings, secrets, state.salt(), script_text(SCRIPT))
    return bool(applied.get("digest") == digest)


def password_hashes(secrets: Dict[str, Any], salt: str) -> Dict[str, str]:
    """Return user key → slow digest of the declared password."""
    return {key: fold(password, salt + key) for key, password in secrets.get("user_passwords", {}).items()}


def run_script(
    mode: str, compose: Compose, settings: Dict[str, Any], secrets: Dict[str, Any], state: State
) -> Dict[str, Any]:
    """Run bootstrap.rb with Postal's models; returns its summary. Raises RoleError with what Postal refused."""
    wait = settings["dns_check"]["wait_seconds"]
    document = {
        "mode": mode,
        "provision": settings["provision"],
        "removal": settings["removal"],
        "secrets": {name: secrets.get(name, {}) for name in ("user_passwords", "credentials", "dkim")},
        "identities": state.load("identities.json"),
        "set_passwords": _changed_passwords(secrets, state),
        "dns_wait_seconds": wait,
    }
    with scripts() as volume:
        command = ["bundle", "exec", "rails", "runner", "/mailstack/" + SCRIPT]
        result = compose.run(
            ["run", "--rm", "-T", "--volume", volume, "runner", *command],
            stdin=json.dumps(document),
            check=False,
            timeout=RAILS_SECONDS + wait,
        )
    summary = _last_object(result.out)
    if summary is None:
        said = "\n".join(telling_lines(result.out + result.err))
        raise RoleError("provision", redact(f"the runner script ended with exit code {result.code}: {said}"))
    if summary["error"]:
        if summary.get("identities"):
            state.keep("identities.json", summary["identities"])
        raise RoleError("provision", redact(str(summary["error"])))
    return summary


def _last_object(out: str) -> Optional[Dict[str, Any]]:
    lines = out.strip().splitlines()
    try:
        found = json.loads(lines[-1]) if lines else None
    except ValueError:
        return None
    return found if isinstance(found, dict) and "error" in found else None


def _changed_passwords(secrets: Dict[str, Any], state: State) -> List[str]:
    """Return the users whose declared password is another one than the last one applied here.

    Where nothing was applied here yet (a new host, a restored one) nobody's password is touched.
    """
    before = state.applied().get("passwords", {})
    now = password_hashes(secrets, state.salt())
    return sorted(key for key in now if key in before and before[key] != now[key])


def status_now(state: State, now: Optional[Dict[str, Any]]) -> Dict[str, Any]:
    """Return servers and domains as last provisioned, with the DNS states Postal has found since."""
    applied = state.applied()
    domains: Dict[str, Any] = {path: dict(found) for path, found in applied.get("domains", {}).items()}
    tracked = dict(applied.get("track_domains", {}))
    if now is not None:
        identities = state.load("identities.json")
        for path, found in domains.items():
            found.update(now["domains"].get(identities.get(path), {}))
        tracked = {path: now["track_domains"].get(identities.get(path), tracked[path]) for path in tracked}
    return {"servers": applied.get("servers", {}), "domains": domains, "track_domains": tracked}


def dns_settled(domains: Dict[str, Any]) -> bool:
    """Tell whether Postal signs every domain with its own key and found its records."""
    return not judge_dns(domains)


def judge_dns(domains: Dict[str, Any]) -> List[str]:
    """Return what Postal misses in DNS, a sentence for each domain.

    No MX for us is fine: not all get mail. So is no return path of the domain's own: then the installation's is used.
    """
    problems = []
    for path, found in sorted(domains.items()):
        name = path.rsplit("/", 1)[-1]
        wrong = [
            kind
            for kind in DNS_KINDS
            if found.get(kind) != "OK" and not (kind in MAY_BE_MISSING and found.get(kind) == "Missing")
        ]
        if not wrong:
            continue
        details = "; ".join(f"{kind} {found.get(kind)}: {found.get('errors', {}).get(kind, '')}" for kind in wrong)
        effect = ", so its mail is signed with the installation's key and fails DMARC" if "dkim" in wrong else ""
        problems.append(f"Postal does not accept the DNS records of {name}{effect} ({details})")
    return problems
