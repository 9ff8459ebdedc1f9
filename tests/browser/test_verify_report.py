"""The page of a run in a real browser, headless Chromium: at the width of a telephone and of a desk, light and dark.

Debian has both programs (chromium, chromium-driver). No page is fetched: the report is a file, and loads nothing.
"""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from mailstack.verify.history import past_of
from mailstack.verify.report.page import html_report
from tests.unit.verify_examples import STARTED, example_report, made_up_checks, only_these

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="needs chromium (Debian: chromium)"),
    pytest.mark.skipif(DRIVER is None, reason="needs chromedriver (Debian: chromium-driver)"),
    pytest.mark.xdist_group("browser"),
]
WIDTHS = (400, 1400)
# Contrast of every text with what is behind it (WCAG 2.2, 1.4.3), from what the browser really uses; below 4.5 is told.
CONTRAST = """
const channels = (text) => text.match(/[\\d.]+/g).map(Number);
const linear = (v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
const light = ([r, g, b]) => 0.2126 * linear(r / 255) + 0.7152 * linear(g / 255) + 0.0722 * linear(b / 255);
const behind = (node) => {
  for (let one = node; one; one = one.parentElement) {
    const found = channels(getComputedStyle(one).backgroundColor);
    if (found.length === 3 || found[3] === 1) return found;
  }
  return [255, 255, 255];
};
const bad = [];
const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
let count = 0;
while (texts.nextNode()) {
  const node = texts.currentNode.parentElement;
  if (!texts.currentNode.textContent.trim() || !node.checkVisibility() || node.closest("script, style, svg")) continue;
  const [a, b] = [light(channels(getComputedStyle(node).color)), light(behind(node))].sort((x, y) => y - x);
  count += 1;
  const ratio = (a + 0.05) / (b + 0.05);
  if (ratio < 4.5) bad.push([texts.currentNode.textContent.trim(), ratio.toFixed(2)]);
}
return [count, bad];
"""
# Elements that stick out of the page to the right, however they are hidden.
OUTSIDE = """
const edge = document.documentElement.clientWidth + 0.5;
return [...document.querySelectorAll("body *")]
  .filter((node) => node.checkVisibility() && node.getBoundingClientRect().right > edge)
  .map((node) => node.outerHTML.slice(0, 90));
"""

SIZES = """
return [...document.querySelectorAll("body *")].filter((node) => !node.closest("script, svg"))
  .map((node) => parseFloat(getComputedStyle(node).fontSize));
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--incognito"):
        options.add_argument(argument)
    options.binary_location = str(CHROMIUM)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(executable_path=str(DRIVER)))
    try:
        yield driver
    finally:
        driver.quit()


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a report with everything in it: every state, runs before, and evidence of the worst kind."""
    path = tmp_path_factory.mktemp("report") / "verify.html"
    with only_these(*made_up_checks()):
        report = example_report()
        long = replace(report.findings[0], found="v=DKIM1; p=" + "M" * 800, details=("<b>x</b>" + "y" * 400,))
        past = [past_of(example_report(STARTED - timedelta(hours=number))) for number in range(12, 0, -1)]
        path.write_text(html_report(replace(report, findings=(long, *report.findings[1:])), past))
    return path


def log(browser: webdriver.Chrome, kind: str) -> list[str]:
    """Return the messages of one of the browser's logs since it was read last."""
    entries: list[dict[str, str]] = browser.get_log(kind)  # type: ignore[no-untyped-call] # selenium leaves it bare
    return [entry["message"] for entry in entries]


def opened(browser: webdriver.Chrome, page: Path, width: int, *, dark: bool = False) -> webdriver.Chrome:
    """Open the page in a window of this width, with empty logs."""
    wishes = {"prefers-color-scheme": "dark" if dark else "light", "prefers-reduced-motion": "reduce"}
    features = [{"name": name, "value": value} for name, value in wishes.items()]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    for kind in ("browser", "performance"):
        log(browser, kind)
    browser.get(page.as_uri())
    return browser


def visible(browser: webdriver.Chrome) -> list[str]:
    """Return the states of the findings that are shown."""
    found = browser.find_elements(By.CSS_SELECTOR, ".finding")
    return sorted(str(one.get_attribute("data-state")) for one in found if one.is_displayed())


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_the_page_is_readable(browser: webdriver.Chrome, page: Path, width: int, dark: bool) -> None:
    opened(browser, page, width, dark=dark)
    browser.execute_script("for (const one of document.querySelectorAll('details')) one.open = true")
    inner, client, scroll = browser.execute_script(
        "const { clientWidth, scrollWidth } = document.documentElement; return [innerWidth, clientWidth, scrollWidth]"
    )
    assert inner == width
    assert scroll <= client, "nothing scrolls sideways"
    assert browser.execute_script(OUTSIDE) == []
    count, bad = browser.execute_script(CONTRAST)
    assert bad == []
    assert count > 60, "the texts are found"
    assert min(browser.execute_script(SIZES)) >= 12


