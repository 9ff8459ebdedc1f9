"""The look from outside that `pulumi up` may end with (`verify.after_up`).

Owns: nothing. It registers no resource, so a preview shows nothing of it and the state holds nothing of it
(docs/adr/0020). It waits until everything else was made, runs the checks of `mailstack verify`, and tells what it saw:
as warnings, or as an error that ends the update. Only an update looks: a preview has changed nothing yet.
"""

import asyncio
import os
from collections.abc import Sequence

import pulumi

from mailstack.plan import Plan
from mailstack.plan.verification import verify_target

__all__ = ["verify_afterwards"]


def verify_afterwards(plan: Plan, after: Sequence[pulumi.Resource]) -> pulumi.Output[str] | None:
    """Look once all of ``after`` is there, and return what was seen in one line; None where nobody is to look.

    With ``fail`` and something wrong the program ends with a pulumi.RunError then, and with it the update.
    """
    if plan.settings.verify.after_up == "off" or pulumi.runtime.is_dry_run():
        return None

    async def look(_made: object) -> str:
        return await _look(plan)

    # A resource's URN is told once it was made.
    return pulumi.Output.all(*(resource.urn for resource in after)).apply(look)


async def _look(plan: Plan) -> str:
    """Return what was seen, in one line."""
    # Only an update that looks pays for what looking needs.
    from mailstack.plan.message_path import message_path  # noqa: PLC0415
    from mailstack.verify.model import State  # noqa: PLC0415
    from mailstack.verify.report.summary import sentences, summary_line  # noqa: PLC0415
    from mailstack.verify.run import run_checks  # noqa: PLC0415
    from mailstack.verify.selection import select  # noqa: PLC0415
    from mailstack.verify.surroundings import around  # noqa: PLC0415

    asked, world = plan.settings.verify, around(os.environ)
    report = await asyncio.to_thread(
        run_checks,
        verify_target(plan),
        world,
        names=select(asked.checks),
        seconds=asked.seconds,
        message=message_path(plan, world),
    )
    wrong, line = sentences(report), summary_line(report)
    if not wrong:
        pulumi.log.info(f"verify: {line}")
    elif asked.after_up == "warn" or report.worst is not State.FAIL:
        pulumi.log.warn("\n".join([f"verify: {line}", *wrong]))
    else:
        raise pulumi.RunError(
            "\n".join(
                [
                    f"verify: everything was made, and looked at from outside it is not right: {line}",
                    *wrong,
                    "Look again with `mailstack verify`; `verify.after_up: warn` lets an update end well all the same.",
                ]
            )
        )
    return line
