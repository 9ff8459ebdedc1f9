"""What a renderer makes of our Markdown: which tags, and what stands outside of code, where forges look for names."""

import re
from html.parser import HTMLParser

from markdown_it import MarkdownIt

HOSTILE = "@octocat <img src=x onerror=alert(1)> [x](http://e.example) #1 `code` | **b** <!-- x --> www.e.example"
# What GitHub or GitLab make a link, an emoji or an order of where it is no code: people, issues, merge requests,
# labels, milestones, snippets, epics, addresses, commits.
REFERENCES = re.compile(
    r"@|[#!~%$&^]\w|:[a-z]\w*:|www\.|://|\[\[|(?m:^\s*/\w)|\b(?=[0-9a-f]*[a-f])[0-9a-f]{7,40}\b|\b[A-Za-z][A-Za-z0-9]*-\d+\b"
)
PLAIN_TAGS = frozenset({*("h2", "h3", "p", "strong", "ul", "li", "code", "pre", "blockquote", "details", "summary")})
TABLE_TAGS = frozenset({"table", "thead", "tbody", "tr", "th", "td"})


class Page(HTMLParser):
    """A rendered text. ``cells`` are the numbers of cells of its tables' rows."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.cells: list[int] = []
        self.within = self.outside = self.text = ""
        self._depth = 0
        self.feed(MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(text))
        self.close()

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.add(tag)
        self._depth += tag in {"code", "pre"}
        if tag == "tr":
            self.cells.append(0)
        elif tag in {"td", "th"}:
            self.cells[-1] += 1

    def handle_endtag(self, tag: str) -> None:
        self._depth -= tag in {"code", "pre"}

    def handle_data(self, data: str) -> None:
        self.text += data
        if self._depth:
            self.within += data
        else:
            self.outside += data


def assert_harmless(text: str) -> None:
    """Nothing of the text calls anybody, links anywhere or is a tag of others."""
    page = Page(text)
    assert page.tags <= PLAIN_TAGS | TABLE_TAGS
    found = REFERENCES.search(page.outside)
    assert found is None, page.outside[max(0, found.start() - 40) : found.end() + 40]
