"""The paper's published values as cells: where each stands in the paper, and where ours is in the records."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

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
    where: dict[str, Any] = field(default_factory=dict)
    spread: float | None = None  # the paper's +-
    baseline: tuple[str, float] | None = None
    dataset: str = "cifar10"  # of the published value
    network: str | None = None  # of the published value, where it, or the setting, may be another than ours

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


def table1_cells(column: str, models: Sequence[str] = DEFAULT_MODELS) -> list[Cell]:
    """The cells of the paper's Table 1 whose metric ``column`` measures, on the data set of ``models``.

    The network of the first of the models comes first, each in the order of epsilon.
    """
    metric = "global_gini" if column.startswith("global") else "regional_gini"
    dataset, network = dataset_of(models[0]), network_of(models[0])
    rows = _published_rows(table="table1", dataset=dataset, metric=metric)
    rows.sort(key=lambda row: row["architecture"] != network)
    standard = {row["architecture"]: float(row["value"]) for row in rows if row["training"] == "standard"}
    return [
        Cell(
            id=row["id"],
            label=f"{NETWORKS[row['architecture']]}, "
            + ("standard" if row["training"] == "standard" else f"ℓ∞ {row['epsilon_255']}/255"),
            paper=float(row["value"]),
            spread=float(row["sd"]),
            checkpoint=checkpoint_of(row["architecture"], row["training"], row["epsilon_255"], dataset=dataset),
            column=column,
            baseline=None
            if row["training"] == "standard"
            else (checkpoint_of(row["architecture"], "standard", 0, dataset=dataset), standard[row["architecture"]]),
            dataset=dataset,
        )
        for row in rows
    ]


def _carried_over(models: Sequence[str], training: str, epsilon_255: int | str) -> str:
    """The checkpoint that stands for the paper's ImageNet ResNet-50: of the first model's network, on its data set."""
    network = network_of(models[0]) if dataset_of(models[0]) == "imagenet" else "resnet18"
    return checkpoint_of(network, training, epsilon_255, dataset=dataset_of(models[0]))


def _published_rows(**where: Any) -> list[dict[Any, Any]]:
    """Published values as dictionaries; ``value`` in per cent becomes ``rate``."""
    rows = published_values(**where).sort_values("id", kind="stable").to_dict("records")
    return [row | {"rate": float(row["value"]) / 100} for row in rows]


def a10_cells() -> list[Cell]:
    """Appendix A.10: occlusion at N=10, R=4 on CIFAR-10. It states neither network nor epsilon: ResNet-18, 8/255 here."""
    rows = _published_rows(table="appendixA10")
    standard = {row["setting"]: row["rate"] for row in rows if row["training"] == "standard"}
    return [
        Cell(
            id=row["id"],
            label=f"{row['setting']}, {named(checkpoint_of('resnet18', row['training'], 8))}",
            paper=row["rate"],
            checkpoint=checkpoint_of("resnet18", row["training"], 8),
            column="fooled",
            where={"condition": row["setting"]},
            baseline=None
            if row["training"] == "standard"
            else (checkpoint_of("resnet18", "standard", 0), standard[row["setting"]]),
        )
        for row in sorted(rows, key=lambda row: row["setting"])
    ]


def table2_cells(budgets: dict[str, tuple[int, int]], models: Sequence[str] = DEFAULT_MODELS) -> list[Cell]:
    """Table 2 (ImageNet, ResNet-50); on CIFAR-10 carried over to the ladder, where only its directions can be compared.

    ``models``: their data set and network are meant.
    ``budgets``: the paper's budget, such as "N=5 R=10" -> our (N, R). Paper's budgets that are not named are left out.
    """
    rows = [
        row | {"budget": row["setting"].rpartition(" ")[0], "color": row["setting"].rpartition(" ")[2]}
        for row in _published_rows(table="table2", metric="occlusion_error")
    ]
    standard = {row["setting"]: row["rate"] for row in rows if row["training"] == "standard"}
    cells = []
    for row in (row for row in rows if row["budget"] in budgets):
        checkpoint = _carried_over(models, row["training"], row["epsilon_255"])
        count, radius = budgets[row["budget"]]
        condition = f"N={count} R={radius} {row['color']}"
        cells.append(
            Cell(
                id=row["id"],
                label=f"{condition}, {named(checkpoint)}",
                paper=row["rate"],
                checkpoint=checkpoint,
                column="fooled",
                where={"condition": condition},
                baseline=None
                if row["training"] == "standard"
                else (_carried_over(models, "standard", 0), standard[row["setting"]]),
                dataset=row["dataset"],
                network=row["architecture"],
            )
        )
    return cells


_NOISE_SOURCES: dict[str, dict[str, str]] = {  # our condition -> where the paper has an error rate of both models
    "random": {"table": "section4.3", "setting": "random noise, largest budget"},
    "type I": {"table": "table3", "setting": "type I", "attribution": "integrated_gradients"},
    "type II": {"table": "table3", "setting": "type II", "attribution": "integrated_gradients"},
}


def noise_cells(budget: int, standard: str, robust: Sequence[str]) -> list[Cell]:
    """Failure under noise on ``budget`` subpixels beside the paper's ImageNet values (ResNet-50, standard and 8/255)."""
    cells = []
    for condition, source in _NOISE_SOURCES.items():
        rows = {row["training"]: row for row in _published_rows(**source)}
        for checkpoint in (standard, *(name for name in robust if dataset_of(name) == dataset_of(standard))):
            row = rows["standard" if checkpoint == standard else "linf"]
            cells.append(
                Cell(
                    id=f"{row['id']} {checkpoint}",
                    label=f"{condition}, {named(checkpoint)}",
                    paper=row["rate"],
                    checkpoint=checkpoint,
                    column=f"failure_{budget}",
                    where={"condition": condition},
                    baseline=None if checkpoint == standard else (standard, rows["standard"]["rate"]),
                    dataset=row["dataset"],
                    network=row["architecture"] if "largest" not in row["setting"] else "another budget",
                )
            )
    return cells


