"""``mailstack init``: asks for little, finds out the rest, writes the stack file, makes its secrets."""

import re
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import date
from pathlib import Path

import typer

from cli.common import print_json, tell
from cli.common import say as say_aloud
from cli.init_answers import read_answers
from cli.init_certificate import key_of
from cli.init_looks import Asker, Looks, Real, Terminal
from cli.init_options import Options
from cli.verify_options import wrong_call
from mailstack.plan import load_plan
from mailstack.plan.outside import Outside
from mailstack.settings.initialise import InitError, Run, Step, initialise, rehearsal_config, run_pulumi
from mailstack.settings.problems import SettingsError
from mailstack.settings.stackfile import PROJECT, StackFileError, as_mapping, is_example, read_stack_file, sealed_config
from mailstack.settings.written import Written
from mailstack.start.answers import Answers
from mailstack.start.compose import compose
from mailstack.start.found import without_refused
from mailstack.start.fresh_file import FileThereError, engine_lines, write_fresh
from mailstack.start.pins import Pin, command, images_of, unpinned
from mailstack.start.text import stack_text

__all__ = ["Asker", "Looks", "Options", "Real", "Terminal", "init_stack"]

CUSTOM_KEY = f"{PROJECT}:caddy.custom.private_key"
LATER = "later"
# What Pulumi takes as the name of a stack; it is part of a file's name here.
STACK_NAME = re.compile(r"[A-Za-z0-9_.-]{1,100}")
Say = Callable[[str], None]


def init_stack(
    options: Options,
    *,
    root: Path,
    today: date,
    asker: Asker | None,
    looks: Looks,
    run: Run | None = None,
    called: Callable[[str], str] = str,
) -> int:
    """Write the stack file where there is none, then make the secrets that it lacks. An existing file is kept.

    ``asker`` None: there is nobody to ask. ``called`` returns how a program is called from where the person is. Returns
    0, or 1 where the person did not want the file. Raises a wrong call that names every missing flag, SettingsError for
    answers that make no stack, InitError from the Pulumi CLI, for a folder that takes no file, and when interrupted.
    """
    if STACK_NAME.fullmatch(options.stack) is None:
        name = options.stack.rpartition("/")[2]
        alone = (
            f". Fix: --stack {name}; Pulumi takes the organisation of your login, or that of `pulumi org set-default`"
            if name != options.stack and STACK_NAME.fullmatch(name)
            else ""
        )
        raise wrong_call(
            f"--stack {options.stack!r} is no name of a stack: letters, digits, hyphen, underscore, period{alone}"
        )
    path = root / f"Pulumi.{options.stack}.yaml"
    say = tell if options.as_json else say_aloud
    start = run or (lambda argv, stdin: run_pulumi(argv, stdin, root))
    if is_example(path):
        raise InitError(
            f"{path.name} is an example that comes with the repository, and its tests read it; nobody has the "
            f"passphrase of its secrets. Fix: give your stack another name, such as mycompany-{options.stack}"
        )
    own = engine_lines(path)
    created = own is not None
    written = "nothing was written"
    try:
        if own is not None:
            text = _text(options, path, today, asker, looks, say)
            # Nothing is overwritten, and a slip of the finger would throw all answers away: Enter is yes.
            if asker is not None and not options.yes and not asker.confirm(f"Write {path.name}?", default=True):
                say("nothing was written")
                return 1
            _write(path, text, own)
            where = "" if Path.cwd() == root else f" in {root}"
            say(f"wrote {path.name}{where}; every value in it has a comment")
        else:
            _keep(options, path, say)
        written = f"{path.name} is {'written' if created else 'there'}; the same command again makes what is missing"
        made: list[str] = []

        def made_one(line: str) -> None:
            made.append(line)  # and said at once: the line to authorise is said only when its key is made
            say(line)

        provider = options.secrets_provider
        needed = initialise(options.stack, root, made_one, start, secrets_provider=provider, warn=say)
        needed = _entered(options, needed, start, asker, path)
    except InitError as error:
        raise InitError(f"{error}\n{written}") from None
    except (KeyboardInterrupt, typer.Abort):
        raise InitError(f"\ninterrupted: {written}") from None
    return _end(options, path, needed, created=created, made=made, say=say, looks=looks, called=called)


# --- the file -------------------------------------------------------------------------------------------------------


def _text(options: Options, path: Path, today: date, asker: Asker | None, looks: Looks, say: Say) -> str:
    """Return the text of the file. Raises SettingsError where the answers make no stack."""
    there = looks.deployed(options.stack)
    if there:
        raise InitError(
            f"stack {options.stack} is deployed, with {there} resources, and {path.name} is not here: new keys would "
            "take the place of those in use. Fix: bring the file back from git; a new stack needs another name"
        )
    answers = read_answers(options, today, asker, looks, say)
    if answers.environment == "prod" and options.look:
        images = images_of(unpinned(compose(answers)[0]))
        found, missing = looks.digests(images) if images else ({}, {})
        for image, why in missing.items():
            say(f"digest of {image} is not known: {why}")
        answers = replace(answers, digests=found, undigested=missing)
    while True:
        try:
            return _checked(answers, path.name, today)
        except SettingsError as error:
            # A record of before is nobody's answer here: it does not stand in the way of a file.
            answers, left_out = without_refused(answers, error.problems)
            if not left_out:
                raise
            for sentence in left_out:
                say(sentence)


