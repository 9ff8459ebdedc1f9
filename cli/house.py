"""Draws the house from its code: which component waits for which, which roles it runs, what else it registers.

Read from the source, not from a run, so that what no committed stack has is drawn too.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

from cli.common import SOURCE

__all__ = ["house_diagram"]

# Module that registers something else than a role -> where that is.
BACK_ENDS = {
    "components.cloudflare": ("cloudflare", "Cloudflare's API"),
    "components.relay_docker": ("engine", "a Docker engine"),
    "components.cluster_objects": ("kubernetes", "a Kubernetes cluster"),
}


def house_diagram() -> str:
    """Return the program as a Mermaid flowchart, without its fence."""
    program = ast.parse((SOURCE / "__main__.py").read_text())
    parts = _components(program)
    after = dict(_order(program, parts))
    lines = [
        "flowchart TB",
        '    file["Pulumi.&lt;stack&gt;.yaml"] --> settings["mailstack/settings<br/>all mistakes at once"]',
        '    settings --> plan["mailstack/plan<br/>one frozen Plan"]',
        # Mermaid reads Markdown: two underscores would make it bold.
        '    plan --> main["#95;#95;main#95;#95;.py"]',
        *(f'    {name}["{name}<br/>{module.replace(".", "/")}.py"]' for name, module in parts.items()),
        *(f'    {_node(name)}("{name}")' for name in after if name not in parts),
    ]
    for name, before in after.items():
        # What is first anyway, since something between comes after it, needs no arrow of its own.
        direct = [it for it in before if not any(it in after[other] for other in before)]
        lines += [f"    {_node(it)} -. then .-> {_node(name)}" for it in direct] or [f"    main --> {_node(name)}"]
    for name, roles in _roles(program, parts).items():
        lines.append(f'    {name} -- "role, over SSH" --> roles_{name}["{"<br/>".join(roles)}"]')
    for name, module in parts.items():
        reached = sorted(_reached(module) & BACK_ENDS.keys())
        lines += [f'    {name} --> {BACK_ENDS[end][0]}["{BACK_ENDS[end][1]}"]' for end in reached]
    return "\n".join(lines) + "\n"


def _node(name: str) -> str:
    """Return the name by which Mermaid knows a step."""
    return name.replace(".", "_")


def _components(program: ast.Module) -> dict[str, str]:
    """Return component class -> its module, in the order the program makes them."""
    modules = {
        alias.name: node.module
        for node in ast.walk(program)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("components.")
        for alias in node.names
        if node.module
    }
    made = [call.func.id for call in _calls(program) if isinstance(call.func, ast.Name)]
    return {name: modules[name] for name in made if name in modules and name[0].isupper() and not name.endswith("Args")}


def _calls(tree: ast.AST) -> Iterator[ast.Call]:
    """Yield every call in ``tree``, in the order of the source."""
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    yield from sorted(calls, key=lambda call: (call.lineno, call.col_offset))


def _order(program: ast.Module, parts: dict[str, str]) -> Iterator[tuple[str, list[str]]]:
    """Yield each step of the program with the steps it comes after: what its arguments hold, followed through names.

    A step is a component, or what one declares later: a call that says ``after=``.
    """
    holds: dict[str, set[str]] = {}
    steps: list[str] = []

    def held(tree: ast.AST) -> set[str]:
        return set().union(*(holds.get(node.id, set()) for node in ast.walk(tree) if isinstance(node, ast.Name)))

    for statement in _statements(program):
        made = {name for name in parts if isinstance(statement, ast.Assign) and _names(statement, name)}
        later = {name: call for call in _calls(statement) if (name := _later(call, holds))}
        for name, tree in [*((name, statement) for name in made), *later.items()]:
            yield name, [other for other in steps if other in held(tree)]
            steps.append(name)
        for target in _targets(statement):
            before = set() if isinstance(statement, ast.Assign) else holds.get(target, set())
            holds[target] = before | (made or set(later) or held(statement))


def _later(call: ast.Call, holds: dict[str, set[str]]) -> str:
    """Return the name of a step that is no component of its own; empty where ``call`` is none."""
    if not any(word.arg == "after" for word in call.keywords):
        return ""
    if isinstance(call.func, ast.Attribute) and isinstance(call.func.value, ast.Name):
        return f"{'_'.join(holds[call.func.value.id])}.{call.func.attr}"
    return call.func.id if isinstance(call.func, ast.Name) and call.func.id.islower() else ""


def _statements(program: ast.Module) -> Iterator[ast.stmt]:
    """Yield the simple statements of the program, those of its conditions included."""
    for statement in program.body:
        yield from statement.body if isinstance(statement, ast.If) else [statement]


def _targets(statement: ast.stmt) -> list[str]:
    """Return the names that ``statement`` sets or adds to."""
    if isinstance(statement, ast.Assign):
        found = statement.targets
    elif isinstance(statement, ast.AugAssign | ast.AnnAssign):
        found = [statement.target]
    else:
        call = statement.value if isinstance(statement, ast.Expr) else None
        grown = call.func if isinstance(call, ast.Call) else None
        found = [grown.value] if isinstance(grown, ast.Attribute) and grown.attr == "append" else []
    return [node.id for node in found if isinstance(node, ast.Name)]


def _roles(program: ast.Module, parts: dict[str, str]) -> dict[str, list[str]]:
    """Return component -> the roles that its part of the plan has, as that part's module names them."""
    sections: dict[str, str] = {}
    for statement in _statements(program):
        names = [node.id for node in ast.walk(statement) if isinstance(node, ast.Name) and node.id.endswith("Args")]
        owners = [name.removesuffix("Args") for name in names] or [name for name in parts if _names(statement, name)]
        for node in ast.walk(statement):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "plan":
                sections |= {owner: node.attr for owner in owners if owner in parts}
    made = {}
    for name in parts:
        roles = _roles_in(SOURCE / "mailstack/plan" / f"{sections[name]}.py")
        if roles:
            made[name] = roles
    return made


def _names(statement: ast.stmt, name: str) -> bool:
    return any(isinstance(node, ast.Name) and node.id == name for node in ast.walk(statement))


def _roles_in(path: Path) -> list[str]:
    """Return the names of roles that stand in a module of the plan, in their order."""
    known = {folder.parent.name for folder in (SOURCE / "roles").glob("*/__main__.py")}
    strings = [
        value.value
        for call in _calls(ast.parse(path.read_text()))
        if isinstance(call.func, ast.Name) and call.func.id in {"RoleRun", "run"}
        for value in [*call.args[:1], *(word.value for word in call.keywords if word.arg == "role")]
        if isinstance(value, ast.Constant) and isinstance(value.value, str)
    ]
    return list(dict.fromkeys(text for text in strings if text in known))


def _reached(module: str, seen: frozenset[str] = frozenset()) -> set[str]:
    """Return ``module`` and every module of components/ that it imports, directly or not."""
    found = {module}
    for node in ast.walk(ast.parse((SOURCE / f"{module.replace('.', '/')}.py").read_text())):
        other = node.module if isinstance(node, ast.ImportFrom) else None
        if other and other.startswith("components.") and other not in seen | found:
            found |= _reached(other, seen | found)
    return found