def table3_cells(budget: int, patches: tuple[int, int], models: Sequence[str] = DEFAULT_MODELS) -> list[Cell]:
    """Table 3 (ImageNet, ResNet-50, standard and 8/255); on CIFAR-10 only its directions can be compared.

    ``models``: their data set and network are meant.
    Conditions are the method's title, for the Gini index; with ", type I" or ", type II" for noise on ``budget``
    subpixels; with ", N=5 R=2 black" and so on for occlusion, where ``patches`` is our (N, R).
    """
    cells = []
    for row in _published_rows(table="table3"):
        title, setting = METHOD_TITLES[row["attribution"]], row["setting"]
        gini = row["metric"] == "global_gini"
        if row["metric"] == "occlusion_error":
            setting = f"N={patches[0]} R={patches[1]} {setting.rpartition(' ')[2]}"
        column = {"global_gini": "global_gini", "noise_error": f"failure_{budget}", "occlusion_error": "fooled"}
        same = {key: row[key] for key in ("table", "attribution", "metric", "setting")}
        (standard,) = _published_rows(**same, training="standard")
        condition = title if gini else f"{title}, {setting}"
        checkpoint, unperturbed = (_carried_over(models, r["training"], r["epsilon_255"]) for r in (row, standard))
        value = "value" if gini else "rate"
        cells.append(
            Cell(
                id=row["id"],
                label=f"{condition}, {named(checkpoint)}",
                paper=float(row[value]),
                checkpoint=checkpoint,
                column=column[row["metric"]],
                where={"condition": condition},
                baseline=None if checkpoint == unperturbed else (unperturbed, float(standard[value])),
                dataset=row["dataset"],
                network=row["architecture"],
            )
        )
    return cells


def published_leaders() -> pd.DataFrame:
    """For each column of the paper's Table 3: the method with its largest value, and the one that section 4.5 names.

    Columns: ``model``, ``measure``, ``values`` (method -> published value), ``leader``, ``named``.
    """
    rows = published_values(table="table3")
    found = []
    for (training, metric, setting), group in rows.groupby(["training", "metric", "setting"], sort=False):
        values = {METHOD_TITLES[row["attribution"]]: float(row["value"]) for row in group.to_dict("records")}
        text = "integrated_gradients" if metric == "occlusion_error" else "smoothgrad"
        found.append(
            {
                "model": "standard" if training == "standard" else "ℓ∞ 8/255",
                "measure": setting or "Gini index",
                "values": values,
                "leader": max(values, key=lambda name: values[name]),
                "named": METHOD_TITLES[text],
            }
        )
    return pd.DataFrame(found)
