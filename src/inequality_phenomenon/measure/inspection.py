"""Anybody's network under this paper's measurements: refused in one sentence if they would mean nothing, else recorded.

Budgets are shares of the image, so that sizes compare; at 32x32 they are the chapters': their numbers on the same images.
"""

import hashlib
import inspect
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from tqdm import tqdm

from .._support import checks
from ..attacks import BUDGETS
from ..datasets import cifar10_is_here, correct_subset, load_cifar10_bytes
from ..foreign import SMALL, SPACES, Values, classifier_of
from ..inequality import top_share
from ..networks import LADDER, Classifier, logits
from ..robustness import Threat, correct
from ..statistics import Estimate, bootstrap_mean, holm, mcnemar, paired_difference, wilson
from .accuracy import pgd_evaluation
from .image_sets import CIFAR10, Cifar10
from .measurements import inequality, noise, occlusion
from .panel import NOISE
from .reference import load_reference, stacked
from .robustness_flags import Finding, check
from .sample import Sample, measure

PROBE = 64  # images on which is looked before anything is measured
SHARES = tuple(budget / 3072 for budget in BUDGETS[:5])  # of the subpixels: the paper's; the third is summarised
TOP_SHARE = 0.05
PATCHES, PATCH_RADIUS, REGION = 5, 1 / 16, 1 / 8  # number; of the side: 2 and 4 of 32 pixels
PATCH, RANDOM, RANDOM_II = "N=5 R=2 black", "random places", "random, type II"  # the conditions' names in the book
SHIPPED = (LADDER[0], LADDER[-1])  # stand beside a network on CIFAR-10
BOOK = {  # where the reference run has the same records
    "inequality": ("01_inequality_test", ("inequality",)),
    "noise": ("02_noise_attack", ("noise", "controls")),
    "occlusion": ("03_occlusion_attack", ("pair", "controls")),
    "attack": ("10_cifar10_models", ("pgd_evaluation",)),
}


class NetworkRefused(ValueError):
    """Measuring this network would give numbers that mean nothing; the message says why in one sentence."""


class GivenImages(Cifar10):
    """Images that a user gave, in the place of CIFAR-10's; their numbers are their places."""

    def __init__(self, images: Tensor, labels: Tensor) -> None:
        super().__init__()
        self.images, self.labels, self.half_precision_maps = images, labels, images.shape[-1] > SMALL

    def load(self, ids: Sequence[int], device: torch.device) -> tuple[Tensor, Tensor]:
        return self.images[list(ids)], self.labels[list(ids)]

    def digest(self, images: Tensor) -> str:
        return hashlib.sha256(images.cpu().numpy().tobytes()).hexdigest()

    def provenance(self) -> str:
        return f"{len(self.images)} images that were given, SHA-256 {self.digest(self.images)[:16]}…"

    def part_size(self, device: torch.device) -> int | None:
        return 25 if self.half_precision_maps else None  # the gradients of 250 large images would not fit into a laptop


class Quantity(NamedTuple):
    """A row of the summary: where its values stand in the records, and the condition that is its control."""

    label: str
    table: str
    condition: str
    column: str
    unit: str = "%"
    control: str | None = None