def _checked(answers: Answers, name: str, today: date) -> str:
    settings, notes = compose(answers)
    header = [
        f"Stack {answers.stack}, begun by `mailstack init`. Comments say what each value means; all further keys are",
        "in docs/reference/settings.md. Secrets are added below, encrypted by Pulumi: commit the file.",
    ]
    text = stack_text(settings, notes, header)
    with tempfile.TemporaryDirectory(prefix="mailstack-init-") as folder:
        draft = Path(folder) / name
        draft.write_text(text)
        load_plan(rehearsal_config(draft), written=[Written.in_file(draft)], outside=Outside(today=today))
    return text


def _write(path: Path, text: str, own: str) -> None:
    try:
        write_fresh(path, text, own)
    except FileThereError:
        raise InitError(f"{path.name} was made by somebody else meanwhile, and stays as it is") from None
    except OSError as error:
        raise InitError(
            f"{path.parent} takes no file: {error.strerror}. Fix: run it as who owns the checkout"
        ) from None


def _keep(options: Options, path: Path, say: Say) -> None:
    """Say what becomes of a file that is there. Raises InitError for one without anything of ours."""
    if not sealed_config(path):
        raise InitError(
            f"{path.name} is there, and declares nothing of mailstack. Fix: move it away, run this again, and put its "
            "lines back below `config:`"
        )
    if options.given or options.host_key:
        say(f"{path.name} is there and stays as it is: flags for a new one are left aside, missing secrets added")


# --- secrets and the end --------------------------------------------------------------------------------------------


def _entered(options: Options, needed: Sequence[Step], run: Run, asker: Asker | None, path: Path) -> list[Step]:
    """Store what a person has at hand; return what is still missing."""
    left = []
    for step in needed:
        chain = _chain_in(path) if step.path == CUSTOM_KEY else None
        if step.path == CUSTOM_KEY and options.certificate_key is not None:
            value = _given_key(options.certificate_key, chain)
        elif asker is not None and not options.yes and step.path.endswith(".private_key"):
            value = _from_file(step, chain, asker)  # no prompt takes its many lines
        elif asker is not None and not options.yes:
            value = asker.secret(f"{step.what} (empty: later)").strip()
        else:
            value = ""
        if value:
            run(["config", "set", "--secret", "--path", step.path, "--stack", options.stack], value)
        else:
            left.append(step)
    return left


def _chain_in(path: Path) -> str | None:
    """Return the certificate of a stack file, which the key has to belong to."""
    caddy = as_mapping(read_stack_file(path, lambda _where, _raw: "encrypted").get("caddy"))
    chain = as_mapping(caddy.get("custom")).get("certificate")
    return chain if isinstance(chain, str) else None


def _given_key(file: Path, chain: str | None) -> str:
    try:
        return key_of(str(file), chain)
    except ValueError as error:
        raise wrong_call(f"--certificate-key: {error}") from None


def _from_file(step: Step, chain: str | None, asker: Asker) -> str:
    """Return what a file has that a person names; empty for later."""
    while True:
        file = asker.ask(f"File with the {step.what} (PEM)", (), LATER)
        try:
            return "" if file == LATER else key_of(file, chain)
        except ValueError as error:
            asker.tell(str(error))


def _unpinned(options: Options, path: Path, looks: Looks, *, created: bool) -> list[tuple[Pin, str | None]]:
    """Return the images of a production stack that still need a digest, each with the one that its registry tells."""
    raw = {}
    with suppress(StackFileError):
        raw = read_stack_file(path, lambda _where, _raw: "encrypted")
    pins = unpinned(raw) if raw.get("environment") == "prod" else []
    # A file just written has none because nobody told one: asking once more would only take time.
    found = looks.digests(images_of(pins))[0] if pins and options.look and not created else {}
    return [(pin, found.get(pin.image)) for pin in pins]


def _end(
    options: Options, path: Path, needed: Sequence[Step], *, created: bool, made: Sequence[str], say: Say, looks: Looks,
    called: Callable[[str], str],
) -> int:  # fmt: skip
    pulumi, mailstack = called("pulumi"), called("mailstack")
    secrets = [f"{pulumi} config set --secret --path '{step.path}' --stack {options.stack}" for step in needed]
    for step, line in zip(needed, secrets, strict=True):
        say(f"still needed: {step.what}. Set it with: {line}")
    pins = [(pin, digest, command(options.stack, pin, digest, pulumi))
            for pin, digest in _unpinned(options, path, looks, created=created)]  # fmt: skip
    for pin, digest, line in pins:
        shown = "" if digest else f"; DIGEST is what `docker buildx imagetools inspect {pin.image}` shows"
        say(f"not pinned, which the policies refuse in prod: image {pin.image}. Pin it with: {line}{shown}")
    following = [*secrets, *(line for _, digest, line in pins if digest)]
    if not following and pins and created:
        following = [f"{mailstack} init --stack {options.stack}"]
    following.append(f"{mailstack} doctor --stack {options.stack}")
    say(f"next: {following[0]}")
    if options.as_json:
        document = {
            "stack": options.stack,
            "file": path.name,
            "created": created,
            "made": list(made),
            "needed": [
                {"path": step.path, "what": step.what, "command": line}
                for step, line in zip(needed, secrets, strict=True)
            ],
            "unpinned": [{"path": pin.path, "image": pin.image, "digest": digest, "command": line}
                         for pin, digest, line in pins],
            "next": following[0],
        }  # fmt: skip
        print_json(document)
    return 0
