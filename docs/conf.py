"""The site of the documents: Sphinx reads the same Markdown files, at the same places, as GitHub shows.

`make docs` builds it, and any warning fails the build. The navigation is what docs/index.md links to: a section for
each of its headings, so a page that the index does not name is a warning too.
"""

import posixpath
import re

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

LINK = re.compile(r"\]\(([^)#:\s]+)\.md\)")


def navigation(index: str, folder: str = "docs") -> str:
    """Return a hidden table of contents for each section of ``index`` (Markdown), with the pages it links to."""
    trees, seen = [], set()
    for section in re.split(r"^## ", index, flags=re.MULTILINE)[1:]:
        caption, _, text = section.partition("\n")
        pages = [posixpath.normpath(posixpath.join(folder, name)) for name in LINK.findall(text)]
        new = [f"/{page}" for page in dict.fromkeys(pages) if page not in seen]
        seen.update(pages)
        if new:
            trees.append("\n".join(["```{toctree}", ":hidden:", f":caption: {caption}", "", *new, "```", ""]))
    return "\n".join(trees)


def _add_navigation(_app: Sphinx, name: str, source: list[str]) -> None:
    if name == root_doc:
        source[0] += "\n" + navigation(source[0])


def setup(app: Sphinx) -> None:
    """Called by Sphinx: the index gets its navigation."""
    app.connect("source-read", _add_navigation)