@dataclass(frozen=True)
class Plan:
    """What is measured on images of this ``side``: shares become pixels here."""

    side: int
    threat: str
    draws: int
    seed: int

    @property
    def region(self) -> int:
        """Side of a region: the divisor of the image's nearest to an eighth of it, so that regions tile the image."""
        divisors = [size for size in range(1, self.side) if self.side % size == 0]
        return min(divisors, key=lambda size: (abs(size - REGION * self.side), size))

    @property
    def radius(self) -> int:
        """Largest radius of a patch in pixels."""
        return round(PATCH_RADIUS * self.side)

    @property
    def budgets(self) -> tuple[int, ...]:
        return tuple(max(1, round(share * 3 * self.side**2)) for share in SHARES)

    def measurements(self, own: Sample, attacked: Sample) -> list[tuple[str, str, Any, Sample, dict[str, Any]]]:
        """Table, condition, function, sample and parameters of each measurement, in order."""
        noisy = {kind: {"draws": self.draws, "budgets": self.budgets} | where for kind, where in NOISE.items()}
        noisy[RANDOM_II] = noisy["type II"] | {"positions": "random", "budgets": self.budgets[2:3]}
        grid = {"max_count": PATCHES, "max_radius": self.radius, "color": "black", "region": self.region}
        return [
            ("inequality", "", inequality, own, {"region": self.region, "steps": 20}),
            ("dominance", "", dominance, own, {}),
            *(("noise", kind, noise, own, options) for kind, options in noisy.items()),
            ("occlusion", PATCH, occlusion, own, grid),
            ("occlusion", RANDOM, occlusion, own, grid | {"positions": "random"}),
            ("attack", "", pgd_evaluation, attacked, {"threat": self.threat}),
        ]

    def quantities(self) -> list[Quantity]:
        column, top, patches = f"failure_{self.budgets[2]}", f"top {100 * SHARES[2]:.1f} %", f"{PATCHES} black patches"
        return [
            Quantity("global Gini index", "inequality", "", "global_gini", "Gini"),
            Quantity("regional Gini index", "inequality", "", "regional_gini_sum_of_absolute", "Gini"),
            Quantity(f"share of the top {100 * TOP_SHARE:.0f} % of subpixels", "inequality", "", "top_share"),
            Quantity(f"noise added, {top}", "noise", "type I", column, control="random"),
            Quantity(f"noise added, {RANDOM}", "noise", "random", column),
            Quantity(f"noise instead, {top}", "noise", "type II", column, control=RANDOM_II),
            Quantity(f"noise instead, {RANDOM}", "noise", RANDOM_II, column),
            Quantity(f"{patches}, top regions", "occlusion", PATCH, "fooled", control=RANDOM),
            Quantity(f"{patches}, {RANDOM}", "occlusion", RANDOM, "fooled"),
            Quantity("accuracy", "attack", "", "clean"),
            Quantity(f"accuracy under PGD-20, {self.threat}", "attack", "", "robust"),
        ]


@dataclass
class Inspection:
    """What was measured. ``records``: a row an image, network and condition; the inspected network is the first.

    ``notes``: what a reader must know; ``facts``: where the numbers come from; ``findings``: flags of the evaluation.
    """

    name: str
    plan: Plan
    records: dict[str, pd.DataFrame]
    notes: list[str]
    facts: dict[str, str]
    findings: list[Finding]

    @property
    def networks(self) -> list[str]:
        """The inspected one, then those that stand beside it."""
        return list(dict.fromkeys(self.records["inequality"].checkpoint))

    def values(self, quantity: Quantity, network: str, condition: str | None = None) -> pd.Series:
        """One value an image, by the image's number; of another condition if it is given."""
        table, asked = self.records[quantity.table], quantity.condition if condition is None else condition
        rows = table[(table.checkpoint == network) & (table.condition == asked)]
        return rows.set_index("image_id")[quantity.column].infer_objects()

    def estimate(self, quantity: Quantity, network: str) -> Estimate | None:
        """Mean or rate with its 95 % interval; ``None`` where it was not measured."""
        values = self.values(quantity, network)
        if len(values) < 2:
            return None
        if values.dtype == bool:
            return wilson(int(values.sum()), len(values))
        return bootstrap_mean(values.to_numpy(float))

    @property
    def summary(self) -> pd.DataFrame:
        """A row a quantity and network: ``value``, its 95 % interval ``low`` to ``high``, ``n`` images, the ``unit``."""
        cells = product(self.plan.quantities(), self.networks)
        found = [({"quantity": one.label, "network": name}, self.estimate(one, name), one.unit) for one, name in cells]
        return pd.DataFrame(labels | vars(own) | {"unit": unit} for labels, own, unit in found if own)

    @property
    def differences(self) -> pd.DataFrame:
        """The network minus each one beside it, and important minus random places: paired by image, Holm-adjusted."""
        rows = []
        for quantity in self.plan.quantities():
            own = self.values(quantity, self.name)
            others = {name: self.values(quantity, name) for name in self.networks[1:] if quantity.table != "attack"}
            if quantity.control is not None:
                others[RANDOM] = self.values(quantity, self.name, quantity.control)
            for against, values in others.items():
                both, labels = own.index.intersection(values.index), {"quantity": quantity.label, "against": against}
                if len(both) > 1:
                    rows.append(labels | {"unit": quantity.unit} | _paired(own[both], values[both]))
        table = pd.DataFrame(rows)
        return table.assign(adjusted_p=holm(table.p.tolist()))

    def to_frame(self) -> pd.DataFrame:
        """Everything in one table: ``network``, ``image_id``, ``quantity``, ``value``; truth values are 0 and 1."""
        cells = product(self.plan.quantities(), self.networks)
        parts = {(one.label, name): self.values(one, name).astype(float) for one, name in cells}
        table = pd.concat(parts, names=["quantity", "network"]).rename("value").reset_index()
        return table[["network", "image_id", "quantity", "value"]]


