"""Postal in the first stack file: on the host, or on a cluster; and the images it and the relay run."""

from typing import Any

from mailstack.settings.postal_model import Database, PostalImage
from mailstack.start.answers import Answers
from mailstack.upstreams import PRESETS

__all__ = ["HOST", "Notes", "pinned", "postal_settings", "sends_directly", "with_postal"]

HOST = "mail1"
# What Postal takes unless told otherwise. The rest of a message, encoded headers and all, is its own.
POSTAL_MESSAGE_MB = 14
MEGABYTE = 1_000_000
IN_CLUSTER = ".svc.cluster.local"
Notes = dict[str, str]


def with_postal(answers: Answers) -> bool:
    """Tell whether the stack has a Postal."""
    return answers.postal != "none"


def sends_directly(answers: Answers) -> bool:
    """Tell whether Postal hands over to the upstream itself: no relay, or one that only containers reach."""
    return with_postal(answers) and answers.placement in {"docker", "none"}


def postal_settings(answers: Answers, first: str, notes: Notes) -> dict[str, Any]:
    """Return the section ``postal``, with a note on what needs one."""
    notes["postal.organizations.0.mail_servers.0.credentials"] = "rename `app`, and add one for each application"
    on_cluster = answers.postal == "kubernetes"
    largest = PRESETS[answers.upstream].message_size_bytes // MEGABYTE - 1
    postal: dict[str, Any] = {"placement": "kubernetes"} if on_cluster else {"host": HOST}
    postal |= {"web_hostname": f"postal.{first}", "smtp_hostname": f"mx.{first}"}
    image, fields = PostalImage(), Database.model_fields
    pin = _pin(answers, f"{image.repository}:{image.tag}", "postal.image", notes)
    if pin:
        postal["image"] = pin
    if on_cluster:
        postal["database"] = {"kind": "external", "address": answers.database}
        notes["postal.database.address"] = "MariaDB 10.6 or newer, with database and user `postal` made before"
    else:
        database = f"{fields['image'].default}:{fields['tag'].default}"
        postal["database"] = {**_pin(answers, database, "postal.database", notes), "memory_mb": 1024}
    postal["admin"] = {"email": answers.contact}
    postal["organizations"] = [
        {
            "name": first,
            "permalink": "company",
            "mail_servers": [
                {
                    "name": "Applications",
                    "permalink": "apps",
                    "domains": list(answers.domains),
                    "credentials": [{"name": "app", "type": "SMTP"}, {"name": "app", "type": "API"}],
                }
            ],
        }
    ]
    if sends_directly(answers):
        postal["sending"] = {"path": "direct"}
    if largest < POSTAL_MESSAGE_MB:
        postal["max_message_mb"] = largest
    if on_cluster:
        postal["kubernetes"] = _kubernetes(answers, notes)
    return postal


def _kubernetes(answers: Answers, notes: Notes) -> dict[str, Any]:
    cluster: dict[str, Any] = {"context": answers.context}
    if answers.tls == "secret":
        cluster["create_namespace"] = False
        notes["postal.kubernetes.create_namespace"] = "make namespace mail-postal and the Secret before `pulumi up`"
        cluster["smtp_tls_secret"] = answers.tls_secret
    cluster |= {"smtp_addresses": list(answers.smtp_addresses), "web_addresses": list(answers.web_addresses)}
    if answers.tls == "cert-manager":
        cluster["issuer"] = {"name": answers.issuer}
    cluster["web"] = {"controller_namespace": answers.ingress_namespace}
    if answers.tls == "secret":
        cluster["web"]["tls_secret"] = answers.tls_secret
    name, _, rest = (answers.database or "").partition(".")
    if name and rest.endswith(IN_CLUSTER):
        cluster["network_policies"] = {"database_namespace": rest.removesuffix(IN_CLUSTER)}
    return cluster


def _pin(answers: Answers, image: str, place: str, notes: Notes) -> dict[str, Any]:
    """Return tag and digest of an image: in production which bytes run is not for a registry to say."""
    if answers.environment != "prod":
        return {}
    tag = {"tag": image.rpartition(":")[2]}
    if image in answers.digests:
        notes[f"{place}.digest"] = f"what {image} was when this file was made; change it together with the tag"
        return {**tag, "digest": answers.digests[image]}
    notes[f"{place}.tag"] = _missing(answers, image, "a digest beside it")
    return tag


def pinned(answers: Answers, image: str, place: str, notes: Notes) -> str:
    """Return the name of an image with what pins it, where production wants it and it is known."""
    if answers.environment != "prod" or "@" in image:
        return image
    if image in answers.digests:
        notes[place] = "the digest is what the tag led to when this file was made"
        return f"{image}@{answers.digests[image]}"
    notes[place] = _missing(answers, image, "@sha256:… behind it")
    return image


def _missing(answers: Answers, image: str, what: str) -> str:
    why = answers.undigested.get(image, "nobody was asked")
    return (
        f"in prod it goes with {what}, which was not known when this file was made ({why}): "
        f"`mailstack init --stack {answers.stack}` asks again"
    )
