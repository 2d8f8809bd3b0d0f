"""The promise: from the tracked files alone, the smoke profile executes every chapter and builds the whole book."""

import re
import shutil
import subprocess
from pathlib import Path
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest
import torch
from browser import axe_script, visit
from bs4 import BeautifulSoup
from conftest import python
from selenium.webdriver import ActionChains, Keys
from selenium.webdriver.support.ui import WebDriverWait

from inequality_phenomenon import gini, load_cifar10, load_profile
from inequality_phenomenon._support import paths
from inequality_phenomenon.book.workflow import chapters

CHAPTERS = chapters()
NEEDS_PHOTOGRAPHS = ("16_at_224_pixels",)  # which the book never fetches


class Page:
    """What a page refers to and what it shows."""

    def __init__(self, path: Path) -> None:
        self.text = path.read_text()
        found = BeautifulSoup(self.text, "html.parser").find_all
        self.anchors = {tag[key] for key in ("id", "name") for tag in found(attrs={key: True})}
        self.links = [tag["href"] for tag in found("a", href=True) if tag["href"]]
        self.sources = [tag["src"] for tag in found(["script", "img", "iframe"], src=True)]
        self.sources += [tag["href"] for tag in found("link", rel="stylesheet")]
        self.images = found("img")


def run_book(folder: Path) -> str:
    own = {"INEQUALITY_ROOT": str(folder), "PYTHONPATH": str(folder / "src")}
    return python("-m", "inequality_phenomenon.cli", "build", "book", "--profile", "smoke", cwd=folder, **own).stdout


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    """A copy of the files that git tracks or would track, built with the smoke profile."""
    load_cifar10("test")  # fetched before the copy needs it
    folder = tmp_path_factory.mktemp("clone")
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=paths.ROOT, capture_output=True, text=True, check=True)
    for name in filter(None, listed.stdout.split("\0")):
        if (paths.ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(paths.ROOT / name, folder / name)
    assert str(folder / "_build/html/index.html") in run_book(folder).splitlines()[-1]
    return folder


@pytest.fixture(scope="module")
def pages(book):
    html = book / "_build" / "html"
    return {path: Page(path) for path in html.rglob("*.html") if "_static" not in path.parts}


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_chapter_shows_what_this_run_measured_how_long_it_runs_and_its_sources(book, pages, chapter):
    (path, page), smoke = next(item for item in pages.items() if item[0].stem == chapter), load_profile("smoke")
    assert "Provenance of every number on this page" in page.text
    assert f"smoke, {smoke.chapters[chapter].n_images or smoke.n_images} images asked for" in page.text
    assert "This run" in page.text and re.search(r"n = \d+", page.text)
    measured = list((book / "book" / "_executed" / "records" / "smoke" / chapter).glob("*.parquet"))
    assert measured or (chapter in NEEDS_PHOTOGRAPHS and not paths.imagenette_is_here())
    assert "Traceback" not in page.text
    time, device = r"(less than a minute|about \d+ minutes?)", r"(a GPU|\d+ CPU threads?)"
    assert re.search(f"Runs in {time} with the smoke profile on {device}", page.text)
    offered = [link for link in page.links if Path(link).stem == chapter and Path(link).suffix in (".ipynb", ".py")]
    assert {Path(link).suffix for link in offered} == {".ipynb", ".py"}
    script = next(link for link in offered if link.endswith(".py"))
    assert (path.parent / script).read_text() == (paths.ROOT / "notebooks" / f"{chapter}.py").read_text()


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_chapter_begins_with_its_answer_and_is_short(pages, chapter):
    text = next(page.text for path, page in pages.items() if path.stem == chapter)
    article = BeautifulSoup(text, "html.parser").find("article")
    for hidden in article.select("script, style, noscript, template, [hidden], details:not([open]) > :not(summary)"):
        hidden.extract()
    words, numbers = article.get_text(" ").split(), re.findall(r"\d\.\d", article.get_text(" "))
    box = article.select_one(".in-short").get_text(" ").split()
    before = next(place for place in range(len(words)) if words[place : place + len(box)] == box)
    long = chapter[:2] in ("03", "12")
    assert 20 <= len(box) <= 122 and before <= 60  # "In short." are two words
    assert len(words) <= (3500 if long else 2500) and len(numbers) <= (300 if long else 200)


def test_pictures_have_alternative_texts_and_pages_are_small_and_load_nothing_from_another_host(pages):
    for path, page in pages.items():
        assert all((image.get("alt") or "").strip() for image in page.images), path
        assert not [s for s in page.sources if urlsplit(s).scheme not in ("", "data") or urlsplit(s).netloc], path
        assert path.stat().st_size <= 3e6, path
        assert not [link for link in page.links if "mybinder" in link or "colab" in link], path
    shown = [image for page in pages.values() for image in page.images if (image.get("src") or "").startswith("data:")]
    assert len(shown) >= 5 and all(re.search(r"\d|Grid", image["alt"]) for image in shown)


def test_every_link_inside_the_book_leads_somewhere(book, pages):
    html = book / "_build" / "html"
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            assert target.exists(), f"{path.relative_to(html)}: {link}"
            if parts.fragment and target in pages:
                assert unquote(parts.fragment) in pages[target].anchors, f"{path.relative_to(html)}: {link}"


@pytest.fixture(scope="module")
def visits(chromium, pages):
    script = axe_script()
    return {path.name: visit(chromium, path, script) for path in pages}


@pytest.mark.parametrize("finding", ["errors", "formula_errors", "violations", "too_wide"])
def test_a_browser_finds_nothing_wrong(visits, finding):
    found = {name: getattr(seen, finding) for name, seen in visits.items()}
    assert not {name: problems for name, problems in found.items() if problems}


def test_the_pages_ask_for_nothing_but_their_own_files(visits, book):
    own = (book / "_build" / "html").as_uri()
    asked = {address for seen in visits.values() for address in seen.requests}
    assert any("tex-chtml.js" in address for address in asked)
    assert not {address for address in asked if not address.startswith((own, "data:", "blob:"))}


def test_the_search_finds_the_gini_index(chromium, book):
    chromium.get((book / "_build" / "html" / "search.html").as_uri() + "?q=Gini")
    link = "#search-results li a[href*='01_inequality_test']"  # the results come one after the other
    assert WebDriverWait(chromium, 30).until(lambda c: c.find_elements("css selector", link))


def test_a_slider_moves_by_keyboard_and_changes_picture_and_numbers(chromium, pages):
    chromium.get(next(path for path in pages if path.stem == "14_gallery").as_uri())
    figure = chromium.find_element("id", "fig-gallery-maps")
    slider = figure.find_element("css selector", "input[name=model]")

    def state() -> tuple[str, list[str]]:
        pictures = figure.find_elements("tag name", "img")
        return figure.text, [picture.get_attribute("src") for picture in pictures if picture.is_displayed()]

    last = state()
    slider.send_keys(Keys.HOME)
    first = state()
    assert slider.get_attribute("aria-valuetext") in first[0] and slider.get_attribute("value") == "0"
    assert len(first[1]) == len(last[1]) == 3 and first[1][1:] != last[1][1:] and first[0] != last[0]
    slider.send_keys(Keys.END)
    assert state() == last


@pytest.mark.parametrize("values", [[0, 0, 0, 50, 50], [0, 0, 0, 0.1, 100], [10, 20, 30, 40, 50, 60, 70, 80, 90, 100]])
def test_the_playground_computes_equation_4(chromium, pages, values):
    chromium.get(next(path for path in pages if path.name == "method.html").as_uri())
    ours = float(gini(torch.tensor(values, dtype=torch.float64)))
    assert chromium.execute_script("return gini(arguments[0])", values) == pytest.approx(ours, abs=1e-12)
    x, y = zip(*chromium.execute_script("return lorenz(arguments[0])", values), strict=True)
    assert 1 - 2 * np.trapezoid(y, x) == pytest.approx(ours, abs=1e-12)


def test_the_playground_follows_keys_and_the_pointer(chromium, pages):
    chromium.get(next(path for path in pages if path.name == "method.html").as_uri())
    root = chromium.find_element("id", "gini-playground")
    result = root.find_element("class name", "gini-result")
    assert "Gini index 0.3000" in result.text
    root.find_element("xpath", ".//button[text()='all equal']").click()
    assert "Gini index 0.0000 of 10 values. The largest one holds 10.0 %" in result.text
    bars = root.find_elements("css selector", "[role=slider]")
    bars[0].send_keys(Keys.END)
    assert bars[0].get_attribute("aria-valuenow") == "100"
    ours = float(gini(torch.tensor([100.0] + 9 * [50.0])))
    assert f"Gini index {ours:.4f}" in result.text
    chromium.execute_script("arguments[0].scrollIntoView({block: 'center'})", root)
    width, height = (bars[9].rect[side] for side in ("width", "height"))
    ActionChains(chromium).move_to_element_with_offset(bars[9], 0, round(height / 4)).click().perform()
    assert width > 5 and abs(int(bars[9].get_attribute("aria-valuenow")) - 25) <= 2
    for bar in bars:
        bar.send_keys(Keys.HOME)
    assert result.text == "The Gini index of zeros is not defined."


def test_without_scripts_a_slider_shows_its_first_state_and_all_numbers(chromium, pages):
    chromium.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        chromium.get(next(path for path in pages if path.stem == "14_gallery").as_uri())
        figure = chromium.find_element("id", "fig-gallery-maps")
        assert not figure.find_element("class name", "slider-controls").is_displayed()
        assert [image.is_displayed() for image in figure.find_elements("tag name", "img")].count(True) == 3
        figure.find_element("tag name", "summary").click()
        assert len(figure.find_elements("css selector", "tbody tr")) > 3
    finally:
        chromium.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def test_a_second_run_executes_nothing_again(book):
    executed = {path: path.stat().st_mtime_ns for path in (book / "book" / "_executed").glob("*.ipynb")}
    run_book(book)
    assert {path: path.stat().st_mtime_ns for path in executed} == executed and len(executed) == len(CHAPTERS)