def _paired(a: pd.Series, b: pd.Series) -> dict[str, Any]:
    rates, (first, second) = a.dtype == b.dtype == bool, (values.to_numpy(float) for values in (a, b))
    return vars(mcnemar(first, second) if rates else paired_difference(first, second))


def dominance(sample: Sample, *, share: float = TOP_SHARE, seed: int = 0) -> dict[str, np.ndarray]:
    """Share of the total |a| that this ``share`` of the subpixels, the largest, carries: column ``top_share``."""
    values = sample.maps(seed=seed, steps=20).abs().flatten(1)
    return {"top_share": top_share(values, [max(1, round(share * values.shape[1]))])[:, 0].cpu().numpy()}


def checked(
    model: nn.Module, images: Tensor, labels: Tensor, space: tuple[Values, Values]
) -> tuple[Classifier, list[str], str]:
    """The network as it is measured, notes on that, and its fingerprint; ``NetworkRefused`` with the first reason not to."""
    if images.shape[2] != images.shape[3] or images.shape[2] < 28:
        raise ValueError(f"images are square with sides of 28 or more, got {tuple(images.shape[2:])}")
    if any(part.training for part in model.modules()):
        raise NetworkRefused("Training mode: predictions depend on the batch or on chance; call model.eval() first.")
    images, labels = images[:PROBE], labels[:PROBE]
    found = classifier_of(model, images, *space)
    scores, gradient = _logit_gradient(found, images, labels)
    if reason := _refusal(found, images, labels, scores, gradient):
        raise NetworkRefused(reason)
    kinds = {value.dtype for value in model.parameters() if value.is_floating_point()} - {torch.float32}
    notes = [f"The weights are {kind}; they were measured in float32, as all networks are." for kind in kinds]
    spaces = ((title, classifier_of(model, images, *known)) for title, known in SPACES.items())
    right = {title: int(correct(one, images, labels).sum()) for title, one in spaces}
    best, given = max(right, key=lambda title: right[title]), int(correct(found, images, labels).sum())
    if not isinstance(model, Classifier) and right[best] - given > len(labels) // 10:
        counts = f"{given} are classified correctly with what was given, {right[best]} with {best}"
        notes.append(f"Is the normalisation right? Of the first {len(labels)} images {counts}.")
    return found, notes, _fingerprint(found, scores, gradient)


