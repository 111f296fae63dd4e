"""The report as one HTML page, in a real browser."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from time import perf_counter
from typing import Any

import pytest

from hpsearch.records import State
from hpsearch.reporting.page import page_html, trials_table
from hpsearch.reporting.provenance import study_toml
from hpsearch.results.frames import Report
from hpsearch.study.file import load_study, study_from_document
from tests.browser import Browser, chromium
from tests.page_study import CORPUS, full_report, hostile_report, large_report
from tests.report_study import DOCUMENT, example
from tests.studies import finished_report

WIDTHS = (390, 768, 1280)
ROWS = "return [...document.querySelectorAll('#trial-table tbody tr')]"
DRAWN = """return [...document.querySelectorAll('.chart')].map((holder) =>
    [holder.dataset.name, holder.querySelectorAll('svg path, svg line, svg text').length])"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def report() -> Report:
    return full_report()


@pytest.fixture(scope="module")
def text(report: Report) -> str:
    return page_html(report)


@pytest.fixture(scope="module")
def opened(
    browser: Browser, text: str, tmp_path_factory: pytest.TempPathFactory
) -> tuple[list[str], list[str]]:
    """The page is open; what it said in the console and asked for until then."""
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(text, encoding="utf-8")
    browser.open(path)
    return browser.complaints(), browser.requests()


@pytest.fixture
def page(browser: Browser, opened: tuple[list[str], list[str]]) -> Browser:
    browser.size(1280, 800)
    browser.prefer("light")
    browser.js("delete document.documentElement.dataset.theme; scrollTo(0, 0)")
    return browser


def column(page: Browser, head: str) -> list[str]:
    heads = page.js(
        "return [...document.querySelectorAll('#trial-table thead button')].map((b) => b.textContent)"
    )
    return page.js(f"{ROWS}.map((row) => row.children[arguments[0]].textContent)", heads.index(head))


def press_head(page: Browser, head: str) -> str:
    """Sort by a column; returns what it says of its order."""
    return page.js(
        """const button = [...document.querySelectorAll('#trial-table thead button')]
            .find((each) => each.textContent === arguments[0]);
        button.click();
        return button.closest('th').getAttribute('aria-sort')""",
        head,
    )


def filter_by(page: Browser, words: str, shown: str) -> None:
    """Type into the filter and wait until so many rows are said to be found."""
    page.js(
        """const field = document.getElementById('filter');
        field.value = arguments[0];
        field.dispatchEvent(new Event('input'))""",
        words,
    )
    page.wait(f"return document.getElementById('shown').textContent.includes({json.dumps(shown)})")


# -- what it is ----------------------------------------------------------------------------------


def test_the_same_report_gives_the_same_page_and_nothing_of_it_is_elsewhere(
    report: Report, text: str
) -> None:
    assert page_html(report) == text
    for tag in re.findall(r"<(?:script|link|img|iframe|style|a)\b[^>]*>", text.split("<script>")[0]):
        assert not re.search(r"(?:src|href)=\"(?!#)", tag), tag


def test_every_chart_is_drawn_without_a_request_or_a_word_in_the_console(
    page: Browser, opened: tuple[list[str], list[str]]
) -> None:
    drawn = dict(page.js(DRAWN))
    names = {
        "confirmed",
        "curves",
        "seeds",
        "importances",
        "parallel",
        "comparison",
        "isolation-learning_rate",
    }
    assert names <= drawn.keys()
    assert min(drawn.values()) > 10
    complaints, requests = opened
    assert complaints == []
    assert len(requests) == 1


def test_charts_say_in_words_what_they_show(page: Browser, report: Report) -> None:
    said = dict(
        page.js("return [...document.querySelectorAll('.chart')].map((c) => [c.dataset.name, c.ariaLabel])")
    )
    best = report.row(int(report.ranked["trial"].iloc[0]))
    assert f"trial {best['trial']} {100 * best['value']:.1f}% at epoch {best['best_epoch']}" in said["curves"]
    assert report.confirmation is not None
    mean = report.confirmation.best.estimate
    assert mean is not None
    assert f"trial {report.confirmation.best.trial} {100 * mean.mean:.1f}%" in said["confirmed"]
    assert all(re.search(r"\d", words) for words in said.values())


