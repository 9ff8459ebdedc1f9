"""The site of the documents: Sphinx reads the same Markdown files, at the same places, as GitHub shows.

`make docs` builds it, and any warning fails the build. The navigation is what docs/index.md links to: a section for
each of its headings, so a page that the index does not name is a warning too. Diagrams are drawn in the browser, by a
script that lies beside the pages where scripts/mermaid.sh has fetched it, and comes from the network otherwise.
"""

import posixpath
import re
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

project = "mailstack"
extensions = ["myst_parser", "sphinxcontrib.mermaid"]
# The source folder is the whole project, so that links out of docs/ stay what they are.
root_doc = "docs/index"
include_patterns = ["docs/**.md", "CHANGELOG.md", "CONTRIBUTING.md", "README.md", "images/postfix-relay/README.md"]
exclude_patterns = [".*", "**/__pycache__", "components", "mailstack", "rehearsal", "roles", "tests", "tools"]

myst_heading_anchors = 6
myst_fence_as_directive = ["mermaid"]

html_theme = "furo"
html_title = "mailstack"
html_copy_source = False
html_show_copyright = False

MERMAID = Path(__file__).resolve().parent.parent / ".tools/mermaid/mermaid.min.js"
html_static_path = [str(MERMAID)] if MERMAID.is_file() else []
# Both diagrams are higher than wide: their own height, not a fixed one.
mermaid_height = "auto"

IMPORT = re.compile(r'^import mermaid from ".*";$', re.MULTILINE)
# Where somebody opens or serves the folder of the site.
FIRST = f"{root_doc}.html"
ENTRY = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>mailstack</title>
<meta http-equiv="refresh" content="0; url={FIRST}"><link rel="canonical" href="{FIRST}"></head>
<body><a href="{FIRST}">mailstack</a></body></html>
"""
LINK = re.compile(r"\]\(([^)#:\s]+)\.md\)")


def navigation(index: str, folder: str = "docs") -> str:
    """Return a hidden table of contents for each section of ``index`` (Markdown), with the pages it links to.

    A section with sections of its own is one for each of them.
    """
    trees, seen = [], set()
    above = ""
    for level, section in re.findall(r"^(##+) (.*\n(?:(?!##).*\n?)*)", index, flags=re.MULTILINE):
        caption, _, text = section.partition("\n")
        above = caption if level == "##" else above
        pages = [posixpath.normpath(posixpath.join(folder, name)) for name in LINK.findall(text)]
        new = [f"/{page}" for page in dict.fromkeys(pages) if page not in seen]
        seen.update(pages)
        if new:
            caption = caption if level == "##" else f"{above}: {caption.lower()}"
            trees.append("\n".join(["```{toctree}", ":hidden:", f":caption: {caption}", "", *new, "```", ""]))
    return "\n".join(trees)


def _add_navigation(_app: Sphinx, name: str, source: list[str]) -> None:
    if name == root_doc:
        source[0] += "\n" + navigation(source[0])


def _draw_without_a_network(app: Sphinx, _page: str, _template: str, context: dict[str, Any], _tree: object) -> None:
    """Let a page with a diagram use the script beside it. Opened as a file, a page may not import a module from one."""
    for script in context["script_files"] if MERMAID.is_file() else []:
        body = getattr(script, "attributes", {}).get("body", "")
        if IMPORT.search(body):
            script.attributes["body"] = IMPORT.sub("const mermaid = globalThis.mermaid;", body)
            app.add_js_file(MERMAID.name)
            return


def _write_entry(app: Sphinx, failed: Exception | None) -> None:
    if failed is None:
        (Path(app.outdir) / "index.html").write_text(ENTRY)


def setup(app: Sphinx) -> None:
    """Called by Sphinx: the index gets its navigation, pages their diagrams, the site its entry."""
    app.connect("source-read", _add_navigation)
    app.connect("html-page-context", _draw_without_a_network, priority=900)
    app.connect("build-finished", _write_entry)