def _logit_gradient(model: Classifier, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """The logits, and the gradient of each image's true-class logit, of which attributions are made; 0 where there is none."""
    images = images.detach().clone().requires_grad_()
    with torch.enable_grad():
        scores = model(images)
        checks.classes_known(labels, scores.shape[1])
        chosen = scores.gather(1, labels[:, None]).sum() + 0 * images.sum()
        (gradient,) = torch.autograd.grad(chosen, images)
    return scores.detach(), gradient


def _refusal(model: Classifier, images: Tensor, labels: Tensor, scores: Tensor, gradient: Tensor) -> str | None:
    dead, classes = (gradient == 0).flatten(1).all(1), scores.shape[1]
    rate = (scores.argmax(1) == labels).double().mean().item()
    sums = (scores if (scores >= -1e-5).all() else scores.exp()).sum(1) - 1  # of probabilities, or their logarithms
    if not scores.isfinite().all():
        return "Non-finite outputs: the network's logits have NaN or infinite values, so nothing can be measured."
    if (sums.abs() < 1e-4).all():
        return "Softmax outputs: they are probabilities, whose gradients vanish; return the logits before the softmax."
    if not torch.allclose(logits(model, images), scores, rtol=1e-3, atol=1e-3):
        return "Random outputs: two passes over the same images differ, so gradients belong to another draw; switch it off."
    if not gradient.isfinite().all():
        return "Non-finite gradients: the input's gradient has NaN or infinite values, so there is no attribution."
    if dead.any():
        count = f"{int(dead.sum())} of {len(dead)} images"
        return f"Dead gradients: for {count} the input's gradient is zero everywhere, so there is no attribution."
    if rate < 1.5 / classes:
        under = f"{rate:.0%} of {len(labels)} images are classified rightly, under 1.5 times chance ({1 / classes:.0%})"
        return f"Wrong normalisation or labels: {under}; give the mean= and std= that the network was trained with."
    return None


def _fingerprint(model: Classifier, scores: Tensor, gradient: Tensor) -> str:
    """Hash of the weights, the structure, the files of its classes, and, rounded, what it does to the first images."""
    found = hashlib.sha256(f"{model} torch {torch.__version__}".encode())
    files = {getattr(inspect.getmodule(type(part)), "__file__", None) or "" for part in model.modules()}
    for file in sorted(files):
        if file.endswith(".py") and "site-packages" not in file:
            found.update(Path(file).read_bytes())
    for name, value in sorted(model.state_dict().items()):
        found.update(name.encode() + value.detach().cpu().numpy().tobytes())
    said = torch.cat([scores.flatten(), gradient.flatten(1).norm(dim=1)])
    found.update(said.bfloat16().float().cpu().numpy().tobytes())
    return found.hexdigest()


def inspected(
    model: nn.Module, images: Tensor, labels: Tensor, space: tuple[Values, Values], name: str, n_images: int, plan: Plan
) -> Inspection:
    """What ``show.card.inspect_network`` reports, without a page; ``space``: its mean and std. Errors as there."""
    for label, value, least in (("n_images", n_images, 2), ("draws", plan.draws, 1), ("seed", plan.seed, 0)):
        checks.whole(label, value, least)
    Threat.parse(plan.threat)
    if not re.fullmatch(r"[\w .,+-]+", name) or name in SHIPPED:
        raise ValueError(f"a name has letters, digits, spaces and .,+-_ and is none of a shipped network; got {name!r}")
    device = next((value.device for value in model.parameters()), torch.device("cpu"))
    images, labels = images.to(device), labels.to(device)
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):  # float32 on every device
        network, notes, fingerprint = checked(model, images, labels, space)
        places = cifar10_places(images, labels)
        data, given = (GivenImages(images, labels), range(len(images))) if places is None else (CIFAR10, places)
        stamp = hashlib.sha256(f"{name} {fingerprint}".encode()).hexdigest()  # cached records have the name in them
        chosen = (_measured_images(network, data, given, n_images, images), given[:n_images])
        own, attacked = (Sample(name, network, *data.load(ids, device), list(ids), data, stamp) for ids in chosen)
        records = _records(plan, own, attacked)
    findings = check({str(column): records["attack"][column].to_numpy() for column in records["attack"]})
    records = records if places is None else _with_shipped(records, plan)
    if plan.region != plan.side * REGION:
        notes.append(f"{plan.side} pixels are no multiple of 8: a region has {plan.region}x{plan.region} pixels.")
    return Inspection(name, plan, records, notes, _facts(own, plan), findings)


