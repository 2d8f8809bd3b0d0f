"""Choose your reading: every universe of the main claims in the page, for the reader to pick one. Script: book/static/readings.js.

The effects travel packed: for each combination of options, the last choice running fastest, the effect and the half width of its
95 % interval as two bytes in ``step`` units, compressed. A half width of 255 marks a combination that the plan excludes.
"""

import gzip
import json
from base64 import b64encode
from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np

from ..measure.multiverse import plan
from ..verdicts.multiverse import Multiverse, deciding, with_maps
from .multiverse import called, in_order, titled, unit_of
from .style import Shown

STEP = {"points": 0.01, "Gini": 0.005}  # of the packed effects
EXCLUDED = 255


def packed_readings(found: Multiverse) -> dict[str, Any]:
    """One claim for the script: its choices, and the bytes of all combinations. ``found``: with those that coincide."""
    table, step = with_maps(found.table), STEP[unit_of(found)]
    options = {choice: in_order(choice, table[choice]) for choice in deciding(found)}
    options = {choice: own for choice, own in options.items() if len(own) > 1}
    measured = table.set_index(list(options))[["effect", "high"]]
    every = measured.reindex(list(product(*options.values())))
    effect, half = every.effect / step, (every.high - every.effect) / step
    packed = [effect.clip(-127, 127).round().fillna(0), half.clip(0, EXCLUDED - 1).round().fillna(EXCLUDED)]
    content = np.stack(packed, axis=1).astype(np.int16).astype(np.uint8).tobytes()
    return {
        "id": found.claim,
        "title": plan()["claims"][found.claim]["title"],
        "unit": unit_of(found),
        "step": 100 * step if unit_of(found) == "points" else step,
        "choices": [{"label": called(c), "options": [titled(c, o) for o in own]} for c, own in options.items()],
        "readings": b64encode(gzip.compress(content, 9, mtime=0)).decode(),
    }


def explorer(multiverses: Sequence[Multiverse]) -> Shown:
    """The page's own part: a claim and its choices as lists, the effect, and its place among all."""
    claims = [packed_readings(found) for found in multiverses if len(found.table)]
    content = json.dumps(claims, ensure_ascii=False, separators=(",", ":")).replace("</", "<\\/")
    html = (
        "<div class='readings'><p class='no-script'>With scripts on, you choose a reading here and see its effect.</p>"
        f"<script type='application/json'>{content}</script></div>"
    )
    return Shown(html, "In the book's page you choose a reading here and see its effect.")
