"""The site that `make docs` builds, as its readers get it: opened as files, in headless Chromium, without a network."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from selenium import webdriver
from selenium.webdriver.support.ui import WebDriverWait

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = pytest.mark.xdist_group("browser")


class Page(HTMLParser):
    """What a page links to, and what can be linked to in it."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.headings = 0
        self.feed(file.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = dict(attrs)
        self.links += [link for name in ("href", "src") if (link := told.get(name))]
        self.headings += tag == "h1"
        if anchor := told.get("id"):
            self.anchors.add(anchor)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    subprocess.run([ROOT / "scripts/mermaid.sh"], check=False)
    folder = tmp_path_factory.mktemp("site")
    build = ["-b", "html", "-q", "-n", "-W", "-c", "docs", "-d", str(folder / "doctrees"), ".", str(folder / "html")]
    subprocess.run([sys.executable, "-m", "sphinx", *build], cwd=ROOT, check=True)
    return folder / "html"


@pytest.fixture(scope="module")
def browser() -> Iterator[webdriver.Chrome]:
    if CHROMIUM is None or DRIVER is None:
        pytest.skip("needs chromium and chromedriver (Debian: chromium, chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in (
        "--headless=new",
        "--no-sandbox",
        "--disable-dev-shm-usage",
        "--host-resolver-rules=MAP * ~NOTFOUND",
    ):
        options.add_argument(argument)
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


def open_at(browser: webdriver.Chrome, width: int, page: Path) -> None:
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    browser.get(page.as_uri())


def test_every_link_of_every_built_page_leads_to_a_page_of_the_site_and_to_an_anchor_of_it(site: Path) -> None:
    pages = {file: Page(file) for file in site.rglob("*.html")}

    def dead() -> Iterator[str]:
        for file, page in pages.items():
            for link in page.links:
                parts = urlsplit(link)
                if parts.scheme or parts.netloc:
                    continue
                target = (file.parent / unquote(parts.path)).resolve() if parts.path else file
                if not target.is_file():
                    yield f"{file.relative_to(site)}: {link}: no such file"
                elif target in pages and parts.fragment and unquote(parts.fragment) not in pages[target].anchors:
                    yield f"{file.relative_to(site)}: {link}: no such anchor"

    assert sorted(dead()) == []
    assert len(pages) > 60


def test_every_page_has_one_title_and_stands_in_the_navigation(site: Path) -> None:
    index = Page(site / "docs/index.html")
    named = {(site / "docs" / unquote(urlsplit(link).path)).resolve() for link in index.links if ".html" in link}
    made_by_sphinx = {site / name for name in ("index.html", "search.html", "genindex.html")}
    for file in set(site.rglob("*.html")) - made_by_sphinx:
        assert Page(file).headings == 1, file
        assert file == site / "docs/index.html" or file in named, file


def test_the_folder_of_the_site_opens_at_the_index(site: Path, browser: webdriver.Chrome) -> None:
    open_at(browser, 1400, site / "index.html")
    WebDriverWait(browser, 10).until(lambda driver: driver.current_url.endswith("/docs/index.html"))


def test_no_page_is_wider_than_a_telephone(site: Path, browser: webdriver.Chrome) -> None:
    def wide(page: Path) -> bool:
        open_at(browser, 400, page)
        scrolled: bool = browser.execute_script(
            "return document.documentElement.scrollWidth > document.documentElement.clientWidth"
        )
        return scrolled

    assert [str(page.relative_to(site)) for page in sorted(site.rglob("docs/**/*.html")) if wide(page)] == []


@pytest.mark.parametrize(("page", "words"), [("docs/architecture.html", "__main__.py"), ("README.html", "pulumi up")])
def test_diagrams_are_drawn_without_a_network(site: Path, browser: webdriver.Chrome, page: str, words: str) -> None:
    if not (site / "_static/mermaid.min.js").is_file():
        pytest.skip("needs what scripts/mermaid.sh fetches")
    open_at(browser, 1400, site / page)
    drawn = "return [...document.querySelectorAll('pre.mermaid svg')].map((one) => one.textContent)"
    WebDriverWait(browser, 20).until(lambda driver: driver.execute_script(drawn))
    (text,) = browser.execute_script(drawn)
    assert words in text
    assert "Syntax error" not in text


def test_the_search_finds_a_page_by_a_command_that_is_in_it(site: Path, browser: webdriver.Chrome) -> None:
    browser.get(f"{(site / 'search.html').as_uri()}?q=mailstack-postal-restore")
    found = "return [...document.querySelectorAll('#search-results a')].map((one) => one.textContent)"
    WebDriverWait(browser, 20).until(lambda driver: "Backup and restore" in driver.execute_script(found))