def cifar10_places(images: Tensor, labels: Tensor) -> list[int] | None:
    """Places in the CIFAR-10 test set, where every image and label is from there; ``None`` else, or where that is not here."""
    if images.shape[1:] != (3, 32, 32) or not cifar10_is_here():
        return None
    known, classes = load_cifar10_bytes("test")
    places = {image.tobytes(): place for place, image in enumerate(known.numpy())}
    given = (images * 255).round().byte().permute(0, 2, 3, 1).cpu().contiguous().numpy()
    found = [places.get(image.tobytes(), -1) for image in given]
    others = -1 in found or len(set(found)) < len(found) or (classes[found].long() != labels.cpu()).any()
    return None if others else found


def _measured_images(model: Classifier, data: Cifar10, given: Sequence[int], count: int, images: Tensor) -> list[int]:
    """The first ``count`` given images that are classified correctly; of CIFAR-10 from the common subset, if that was given."""
    known = set(given) if data is CIFAR10 else set()
    common = [place for place in correct_subset(1000) if place in known][:count]
    order, kept = common if len(common) == min(count, len(given)) else list(given), list[int]()
    for start in range(0, len(order), count):
        part = order[start : start + count]
        right = correct(model, *data.load(part, images.device), batch=PROBE).tolist()
        kept += [place for place, is_right in zip(part, right, strict=True) if is_right]
        if len(kept) >= count:
            break
    if len(kept) < 2:
        raise NetworkRefused(f"Too few images: {len(kept)} of {len(order)} are classified correctly, two are needed.")
    return kept[:count]


def _records(plan: Plan, own: Sample, attacked: Sample) -> dict[str, pd.DataFrame]:
    """The measurements one after the other, each cached by itself; a bar counts them."""
    found: dict[str, list[pd.DataFrame]] = {}
    bar = tqdm(plan.measurements(own, attacked), desc=own.checkpoint, unit="measurement", disable=None)
    for table, condition, function, sample, options in bar:
        record = measure(function, sample, seed=plan.seed, **options)
        found.setdefault(table, []).append(record.assign(condition=condition))
    tables = {table: pd.concat(parts, ignore_index=True) for table, parts in found.items()}
    return tables | {"inequality": tables["inequality"].assign(top_share=tables.pop("dominance").top_share)}


def _with_shipped(records: dict[str, pd.DataFrame], plan: Plan) -> dict[str, pd.DataFrame]:
    """The records, and below them what the reference run found for the shipped networks on the same images."""
    found = dict(records)
    for name, own in records.items():
        chapter, tables = BOOK[name]
        settings = {"seed": plan.seed} | ({"draws": plan.draws} if name == "noise" else {})
        if (book := stacked(load_reference(chapter, settings), tables)) is not None:
            book = book[book.checkpoint.isin(SHIPPED) & book.image_id.isin(own.image_id)]
            if name == "attack":
                book = book[book.condition == f"PGD-20, {plan.threat}"].assign(condition="")
            book = book.assign(top_share=book.top_154) if name == "inequality" else book
            found[name] = pd.concat([own, book[own.columns.intersection(book.columns)]], ignore_index=True)
    return found


def _facts(own: Sample, plan: Plan) -> dict[str, str]:
    weights = sum(value.numel() for value in own.model.parameters())
    foreign = getattr(own.model.network, "network", own.model.network)
    noisy = f"noise on {', '.join(map(str, plan.budgets))} of {3 * plan.side**2} subpixels, {plan.draws} draws"
    return {
        "network": f"{own.checkpoint}: {type(foreign).__name__}, {weights:,} weights",
        "images": f"{own.data.provenance()}; {len(own.ids)} that the network classifies correctly, for accuracies the first given",
        "attribution": "Integrated Gradients of the true class's logit, 20 steps, baseline N(0, 1) in normalised space",
        "budgets": f"{noisy}; patches of radius up to {plan.radius}, regions of {plan.region}, of {plan.side} pixels",
        "attack": f"PGD-20, 2 restarts, {plan.threat}; seed {plan.seed}",
        "software": f"inequality-phenomenon {version('inequality-phenomenon')}, torch {torch.__version__}, {own.images.device}",
    }
