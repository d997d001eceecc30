"""In a browser: the answer on the first screen, no sideways scrolling on a phone, nothing fetched, and it prints."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import browser
import pyarrow as pa
import pytest
from browser import Browser

from spooflab.experiments.comparison import compare_studies
from spooflab.experiments.report import write_report
from spooflab.experiments.report.compare_page import render_comparison
from spooflab.experiments.results import load_results
from spooflab.experiments.study import plan_study, run_study
from spooflab.experiments.study_config import StudyConfig

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(browser.CHROMIUM is None, reason="no chromium on the path: the report is not looked at"),
]
DESKTOP, PHONE = (1280, 900), (390, 844)
PAGES = ("few", "many", "compared")


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    started = Browser(tmp_path_factory.mktemp("profile"))
    yield started
    started.close()


@pytest.fixture(scope="module")
def pages(
    indexed: Callable[..., pa.Table], task_for: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """The reports of a study of three algorithms and of one of twenty with long names, and their comparison."""
    root = tmp_path_factory.mktemp("studies")
    index = indexed(24)
    columns = {
        "few": [{"name": name} for name in ("erm", "dann", "mixstyle")],
        "many": [{"name": "erm", "label": "erm"}]
        + [
            {"name": "mixstyle", "label": f"an_algorithm_of_a_long_name_{i:02}", "hparams": {"probability": 0.05 * i}}
            for i in range(1, 20)
        ],
    }
    out = {}
    for name, algorithms in columns.items():
        config = StudyConfig.model_validate({"algorithms": algorithms, "bootstrap": 100, "workers": 0})
        plan = plan_study(config, data=root, index=index)
        run_study(plan, root / name, command="spooflab study " + "a_long_path/" * 12, task=task_for(index))
        write_report(root / name)
        out[name] = root / name / "report.html"
    studies = load_results(root / "few"), load_results(root / "many")
    out["compared"] = root / "comparison.html"
    out["compared"].write_text(render_comparison(compare_studies(*studies), studies, (str(root / "few"), "many")))
    return out


@pytest.mark.parametrize("name", PAGES)
def test_nothing_is_fetched_and_nothing_is_wrong(chromium: Browser, pages: dict[str, Path], name: str) -> None:
    chromium.requests.clear()
    chromium.console.clear()
    chromium.open(pages[name], *DESKTOP)
    assert chromium.console == []
    fetched = [address for address in chromium.requests if not address.startswith("data:")]
    assert fetched == [pages[name].as_uri()]
    assert not re.search(r"https?://|src=\"(?!data:)|url\(|@import", pages[name].read_text())


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("window", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_the_answer_is_on_the_first_screen(
    chromium: Browser, pages: dict[str, Path], name: str, window: tuple[int, int]
) -> None:
    chromium.open(pages[name], *window, phone=window == PHONE)
    assert len(chromium.ask("document.querySelector('#answer').textContent")) > 30
    for part in ("#answer", ".glance", ".glance > div:last-child", ".sure > li:first-child"):
        box = chromium.ask(f"document.querySelector('{part}').getBoundingClientRect().toJSON()")
        assert box["height"] > 0
        assert box["top"] >= 0
        assert box["bottom"] <= window[1], (part, box)
        assert box["right"] <= window[0], (part, box)
    assert chromium.ask("parseFloat(getComputedStyle(document.body).fontSize)") >= 15


@pytest.mark.parametrize("name", PAGES)
def test_a_phone_scrolls_down_and_never_sideways(chromium: Browser, pages: dict[str, Path], name: str) -> None:
    chromium.open(pages[name], *PHONE, phone=True)
    chromium.ask("document.querySelectorAll('details').forEach(part => part.open = true)")
    # A phone's window widens with what does not fit, so the width asked for is what counts.
    widest = """[...document.querySelectorAll('body *')]
        .filter(e => !e.parentElement.closest(".scroll") && e.getBoundingClientRect().right > 390.5)
        .map(e => e.tagName + '.' + e.className + ' ' + e.textContent.slice(0, 40))"""
    assert chromium.ask(widest) == []
    assert chromium.ask("document.documentElement.scrollWidth") == PHONE[0]
    assert chromium.ask("innerWidth") == PHONE[0]


def test_a_table_scrolls_in_itself_and_keeps_its_first_column(chromium: Browser, pages: dict[str, Path]) -> None:
    chromium.open(pages["many"], *PHONE, phone=True)
    box = "document.querySelector('#matrix .scroll')"
    assert chromium.ask(f"{box}.scrollWidth > {box}.clientWidth")
    before = chromium.ask(f"{box}.querySelector('tbody th').getBoundingClientRect().left")
    chromium.ask(f"{box}.scrollLeft = 200")
    assert chromium.ask(f"{box}.scrollLeft") == 200
    after = chromium.ask(f"{box}.querySelector('tbody th').getBoundingClientRect().left")
    assert 0 <= after <= before


@pytest.mark.parametrize("name", PAGES)
def test_it_prints_on_several_pages_with_what_was_folded(chromium: Browser, pages: dict[str, Path], name: str) -> None:
    chromium.open(pages[name], *DESKTOP)
    printed = chromium.pdf()
    assert printed.startswith(b"%PDF-")
    assert len(re.findall(rb"/Type\s*/Page\b", printed)) > 1
    pictures = pages[name].read_text().count("<img ")
    # Alike pictures are stored once, so every one of the page is in print if any of each kind is.
    assert (len(re.findall(rb"/Subtype\s*/Image\b", printed)) > 0) == (pictures > 0)
    if name == "many":
        folded = "document.querySelector('#matrix details table').checkVisibility()"
        assert not chromium.ask(folded)
        chromium.call("Emulation.setEmulatedMedia", media="print")
        assert chromium.ask(folded)
        chromium.call("Emulation.setEmulatedMedia", media="")
