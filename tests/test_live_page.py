"""The promise: the networks in the reader's browser are those of the book, and the page needs neither mouse nor network."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from browser import axe_script, inspect
from conftest import python
from PIL import Image
from selenium.webdriver import ActionChains, Chrome, Keys
from selenium.webdriver.support.ui import WebDriverWait

from inequality_phenomenon import attribute, global_gini, load_checkpoint
from inequality_phenomenon._support import paths
from inequality_phenomenon._support.npm import PackageError
from inequality_phenomenon.book import live_page, vendor
from inequality_phenomenon.networks import logits

pytestmark = pytest.mark.slow
BUILD = """from inequality_phenomenon.book.live_page import write_live_page
from jupyter_book.cli.main import main
write_live_page()
main(["build", ".", "--keep-going", "-q"])"""
EVERYTHING = """const [name, done] = arguments;
const net = new foolIt.Network(foolIt.networks[name], foolIt.shared);
const { ids, labels, nodes, weights } = foolIt.shared;
done(ids.map((id, i) => {
  const pixels = foolIt.picture(id);
  const [x, start] = [foolIt.normalised(pixels), foolIt.baseline("normal", id)];
  const map = net.gradients(x, start, labels[i], nodes, weights).map((slope, j) => slope * (x[j] - start[j]));
  const hit = foolIt.masks(map).find(({ mask }) => foolIt.best(net.logits(foolIt.hide(pixels, mask, "black"))) !== labels[i]);
  return { logits: net.logits(pixels), map: [...map], gini: gini(Array.from(map, Math.abs)), hidden: hit?.area ?? -1 };
}));"""


@pytest.fixture(scope="module")
def page(once: Callable[..., Path]) -> Path:
    """The page and the glossary as a book, with the configuration, scripts and styles of the whole one."""

    def write(folder: Path) -> None:
        kept = paths.CACHE / "vendor"
        for library in vendor.LIBRARIES:
            if not library.folder(kept).exists():
                vendor.fetch(library, kept)
        shutil.copytree(paths.BOOK, folder / "book", ignore=shutil.ignore_patterns("_*", "vendor", "index.md"))
        shutil.copytree(kept, folder / "book" / "static" / "vendor")
        shutil.copy(paths.ROOT / "_config.yml", folder)
        (folder / "_toc.yml").write_text("format: jb-book\nroot: book/fool_it\nchapters:\n  - file: book/glossary\n")
        (folder / "checkpoints").symlink_to(paths.CHECKPOINTS)
        python("-c", BUILD, cwd=folder, INEQUALITY_ROOT=str(folder), NO_COLOR="1")

    try:
        return once("live_page", write) / "_build" / "html" / "book" / "fool_it.html"
    except PackageError as problem:
        pytest.skip(f"a script of the book could not be fetched: {problem}")


def said(chromium: Chrome, name: str) -> str:
    return chromium.find_element("id", f"fool-{name}").get_attribute("textContent") or ""


def settle(chromium: Chrome) -> None:
    shown = "return document.querySelectorAll('.fool-gini strong').length"
    WebDriverWait(chromium, 120).until(lambda c: c.execute_script(shown) == 2 and "…" not in said(c, "verdict"))


def open_at(chromium: Chrome, page: Path, state: str = "", wait: bool = True) -> None:
    chromium.get("about:blank")
    chromium.get(f"{page.as_uri()}#{state}")
    if not state:
        chromium.find_element("id", "fool-start").click()
    if wait:
        settle(chromium)


def painted(chromium: Chrome) -> str:
    return chromium.execute_script("return document.getElementById('fool-canvas').toDataURL()")


def test_the_networks_in_the_browser_are_pytorchs(chromium: Chrome, page: Path) -> None:
    open_at(chromium, page)
    _, images, _ = live_page.live_pictures()
    for name, (model, maps, fooled, _, area) in zip(live_page.PAIR, live_page.searches(), strict=True):
        found = chromium.execute_async_script(EVERYTHING, name)
        assert len(found) == 20
        theirs = torch.tensor([one["map"] for one in found]).view(20, 32, 32, 3).permute(0, 3, 1, 2)
        assert ((theirs - maps).flatten(1).norm(dim=1) < 1e-2 * maps.flatten(1).norm(dim=1)).all()
        scores = torch.tensor([one["logits"] for one in found])
        assert torch.allclose(scores, logits(model, images), rtol=0, atol=1e-3)
        assert [one["gini"] for one in found] == pytest.approx(global_gini(maps).tolist(), abs=1e-3)
        assert [one["hidden"] for one in found] == torch.where(fooled, area, -1).tolist()


@pytest.mark.parametrize("kind", ["black", "mean", "normal"])
def test_the_gini_index_follows_the_baseline(chromium: Chrome, page: Path, kind: Any) -> None:
    ids, images, labels = live_page.live_pictures()
    open_at(chromium, page, f"picture={ids[3]}&baseline={kind}")
    shown = [float(index.text) for index in chromium.find_elements("css selector", ".fool-gini strong")]
    for name, index in zip(live_page.PAIR, shown, strict=True):
        maps = attribute(load_checkpoint(name), images[3:4], labels[3:4], ids=ids[3:4], baseline=kind)
        assert index == pytest.approx(float(global_gini(maps)), abs=1e-3)


def test_algorithm_1_stops_where_each_network_is_fooled(chromium: Chrome, page: Path) -> None:
    open_at(chromium, page)
    chromium.find_element("id", "fool-algorithm").send_keys(Keys.ENTER)
    WebDriverWait(chromium, 60).until(lambda c: "fooled first" in said(c, "verdict"))
    hidden = [int(note.text.split()[0]) for note in chromium.find_elements("class name", "fool-note")]
    assert hidden == [int(area[live_page.most_easily_fooled()]) for *_, area in live_page.searches()]
    assert "Algorithm 1, black" in said(chromium, "log") and "algorithm=black" in chromium.current_url


def test_the_keyboard_paints_and_a_link_restores_what_it_painted(chromium: Chrome, page: Path) -> None:
    open_at(chromium, page)
    clean, canvas = painted(chromium), chromium.find_element("id", "fool-canvas")
    canvas.send_keys(Keys.ARROW_LEFT, Keys.ARROW_DOWN, Keys.SPACE)
    assert "1 patch, the last one black, 4 x 4 at row 17, column 15; 16 pixels in all" in said(chromium, "log")
    one = painted(chromium)
    chromium.find_element("css selector", "[name=fool-brush][value=noise]").send_keys(Keys.SPACE)
    canvas.send_keys(Keys.SHIFT, Keys.ARROW_UP, Keys.NULL, Keys.ENTER)
    both = painted(chromium)
    assert len({clean, one, both}) == 3
    chromium.find_element("css selector", "[name=fool-baseline][value=mean]").send_keys(Keys.SPACE)
    settle(chromium)
    verdict, state = said(chromium, "verdict"), chromium.current_url.partition("#")[2]
    open_at(chromium, page, state)
    assert painted(chromium) == both and said(chromium, "verdict") == verdict
    assert chromium.current_url.endswith(state) and chromium.find_element("css selector", "[value=mean]").is_selected()
    chromium.find_element("id", "fool-canvas").send_keys(Keys.BACKSPACE)
    assert painted(chromium) == one
    chromium.find_element("id", "fool-clear").click()
    assert painted(chromium) == clean


def test_the_mouse_lays_patches_side_by_side(chromium: Chrome, page: Path) -> None:
    open_at(chromium, page)
    canvas = chromium.find_element("id", "fool-canvas")
    chromium.execute_script("arguments[0].scrollIntoView({block: 'center'})", canvas)
    step = canvas.rect["width"] / 32
    stroke = ActionChains(chromium).move_to_element(canvas).click_and_hold()
    for _ in range(8):
        stroke = stroke.move_by_offset(round(step), 0)
    stroke.release().perform()
    assert "3 patches, the last one black" in said(chromium, "log") and "48 pixels in all" in said(chromium, "log")


def test_an_upload_is_used_or_refused_in_one_sentence(chromium: Chrome, page: Path, tmp_path: Path) -> None:
    open_at(chromium, page)
    before, field = painted(chromium), chromium.find_element("id", "fool-file")
    (tmp_path / "letter.png").write_text("no image")
    (tmp_path / "huge.png").write_bytes(bytes(25 * 2**20))
    for words in ("letter.png is no image", "huge.png has 25 MB; at most 20 MB"):
        field.send_keys(str(tmp_path / words.split()[0]))
        WebDriverWait(chromium, 60).until(lambda c, words=words: words in said(c, "verdict"))
        assert painted(chromium) == before
    frames = [Image.new("RGB", (90, 60), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:], duration=100, loop=0)
    field.send_keys(str(tmp_path / "moving.gif"))
    WebDriverWait(chromium, 60).until(lambda c: "the first frame is used" in said(c, "log"))
    settle(chromium)
    pixel = "return [...document.getElementById('fool-canvas').getContext('2d').getImageData(9, 9, 1, 1).data]"
    assert chromium.execute_script(pixel) == [255, 0, 0, 255] and "picture=" not in chromium.current_url


def test_without_webassembly_one_sentence_says_so_and_painting_goes_on(chromium: Chrome, page: Path) -> None:
    hide = chromium.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": "delete window.WebAssembly"})
    try:
        open_at(chromium, page, wait=False)
        WebDriverWait(chromium, 60).until(lambda c: "this browser has no WebAssembly" in said(c, "verdict"))
        before = painted(chromium)
        chromium.find_element("id", "fool-canvas").send_keys(Keys.SPACE)
        assert painted(chromium) != before and "16 pixels in all" in said(chromium, "log")
    finally:
        chromium.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", hide)


def test_the_running_page_is_accessible_and_asks_no_other_host(chromium: Chrome, page: Path) -> None:
    script = axe_script()
    chromium.get_log("browser"), chromium.get_log("performance")
    open_at(chromium, page, f"picture={live_page.live_pictures()[0][6]}&algorithm=white&patches=bgg1")
    seen = inspect(chromium, script)
    assert (seen.errors, seen.violations, seen.too_wide) == ([], [], [])
    own = page.parents[1].as_uri()
    assert not [address for address in seen.requests if not address.startswith((own, "data:", "blob:", "about:"))]


def test_without_scripts_or_tensorflow_the_still_picture_stays(chromium: Chrome, page: Path) -> None:
    chromium.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        chromium.get(page.as_uri())
        still = chromium.find_element("id", "fool-still")
        assert [image.is_displayed() for image in still.find_elements("tag name", "img")] == 4 * [True]
        assert not any(chromium.find_element("id", name).is_displayed() for name in ("fool-it", "fool-start"))
    finally:
        chromium.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
    alone = live_page.still(0)
    assert "built without a network" in alone and "fool-start" not in alone
