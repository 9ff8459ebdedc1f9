"""What a rehearsal proves about a relay in a container, beyond what it proves about every relay."""

import secrets
from collections.abc import Iterator

from rehearsal.container_place import ContainerPlace
from rehearsal.site import Check, Site, short
from rehearsal.submitting import submit
from rehearsal.waiting import wait_for

__all__ = ["container_checks"]

HEALTHY_SECONDS = 90
ARRIVAL_SECONDS = 90
# Argument: address. Runs where no application is.
KNOCK = """
import smtplib, sys
with smtplib.SMTP(sys.argv[1], 25, local_hostname="elsewhere.test", timeout=20) as smtp:
    smtp.mail("app@" + sys.argv[2])
    print(*smtp.rcpt("someone@recipient.test"))
"""


def container_checks(site: Site) -> Iterator[Check]:
    """Look at health and confinement, knock from elsewhere, and let Postfix die with mail in the queue."""
    place, relay = site.place, site.plan.relay.docker
    if not isinstance(place, ContainerPlace) or relay is None:
        return
    found = place.inspect()
    state, limits = found["State"], found["HostConfig"]
    yield Check(
        name="the container is healthy",
        passed=state["Health"]["Status"] == "healthy",
        evidence=f"{state['Health']['Status']}, restart {limits['RestartPolicy']['Name']}",
    )
    yield Check(
        name="its root is read-only, its memory limited, without swap",
        passed=limits["ReadonlyRootfs"] and limits["Memory"] == relay.memory_mb * 1024 * 1024,
        evidence=f"{limits['Memory'] // 1024 // 1024} MB, capabilities {', '.join(limits['CapAdd'])}",
    )
    published = {port: bound for port, bound in found["NetworkSettings"]["Ports"].items() if bound}
    yield Check(
        name="no port of the machine leads to it",
        passed=bool(published) == (relay.publish is not None),
        evidence=short(str(published or "none published")),
    )
    address = found["NetworkSettings"]["Networks"][relay.egress.name]["IPAddress"]
    domain = site.plan.relay.definition.sender_domains[0]
    answer = place.ask(["python3", "-c", KNOCK, address, domain], stranger=True).stdout.strip()
    yield Check(
        name="a container outside its network is refused", passed=answer.startswith("5"), evidence=short(answer)
    )
    yield _survives(site, place)


def _survives(site: Site, place: ContainerPlace) -> Check:
    """Queue a message, kill Postfix, and see the message arrive once the engine has started the container again."""
    fault = site.google.take_down()
    token = f"mailstack-{secrets.token_hex(8)}"
    answer = submit(site, f"app@{site.plan.relay.definition.sender_domains[0]}", "someone@recipient.test", token)
    started = place.inspect()["State"]["StartedAt"]
    place.run(["sh", "-c", "kill -9 $(cat /var/spool/postfix/pid/master.pid)"])
    again = wait_for(
        lambda: (
            place.inspect()["State"]["StartedAt"] != started
            and place.inspect()["State"].get("Health", {}).get("Status") == "healthy"
        ),
        HEALTHY_SECONDS,
    )
    site.google.remove_fault(fault.id)
    if again:
        place.run(["postqueue", "-f"])
    arrived = site.google.wait_for_subject(token, timeout_seconds=ARRIVAL_SECONDS) if again else None
    return Check(
        name="a killed relay comes back with its queue",
        passed=arrived is not None,
        evidence=f"{answer}, killed, started again by the engine, delivered" if arrived else f"healthy again: {again}",
    )