def test_headings_are_in_order_and_tables_have_captions_and_scopes(page: Browser) -> None:
    levels = page.js("return [...document.querySelectorAll('h1,h2,h3,h4')].map((h) => Number(h.tagName[1]))")
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert page.js(
        """return [...document.querySelectorAll('table')].every((table) =>
            table.caption.textContent && [...table.querySelectorAll('th')].every((th) => th.scope))"""
    )
    anchors = page.js(
        "return [...document.querySelectorAll('nav a, .skip')].map((a) => a.getAttribute('href'))"
    )
    assert all(page.js("return !!document.querySelector(arguments[0])", anchor) for anchor in anchors)
    order = page.js("return [...document.querySelectorAll('main > section[id]')].map((s) => s.id)")
    assert order == ["confirmed", "curves", "comparison", "lessons", "advice", "trials", "provenance"]


def test_the_first_box_says_what_was_searched_what_won_and_how_sure_that_is(
    page: Browser, report: Report
) -> None:
    lines = page.js("return [...document.querySelectorAll('.answer p')].map((p) => p.textContent)")
    words = [line.split()[0] for line in lines]
    assert words == ["Searched", "Answer", "Best", "With"]
    assert "120 trials of learning_rate" in lines[0]
    assert report.confirmation is not None
    assert f"Trial {report.confirmation.best.trial}: test accuracy" in lines[2]


# -- what it does --------------------------------------------------------------------------------


def test_headings_sort_numbers_as_numbers_and_what_is_missing_last(page: Browser, report: Report) -> None:
    assert press_head(page, "learning_rate") == "ascending"
    rates = report.trials["param_learning_rate"].sort_values()
    shown = [float(cell) for cell in column(page, "learning_rate")]
    assert shown == pytest.approx(rates.head(25).tolist(), rel=0.01)
    assert press_head(page, "learning_rate") == "descending"
    assert column(page, "trial")[0] == str(report.trials["trial"][rates.index[-1]])
    press_head(page, "rank")
    press_head(page, "rank")
    assert column(page, "rank")[0] == str(len(report.ranked))
    assert page.js("return document.querySelectorAll('[aria-sort]:not([aria-sort=none])').length") == 1


def test_words_and_comparisons_filter_the_rows(page: Browser, report: Report) -> None:
    while press_head(page, "rank") != "ascending":
        pass
    trials = report.trials
    tanh = trials[(trials["param_activation"] == "tanh") & (trials["epochs"] >= 9)]
    filter_by(page, "tanh epochs>=9", f"{len(tanh)} found of 120")
    assert column(page, "trial") == tanh["trial"].head(25).astype(str).tolist()
    good = (trials["value"] > 0.95).sum()
    filter_by(page, "accuracy>95%", f"{good} found of 120")
    diverged = (trials["state"] == str(State.FAILED)).sum()
    filter_by(page, "state=diverged", f"{diverged} found of 120")
    filter_by(page, "no such word", "none of 120")
    filter_by(page, "", "1–25 of 120 trials")
    pages = 0
    while not page.js("return document.getElementById('next').disabled"):
        page.js("document.getElementById('next').click()")
        pages += 1
    assert pages == 4
    assert len(column(page, "rank")) == 20


def test_a_switch_draws_the_chart_otherwise(page: Browser) -> None:
    press = """document.querySelectorAll('button[data-chart=curves]').forEach((button) => {
        if (button.textContent === arguments[0]) button.click(); })"""
    labels = (
        "[...document.querySelectorAll('[data-name=curves] .role-axis-label text')].map((t) => t.textContent)"
    )
    before = page.js(f"return {labels}.join(' ')")
    assert "%" in before
    page.js(press, "loss")
    page.wait(f"return {labels}.length && !{labels}.join().includes('%')")
    page.js(press, "loss")
    page.wait(f"return {labels}.join(' ') === {json.dumps(before)}")
    assert page.complaints() == []


