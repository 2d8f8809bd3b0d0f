"""Figures and tables in one style: the same colour for the same model everywhere, alt text made from the numbers."""

import html
import re
from base64 import b64encode
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from io import BytesIO
from itertools import pairwise
from typing import Any

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib.figure import Figure as MatplotlibFigure
from torch import Tensor

from ..attacks import CLOSE
from ..measure.galleries import clipped
from ..measure.measurements import Example
from ..measure.results import Run, load_reference, open_run
from ..networks import LADDER, REGISTRY, dataset_of, named, network_of
from ..statistics import Difference, Estimate, bootstrap_mean, wilson
from ..verdicts.claims import Outcome
from ..verdicts.comparison import (
    NETWORKS,
    BySubset,
    Cell,
    Compared,
    Contrast,
    Contrasted,
    by_subset,
    compare,
    contrasted,
    direction,
    meets,
    published_values,
    table1_cells,
)

plt.rcdefaults()  # the user's own settings decide no figure
plt.rcParams |= {
    "font.size": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "figure.constrained_layout.use": True,
    "svg.fonttype": "none",
    "svg.hashsalt": "inequality",
}

# Colour-blind safe (Okabe and Ito 2008). The l_inf ladder darkens with epsilon; markers differ, so colour is never alone.
_LOOKS = {
    "standard": ("#0072B2", "o"),
    "linf1": ("#F0C05A", "v"),
    "linf2": ("#E69F00", "^"),
    "linf4": ("#D55E00", "s"),
    "linf8": ("#8C2D04", "D"),
    "l2": ("#009E73", "P"),
    "cutout": ("#CC79A7", "X"),
    "igd": ("#56B4E9", "*"),
    "pruned": ("#666666", "h"),
    "early": ("#4C6A92", "p"),
    "pgd3": ("#5E3C99", "<"),
}


def look(checkpoint: str) -> dict[str, Any]:
    """Colour and marker of a checkpoint, by the training in its name (``cifar10-NETWORK-TRAINING-sSEED``)."""
    training = checkpoint.split("-")[2] if checkpoint.count("-") >= 3 else checkpoint
    keys = [key for key in _LOOKS if key in training]
    colour, marker = _LOOKS[keys[-1] if keys else "standard"]
    return {"color": colour, "marker": marker}


def title_of(checkpoint: str) -> str:
    """How tables and legends call a registered checkpoint."""
    return named(REGISTRY[checkpoint].name)


# --- what a cell of a notebook shows ---------------------------------------------------------------------------


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


def show(figure: MatplotlibFigure, *, name: str, caption: str, alt: str, vector: bool = True) -> Shown:
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


def table(frame: pd.DataFrame, *, name: str, caption: str, row_classes: Sequence[str] | None = None) -> Shown:
    """A table with caption and row headers; cells are text that may hold HTML made by this module.

    ``row_classes``: a class attribute for each row, for the style sheet.
    """
    head = "".join(f"<th scope='col'>{column}</th>" if column else "<td></td>" for column in frame.columns)
    opening = [f"<tr class='{classes}'>" for classes in row_classes] if row_classes else ["<tr>"] * len(frame)
    rows = [
        start + "".join(f"<th scope='row'>{v}</th>" if i == 0 else f"<td>{v}</td>" for i, v in enumerate(row)) + "</tr>"
        for start, row in zip(opening, frame.itertuples(index=False), strict=True)
    ]
    if any("class='significant'" in row for row in rows):
        caption += " An asterisk marks p below 0.05 after Holm's adjustment."
    body = (
        f"<div class='table-scroll' tabindex='0' role='region' aria-label='Table: {name.replace('-', ' ')}'>"
        f"<table id='tab-{name}' class='measured'><caption><span>{caption}</span></caption>"
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )
    return Shown(body, f"{caption}\n{frame.to_string(index=False)}")


def text_of(estimate: Estimate | None, percent: bool = False) -> str:
    """Value, 95 % interval and n; "not measured here" where there is none."""
    if estimate is None:
        return "<span class='missing'>not measured here</span>"
    value = number(estimate.value, percent)
    low, high = (number(v, percent).removesuffix(" %") for v in (estimate.low, estimate.high))
    return f"<strong>{value}</strong> <small>[{low}, {high}]<br>n = {estimate.n}</small>"


def number(value: float, percent: bool = False) -> str:
    return f"{100 * value:.1f} %" if percent else f"{value:.3f}"


def p_text(item: Compared | Contrasted) -> str:
    """The adjusted p-value; "≤" where the number of resamples allows no smaller one."""
    p = item.adjusted_p
    if p is None or item.difference is None:
        return ""
    return _p(p, item.difference.at_floor)


def marked_p(item: Compared | Contrasted) -> str:
    """For a table: the same, marked where it is below 0.05; ``table`` explains the mark in the caption."""
    if item.adjusted_p is None or item.adjusted_p >= 0.05:
        return p_text(item)
    return f"<b class='significant'>{p_text(item)} *</b>"


def _p(p: float, bound: bool = False) -> str:
    return "p < 0.001" if p < 0.001 else f"p {'≤' if bound else '='} {p:.3f}"


def difference_text(item: Compared, percent: bool = False) -> str:
    test = item.difference
    if test is None:
        return "—"
    scale, digits, unit = (100, 1, " points") if percent else (1, 3, "")
    value, low, high = (f"{scale * v:+.{digits}f}" for v in (test.difference, test.low, test.high))
    return f"{value}{unit} <small>[{low}, {high}]<br>{marked_p(item)}</small>"


def verdict_badge(verdict: str) -> str:
    return f"<span class='verdict {verdict.replace(' ', '-')}'>{verdict}</span>"


def _verdict_cell(item: Compared) -> str:
    """No verdict on a value of another data set or network that has no direction either."""
    if not item.cell.same_setting and item.cell.baseline is None:
        return "—"
    return verdict_badge(item.verdict)


def both_verdicts(committed: str, live: str, reference: object, this_run: object) -> str:
    """One verdict where both runs agree or only one measured; else both, named."""
    if committed == live or not reference:
        return live
    if not this_run:
        return f"{committed} <small>(reference)</small>"
    return f"{committed} <small>(reference)</small><br>{live} <small>(this run)</small>"


def _other_setting(cell: Cell) -> str:
    """Where a published value is from, if not from our data set and network."""
    return (
        "ImageNet"
        if dataset_of(cell.checkpoint) != cell.dataset
        else NETWORKS.get(str(cell.network), str(cell.network))
    )


def _paper_scale(item: Compared | Contrasted, unit: str) -> dict[str, str]:
    """The column of the paper-scale run with its verdict, where its records stand beside the reference run's."""
    large = item.paper_scale
    if large is None:
        return {}
    if isinstance(large, Compared):
        cell, claimed = text_of(large.ours, unit == "points"), bool(large.ours) and _verdict_cell(large) != "—"
    else:
        cell, claimed = _contrast_cell(large, unit), large.contrast.expected is not None and large.terms != ()
    return {"Paper scale": f"{cell} {verdict_badge(large.verdict)}" if claimed else cell}


