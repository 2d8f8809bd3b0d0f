"""The reader chooses a reading: what the page holds, and what it says in a browser."""

import gzip
import json
import re
from base64 import b64decode
from math import prod

import numpy as np
import pandas as pd
import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select, WebDriverWait

from inequality_phenomenon._support import paths
from inequality_phenomenon.measure.multiverse import plan
from inequality_phenomenon.measure.reference import load_reference
from inequality_phenomenon.show.multiverse import EXCLUDED, STEP, explorer, named_readings, packed_readings
from inequality_phenomenon.verdicts.multiverse import multiverse


@pytest.fixture(scope="module")
def chosen():
    records = load_reference("15_every_reading")
    return [multiverse(claim, records, every=True) for claim in ("index", "noise")]


def test_the_page_holds_every_combination(chosen) -> None:
    for found in chosen:
        facts = packed_readings(found)
        values = np.frombuffer(gzip.decompress(b64decode(facts["readings"])), np.uint8).reshape(-1, 2)
        assert len(values) == prod(len(choice["options"]) for choice in facts["choices"])
        known = values[:, 1] != EXCLUDED
        assert known.sum() == len(found.table)
        effects = np.sort(values[known, 0].view(np.int8) * STEP["Gini" if found.claim == "index" else "points"])
        assert np.abs(effects - np.sort(found.table.effect)).max() <= STEP["points"] / 2 + 1e-9
    assert len(explorer(chosen).html) < 400_000


def test_the_readings_that_the_plan_named_are_shown_with_the_effect_that_they_have(chosen) -> None:
    shown, (index, _) = named_readings(chosen).text, chosen
    own = index.table.merge(pd.DataFrame([plan()["anchors"]["the scripts"]]))
    assert len(own) == 2 and all(f"{effect:+.3f} [" in shown for effect in own.effect)
    assert shown.count("the scripts") == 4 and "against" in shown


@pytest.mark.slow
def test_a_reader_finds_a_reading_by_mouse_and_by_keyboard(chosen, chromium, tmp_path) -> None:
    script, page = (paths.BOOK / "static" / "readings.js").as_uri(), tmp_path / "page.html"
    head = "<!doctype html><html lang=en><title>x</title>"
    page.write_text(f"{head}{explorer(chosen).html}<script src='{script}'></script>")
    chromium.get(page.as_uri())
    said = WebDriverWait(chromium, 60).until(lambda b: b.find_element(By.CLASS_NAME, "readings-said"))
    lists = [Select(e) for e in chromium.find_elements(By.TAG_NAME, "select")]
    facts = json.loads(chromium.find_element(By.CSS_SELECTOR, ".readings script").get_attribute("textContent"))
    assert [option.text for option in lists[0].options] == [claim["title"] for claim in facts]
    first = said.text
    verdict = "(for the claim|against the claim|undecided)"
    assert re.match(rf"[+−]0\.\d{{3}} Gini \[.*\]: {verdict}\. Number [\d,]+ of", first)
    lists[1].options[0].find_element(By.XPATH, "..").send_keys(Keys.ARROW_DOWN)
    assert said.text != first
    right, wrong = chromium.find_elements(By.CSS_SELECTOR, ".readings button")
    for button, words in ((right, "for the claim"), (wrong, "against the claim")):
        button.click()
        assert words in said.text
    lists[0].select_by_index(1)
    assert "points" in said.text and not [entry for entry in chromium.get_log("browser") if entry["level"] == "SEVERE"]