def test_dark_and_light_follow_the_system_and_the_switch(page: Browser) -> None:
    paper = "return getComputedStyle(document.body).backgroundColor"
    line = "return getComputedStyle(document.querySelector('[data-name=curves] .role-axis-label text')).fill"
    assert page.js(paper) == "rgb(255, 255, 255)"
    light = page.js(line)
    page.prefer("dark")
    dark = page.js(paper)
    assert dark != "rgb(255, 255, 255)"
    assert page.js(line) != light
    assert page.js("return document.getElementById('theme').getAttribute('aria-pressed')") == "true"
    page.js("document.getElementById('theme').click()")
    assert page.js(paper) == "rgb(255, 255, 255)"
    page.js("document.getElementById('theme').click()")
    assert page.js(paper) == dark


@pytest.mark.parametrize("width", WIDTHS)
def test_the_page_never_scrolls_sideways(page: Browser, width: int) -> None:
    page.size(width, 844)
    page.wait("return document.querySelectorAll('.chart svg').length > 5")
    assert page.js("return document.documentElement.scrollWidth") <= width
    wide = page.js(
        "return [...document.querySelectorAll('.scroll')].filter((b) => b.scrollWidth > innerWidth).length"
    )
    assert wide or width > 390


def test_it_prints(page: Browser) -> None:
    page.js("window.opened = 0; addEventListener('beforeprint', () => setTimeout(() => window.opened = 1))")
    printed = page.pdf()
    assert printed.startswith(b"%PDF")
    assert 2 <= len(re.findall(rb"/Type\s*/Page\b", printed)) <= 12
    assert page.js("return document.querySelectorAll('details[open]').length") == 0


def test_the_keyboard_reaches_everything_and_sees_where_it_is(page: Browser) -> None:
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    seen = []
    for _ in range(16):
        ActionChains(page.driver).send_keys(Keys.TAB).perform()
        seen.append(
            page.js(
                "return document.activeElement.className || document.activeElement.id || "
                "document.activeElement.getAttribute('href') || document.activeElement.tagName"
            )
        )
        assert page.js("return getComputedStyle(document.activeElement).outlineStyle") != "none"
    assert seen[:2] == ["skip", "theme"]
    assert "#trials" in seen
    assert "scroll" in seen


# -- what it must not do -------------------------------------------------------------------------


def test_nothing_of_a_hostile_study_runs_or_disturbs(browser: Browser, tmp_path: Path) -> None:
    report, found = hostile_report()
    path = tmp_path / "report.html"
    path.write_text(page_html(report, {}, found), encoding="utf-8")
    browser.size(390, 844)
    browser.complaints()
    browser.requests()
    browser.open(path)
    browser.js(
        """document.querySelectorAll('body *').forEach((each) => {
            each.dispatchEvent(new MouseEvent('mouseover', { bubbles: true }));
            each.dispatchEvent(new PointerEvent('pointerover', { bubbles: true }));
        });
        document.querySelectorAll('button').forEach((button) => button.click())"""
    )
    browser.wait("return document.querySelectorAll('.chart svg').length > 10")
    assert browser.js("return window.ran === undefined")
    assert (
        browser.js(
            "return document.querySelectorAll('img, svg image, iframe, main script, main style').length"
        )
        == 0
    )
    assert browser.complaints() == []
    assert [url for url in browser.requests() if not url.startswith("file://")] == []
    assert browser.js("return document.documentElement.scrollWidth") <= 390
    shown = browser.js("return document.body.innerText")
    for words in (CORPUS[0], CORPUS[4], CORPUS[11], r"\x1b]0;title\x07\u202e\u2028"):
        assert words in shown
    assert not re.search(
        "[\x1b\x07\u202e\u2028]", path.read_text(encoding="utf-8").split('id="chart-data"')[0]
    )


def test_scripts_run_by_their_hash_alone(page: Browser) -> None:
    page.js(
        """const script = document.createElement('script');
        script.textContent = 'window.ran = 1';
        document.body.append(script)"""
    )
    assert page.js("return window.ran === undefined")
    assert any("Content Security Policy" in said for said in page.complaints())
    policy = page.js("return document.querySelector('meta[http-equiv]').content")
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy


