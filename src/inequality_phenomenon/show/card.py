"""The report on anybody's network: a card of one page with a verdict in words, two figures, a table and provenance."""

import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int64
from safetensors.torch import load_file
from torch import Tensor, nn

from .._support.checks import device_of, labels_of, pictures
from .._support.files import atomic_path
from ..datasets import load_cifar10
from ..foreign import make_network
from ..measure.inspection import RANDOM, Inspection, Plan, Quantity, inspected
from ..networks import named
from .style import Shown, boxed, dot_panels, drawn, listed, table, unfolded
from .words import MISSING, number, plain, text_of

CITE = (
    "<footer>To cite: <a href='https://openreview.net/forum?id=4t9q35BxGr'>Duan et al., Inequality phenomenon in "
    "ℓ∞-adversarial training, ICLR 2023</a>, for the claim, and “The inequality phenomenon, measured again” (CITATION.cff) "
    "for the measurement.</footer>"
)
STYLE = """body{font:16px/1.45 system-ui,sans-serif;max-width:62rem;margin:1rem auto;padding:0 1rem;color:#222}
figure{margin:1rem 0}img{max-width:100%}figcaption,small,caption,footer{font-size:.8rem;color:#555}.in-short{border-left:.3rem
solid #0072B2;padding:.1rem 1rem;background:#f4f8fb}table{border-collapse:collapse}th,td{padding:.3rem .6rem;text-align:left;
border-bottom:1px solid #ddd;vertical-align:top}.table-scroll{overflow-x:auto}"""


class Report(Inspection):
    """An inspection with its card. ``summary``, ``differences``, ``to_frame()`` and ``records`` are data."""

    def to_html(self) -> str:
        """The card as one page that needs no other file."""
        title = html.escape(f"{self.name}: the inequality test")
        head = f"<meta charset='utf-8'><meta name='viewport' content='width=device-width'><title>{title}</title>"
        body = f"<main><h1>{title}</h1>{self._repr_html_()}</main>"
        return f"<!doctype html><html lang='en'><head>{head}<style>{STYLE}</style></head><body>{body}</body></html>"

    def _repr_html_(self) -> str:
        quantities = self.plan.quantities()
        indices, rates = ([q for q in quantities if (q.unit == "%") is rate] for rate in (False, True))
        figures = self._figure(indices, "Gini index", "gini") + self._figure(rates, "images, %", "rates")
        provenance = [(key, html.escape(value)) for key, value in self.facts.items()]
        facts = unfolded("Where these numbers come from", provenance, "class='provenance' open")
        return (boxed(self.verdict()) + figures + self._table()).html + facts + CITE

    def sentences(self) -> list[str]:
        """The verdict as plain text."""
        return listed(self.verdict()).text.split("\n")

    def save_page(self, file: str | Path) -> Path:
        """Write the card; returns its path."""
        with atomic_path(file := Path(file).expanduser()) as temporary:
            temporary.write_text(self.to_html(), "utf-8")
        return file

    def save(self, folder: str | Path) -> Path:
        """Write ``card.html``, ``summary.csv``, ``differences.csv`` and each record as Parquet; returns the folder."""
        folder = Path(folder).expanduser()
        self.save_page(folder / "card.html")
        tables = {"summary.csv": self.summary, "differences.csv": self.differences}
        tables |= {f"{name}.parquet": record for name, record in self.records.items()}
        for name, content in tables.items():
            with atomic_path(folder / name) as temporary:
                (content.to_csv if name.endswith("csv") else content.to_parquet)(temporary, index=False)
        return folder

    def verdict(self) -> list[str]:
        """The finding in sentences; a direction is named only where the adjusted p-value is below 0.05."""
        index, found = self.plan.quantities()[0], self.differences.to_dict("records")
        own = self.estimate(index, self.name)
        assert own is not None
        first = [row for row in found if row["quantity"] == index.label]
        beside = "; ".join(f"against {named(row['against'])}: {_said(row, 'above', 'below')}" for row in first)
        places = [f"{row['quantity']}: {_said(row, 'more', 'less')}" for row in found if row["against"] == RANDOM]
        sentences = [
            f"The global Gini index of its attributions is <strong>{plain(own)}</strong>, n = {own.n}; "
            f"{beside or 'no network of ours was measured on these images'}.",
            f"Fooled on what it finds important, against random places. {'; '.join(places)}.",
        ]
        for other in self.networks[1:]:
            rates = [row for row in found if row["against"] == other and row["unit"] == "%"][1:]
            said = [(row["quantity"], _said(row, "more", "less")) for row in rates]
            by = {word: [what for what, side in said if side.startswith(word)] for word in ("more", "less")}
            told = "; ".join(f"{word} by {', '.join(names) or 'none'}" for word, names in by.items())
            sentences.append(f"Fooled, against {named(other)}: {told}; the others are not decided.")
        raised = ", ".join(finding.flag.name for finding in self.findings if finding.raised)
        flags = f"<strong>{raised}</strong>: the accuracy there may be an artefact" if raised else "none raised"
        return [*sentences, f"Flags of the evaluation under attack: {flags}.", *map(html.escape, self.notes)]

    def _figure(self, quantities: Sequence[Quantity], axis: str, name: str) -> Shown:
        rows = {
            q.label: [(network, found) for network in self.networks if (found := self.estimate(q, network))]
            for q in quantities
        }
        unit, size = quantities[0].unit, (8.5, 1.3 + 0.42 * len(rows))
        figure, _, words = dot_panels({"": (rows, unit)}, size, lambda found: plain(found, unit))
        caption = f"{axis.capitalize()} of each network. Bars: 95 % intervals over images."
        return drawn(figure, name=name, caption=caption, alt=f"Dot plot. {'; '.join(words)}.")

    def _table(self) -> Shown:
        rows = [
            {"": quantity.label}
            | {named(network): text_of(self.estimate(quantity, network), quantity.unit) for network in self.networks}
            for quantity in self.plan.quantities()
        ]
        beside = " Beside it, on the same images: our shipped networks." if len(self.networks) > 1 else ""
        missing = f" {MISSING}: the reference run has no such records." if MISSING in str(rows) else ""
        return table(rows, name="summary", caption=f"Values with 95 % intervals.{beside}{missing}")