def comparison_table(reference: list[Compared], this_run: list[Compared], *, name: str, caption: str) -> Shown:
    """The columns of every table: paper, paper-scale run where there is one, reference run, this run; then the paired test and the verdict, of both runs where they differ.

    Both lists must hold the same cells in the same order.
    """
    rows = []
    for committed, live in zip(reference, this_run, strict=True):
        cell = live.cell
        assert committed.cell.id == cell.id, "the two lists compare different cells"
        percent = "gini" not in cell.column
        shown = live if live.ours else committed
        published = number(cell.paper, percent) if percent else f"{cell.paper:.2f}"
        rows.append(
            {
                "": cell.label,
                "Paper": published
                + (f" <small>± {cell.spread:.2f}</small>" if cell.spread else "")
                + ("" if cell.same_setting else f" <small>{_other_setting(cell)}</small>"),
                **_paper_scale(committed, "points" if percent else "Gini"),
                "Reference": text_of(committed.ours, percent),
                "This run": text_of(live.ours, percent),
                "Minus standard": difference_text(shown, percent)
                + (" <small>(reference)</small>" if shown.difference and shown is committed else ""),
                "Verdict": both_verdicts(_verdict_cell(committed), _verdict_cell(live), committed.ours, live.ours),
            }
        )
    if not rows:  # none of the models that the paper gives values of
        return listed([f"{caption} Not measured here: no model for it is trained yet."])
    frame = pd.DataFrame(rows)
    if not any(item.ours for item in reference):
        frame = frame.drop(columns="Reference")
        caption += " There is no reference run of these values yet."
    return table(frame, name=name, caption=caption)


# --- chapter 01 ------------------------------------------------------------------------------------------------


def gini_by_epsilon(this_run: list[Compared], reference: list[Compared], *, name: str, title: str) -> Shown:
    """The Gini index of each model of a ladder: paper, reference and this run side by side, with intervals.

    An empty ``reference`` means that ``this_run`` is the reference run itself.
    """
    figure, axes = plt.subplots(figsize=(7.5, 3.6))
    places = np.arange(len(this_run))
    axes.plot(places, [c.cell.paper for c in this_run], "k_", markersize=22, markeredgewidth=2, label="paper")
    series: list[tuple[list[Compared], float, dict[str, Any], str]] = [
        (reference, -0.12, {"mfc": "white"}, "reference run"),
        (this_run, 0.12, {}, "this run"),
    ]
    if not reference:
        series = [(this_run, 0.0, {}, "reference run")]
    for compared, shift, style, label in series:
        for place, item in zip(places, compared, strict=True):
            if item.ours:
                seen = look(item.cell.checkpoint)
                spread = [[item.ours.value - item.ours.low], [item.ours.high - item.ours.value]]
                axes.errorbar(
                    place + shift,
                    item.ours.value,
                    spread,
                    fmt=seen["marker"],
                    color=seen["color"],
                    ms=8,
                    capsize=4,
                    **style,
                )
        axes.plot([], [], "o", color="#444444", label=label, **style)
    axes.set_xticks(places, [c.cell.label.split(", ")[-1] for c in this_run])
    axes.set_ylabel(title)
    axes.legend(frameon=False)
    measured = [c for c in this_run if c.ours]
    words = "; ".join(f"{c.cell.label}: paper {c.cell.paper:.2f}, ours {c.ours.value:.3f}" for c in measured if c.ours)
    first, last = measured[0], measured[-1]
    assert first.ours and last.ours
    trend = "rises" if last.ours.value > first.ours.value else "does not rise"
    caption = (
        f"{title} {trend} from {first.ours.value:.3f} ({first.cell.label}) to {last.ours.value:.3f} ({last.cell.label}) "
        f"in {'this' if reference else 'the reference'} run. Dashes: the paper. Bars: 95 % bootstrap intervals over images."
    )
    return show(figure, name=name, caption=caption, alt=f"Dot plot of {title} by model. {words}.")


def attribution_grid(
    images: Float[Tensor, "n 3 h w"], maps: dict[str, Float[Tensor, "n 3 h w"]], labels: list[str], *, name: str
) -> Shown:
    """Images beside their attribution maps, one column a model, unclipped above clipped; importance is |a| over channels."""
    columns = len(maps) + 1
    figure, axes = plt.subplots(2 * len(images), columns, figsize=(1.55 * columns, 3.1 * len(images)), squeeze=False)
    for row in range(2 * len(images)):
        index, clip = divmod(row, 2)
        axes[row, 0].imshow(images[index].permute(1, 2, 0).cpu().numpy())
        axes[row, 0].set_ylabel(f"{labels[index]}\n{'clipped at 3σ' if clip else 'as it is'}", fontsize=9)
        for column, (checkpoint, found) in enumerate(maps.items(), start=1):
            importance = (clipped(found) if clip else found)[index].abs().sum(0).cpu().numpy()
            axes[row, column].imshow(importance, cmap="magma", vmin=0)
            if row == 0:
                axes[row, column].set_title(title_of(checkpoint), fontsize=10)
        for axis in axes[row]:
            axis.set_xticks([])
            axis.set_yticks([])
            axis.grid(False)
    names = ", ".join(title_of(checkpoint) for checkpoint in maps)
    caption = (
        "Integrated Gradients of the same images for each model, each map on its own scale from 0 (black) to its maximum. "
        "Upper rows: the maps as they are. Lower rows: clipped at three standard deviations, as figures in this field usually are; "
        "clipping hides how far the largest values stand out."
    )
    alt = f"Grid of {len(images)} images ({', '.join(labels)}) and their attribution maps for: {names}; each shown as it is and clipped."
    return show(figure, name=name, caption=caption, alt=alt, vector=False)


def lorenz_curves(curves: dict[str, Float[np.ndarray, " points"]], *, name: str) -> Shown:
    """Mean Lorenz curve of |a| of each model."""
    figure, axes = plt.subplots(figsize=(5.2, 4.6))
    some = next(iter(curves.values()))
    population = np.linspace(0, 100, len(some))
    axes.plot([0, 100], [0, 100], ":", color="#444444", label="perfect equality")
    for place, (checkpoint, curve) in enumerate(curves.items()):
        axes.plot(
            population, 100 * curve, markevery=(4 * place, 20), ms=6, label=title_of(checkpoint), **look(checkpoint)
        )
    axes.set_xlabel("least important subpixels, %")
    axes.set_ylabel("their share of the total |attribution|, %")
    axes.legend(frameon=False)
    half = {title_of(c): f"{100 * float(np.interp(50, population, curve)):.1f} %" for c, curve in curves.items()}
    words = "; ".join(f"{model}: {share}" for model, share in half.items())
    caption = f"Lorenz curves of |attribution|, averaged over images. The less important half of the subpixels holds: {words}."
    return show(figure, name=name, caption=caption, alt=f"Lorenz curves. Share held by the lower half: {words}.")