@pytest.mark.parametrize("width", WIDTHS)
def test_the_page_says_what_is_wrong_and_what_to_do(browser: webdriver.Chrome, page: Path, width: int) -> None:
    opened(browser, page, width)
    text = browser.find_element(By.TAG_NAME, "body").text
    for part in (
        "stack prod",
        "What needs a person: 3 findings",
        "run pulumi up; remove the record of the previous provider",
        "two records: v=spf1 -all <script>alert(1)</script> &",
        "2 domains, 1 host",
        "10 of 11 shown",
    ):
        assert part in text
    assert browser.title == "fail: mailstack verify, stack prod"
    assert browser.find_element(By.CSS_SELECTOR, ".chart").is_displayed()


def test_the_console_stays_empty_and_nothing_is_asked_for(browser: webdriver.Chrome, page: Path) -> None:
    opened(browser, page, 1400)
    browser.find_element(By.CSS_SELECTOR, ".find").send_keys("spf")
    assert log(browser, "browser") == []
    messages = [json.loads(message)["message"] for message in log(browser, "performance")]
    asked = [one["params"]["request"]["url"] for one in messages if one["method"] == "Network.requestWillBeSent"]
    assert asked == [page.as_uri()]


def test_the_policy_stops_what_a_stranger_would_add(browser: webdriver.Chrome, page: Path) -> None:
    opened(browser, page, 1400)
    browser.execute_script(
        "const added = document.createElement('div');"
        "added.innerHTML = `<img src=x onerror=\"document.title = 'taken over'\">`; document.body.append(added);"
    )
    assert browser.title != "taken over"
    assert any("Content Security Policy" in message for message in log(browser, "browser"))


@pytest.mark.parametrize("width", WIDTHS)
def test_the_filter_shows_the_states_that_are_chosen(browser: webdriver.Chrome, page: Path, width: int) -> None:
    opened(browser, page, width)
    assert visible(browser) == ["fail"] * 2 + ["ok"] * 6 + ["unknown", "warn"], "what does not apply is out of the way"
    browser.find_element(By.CSS_SELECTOR, "input[value=ok]").click()
    assert visible(browser) == ["fail", "fail", "unknown", "warn"]
    assert not browser.find_element(By.ID, "group-D").is_displayed(), "no empty group is left"
    browser.find_element(By.CSS_SELECTOR, "input[value=na]").click()
    assert visible(browser) == ["fail", "fail", "na", "unknown", "warn"]
    assert browser.find_element(By.CSS_SELECTOR, ".shown").text == "5 of 11 shown"


def test_the_filter_finds_words(browser: webdriver.Chrome, page: Path) -> None:
    opened(browser, page, 1400)
    field = browser.find_element(By.CSS_SELECTOR, ".find")
    field.send_keys("EXAMPLE.org record")
    assert visible(browser) == ["fail"]
    field.send_keys(" nothing-has-this")
    assert visible(browser) == []


def test_a_link_leads_to_a_finding_that_was_hidden(browser: webdriver.Chrome, page: Path) -> None:
    opened(browser, page, 1400)
    browser.find_element(By.CSS_SELECTOR, "input[value=fail]").click()
    link = browser.find_element(By.CSS_SELECTOR, ".urgent a")
    link.click()
    assert browser.find_element(By.CSS_SELECTOR, str(link.get_dom_attribute("href"))).is_displayed()


def test_a_keyboard_is_enough(browser: webdriver.Chrome, page: Path) -> None:
    opened(browser, page, 1400)
    browser.find_element(By.TAG_NAME, "body").send_keys(Keys.TAB)
    assert browser.switch_to.active_element.text == "Skip to the findings"
    box = browser.find_element(By.CSS_SELECTOR, "input[value=warn]")
    box.send_keys(Keys.SPACE)
    assert "warn" not in visible(browser)


def test_without_its_script_the_page_shows_everything(browser: webdriver.Chrome, page: Path, tmp_path: Path) -> None:
    still = tmp_path / "still.html"
    still.write_text(page.read_text().replace('"use strict"', '"use other"'))  # its hash is not the policy's any more
    opened(browser, still, 400)
    assert len(visible(browser)) == 11
    assert not browser.find_element(By.CSS_SELECTOR, ".filter").is_displayed()