def _said(row: Mapping[Any, Any], more: str, less: str) -> str:
    """On which side a difference lies, if that is decided, and its size."""
    side = (more if row["difference"] > 0 else less) if row["adjusted_p"] < 0.05 else "not decided"
    value, low, high = (number(row[key], row["unit"], signed=True) for key in ("difference", "low", "high"))
    return f"{side}, {value}{'' if row['unit'] == 'Gini' else ' points'} [{low}, {high}]"


def inspect_network(
    model: nn.Module,
    images: Float[Tensor, "n 3 h w"],
    labels: Int64[Tensor, " n"],
    *,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    name: str = "your network",
    n_images: int = 300,
    threat: str = "",
    draws: int = 5,
    seed: int = 0,
) -> Report:
    """This paper's measurements on any network that returns logits (N, classes), or Hugging Face's ``.logits``.

    ``images``: square, at least 28 pixels, in [0, 1], right or wrong; accuracies are on the first ``n_images``, all else on
    the first ``n_images`` that the network classifies correctly. ``mean``, ``std``: what it expects, one value a channel;
    without, it takes pixels in [0, 1]. ``threat`` of the attack: default ℓ∞ 8/255, from 65 pixels on 4/255. ``model`` is left
    as it was; it runs where its weights are, as a float32 copy. Test images of CIFAR-10 are recognised: then the first
    ``n_images`` of the common subset are taken, if they were given, and the shipped standard and ℓ∞ 8/255 network stand beside.
    Everything is cached by the network's weights and code, so a killed call goes on. Raises ``NetworkRefused``, a
    ``ValueError`` of one sentence, before anything is measured where the numbers would be artefacts.
    """
    pictures(images)
    labels_of(images, labels)
    if not isinstance(model, nn.Module) or images.dtype != torch.float32 or not isinstance(threat, str):
        what = f"{type(model).__name__}, {images.dtype} and {threat!r}"
        raise TypeError(f"needed are a torch module, images of float32 and a threat such as 'linf 8/255'; got {what}")
    plan = Plan(images.shape[-1], threat or f"linf {8 if images.shape[-1] <= 64 else 4}/255", draws, seed)
    return Report(**vars(inspected(model, images, labels, (mean, std), name, n_images, plan)))


def inspect_file(factory: str, weights: str | None, data: str, device: str = "auto", **options: Any) -> Report:
    """``inspect_network`` of what "module.py:function" makes, on the test images of ``data``; importing that file runs it.

    ``data``: "cifar10", or a safetensors file with ``images`` (N, 3, H, W) in [0, 1] and int64 ``labels``. ``options``: as
    for ``inspect_network``. Raises ``ValueError`` as ``foreign.make_network``, and for a file without these two.
    """
    device = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    network = make_network(factory, weights).to(device_of(device))
    if data == "cifar10":
        return inspect_network(network, *load_cifar10("test"), **options)
    if not Path(data).is_file() or not {"images", "labels"} <= (found := load_file(data)).keys():
        raise ValueError(f"data is cifar10, or a safetensors file with images and labels; got {data!r}")
    return inspect_network(network, found["images"], found["labels"], **options)
