"""Two declarations compared: of one stack at two times, or of two environments."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from mailstack.diff.changes import Change, changes
from mailstack.diff.code import CodeChanges
from mailstack.diff.declaration import Declaration
from mailstack.diff.environments import SettingChange, aligned, setting_changes
from mailstack.diff.facts import facts
from mailstack.diff.operations import Operation, operations
from mailstack.diff.resources import CodeOf, after, resources, with_old_image
from mailstack.diff.restarts import Restart, restarts
from mailstack.diff.risks import Risk, risks
from mailstack.diff.secrets_told import SecretChange, secret_changes
from mailstack.reach.bundle import code_digest

__all__ = ["Comparison", "Reread", "compare", "compare_environments"]

# Reads a declaration once more, with other values at some places.
Reread = Callable[[Mapping[str, str]], Declaration]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What differs. ``kind`` says of what: a ``change`` of one stack, or two ``environments``.

    ``uncertain`` are names of resources that are touched only where an encrypted value is really another one;
    ``maybe`` are the restarts of that sort. ``settings`` is told of environments only, and what is done to resources
    of a change only.
    """

    kind: Literal["change", "environments"]
    before: Declaration | None
    after: Declaration | None
    changes: tuple[Change, ...] = ()
    secrets: tuple[SecretChange, ...] = ()
    operations: Mapping[str, Operation] = field(default_factory=dict)
    uncertain: frozenset[str] = frozenset()
    restarts: tuple[Restart, ...] = ()
    maybe: frozenset[Restart] = frozenset()
    risks: tuple[Risk, ...] = ()
    settings: tuple[SettingChange, ...] = ()
    code: CodeChanges = field(default_factory=CodeChanges)
    names: Mapping[str, str] = field(default_factory=dict)

    @property
    def different(self) -> bool:
        """Tell whether anything differs."""
        return bool(
            self.changes or self.secrets or self.operations or self.settings or self.code.files
            or (self.before is None) != (self.after is None)
        )  # fmt: skip


def compare(
    before: Declaration | None,
    after_: Declaration | None,
    *,
    reread: Reread | None = None,
    code: CodeChanges | None = None,
    beside: Sequence[str] = (),
) -> Comparison:
    """Compare one stack before and after a change; None where there is no such stack.

    ``reread`` reads the one after again with the secrets of before, so that what differs only where a secret does is
    told apart; without it everything counts as certain. ``code`` is what differs in the code. ``beside``: see
    ``risks``.
    """
    code = code or CodeChanges()
    secrets = tuple(secret_changes(before, after_))
    same = after_
    reset = {one.place for one in secrets if one.word == "changed"}
    if reset and before is not None and after_ is not None and reread is not None:
        same = reread({place: before.texts[place] for place in reset})
    done, seen, risky = _done(before, after_, code, beside)
    done_surely, seen_surely, risky_surely = (
        (done, seen, risky) if same is after_ else _done(before, same, code, beside)
    )
    told = [{} if one is None else facts(one.plan) for one in (before, after_, same)]
    return Comparison(
        kind="change",
        before=before,
        after=after_,
        changes=changes(*told),
        secrets=secrets,
        operations=done,
        uncertain=frozenset(
            name for name in done if name not in done_surely or done_surely[name].word != done[name].word
        ),
        restarts=seen,
        maybe=frozenset(seen) - frozenset(seen_surely),
        risks=tuple(risk if risk in risky_surely else replace(risk, certain=False) for risk in risky),
        code=code,
    )


def _done(
    before: Declaration | None, after_: Declaration | None, code: CodeChanges, beside: Sequence[str]
) -> tuple[dict[str, Operation], tuple[Restart, ...], tuple[Risk, ...]]:
    old = None if before is None else before.plan
    new = None if after_ is None else after_.plan
    if old is not None and new is not None:
        new = after(old, new)
    of_old: CodeOf = code.before or code_digest
    was = {} if old is None else resources(with_old_image(old) if code.image else old, of_old)
    done = operations(was, {} if new is None else resources(new, code_digest))
    if new is None:  # a file that goes destroys nothing
        done = {}
    return done, restarts(done, old, new), risks(old, new, done, beside)


def compare_environments(source: Declaration, target: Declaration) -> Comparison:
    """Compare two environments. Names of the first that stand for one of the second are replaced by it first.

    Of secrets only those are told that one side has and the other has not: each environment has its own.
    """
    names = aligned(source, target)
    told = {names.key(key): names.fact(fact) for key, fact in facts(source.plan).items()}
    other = facts(target.plan)
    return Comparison(
        kind="environments",
        before=source,
        after=target,
        changes=tuple(
            one
            for one in changes(told, other, other)
            # Which environment it is, is what they are compared for.
            if not (one.secret and one.word == "changed") and one.key[0] != "stack"
        ),
        settings=tuple(setting_changes(source, target, names)),
        names=names.pairs,
    )
