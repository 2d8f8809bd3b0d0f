"""The promise: a table marks what is significant after the adjustment, says so, and nothing else is marked."""

import numpy as np
import pandas as pd

from inequality_phenomenon import figures
from inequality_phenomenon.results import Contrast, contrasted


def test_significant_differences_are_marked_and_the_mark_is_explained():
    generator = np.random.default_rng(0)
    values = {"high": 0.6, "low": 0.2, "alike": 0.2}
    rows = [
        {"checkpoint": name, "condition": "c", "image_id": i, "share": mean + generator.normal(0, 0.1)}
        for name, mean in values.items()
        for i in range(60)
    ]
    pairs = {"differs": ("high", "low"), "does not": ("alike", "low")}
    asked = [Contrast(label, tuple((name, "c", "share") for name in pair)) for label, pair in pairs.items()]
    found = contrasted(asked, pd.DataFrame(rows), resamples=999)
    html = figures.contrast_table(contrasted(asked, None), found, name="t", caption="Caption.").html
    assert [item.adjusted_p < 0.05 for item in found] == [True, False]
    assert html.count("class='significant'") == 1 and html.index("differs") < html.index("significant")
    assert "An asterisk marks p below 0.05" in html
    plain = figures.contrast_table(contrasted(asked[1:], None), found[1:], name="t", caption="Caption.").html
    assert "significant" not in plain and "asterisk" not in plain
    assert "<th scope='col'></th>" not in html