class Blocks(HTMLParser):
    """The texts of script elements that are data, as a browser delimits them."""

    def __init__(self) -> None:
        super().__init__()
        self.found: dict[str, str] = {}
        self._open: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        own = dict(attrs)
        self._open = own.get("id") if own.get("type") == "application/json" else None

    def handle_data(self, data: str) -> None:
        if self._open:
            self.found[self._open] = self.found.get(self._open, "") + data

    def handle_endtag(self, tag: str) -> None:
        self._open = None


def test_vega_is_given_no_name_of_the_study_as_a_field_or_an_expression() -> None:
    report, found = hostile_report()
    blocks = Blocks()
    blocks.feed(page_html(report, {}, found))
    charts = json.loads(blocks.found["chart-data"])["charts"]
    keys = {"field", "x2", "expr", "test", "filter", "calculate", "signal", "labelExpr", "as"}

    def walk(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
        if isinstance(value, dict):
            for name, item in value.items():
                if name != "values":
                    yield from walk(item, name)
        elif isinstance(value, list):
            for item in value:
                yield from walk(item, key)
        else:
            yield key, value

    pairs = [pair for chart in charts.values() for pair in walk(chart["spec"])]
    used = {value for key, value in pairs if key in keys}
    assert used
    assert all(re.fullmatch(r"[a-z]{1,8}", str(value)) for value in used), used


# -- how large it gets ---------------------------------------------------------------------------


def test_ten_thousand_trials_of_a_hundred_epochs_fit_into_five_megabytes(
    browser: Browser, tmp_path: Path, record_property: Any
) -> None:
    report = large_report()
    began = perf_counter()
    path = tmp_path / "report.html"
    path.write_text(page_html(report), encoding="utf-8")
    record_property("seconds_to_make", perf_counter() - began)
    assert path.stat().st_size <= 5e6
    browser.size(1280, 800)
    browser.complaints()
    began = perf_counter()
    browser.open(path)
    record_property("seconds_to_open", perf_counter() - began)
    assert column(browser, "rank")[0] == "1"
    assert page_rows(browser) == 25
    deep = ((report.trials["param_depth"] >= 5) & (report.trials["value"] > 0.9)).sum()
    filter_by(browser, "depth>=5 accuracy>90%", f"{deep:,} found of 10,000")
    assert browser.complaints() == []


def page_rows(page: Browser) -> int:
    return int(page.js(f"{ROWS}.length"))


# -- what it holds -------------------------------------------------------------------------------


def test_the_table_has_every_number_of_the_trials(report: Report) -> None:
    table = trials_table(report)
    columns = {each["head"]: each for each in table["columns"]}
    assert table["rows"] == len(report.trials)
    assert columns["trial"]["values"] == report.trials["trial"].tolist()
    values = [float("nan") if v is None else v for v in columns["accuracy"]["values"]]
    assert values == pytest.approx(report.trials["value"].tolist(), rel=1e-4, nan_ok=True)
    words = columns["activation"]["words"]
    assert [words[at] for at in columns["activation"]["values"]] == report.trials["param_activation"].tolist()
    assert sum(value is not None for value in columns["confirmed"]["values"]) == 6


def test_the_study_on_the_page_can_be_run_again(tmp_path: Path) -> None:
    resolved = study_from_document(DOCUMENT).resolve("multiclass").document()
    path = tmp_path / "digits.toml"
    path.write_text(study_toml(resolved), encoding="utf-8")
    assert load_study(path).document() == resolved


@pytest.mark.parametrize("state", [State.COMPLETE, State.FAILED])
def test_a_study_of_one_trial_has_a_page(browser: Browser, tmp_path: Path, state: State) -> None:
    record, trials, curves = example(30)
    own = next(trial for trial in trials if trial.state is state)
    path = tmp_path / "report.html"
    report = finished_report(record, [own], {own.number: curves[own.number]})
    path.write_text(page_html(report), encoding="utf-8")
    browser.complaints()
    browser.open(path)
    assert browser.complaints() == []
    assert page_rows(browser) == 1