def top_share_curves(
    shares: dict[str, Float[np.ndarray, " counts"]], counts: Float[np.ndarray, " counts"], total: int, *, name: str
) -> Shown:
    """Share of the total carried by the N most important subpixels: the paper's definition of dominance."""
    figure, axes = plt.subplots(figsize=(6.4, 4))
    for checkpoint, share in shares.items():
        axes.plot(100 * counts / total, 100 * share, label=title_of(checkpoint), markevery=10, **look(checkpoint))
    axes.set_xscale("log")
    axes.set_xlabel(f"most important subpixels, % of {total}")
    axes.set_ylabel("share of the total |attribution|, %")
    axes.legend(frameon=False)
    at = int(np.argmin(np.abs(counts - 0.05 * total)))
    words = "; ".join(f"{title_of(c)}: {100 * share[at]:.1f} %" for c, share in shares.items())
    caption = f"What the most important subpixels carry, averaged over images. The top {counts[at]} ({100 * counts[at] / total:.0f} %) carry: {words}."
    return show(
        figure,
        name=name,
        caption=caption,
        alt=f"Curves of the share carried by the top N subpixels. Top {counts[at]}: {words}.",
    )


def readings_figure(estimates: dict[str, dict[str, Estimate]], *, name: str) -> Shown:
    """The five readings of regional inequality (and both of global) for each model, beside the paper's two columns."""
    readings = list(next(iter(estimates.values())))
    figure, axes = plt.subplots(figsize=(7.5, 4))
    for checkpoint, values in estimates.items():
        places = np.arange(len(readings))
        spread = np.array([[e.value - e.low, e.high - e.value] for e in values.values()]).T
        axes.errorbar(
            [e.value for e in values.values()],
            places,
            xerr=spread,
            fmt=look(checkpoint)["marker"],
            color=look(checkpoint)["color"],
            ms=7,
            capsize=3,
            label=title_of(checkpoint),
        )
    first = next(iter(estimates))
    paper = published_values(
        table="table1", dataset=dataset_of(first), architecture=network_of(first), metric="regional_gini"
    )
    published = paper.value.astype(float)
    axes.axvspan(published.min(), published.max(), color="#999999", alpha=0.25, label="the paper's regional column")
    axes.set_yticks(
        range(len(readings)), [reading.replace("regional_gini_", "").replace("_", " ") for reading in readings]
    )
    axes.invert_yaxis()
    axes.set_xlabel("Gini index")
    figure.legend(frameon=False, fontsize=9, loc="outside lower center", ncols=3)
    cells = {cell.checkpoint: cell for cell in table1_cells("regional_gini", [first]) if cell.checkpoint in estimates}
    met = {
        reading.replace("regional_gini_", "").replace("_", " "): sum(
            meets(estimates[checkpoint][reading], cell) for checkpoint, cell in cells.items()
        )
        for reading in readings[1:]
    }
    caption = (
        f"Five readings of “regional inequality” give five answers. The paper's regional column spans {published.min():.2f} to "
        f"{published.max():.2f} (gray). Published values of these {len(cells)} models that our 95 % interval meets within 0.03: "
        + "; ".join(f"{reading}: {count}" for reading, count in met.items())
        + "."
    )
    words = "; ".join(
        f"{title_of(c)}: " + ", ".join(f"{r.replace('regional_gini_', '')} {e.value:.3f}" for r, e in found.items())
        for c, found in estimates.items()
    )
    return show(figure, name=name, caption=caption, alt=f"Dot plot of the readings by model. {words}.")


def inequality_findings(ladder: list[tuple[Compared, str]]) -> Shown:
    """The chapter's conclusion in sentences made from the numbers."""
    measured = [item for item, _ in ladder if item.ours]
    source, sentences = _source(ladder), []
    for item in measured:
        if item.difference is None or item.ours is None:
            continue
        low, high = item.difference.low, item.difference.high
        excludes = "excludes" if low > 0 or high < 0 else "does not exclude"
        sentences.append(
            f"<li><strong>{item.cell.label}</strong>{source}: global Gini index {item.ours.value:.3f}, "
            f"{item.difference.difference:+.3f} against the standard model; the paired 95 % interval [{low:+.3f}, {high:+.3f}] "
            f"{excludes} 0 (n = {item.difference.n}). Verdict: {verdict_badge(item.verdict)}</li>"
        )
    values = [item.ours.value for item in measured if item.ours]
    rising = all(a < b for a, b in pairwise(values))
    order = (
        f"The mean rises with ε over all {len(values)} measured models."
        if rising
        else "The mean does not rise at every step of ε: " + ", ".join(f"{value:.3f}" for value in values) + "."
    )
    return Shown(f"<ul class='findings'>{''.join(sentences)}<li>{order}</li></ul>", order)


def readings_note(items: list[tuple[Contrasted, str]], robust: str) -> Shown:
    """In how many readings of inequality the index of ``robust`` lies above the standard network's, and in which below.

    ``items``: the networks of a ladder minus the standard one, labelled by the reading and adjusted together.
    """
    own = [item for item, _ in items if item.contrast.terms[0][0] == robust and item.difference]
    words = [(item.contrast.label.removesuffix(f", {named(robust)}"), _decided(item, "+", "-", "")) for item in own]
    if not words:
        return listed(["The readings: not measured here."])
    lists = {sign: ", ".join(label for label, found in words if found == sign) or "none" for sign in ("+", "-", "")}
    return listed(
        [
            f"<strong>{named(robust)}{_source(items)}: the index rises in {sum(sign == '+' for _, sign in words)} of {len(words)} "
            f"readings</strong> ({lists['+']}); it falls in: {lists['-']}; not decided: {lists['']}."
        ]
    )


# --- chapter 02 ------------------------------------------------------------------------------------------------


def listed(sentences: list[str]) -> Shown:
    """Generated sentences as a list; they may hold HTML made by this module."""
    plain = [re.sub(r"<[^>]+>", "", sentence) for sentence in sentences]
    return Shown(f"<ul class='findings'>{''.join(f'<li>{s}</li>' for s in sentences)}</ul>", "\n".join(plain))


