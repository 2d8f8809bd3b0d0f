"""One style for all figures and tables: the same colour for the same network everywhere, alt text made from the numbers."""

import html
import re
from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as MatplotlibFigure
from torch import Tensor

from ..networks import named, training_of
from ..statistics import Estimate
from .words import NAMES, plain

plt.rcdefaults()  # whatever the user's own settings are
plt.rcParams |= {
    "font.size": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.titlesize": 10,
    "axes.labelsize": 10,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "grid.alpha": 0.3,
    "figure.constrained_layout.use": True,
    "svg.fonttype": "none",
    "svg.hashsalt": "inequality",
}


def look(checkpoint: str) -> dict[str, Any]:
    """Colour and marker of a checkpoint, by the training in its name (``cifar10-NETWORK-TRAINING-sSEED``), or somebody's own."""
    training = training_of(checkpoint)
    looks = [own for key, own in NAMES["looks"].items() if key in training and training != checkpoint]
    colour, marker = looks[-1] if looks else NAMES["own_look"]
    return {"color": colour, "marker": marker}


def dot(
    axes: Axes,
    estimate: Estimate,
    place: float,
    checkpoint: str,
    *,
    unit: str = "Gini",
    upright: bool = False,
    **more: Any,
) -> None:
    """A network's value with its interval: a horizontal bar at the height ``place``, or an ``upright`` one above it."""
    scale, seen = 100 if unit == "%" else 1, look(checkpoint)
    value, low, high = (scale * v for v in (estimate.value, estimate.low, estimate.high))
    x, y, along = (place, value, "yerr") if upright else (value, place, "xerr")
    style = {
        "fmt": seen["marker"],
        "color": seen["color"],
        "ms": 6,
        "capsize": 3,
        along: [[value - low], [high - value]],
    }
    axes.errorbar(x, y, **style | more)


Rows = Mapping[str, Sequence[tuple[str, Estimate]]]  # what is measured -> (checkpoint, value)


