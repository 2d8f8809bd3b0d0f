"""Writes the tables of ``book/imagenet.md``: what a run costs, and the paper's numbers beside an empty column.

``python tests/imagenet_page.py`` does it; a test checks that they are up to date.
"""

import pandas as pd
from torchvision.models import get_model_weights

from inequality_phenomenon._support import paths
from inequality_phenomenon._support.files import atomic_path
from inequality_phenomenon._support.profiles import load_profile
from inequality_phenomenon.imagenet.doctor import MAP_BYTES, in_words, maps_planned, passes_of
from inequality_phenomenon.networks import checkpoint_of, named, network_of

PAGE = paths.BOOK / "imagenet.md"
BEGIN, END = "<!-- {0}: written by python tests/imagenet_page.py -->", "<!-- end of {0} -->"


def costs() -> str:
    """Passes and time of each chapter at 10 TFLOP/s, of twice torchvision's multiply-adds a pass, and the disk for maps."""
    profile, whole = load_profile("imagenet"), 0.0
    heads = "| Chapter | Forward and backward passes | Forward passes, at most | Estimate at 10 TFLOP/s |"
    lines = [heads, "|---|---|---|---|"]
    for chapter, _, (gradients, forwards, _) in passes_of(profile):
        models = profile.chapters[chapter].models
        adds = sum(1e9 * get_model_weights(network_of(name))["IMAGENET1K_V1"].meta["_ops"] for name in models)
        seconds = 2 * adds * (2 * gradients + forwards) / 10e12
        whole += seconds
        estimate = in_words(seconds) if seconds else "maps of chapter 01"
        lines.append(f"| {chapter} | {len(models) * gradients:,.0f} | {len(models) * forwards:,.0f} | {estimate} |")
    maps = maps_planned(profile)
    disk = f"The {maps:,.0f} attribution maps of {MAP_BYTES / 1e3:.0f} kB take {MAP_BYTES * maps / 1e9:.1f} GB of disk."
    return "\n".join([*lines, f"| all | | | {in_words(whole)} |", "", disk])


def published() -> str:
    values = pd.read_csv(paths.PUBLISHED_VALUES, keep_default_na=False, dtype=str)
    parts = []
    for table, rows in values[values.dataset == "imagenet"].groupby("table", sort=False):
        heading = str(table).replace("table", "Table ").replace("section", "Section ")
        lines = [f"### {heading}", "", "| Network | What | Paper | Yours |", "|---|---|---|---|"]
        for row in rows.to_dict("records"):
            network = named(checkpoint_of(row["architecture"], row["training"], row["epsilon_255"], dataset="imagenet"))
            what = ", ".join(row[key].replace("_", " ") for key in ("metric", "setting", "attribution") if row[key])
            value = row["value"] + (f" ± {row['sd']}" if row["sd"] else "") + (" %" if row["unit"] == "%" else "")
            lines.append(f"| {network} | {what} | {value if row['value'] else '(not in our copy of the text)'} | |")
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def with_blocks(page: str) -> str:
    for name, text in (("costs", costs()), ("published", published())):
        before, _, rest = page.partition(BEGIN.format(name))
        _, _, after = rest.partition(END.format(name))
        page = f"{before}{BEGIN.format(name)}\n\n{text}\n\n{END.format(name)}{after}"
    return page


if __name__ == "__main__":
    with atomic_path(PAGE) as temporary:
        temporary.write_text(with_blocks(PAGE.read_text("utf-8")), "utf-8")