def _by_model(records: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """The rows of each model, in the order of the records."""
    return [(str(name), records[records.checkpoint == name]) for name in dict.fromkeys(records.checkpoint)]


def models_note(run: Run) -> Shown:
    """Which models this run measures, and which ones the chapter plans but nobody has trained yet."""
    sentences = [f"Measured in this run: {', '.join(named(name) for name in run.models)}."]
    if run.untrained:
        missing = ", ".join(named(name) for name in run.untrained)
        sentences.append(f"Planned, but not trained yet: {missing}. What needs it is marked as not measured.")
    sentences.append(run.data.common_note(run.n_images, run.device, named))
    return listed(sentences)


def points(test: Difference, unit: str = "points") -> str:
    """A difference with its interval: percentage points of rates, "Gini" for the index, or another unit."""
    scale, digits = {"points": (100, 1), "Gini": (1, 3)}.get(unit, (1, 2))
    value, low, high = (f"{scale * v:+.{digits}f}" for v in (test.difference, test.low, test.high))
    return f"{value} {unit} [{low}, {high}]"


def contrast_table(
    reference: list[Contrasted], this_run: list[Contrasted], *, name: str, caption: str, unit: str = "points"
) -> Shown:
    """Contrasts of the reference run and of this run; verdicts where the paper's claim implies a sign.

    Both lists must hold the same contrasts in the same order.
    """
    rows = []
    for committed, live in zip(reference, this_run, strict=True):
        assert committed.contrast == live.contrast, "the two lists hold different contrasts"
        row = {
            "": live.contrast.label,
            **_paper_scale(committed, unit),
            "Reference": _contrast_cell(committed, unit),
            "This run": _contrast_cell(live, unit),
        }
        if live.contrast.expected is not None:
            verdicts = verdict_badge(committed.verdict), verdict_badge(live.verdict)
            row["Verdict"] = both_verdicts(*verdicts, committed.difference, live.difference)
        rows.append(row)
    if not rows:  # no model to compare
        return listed([f"{caption} Not measured here: no model for it is trained yet."])
    frame = pd.DataFrame(rows).fillna("—")
    if not any(item.difference for item in reference):
        frame = frame.drop(columns="Reference")
        caption += " There is no reference run of these values yet."
    return table(frame, name=name, caption=caption)


def _contrast_cell(item: Contrasted, unit: str) -> str:
    if item.difference is None:
        return text_of(None)
    value, _, interval = points(item.difference, unit).partition(" [")
    digits = 3 if unit == "Gini" else 2
    means = [f"{100 * e.value:.1f} %" if unit == "points" else f"{e.value:.{digits}f}" for e in item.terms]
    sums = " − ".join(means) if len(means) == 2 else f"({means[0]} − {means[1]}) − ({means[2]} − {means[3]})"
    if item.contrast.weights:
        sums = _weighted(item.contrast.weights, means)
    n = f"n = {item.difference.n}"
    if item.contrast.trainings:
        half = len(means) // 2
        sums = f"({', '.join(means[:half])}) − ({', '.join(means[half:])})"
        n += f" networks, {item.terms[0].n} images"
    return f"<strong>{value}</strong> <small>[{interval}<br>{marked_p(item)}, {n}<br>{sums}</small>"


def _weighted(weights: Sequence[float], means: Sequence[str]) -> str:
    """A sum in words, such as "20.0 % − 0.5 × 60.0 %"."""
    factors = ["" if abs(weight) == 1 else f"{abs(weight):g} × " for weight in weights]
    signs = ["" if i == 0 and weight > 0 else "− " if weight < 0 else "+ " for i, weight in enumerate(weights)]
    return " ".join(f"{sign}{factor}{mean}" for sign, factor, mean in zip(signs, factors, means, strict=True))


THIS_RUN = " (this run)"  # what findings add to a number that is not the reference run's


def best(this_run: Sequence[Any], reference: Sequence[Any]) -> list[tuple[Any, str]]:
    """The reference run's list where anything in it was measured, else this run's; with the words that say so.

    Never a mixture: the p-values of a list are adjusted together.
    """
    items, source = preferred([item for item in reference if _measured(item)] and reference, this_run)
    return [(item, source) for item in items]


def preferred(reference: Any, this_run: Any) -> tuple[Any, str]:
    """The reference run's table or list unless it is empty or ``None``, else this run's; with the words that say so."""
    return (reference, "") if reference is not None and len(reference) else (this_run, THIS_RUN)


def _measured(item: Compared | Contrasted | Outcome) -> object:
    return item.ours if isinstance(item, Compared) else item.found if isinstance(item, Outcome) else item.difference


def _source(items: Sequence[tuple[Any, str]]) -> str:
    """The words of a list from ``best``."""
    return items[0][1] if items else ""


def subsets(
    run: Run,
    models: Sequence[str],
    places: dict[str, tuple[str, str]],
    committed: pd.DataFrame | None,
    live: pd.DataFrame,
    *,
    name: str,
    what: str,
    unit: str = "points",
) -> Shown:
    """Each model's mean on the common subset beside that on the images which this model alone gets right, and what differs.

    ``models``: the standard one first; ``places``: label -> (condition, column); ``committed``, ``live``: the common subset's
    records of both runs. The run's record "own_images" has the others. All from one run, as for ``best``.
    """
    (common, own), source = preferred(
        (committed, run.reference["own_images"]) if committed is not None and "own_images" in run.reference else None,
        (live, run.records.get("own_images")),
    )
    if own is None:
        return listed([f"{what} on each model's own images: not measured here."])
    rows = by_subset(models[0], models[1:], places, common, own, resamples=run.profile.bootstrap)
    cells = [
        {
            "": row.label,
            **{
                header: text_of(mean, unit == "points")
                + ("" if gap is None else f"<br><small>minus standard: {points(gap, unit)}</small>")
                for header, mean, gap in zip(("Common subset", "Own images"), row.means, row.differences, strict=True)
            },
        }
        for row in rows
    ]
    caption = (
        f"{what} on the common subset and on images that each model alone classifies correctly{source}. Differences: paired on the "
        "common subset, not paired on own images; 95 % intervals without adjustment."
    )
    shown, note = (
        table(pd.DataFrame(cells), name=name, caption=caption),
        listed([_subsets_sentence(rows, source, unit)]),
    )
    return Shown(shown.html + note.html, f"{shown.text}\n\n{note.text}")


def _subsets_sentence(rows: Sequence[BySubset], source: str, unit: str) -> str:
    """For which differences from the standard model the two subsets' intervals do not lie on the same side of 0."""
    both = [(row.label, *row.differences) for row in rows]
    known = [(label, common, own) for label, common, own in both if common is not None and own is not None]
    apart = [
        f"{label}: {points(common, unit)} on the common subset, {points(own, unit)} on own images"
        for label, common, own in known
        if _side(common) != _side(own)
    ]
    lead = f"Of {len(known)} differences from the standard model{source}, the two subsets disagree in {len(apart)}"
    return f"<strong>{lead} (above 0, below 0, or not told from 0).</strong> {'; '.join(apart)}{'.' if apart else ''}"


def _decided(item: Compared | Contrasted, more: str, less: str, open_: str) -> str:
    """The word for the sign of a difference, if its adjusted p-value is below 0.05."""
    if item.difference is None or item.adjusted_p is None or item.adjusted_p >= 0.05:
        return open_
    return more if item.difference.difference > 0 else less


def _tallies(controls: list[tuple[Contrasted, str]], placebos: Collection[str], robust: str) -> list[str]:
    """The attack's variants and the placebos, counted apart; each placebo also by itself."""
    known = [item for item, _ in controls if item.difference]
    variants = [item for item in known if item.contrast.label not in placebos]
    others = [(item, source) for item, source in controls if item.difference and item.contrast.label in placebos]
    lead = f"The attack and its variants{_source(controls)}, {named(robust)}"
    sentences = [f"{lead}: {_tally(variants)}."] if variants else []
    if others:
        sentences.append(
            f"Placebos, places that the attack would not choose, {named(robust)}: {_tally([item for item, _ in others])}. "
            + "; ".join(
                f"{item.contrast.label}{source}: {points(item.difference)}, {p_text(item)}"
                for item, source in others
                if item.difference
            )
            + "."
        )
    return sentences


def _tally(items: list[Contrasted]) -> str:
    """In how many comparisons with the standard model the other one fails more, or less."""
    words = [_decided(item, "more", "less", "open") for item in items if item.difference]
    return (
        f"of {len(words)} comparisons with the standard model, the ℓ∞ model fails more in {words.count('more')}, less in "
        f"{words.count('less')}, undecided are {words.count('open')} (Holm-adjusted over all of them)"
    )


def _claim(items: list[tuple[Compared, str]], subject: str) -> str:
    """How many of the primary comparisons have the paper's direction."""
    verdicts = [_direction_of(item) for item, _ in items]
    known = {"confirmed": "same direction", "contradicted": "contradicted", "undecided": "not reproduced"}
    counts = {word: verdicts.count(verdict) for word, verdict in known.items()}
    parts = [f"{word} in {count}" for word, count in counts.items()]
    if unknown := verdicts.count("not measured here"):
        parts.append(f"not measured in {unknown}")
    whole = [word for word, count in counts.items() if count == len(verdicts)]
    lead = (
        f"The paper's direction is {whole[0] if whole else 'not the same in all comparisons'}"
        if not unknown
        else "The paper's direction"
    )
    source = "" if unknown == len(verdicts) else _source(items)
    return (
        f"<strong>{subject[0].upper()}{subject[1:]}{source}. {lead}: of {len(verdicts)}, {', '.join(parts)}.</strong>"
    )


def _direction_of(item: Compared) -> str:
    """The verdict on the direction alone, whether or not the value is reproduced."""
    if item.difference is None or item.cell.baseline is None:
        return "not measured here"
    return direction(item.difference, item.adjusted_p, item.cell.paper - item.cell.baseline[1])


def _compared_sentence(item: Compared, source: str) -> str:
    """One comparison with the standard model in words."""
    if item.ours is None or item.difference is None or item.cell.baseline is None:
        return f"<strong>{item.cell.label}</strong>: not measured here."
    base = item.ours.value - item.difference.difference
    paper = 100 * (item.cell.paper - item.cell.baseline[1])
    where = " on ImageNet" if item.cell.dataset == "imagenet" else ""
    verb = "are fooled" if item.cell.column == "fooled" else "fail"
    return (
        f"<strong>{item.cell.label}</strong>{source}: {number(item.ours.value, True)} {verb}, of the standard model "
        f"{number(base, True)}: {points(item.difference)}, {p_text(item)}, n = {item.difference.n}. The paper's "
        f"difference{where} is {paper:+.1f} points. Verdict: {verdict_badge(item.verdict)}"
    )


def noise_curves(
    records: pd.DataFrame, kinds: list[str], budgets: list[int], *, name: str, resamples: int, total: int = 3072
) -> Shown:
    """Figure 3: failure against the number of noisy subpixels, a panel for each kind of noise, a line for each model."""
    figure, panels = plt.subplots(1, len(kinds), figsize=(9.5, 3.6), sharey=True, squeeze=False)
    words = []
    for axes, kind in zip(panels[0], kinds, strict=True):
        for checkpoint, rows in _by_model(records[records.condition == kind]):
            found = [bootstrap_mean(rows[f"failure_{b}"].to_numpy(), resamples=resamples) for b in budgets]
            values, low, high = (100 * np.array([getattr(e, side) for e in found]) for side in ("value", "low", "high"))
            axes.plot(budgets, values, label=title_of(checkpoint), ms=6, **look(checkpoint))
            axes.fill_between(budgets, low, high, color=look(checkpoint)["color"], alpha=0.15, lw=0)
            words.append(f"{kind}, {title_of(checkpoint)}: {values[0]:.1f} % to {values[-1]:.1f} %")
        axes.set_xscale("log")
        labelled = [b for i, b in enumerate(budgets) if i == 0 or b > 1.3 * budgets[i - 1]]  # others would overlap
        axes.set_xticks(labelled, [str(budget) for budget in labelled], fontsize=9)
        axes.minorticks_off()
        axes.set_title(kind, fontsize=11)
        axes.set_xlabel(f"noisy subpixels of {total}")
    panels[0, 0].set_ylabel("images that fail, %")
    panels[0, 0].set_ylim(bottom=-3)
    panels[0, 0].legend(frameon=False, fontsize=9, loc="upper left")
    caption = (
        f"Failure rates from {budgets[0]} to {budgets[-1]} noisy subpixels: {'; '.join(words)}. "
        "Bands: 95 % bootstrap intervals over images."
    )
    return show(figure, name=name, caption=caption, alt=f"Three line charts, one a kind of noise. {'; '.join(words)}.")


def noise_pictures(pictures: dict[str, Float[Tensor, "n 3 h w"]], *, name: str, caption: str) -> Shown:
    """The same images clean and with each kind of noise, clipped to what a screen can show."""
    count = len(next(iter(pictures.values())))
    figure, axes = plt.subplots(count, len(pictures), figsize=(1.8 * len(pictures), 1.8 * count), squeeze=False)
    for column, (title, images) in enumerate(pictures.items()):
        axes[0, column].set_title(title, fontsize=10)
        for row in range(count):
            axes[row, column].imshow(images[row].clamp(0, 1).permute(1, 2, 0).cpu().numpy())
            axes[row, column].set_axis_off()
    alt = f"Grid of {count} images in {len(pictures)} versions each: {', '.join(pictures)}."
    return show(figure, name=name, caption=caption, alt=alt, vector=False)


def close_calls(records: dict[str, pd.DataFrame]) -> Shown:
    """How many predictions were too close to be trusted to another batch size or number of threads."""
    found = [table[[c for c in ("checkpoint", "image_id", "condition") if c in table]][table.close_call]
             for table in records.values() if "close_call" in table]  # fmt: skip
    close = pd.concat(found).drop_duplicates()
    total = sum(len(table) for table in records.values() if "close_call" in table)
    names = [
        f"{row['condition']}, {title_of(row['checkpoint'])}, test image {row['image_id']}"
        for row in close.head(10).to_dict("records")
    ]
    rest = f": {'; '.join(names)}{'; …' if len(close) > 10 else ''}." if names else "."
    return listed([f"Close calls (two top logits nearer than {CLOSE:g}): {len(close)} of {total} outcomes{rest}"])


def tally_note(reference: list[Contrasted], this_run: list[Contrasted], what: str) -> Shown:
    """In how many of many comparisons with the standard model which of the two fails more."""
    runs = (("Reference run", reference), ("This run", this_run))
    words = [f"{run}, {what}: {_tally(items)}." for run, items in runs if any(item.difference for item in items)]
    return listed(words or [f"{what.capitalize()}: not measured here."])


def noise_findings(
    primary: list[tuple[Compared, str]],
    where: list[tuple[Contrasted, str]],
    controls: list[tuple[Contrasted, str]],
    *,
    robust: str,
    second: str,
    placebos: Collection[str],
) -> Shown:
    """The chapter's conclusion in sentences made from the numbers.

    ``second``: the model trained without N-FGSM; ``placebos``: the controls whose places the attack would not choose.
    """
    first = [(i, s) for i, s in primary if i.cell.checkpoint == robust]
    again = [(i, s) for i, s in primary if i.cell.checkpoint == second]
    sentences = [_claim(first, f"{named(robust)} against standard, {len(first)} kinds of noise")]
    sentences += [_compared_sentence(*item) for item in first]
    if any(item.ours for item, _ in again):
        same = sum(_direction_of(a) == _direction_of(b) for (a, _), (b, _) in zip(first, again, strict=True))
        sentences.append(
            f"{_claim(again, f'{named(second)} against standard, {len(again)} kinds of noise')} The verdict is the same as for "
            f"{named(robust)} in {same} of {len(again)} kinds."
        )
        sentences += [_compared_sentence(*item) for item in again]
    elif dataset_of(second) == dataset_of(robust):
        state = "not measured here" if second in REGISTRY else "not trained yet"
        sentences.append(
            f"{named(second)}: {state}. Until it is measured, an effect of adversarial training cannot be told from "
            "an effect of the uniform noise that N-FGSM trains with."
        )
    sentences += [_where_sentence(*item) for item in where]
    return listed(sentences + _tallies(controls, placebos, robust))


def _where_sentence(item: Contrasted, source: str) -> str:
    """One question about places in words: within a model (two terms), or between models (four)."""
    if item.difference is None:
        return f"<strong>{item.contrast.label}</strong>: not measured here."
    if len(item.terms) == 2:
        word = _decided(
            item,
            "the chosen places do more harm",
            "the chosen places do less harm",
            "no difference between the places is shown",
        )
    else:
        word = _decided(
            item, "the choice of places adds more harm to the ℓ∞ model", "the choice of places adds less harm to the ℓ∞ model",
            "no difference between the models in what the choice of places adds is shown",
        )  # fmt: skip
    p = p_text(item)
    return f"<strong>{item.contrast.label}</strong>{source}: {word} ({points(item.difference)}, {p}, n = {item.difference.n})."


# --- chapter 03 ------------------------------------------------------------------------------------------------


def _by_condition(records: pd.DataFrame) -> list[tuple[str, str, pd.DataFrame]]:
    """The rows of each condition and model, in the order of the records."""
    return [
        (str(condition), name, rows)
        for condition in dict.fromkeys(records.condition)
        for name, rows in _by_model(records[records.condition == condition])
    ]


def area_note(reference: pd.DataFrame | None, this_run: pd.DataFrame, *, resamples: int, total: int = 1024) -> Shown:
    """How much of the image the largest mask of each budget hides, measured."""
    sentences = []
    for run, records in (("Reference run", reference), ("This run", this_run)):
        if records is None:
            continue
        for condition, checkpoint, rows in _by_condition(records):
            found = bootstrap_mean(rows.area.to_numpy(float), resamples=resamples)
            sentences.append(
                f"{run}, {condition}, map of {title_of(checkpoint)}: the largest mask hides {found.value:.0f} of {total} pixels on "
                f"average [{found.low:.0f}, {found.high:.0f}], {100 * found.value / total:.0f} % of the image, at most "
                f"{rows.area.max()} (n = {found.n})."
            )
    return listed(sentences)


def rates_figure(records: pd.DataFrame, conditions: list[str], *, name: str) -> Shown:
    """Share of images fooled under each condition, with Wilson intervals, one colour a model."""
    models = list(dict.fromkeys(records.checkpoint))
    figure, axes = plt.subplots(figsize=(7.8, 0.38 * len(conditions) + 1.2))
    words = []
    for place, condition in enumerate(conditions):
        for shift, checkpoint in enumerate(models):
            rows = records[(records.condition == condition) & (records.checkpoint == checkpoint)]
            if not len(rows):
                continue
            found = wilson(int(rows.fooled.sum()), len(rows))
            value, low, high = (100 * v for v in (found.value, found.low, found.high))
            seen = look(checkpoint)
            axes.errorbar(
                value, place + 0.24 * (shift - (len(models) - 1) / 2), xerr=[[value - low], [high - value]],
                fmt=seen["marker"], color=seen["color"], ms=7, capsize=3, label=None if place else title_of(checkpoint),
            )  # fmt: skip
            words.append(f"{condition}, {title_of(checkpoint)}: {value:.1f} % [{low:.1f}, {high:.1f}], n = {found.n}")
    axes.set_yticks(range(len(conditions)), conditions)
    axes.invert_yaxis()
    axes.set_xlabel("images fooled, %")
    axes.set_xlim(left=-2)
    axes.legend(frameon=False, fontsize=9, loc="lower left", bbox_to_anchor=(0, 1), ncols=len(models))
    first = [word for word in words if word.startswith(f"{conditions[0]},")]
    caption = f"The attack and its controls. {'; '.join(first)}. Bars: 95 % Wilson intervals."
    return show(figure, name=name, caption=caption, alt=f"Dot plot of fooled images by condition. {'; '.join(words)}.")


def first_success_figure(located: pd.DataFrame, *, name: str, total: int = 1024) -> Shown:
    """Share of images fooled by masks up to an area, and up to a number of patches, at Algorithm 1's first success."""
    figure, panels = plt.subplots(1, 2, figsize=(9, 3.6), sharey=True)
    words = []
    for checkpoint, rows in _by_model(located):
        fooled = rows[rows.fooled]
        seen = look(checkpoint)
        for axes, values, end in (
            (panels[0], 100 * fooled.area / total, 70),
            (panels[1], fooled["count"], located["count"].max()),
        ):
            ordered = np.sort(values.to_numpy(float))
            share = 100 * np.arange(len(ordered) + 1) / len(rows)
            places, shares = [0, *ordered, max(end, 1)], [*share, share[-1]]
            axes.plot(places, shares, drawstyle="steps-post", markevery=0.15, ms=6, label=title_of(checkpoint), **seen)
        middle = (
            f"median {fooled.area.median():.0f} pixels and {fooled['count'].median():.0f} patches"
            if len(fooled)
            else "none"
        )
        words.append(f"{title_of(checkpoint)}: {len(fooled)} of {len(rows)} images fooled, first success at {middle}")
    panels[0].set_xlabel("occluded area at the first success, % of the image")
    panels[1].set_xlabel("patches at the first success")
    panels[0].set_ylabel("images fooled so far, %")
    panels[0].set_ylim(0, 100)
    panels[0].legend(frameon=False, fontsize=9)
    caption = f"{'; '.join(words)}. The medians are over fooled images only; the curves count all images."
    return show(figure, name=name, caption=caption, alt=f"Two cumulative curves a model. {'; '.join(words)}.")


def occlusion_pictures(examples: list[Example], *, name: str) -> Shown:
    """Figures 1 and 4: image, map, and the image at first success, with what every model predicts before and after."""
    figure, axes = plt.subplots(len(examples), 3, figsize=(7.6, 2.5 * len(examples)), squeeze=False)
    for row, example in zip(axes, examples, strict=True):
        shown = [
            example.image.permute(1, 2, 0).numpy(),
            example.importance.numpy(),
            example.occluded.permute(1, 2, 0).numpy(),
        ]
        for axis, picture in zip(row, shown, strict=True):
            axis.imshow(picture, cmap="magma")
            axis.set_xticks([])
            axis.set_yticks([])
            axis.grid(False)
        row[0].set_title(_guesses(example.before), fontsize=8)
        row[1].set_title(f"map of {title_of(example.checkpoint)}", fontsize=8)
        row[2].set_title(_guesses(example.after), fontsize=8)
        row[0].set_ylabel(example.label, fontsize=9)
        row[2].set_xlabel(
            f"{example.pixels} of {example.total} pixels" + ("" if example.fooled else ", not fooled"), fontsize=8
        )
    words = "; ".join(
        f"{e.label}, map of {title_of(e.checkpoint)}, {e.pixels} pixels: " + _guesses(e.after).replace("\n", ", ")
        for e in examples
    )
    fooled = sum(e.fooled for e in examples)
    others = sum(
        e.after[other][0] == e.label for e in examples if e.fooled for other in e.after if other != e.checkpoint
    )
    rest = (
        f" In {others} of these the other model still recognises the occluded image."
        if fooled and len(examples[0].after) == 2
        else ""
    )
    caption = (
        "The first image of the subset in each of the first classes, its map, and the image at Algorithm 1's first success (else with the "
        f"last mask). In {fooled} of {len(examples)} cases the map's own model is fooled.{rest} Above the pictures: what each model "
        "predicts, with its confidence."
    )
    return show(
        figure, name=name, caption=caption, alt=f"Grid of images, maps and occluded images. {words}.", vector=False
    )


def _guesses(predictions: dict[str, tuple[str, float]]) -> str:
    return "\n".join(
        f"{title_of(model)}: {label} {100 * confidence:.0f} %" for model, (label, confidence) in predictions.items()
    )


def _both(item: Estimate | None) -> str:
    if item is None:
        return text_of(None)
    if not np.isfinite(item.value):
        return f"<span class='missing'>not determined by these data</span> <small>n = {item.n}</small>"
    return f"<strong>{item.value:+.2f}</strong> <small>[{item.low:+.2f}, {item.high:+.2f}]<br>n = {item.n}</small>"


def regression_table(
    reference: dict[str, dict[str, Estimate]], this_run: dict[str, dict[str, Estimate]], *, name: str, caption: str
) -> Shown:
    """Log odds ratios of the nested regressions of ``comparison.explained``; the intercepts are left out."""
    rows = [
        {
            "Regression on": specification,
            "Predictor": predictor,
            "Reference": _both(reference.get(specification, {}).get(predictor)),
            "This run": _both(this_run.get(specification, {}).get(predictor)),
        }
        for specification, found in (this_run or reference).items()
        for predictor in found
        if predictor != "(intercept)"
    ]
    if not rows:
        return listed(["The regression: not measured here."])
    return table(pd.DataFrame(rows), name=name, caption=caption)


def ratios_note(reference: dict[str, Estimate], this_run: dict[str, Estimate]) -> Shown:
    """The differences of differences as ratios of ratios: above 1, choosing the places multiplies the l_inf model's rate more."""
    sentences = [
        f"{run}, {label}: the ratio of the two ratios is {e.value:.2f} [{e.low:.2f}, {e.high:.2f}], n = {e.n}."
        for run, found in (("Reference run", reference), ("This run", this_run))
        for label, e in found.items()
    ]
    return listed(sentences or ["Ratios of ratios: not measured here."])


def occlusion_findings(
    primary: list[tuple[Compared, str]],
    published: list[tuple[Compared, str]],
    controls: list[tuple[Contrasted, str]],
    *,
    robust: str,
    placebos: Collection[str],
) -> Shown:
    """What the tables of the chapter say about the claim, in sentences made from the numbers.

    ``placebos``: the controls whose places the attack would not choose.
    """
    primary = [(i, s) for i, s in primary if i.cell.baseline]
    sentences = [_claim(primary, f"{named(robust)} against standard, primary budget, {len(primary)} colours")]
    sentences += [_compared_sentence(*item) for item in primary]
    claimed = [(i, s) for i, s in published if i.cell.baseline]
    sentences.append(_claim(claimed, f"appendix A.10, {len(claimed)} colours"))
    sentences += [_compared_sentence(*item) for item in claimed]
    return listed(sentences + _tallies(controls, placebos, robust))


def mechanism_findings(
    gap: tuple[Compared | Contrasted, str],
    where: tuple[Contrasted, str],
    others: dict[str, tuple[Contrasted, str]],
    fits: dict[str, dict[str, Estimate]],
    *,
    robust: str,
    attack: str = "at the primary budget",
) -> Shown:
    """Why the two models differ: because of where the patch is, how large the masks are, or only because of margins.

    ``gap``: images fooled by the ``attack``; ``where``: chosen minus random places, the l_inf model minus the standard
    one. ``others``, all the l_inf model minus the standard one: "random" (fooled at random places), "size" (pixels of the largest
    mask) and "margin" (clean relative margin); and, if the large budget is asked about, "single", "larger", "equal": fooled by
    its largest mask, that mask's pixels, fooled by a mask of equal area. ``fits``: of ``comparison.explained``.
    """
    item, source = gap
    if item.difference is None:
        return listed(["The mechanism: not measured here."])
    sign = _signed(item)
    state = {1: "is fooled more often", -1: "is fooled less often", 0: "is not shown to be fooled more or less often"}[
        sign
    ]
    sentences = [
        f"<strong>The difference.</strong> {attack.capitalize()} {named(robust)} {state} than the standard model{source}: "
        f"{points(item.difference)}, {p_text(item)}, n = {item.difference.n}.",
        _mechanism("Where", where, "what the map adds over random places"),
        *(
            _mechanism(title, others[name], what, unit)
            for name, (title, what, unit) in _MECHANISMS.items()
            if name in others
        ),
    ]
    models = [fit["model"] for fit in fits.values()]
    alone, adjusted = [*models, None, None][:2]
    if alone and adjusted:
        sentences.append(
            f"<strong>Regression.</strong> Log odds of being fooled, {named(robust)} against standard: {_plain(alone)} alone, "
            f"{_plain(adjusted)} at equal margin (n = {alone.n} rows, one an image and model)."
        )
    for fit in list(fits.values())[-1:]:
        for name in [name for name in fit if name.startswith("Gini")]:
            word = {1: "raises", -1: "lowers", 0: "is not shown to change"}[_side(fit[name])]
            sentences.append(
                f"<strong>{name}.</strong> One standard deviation more {word} the log odds: {_plain(fit[name])}."
            )
    reasons = [
        "where the patches are" if _signed(where[0]) == sign else "",
        "how large the masks are" if _signed(others["size"][0]) == sign else "",
        "the margins" if alone and adjusted and _only_margins(sign, others["margin"][0], alone, adjusted) else "",
    ]
    everywhere = sign != 0 == _signed(where[0]) and _signed(others["random"][0]) == sign
    verdict = _mechanism_verdict(sign, [reason for reason in reasons if reason], f"{named(robust)} is", attack)
    also = (
        " The difference is there at random places, too, and the map is not shown to add to it." if everywhere else ""
    )
    sentences.append(f"<strong>Verdict.</strong> {verdict}{also}")
    single, larger, equal = (
        _signed(others[name][0]) if name in others else 0 for name in ("single", "larger", "equal")
    )
    if single:
        word = "accounts" if larger == single != equal else "does not account"
        sentences.append(f"At the large budget the size of the mask {word} for the difference under a single mask.")
    return listed(sentences)


_MECHANISMS = {  # of the differences between the two models that ``mechanism_findings`` puts into words
    "random": ("Random places", "images fooled there", "points"),
    "size": ("How large", "pixels that the largest mask hides", "pixels"),
    "larger": ("How large, at the large budget", "pixels that the largest mask hides", "pixels"),
    "single": ("Single mask at the large budget", "images fooled by it", "points"),
    "equal": ("Single mask of equal area", "images fooled by it", "points"),
    "margin": ("Margins", "clean relative logit margin", "units"),
}


def _mechanism_verdict(sign: int, reasons: list[str], subject: str, attack: str) -> str:
    if sign == 0:
        return "There is no established difference to explain."
    fragile = f"{subject} {'more' if sign > 0 else 'less'} fragile than the standard model {attack}"
    if not reasons:
        return f"{fragile}. Neither where the patches are nor how large they are nor the margins account for it in these data."
    if reasons == ["the margins"]:
        return f"{fragile}, and only its {'smaller' if sign > 0 else 'larger'} margins account for it."
    return f"{fragile}. It goes with {' and '.join(reasons)}."


def _mechanism(title: str, found: tuple[Contrasted, str], what: str, unit: str = "points") -> str:
    item, source = found
    if item.difference is None:
        return f"<strong>{title}.</strong> Not measured here."
    word = _decided(item, "larger for the ℓ∞ model", "smaller for the ℓ∞ model", "no difference is shown")
    if item.difference.low == item.difference.high == 0:
        word = "the same for all images"
    numbers = f"{points(item.difference, unit)}, {p_text(item)}, n = {item.difference.n}"
    return f"<strong>{title}.</strong> {what.capitalize()}, ℓ∞ model minus standard{source}: {numbers}: {word}."


def _plain(item: Estimate) -> str:
    return f"{item.value:+.2f} [{item.low:+.2f}, {item.high:+.2f}]" if np.isfinite(item.value) else "not determined"


def _side(item: Estimate | Difference) -> int:
    """On which side of 0 an interval lies; 0 if it holds 0."""
    return int(item.low > 0) - int(item.high < 0)


def _signed(item: Compared | Contrasted) -> int:
    """The sign of a decided difference, else 0."""
    return {"+": 1, "-": -1, "": 0}[_decided(item, "+", "-", "")]


def _only_margins(sign: int, margin: Contrasted, alone: Estimate, adjusted: Estimate) -> bool:
    """The gap shows alone, the margins differ so as to produce it, and at equal margin the gap is gone."""
    return _signed(margin) == -sign and _side(alone) == sign and _side(adjusted) != sign


# --- the first page --------------------------------------------------------------------------------------------


def headline_markdown() -> str:
    """The summary table of README and welcome page: registry accuracies and the reference run's Table 1."""
    rows = [
        "| Model | Clean accuracy, n = 10,000 | PGD-20 at its own ε, n = 10,000 | Global Gini index: paper | ours, reference run | Verdict |",
        "|---|---|---|---|---|---|",
    ]
    cells = [cell for cell in table1_cells("global_gini") if cell.checkpoint in REGISTRY]
    for item in compare(cells, load_reference("01_inequality_test").get("inequality")):
        entry = REGISTRY[item.cell.checkpoint]
        robust = "—" if item.cell.baseline is None else f"{100 * next(iter(entry.test_robust.values())).rate:.1f} %"
        ours = "not measured here"
        if item.ours:
            ours = f"{item.ours.value:.3f} [{item.ours.low:.3f}, {item.ours.high:.3f}], n = {item.ours.n}"
        rows.append(
            f"| {item.cell.label} | {100 * entry.test_clean.rate:.1f} % | {robust} | {item.cell.paper:.2f} | {ours} | {item.verdict} |"
        )
    return "\n".join(rows)


def one_mask_markdown() -> str:
    """What one mask does instead of the best of many, for README and welcome page; empty without records."""
    records = open_run("03_occlusion_attack", "full").reference.get("controls")
    if records is None:
        return ""
    standard, robust = LADDER[0], LADDER[-1]
    places = {"over the most important regions": "one mask only", "at random places": "one mask only, random places"}
    asked = [
        Contrast(words, ((robust, condition, "fooled"), (standard, condition, "fooled")))
        for words, condition in places.items()
    ]
    found = []
    for item in contrasted(asked, records):
        large = item.paper_scale.difference if item.paper_scale else None
        if item.difference:
            found.append(
                f"{item.contrast.label}: {points(item.difference)}, n = {item.difference.n}"
                + (f", at paper scale {points(large)}, n = {large.n}" if large else "")
            )
    return (
        "The paper's search takes the best of several masks, here of ten. Under the largest mask alone (five black patches of "
        f"radius 2), failures of {named(robust)} minus {named(standard)}, one training each: {'; '.join(found)}. "
        "Where the difference is as large at random places, the places are not the reason for it."
    )


def headline_figure() -> Shown:
    """Global Gini index by model, paper and reference run, for README and welcome page."""
    cells = table1_cells("global_gini")[:5]
    found = compare(cells, load_reference("01_inequality_test").get("inequality"))
    return gini_by_epsilon(found, [], name="headline", title="Global Gini index")