def dot_panels(
    panels: Mapping[str, tuple[Rows, str]],
    size: tuple[float, float],
    said: Callable[[Estimate], str] = plain,
    *,
    step: float = 0.24,
    share: bool = False,
    **more: Any,
) -> tuple[MatplotlibFigure, list[Axes], list[str]]:
    """Panels of dots, two in a row, with one legend: title -> (rows, unit: "Gini" or "%"); and every dot in words.

    A named row for each quantity, in it the networks ``step`` apart; ``share``: the rows are the same in all panels. Trainings
    that differ in the seed share a title in the legend. Of two networks that look alike the second is hollow.
    """
    shape = -(-len(panels) // 2), min(2, len(panels))
    figure, grid = plt.subplots(*shape, figsize=size, sharey=share, squeeze=False)
    words = []
    for axes, (title, (rows, unit)) in zip(grid.flat, panels.items(), strict=False):
        kinds = {_unseeded(c): look(c) for items in rows.values() for c, _ in items}
        hollow = {kind for i, kind in enumerate(kinds) if kinds[kind] in list(kinds.values())[:i]}
        titled = set[str]()
        for place, (name, items) in enumerate(rows.items()):
            for shift, (checkpoint, value) in enumerate(items):
                kind, label = _unseeded(checkpoint), named(checkpoint)
                style = {"label": None if kind in titled else label} | ({"mfc": "white"} if kind in hollow else {})
                dot(axes, value, place + step * (shift - (len(items) - 1) / 2), checkpoint, unit=unit, **style | more)
                titled.add(kind)
                words.append(", ".join([*filter(None, [title]), name, f"{label}: {said(value)}"]))
        axes.set_yticks(range(len(rows)), list(rows))
        axes.set_ylim(len(rows) - 0.5, -0.5)  # the first row is on top
        axes.set(title=title, xlabel="images, %" if unit == "%" else "Gini index")
    for spare in grid.flat[len(panels) :]:
        spare.set_axis_off()
    shared_legend(figure, grid[0, 0], ncols=3)
    return figure, list(grid.flat), words


def _unseeded(checkpoint: str) -> str:
    return re.sub(r"-s\d+$", "", checkpoint)


def image(axes: Axes, pixels: Tensor | np.ndarray, **more: Any) -> None:
    """A picture (h, w) or (3, h, w) without a scale beside it."""
    if isinstance(pixels, Tensor):
        pixels = (pixels.permute(1, 2, 0) if pixels.ndim == 3 else pixels).cpu().numpy()
    axes.imshow(pixels, **more)
    axes.set(xticks=[], yticks=[])
    axes.grid(False)


def log_ticks(axes: Axes, places: Sequence[int]) -> None:
    """A logarithmic x axis that names these places alone."""
    axes.set_xscale("log")
    axes.set_xticks(places, list(map(str, places)), fontsize=9)
    axes.minorticks_off()


def shared_legend(figure: MatplotlibFigure, axes: Axes, **more: Any) -> None:
    """One legend outside of the panels, of what one of them shows."""
    style: dict[str, Any] = {"loc": "outside lower center", "ncols": 2} | more
    figure.legend(*axes.get_legend_handles_labels(), **style)


@dataclass
class Shown:
    """HTML for the book and, for other outputs, a picture or plain text; shown by putting it last in a cell."""

    html: str
    text: str
    png: bytes | None = None
    alt: str = ""

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        bundle = {"text/html": self.html, "text/plain": self.text}
        return bundle | ({"image/png": b64encode(self.png).decode()} if self.png else {})

    def __add__(self, other: "Shown") -> "Shown":
        return Shown(self.html + other.html, f"{self.text}\n\n{other.text}")


def drawn(figure: MatplotlibFigure, *, name: str, caption: str, alt: str, vector: bool = True) -> Shown:
    """A figure with its caption (the finding) and alt text (what a reader who cannot see it needs).

    ``name`` becomes the anchor ``#fig-NAME``; ``vector=False`` for figures made of images.
    """
    png = _saved(figure, "png")
    kind, content = ("svg+xml", _saved(figure, "svg")) if vector else ("png", png)
    plt.close(figure)
    source = f"data:image/{kind};base64,{b64encode(content).decode()}"
    body = (
        f"<figure id='fig-{name}' class='measured'><img src='{source}' alt='{html.escape(alt, quote=True)}'>"
        f"<figcaption>{caption}</figcaption></figure>"
    )
    return Shown(body, f"{caption}\n{alt}", png, alt)


def _saved(figure: MatplotlibFigure, kind: str) -> bytes:
    buffer = BytesIO()
    metadata = {"Date": None} if kind == "svg" else {"Software": None}
    figure.savefig(buffer, format=kind, dpi=144, bbox_inches="tight", metadata=metadata)
    return buffer.getvalue()


LONG, MANY = 8, 28  # rows, and numbers with decimals; a table of more is folded


def table(
    content: pd.DataFrame | Sequence[Mapping[str, Any]],
    *,
    name: str,
    caption: str,
    missing: str = "",
    row_classes: Sequence[str] | None = None,
    folds: bool = True,
) -> Shown:
    """A table with caption and row headers; cells are text that may hold HTML made by this room.

    One of more than ``LONG`` rows or ``MANY`` numbers is opened by the reader, if it ``folds``. ``missing``: what is said
    instead if there is no row. ``row_classes``: a class attribute for each row, for the style sheet.
    """
    if missing and not len(content):
        return listed([missing])
    frame = pd.DataFrame(content).fillna("—")
    head = "".join(f"<th scope='col'>{column}</th>" if column else "<td></td>" for column in frame.columns)
    opening = [f"<tr class='{classes}'>" for classes in row_classes] if row_classes else ["<tr>"] * len(frame)
    rows = [
        f"{start}<th scope='row'>{first}</th>{''.join(f'<td>{value}</td>' for value in rest)}</tr>"
        for start, (first, *rest) in zip(opening, frame.itertuples(index=False), strict=True)
    ]
    if any("class='significant'" in row for row in rows):
        caption += " An asterisk marks p below 0.05 after Holm's adjustment."
    body = (
        f"<div class='table-scroll' tabindex='0' role='region' aria-label='Table: {name.replace('-', ' ')}'>"
        f"<table id='tab-{name}' class='measured'><caption><span>{caption}</span></caption>"
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )
    if folds and (len(frame) > LONG or len(re.findall(r"\d\.\d", "".join(rows))) > MANY):
        what = re.sub(r"<[^>]*>", "", caption).partition(". ")[0].removesuffix(".")
        body = folded(f"{what} ({len(frame)} rows)", body)
    return Shown(body, f"{caption}\n{frame.to_string(index=False)}")


def folded(summary: str, body: str) -> str:
    """HTML that the reader opens; a printed book has it open."""
    return f"<details class='table-folded'><summary>{summary}</summary><div>{body}</div></details>"


def listed(sentences: list[str]) -> Shown:
    """Generated sentences as a list; they may hold HTML made by this room."""
    text = re.sub(r"</?[a-z][^>]*>", "", "\n".join(sentences))
    return Shown(f"<ul class='findings'>{''.join(f'<li>{s}</li>' for s in sentences)}</ul>", text)


def unfolded(summary: str, rows: Iterable[tuple[str, str]], attributes: str) -> str:
    """A table of facts that the reader opens, as HTML; the values are escaped by the caller where they are text."""
    body = "".join(f"<tr><th scope='row'>{key}</th><td>{value}</td></tr>" for key, value in rows)
    return f"<details {attributes}><summary>{summary}</summary><table>{body}</table></details>"


def boxed(sentences: list[str]) -> Shown:
    """Generated sentences in the box on top of a page; they may hold HTML made by this room."""
    shown = listed(sentences)
    box = f"<div class='in-short'><p><strong>In short.</strong></p>{shown.html}</div>"
    return Shown(box, f"In short.\n{shown.text}")
