"""The paper's published values as cells: where each stands in the paper, and where ours is in the records."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from .._support import paths
from ..attribution import METHOD_TITLES
from ..networks import checkpoint_of, dataset_of, named, network_of


def published_values(**where: Any) -> pd.DataFrame:
    """The paper's published values, one row a cell, restricted to ``column=value``."""
    table = pd.read_csv(paths.PUBLISHED_VALUES, keep_default_na=False)
    for column, value in where.items():
        table = table[table[column] == value]
    return table


@dataclass(frozen=True)
class Cell:
    """One published value and where ours is found in the records.

    ``baseline``: the standard model's checkpoint and published value, for the paper's direction; ``None`` for its own row.
    """

    id: str
    label: str
    paper: float
    checkpoint: str
    column: str
    condition: str = ""
    spread: float | None = None  # the paper's +-
    baseline: tuple[str, float] | None = None
    dataset: str = "cifar10"  # of the published value
    network: str | None = None  # of the published value; none where the paper does not say

    @property
    def tolerance(self) -> float:
        return 0.03 if "gini" in self.column else 0.05

    @property
    def same_setting(self) -> bool:
        """Whether the published value is of our data set and network; else only its direction can be compared."""
        return self.dataset == dataset_of(self.checkpoint) and self.network in (None, network_of(self.checkpoint))


DEFAULT_MODELS = ("cifar10-resnet18w16-standard-s0",)
NETWORKS = {
    "resnet18": "ResNet-18",
    "densenet": "DenseNet",
    "resnet50": "ResNet-50",
    "wide_resnet50_2": "Wide ResNet-50-2",
}

Row = dict[Any, Any]  # of the published values; ``value`` and ``standard`` are numbers, rates as fractions


def _rows(**where: Any) -> list[Row]:
    """Published values, each with the ``standard`` model's in the same place of the same table."""
    place = ["architecture", "attribution", "metric", "setting"]
    table = published_values(**where).sort_values("id", kind="stable")
    table["value"] = table.value.astype(float) / np.where(table.unit == "%", 100, 1)
    standard = table[table.training == "standard"].set_index(place).value.rename("standard")
    return table.join(standard, on=place, validate="many_to_one").to_dict("records")


def _cell(row: Row, checkpoints: tuple[str, str], column: str, condition: str = "", **more: Any) -> Cell:
    """The cell of a published ``row``; ``checkpoints``: ours for it and for standard training."""
    ours, standard = checkpoints
    facts = {"id": row["id"], "label": f"{condition}, {named(ours)}", "paper": row["value"], "checkpoint": ours}
    facts |= {"column": column, "condition": condition, "dataset": row["dataset"], "network": row["architecture"]}
    baseline = None if row["training"] == "standard" else (standard, row["standard"])
    return Cell(**facts | {"baseline": baseline} | more)


def _ours(row: Row, network: str, dataset: str = "cifar10") -> tuple[str, str]:
    """Our checkpoints for a row's training and for standard training."""
    ours = checkpoint_of(network, row["training"], row["epsilon_255"], dataset=dataset)
    return ours, checkpoint_of(network, "standard", 0, dataset=dataset)


def table1_cells(column: str, models: Sequence[str] = DEFAULT_MODELS) -> list[Cell]:
    """The cells of the paper's Table 1 whose metric ``column`` measures, on the data set of ``models``.

    The network of the first of the models comes first, each in the order of epsilon.
    """
    metric = "global_gini" if column.startswith("global") else "regional_gini"
    dataset, network = dataset_of(models[0]), network_of(models[0])
    published = dataset if dataset == "cifar10" else "imagenet"
    own = {"architecture": network} if dataset not in ("cifar10", "imagenet") else {}  # of Imagenette there is one
    rows = _rows(table="table1", dataset=published, metric=metric, **own)
    cells = []
    for row in sorted(rows, key=lambda row: row["architecture"] != network):
        training = "standard" if row["training"] == "standard" else f"ℓ∞ {row['epsilon_255']}/255"
        label, spread = f"{NETWORKS[row['architecture']]}, {training}", float(row["sd"])
        cells.append(_cell(row, _ours(row, row["architecture"], dataset), column, label=label, spread=spread))
    return cells


def _carried_over(row: Row, models: Sequence[str]) -> tuple[str, str]:
    """The checkpoints that stand for the paper's ImageNet ResNet-50: of the first model's network, on its data set."""
    dataset = dataset_of(models[0])
    return _ours(row, network_of(models[0]) if dataset == "imagenet" else "resnet18", dataset)


def a10_cells() -> list[Cell]:
    """Appendix A.10: occlusion at N=10, R=4 on CIFAR-10. It states neither network nor epsilon: ResNet-18, 8/255 here."""
    rows = [row | {"epsilon_255": 8, "architecture": None} for row in _rows(table="appendixA10")]
    rows.sort(key=lambda row: row["setting"])
    return [_cell(row, _ours(row, "resnet18"), "fooled", row["setting"]) for row in rows]


def table2_cells(budgets: dict[str, tuple[int, int]], models: Sequence[str] = DEFAULT_MODELS) -> list[Cell]:
    """Table 2 (ImageNet, ResNet-50); on CIFAR-10 carried over to the ladder, where only its directions can be compared.

    ``models``: their data set and network are meant.
    ``budgets``: the paper's budget, such as "N=5 R=10" -> our (N, R). Paper's budgets that are not named are left out.
    """
    cells = []
    for row in _rows(table="table2", metric="occlusion_error"):
        budget, _, color = row["setting"].rpartition(" ")
        if budget in budgets:
            condition = "N={} R={} {}".format(*budgets[budget], color)
            cells.append(_cell(row, _carried_over(row, models), "fooled", condition))
    return cells


_NOISE_SOURCES: dict[str, dict[str, str]] = {  # our condition -> where the paper has an error rate of both models
    "random": {"table": "section4.3", "setting": "random noise, budget not stated"},
    "type I": {"table": "table3", "setting": "type I", "attribution": "integrated_gradients"},
    "type II": {"table": "table3", "setting": "type II", "attribution": "integrated_gradients"},
}


def noise_cells(budget: int, standard: str, robust: Sequence[str]) -> list[Cell]:
    """Failure under noise on ``budget`` subpixels beside the paper's ImageNet values (ResNet-50, standard and 8/255)."""
    cells = []
    for condition, source in _NOISE_SOURCES.items():
        rows = {row["training"]: row for row in _rows(**source)}
        for name in (standard, *(name for name in robust if dataset_of(name) == dataset_of(standard))):
            row = rows["standard" if name == standard else "linf"]
            cells.append(_cell(row, (name, standard), f"failure_{budget}", condition, id=f"{row['id']} {name}"))
    return cells


def table3_cells(budget: int, patches: tuple[int, int], models: Sequence[str] = DEFAULT_MODELS) -> list[Cell]:
    """Table 3 (ImageNet, ResNet-50, standard and 8/255); on CIFAR-10 only its directions can be compared.

    ``models``: their data set and network are meant.
    Conditions are the method's title, for the Gini index; with ", type I" or ", type II" for noise on ``budget``
    subpixels; with ", N=5 R=2 black" and so on for occlusion, where ``patches`` is our (N, R).
    """
    columns = {"global_gini": "global_gini", "noise_error": f"failure_{budget}", "occlusion_error": "fooled"}
    cells = []
    for row in _rows(table="table3"):
        setting = row["setting"]
        if row["metric"] == "occlusion_error":
            setting = "N={} R={} {}".format(*patches, setting.rpartition(" ")[2])
        condition = ", ".join(filter(None, (METHOD_TITLES[row["attribution"]], setting)))
        cells.append(_cell(row, _carried_over(row, models), columns[row["metric"]], condition))
    return cells


def published_leaders() -> pd.DataFrame:
    """For each column of the paper's Table 3: its values, the method with the largest, and the one that section 4.5 names."""
    found = []
    columns = published_values(table="table3").groupby(["training", "metric", "setting"], sort=False)
    for (training, metric, setting), group in columns:
        values = {METHOD_TITLES[row["attribution"]]: float(row["value"]) for row in group.to_dict("records")}
        text = METHOD_TITLES["integrated_gradients" if metric == "occlusion_error" else "smoothgrad"]
        leader, unit = max(values, key=lambda name: values[name]), " %" if setting else ""
        where = f"{setting or 'Gini index'}, {'standard' if training == 'standard' else 'ℓ∞ 8/255'}"
        listed = ", ".join(f"{method} {value:g}{unit}" for method, value in values.items())
        found.append((where, listed, leader, text, "yes" if leader == text else "no"))
    return pd.DataFrame(found, columns=["", "Values", "Largest", "Section 4.5 names", "Agree"])
