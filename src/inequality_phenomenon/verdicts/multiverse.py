"""Every universe of the plan, its effect and interval, and what they say together: pure functions of the records."""

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, reduce
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from ..measure.multiverse import digest, goes_with, plan, planned_networks, unpacked
from ..networks import REGISTRY
from .published import published_values

Records = Mapping[str, pd.DataFrame]
Row = Mapping[Hashable, Any]  # the option of each choice
Array = np.ndarray
NEVER_NEGATIVE = "smoothgrad_squared"  # so these readings of its maps coincide with the first
COINCIDE: dict[Hashable, dict[str, str]] = {
    "values": {"positive": "absolute", "net": "channels"},
    "sign": dict.fromkeys(("sum_of_positive", "positive_of_sum", "absolute_of_sum"), "sum_of_absolute"),
    "pixel_order": {"absolute": "signed"},
    "order": {"absolute": "signed", "positive": "signed"},
}
OUTCOME = ("networks", "trios", "images")  # choices that change no network's outcome on an image


def universes(claim: str) -> pd.DataFrame:
    """All combinations of options that the plan has for a claim, a column a choice; those that coincide once."""
    found = _readings(claim, every=False)
    for choice in plan()["claims"][claim]["choices"]:
        if choice in OUTCOME:
            found = found.merge(pd.DataFrame({choice: _options(claim, choice)}), how="cross")
    return found


def _readings(claim: str, every: bool) -> pd.DataFrame:
    """Combinations of the choices that change what happens to an image under a network; without ``every`` those that
    coincide once."""
    names, choices = [c for c in plan()["claims"][claim]["choices"] if c not in OUTCOME], plan()["choices"]
    chosen = (dict(zip(names, row, strict=True)) for row in product(*(_options(claim, name) for name in names)))
    found = pd.DataFrame([row for row in chosen if all(goes_with(choices[c][row[c]], row) for c in row)])
    return found if every else found[~pd.DataFrame(map(_canonical, found.to_dict("records"))).astype(str).duplicated()]


def _options(claim: str, choice: str) -> list[str]:
    facts, options = plan()["claims"][claim], plan()["choices"][choice]
    return [option for option in options if option in facts.get("only", {}).get(choice, options)]


def _canonical(row: Row) -> dict[Hashable, Any]:
    """What decides a universe's outcome."""
    if row.get("method") == NEVER_NEGATIVE:
        row = {choice: COINCIDE.get(choice, {}).get(option, option) for choice, option in row.items()}
    masks = tuple(sorted(_masks(row))) if "search" in row else ()
    return {c: o for c, o in row.items() if c not in ("patch", "search", "count", "radius")} | {"masks": masks}


def _masks(row: Row) -> set[tuple[int, int]]:
    """The masks (patches, side) any of which fools the network in this universe."""
    sides = plan()["choices"]["patch"][row["patch"]]["sides"][: int(row["radius"])]
    count = int(row["count"])
    if row["search"] == "largest":
        return {(count, sides[-1])}
    return set(product([count] if row["search"] == "printed" else range(1, count + 1), sides))


@dataclass(frozen=True)
class Outcomes:
    """What happened to each of the first images of the test set under one network."""

    values: Float[Array, "n universes"]  # an index, or 1 where the network was fooled; undefined where it was not right
    right: Bool[Array, " n"]


def outcomes(name: str, readings: pd.DataFrame, checkpoint: str, records: Records, n: int, part: slice) -> Outcomes:
    """A network's outcome on a ``part`` of the first ``n`` images in each of the ``readings``, which the record ``name`` has."""
    columns = {"index": _index_columns, "occlusion": _patch_columns}.get(name, _noise_columns)
    own = records[name][records[name].checkpoint == checkpoint].sort_values("image_id")
    by_map = {str(condition): rows for condition, rows in own.groupby("condition")}
    found = np.stack(list(columns(readings, by_map)), axis=1)
    seen = records["right"]
    right = seen[seen.checkpoint == checkpoint].sort_values("image_id").right.to_numpy(bool)[:n]
    values = found
    if name != "index":  # only images that the network gets right were attacked
        values = np.ones((n, found.shape[1]))
        values[right] = found
    return Outcomes(values[part], right[part])


def _condition(row: Row) -> str:
    return "|".join(str(row[choice]) for choice in ("method", "baseline", "output")) if "method" in row else ""


def _index_columns(readings: pd.DataFrame, own: dict[str, pd.DataFrame]) -> Iterator[Array]:
    for row in readings.to_dict("records"):
        yield own[_condition(row)][row["values" if "values" in row else "sign"]].to_numpy(float)


def _noise_columns(readings: pd.DataFrame, own: dict[str, pd.DataFrame]) -> Iterator[Array]:
    budgets = list(plan()["choices"]["budget"])
    bits = cache(lambda condition, column: unpacked(own[condition][str(column)], len(budgets)))
    for row in readings.to_dict("records"):
        column = "|".join(row[choice] for choice in ("pixel_order", "kind", "noise") if choice in row)
        yield bits(_condition(row), column)[:, budgets.index(row["budget"])]


def _patch_columns(readings: pd.DataFrame, own: dict[str, pd.DataFrame]) -> Iterator[Array]:
    most, sides = plan()["max_count"], plan()["sides"]
    shape = -1, most, len(sides)
    grid = cache(lambda condition, column: unpacked(own[condition][str(column)], most * len(sides)).reshape(shape))
    for row in readings.to_dict("records"):
        order = str(row["order"])  # those that coincide are kept once
        order = COINCIDE["order"].get(order, order) if row["method"] == NEVER_NEGATIVE else order
        used = [sides.index(side) for side in plan()["choices"]["patch"][row["patch"]]["sides"][: int(row["radius"])]]
        counts = slice(int(row["count"]) - 1 if row["search"] != "best" else 0, int(row["count"]))
        chosen = grid(_condition(row), f"{order}|{row['color']}")[:, counts]
        yield chosen[..., used[-1:] if row["search"] == "largest" else used].any(axis=(1, 2)).astype(bool)


@dataclass(frozen=True)
class Multiverse:
    """A claim in every universe that was measured.

    ``table``: a row a universe: its options, ``effect`` with its 95 % interval ``low`` to ``high``, the two means
    ``robust`` and ``other``, ``n`` images, ``undefined`` (share of images left out). ``differences``: for each group of
    networks the images that all of them get right, by the universes of "both".
    """

    claim: str
    table: pd.DataFrame
    differences: tuple[Float[Array, "images universes"], ...]

    @property
    def verdicts(self) -> pd.Series:
        """ "for", "against" or "undecided", for each universe."""
        return sides(self.table)


def sides(table: pd.DataFrame) -> pd.Series:
    """ "for", "against" or "undecided", by the intervals from ``low`` to ``high``."""
    against = np.where(table.high < 0, "against", "undecided")
    return pd.Series(np.where(table.low > 0, "for", against), index=table.index)


def multiverse(
    claim: str, records: Records, n: int | None = None, *, half: int | None = None, every: bool = False
) -> Multiverse:
    """The effect in every universe of a claim whose networks and maps were measured.

    ``n``: images asked for, where it is not the plan's number. ``half``: from every other image alone, beginning with the
    first (0) or the second (1). ``every``: also combinations that coincide with another universe. Raises ``ValueError`` where a
    record was measured under another plan.
    """
    for name in ("right", plan()["claims"][claim]["record"]):
        if other := set(records[name].plan) - {digest()}:
            raise ValueError(f"the record {name} was measured under the plan {', '.join(other)}, not {digest()}")
    facts, chosen = plan()["claims"][claim], _readings(claim, every)
    record, part = facts["record"], slice(half, None, None if half is None else 2)
    count = plan()["images"]["noise" if record == "random_noise" else record] if n is None else n
    group = "trios" if "trios" in facts["choices"] else "networks"
    roles = ("robust", "other", "standard") if group == "trios" else ("robust", "standard")
    measured, right = records[record].groupby("checkpoint").condition.agg(set), _right_everywhere(records)[part]
    tables, differences = [], []
    for name, networks in plan()[group].items():
        known = set.intersection(*(measured.get(networks[role], set()) for role in roles))
        readings = chosen[[_condition(row) in known for row in chosen.to_dict("records")]].reset_index(drop=True)
        if readings.empty:
            continue
        seen = [outcomes(record, readings, networks[role], records, count, part) for role in roles]
        (one, two), both = seen[:2], np.logical_and.reduce([own.right for own in seen])
        everywhere = right[: len(both)]
        sets = {"both": (both, both), "own": (one.right, two.right), "every": (everywhere, everywhere)}
        for images in _options(claim, "images"):
            used = sets.get(images, (np.ones_like(both), np.ones_like(both)))
            tables.append(readings.assign(**{"images": images, group: name}, **effects(one.values, two.values, *used)))
        if "both" in _options(claim, "images"):
            differences.append(np.nan_to_num((one.values - two.values)[both]))
    table = pd.concat(tables, ignore_index=True) if tables else chosen.iloc[:0].assign(effect=[], low=[], high=[])
    return Multiverse(claim, table, tuple(differences))


def _right_everywhere(records: Records) -> Bool[Array, " n"]:
    """Which images all networks of the plan that exist classify correctly."""
    judges = [name for name in planned_networks() if name in REGISTRY]
    seen = records["right"].pivot(index="image_id", columns="checkpoint", values="right")
    return seen[judges].astype(bool).all(axis=1).to_numpy()


def effects(one: Array, two: Array, used_one: Array, used_two: Array) -> dict[str, Array]:
    """Mean of ``one`` minus mean of ``two``, each over its images, for every column (universe), with a 95 % interval.

    Images are drawn once for both networks, so the standard error is that of a difference of two ratios over the same
    images (delta method); where both use the same images it is the paired one. Values that are not a number are left out for
    both.
    """
    defined = np.isfinite(one) & np.isfinite(two)
    means, parts = [], []
    for values, used in ((one, used_one), (two, used_two)):
        weight = used[:, None] & defined
        count = weight.sum(0)
        mean = np.where(weight, values, 0).sum(0) / count
        means.append(mean)
        parts.append(np.where(weight, values - mean, 0) / count)
    error = np.sqrt(((parts[0] - parts[1]) ** 2).sum(0))
    effect = means[0] - means[1]
    asked = used_one | used_two
    return {
        "effect": effect, "low": effect - 1.96 * error, "high": effect + 1.96 * error, "robust": means[0], "other": means[1],
        "n": (used_one[:, None] & defined).sum(0), "undefined": 1 - defined[asked].mean(0),
    }  # fmt: skip


def slice_effects(records: pd.DataFrame, pair: Sequence[str]) -> pd.DataFrame:
    """The record ``imagenette.readings`` as universes: ``claim``, ``effect`` with its interval, the two means; a row each.

    ``pair``: the standard network and the ℓ∞ one, on the same images.
    """
    tables = []
    for _, own in records.groupby("condition", sort=False):
        two, one = (own[own.checkpoint == name].sort_values("image_id").filter(like="|").astype(float) for name in pair)
        every = np.ones(len(one), bool)
        claims = [_claim_of(*str(column).split("|")) for column in one]
        tables.append(pd.DataFrame({"claim": claims, **effects(one.to_numpy(), two.to_numpy(), every, every)}))
    return pd.concat(tables, ignore_index=True)


def _claim_of(record: str, first: str, *rest: str) -> str:
    if record == "index":
        return "index" if first in plan()["choices"]["values"] else "regional"
    return record if record == "noise" else rest[0]


def shares(found: Multiverse, by: str | None = None) -> pd.DataFrame:
    """Shares of universes for, against and undecided, and of those with an effect above 0; for each option of ``by``,
    a choice of the claim or "map"."""
    table = pd.get_dummies(found.verdicts).reindex(columns=["for", "against", "undecided"], fill_value=False)
    table = table.assign(positive=found.table.effect > 0, universes=1)
    groups = with_maps(found.table)[by] if by else pd.Series("", index=table.index)
    means, counts = table.groupby(groups, sort=False).mean(), table.groupby(groups, sort=False).universes.sum()
    return means.assign(universes=counts, median=found.table.effect.groupby(groups, sort=False).median())


def together(found: Sequence[Multiverse], side: str = "for") -> tuple[float, int]:
    """The share of the universes of several claims that speak for them, or "against", and how many there are."""
    every = pd.concat([own.verdicts for own in found])
    return float((every == side).mean()), len(every)


def verdict_of(*found: Multiverse) -> str:
    """A claim, or several as one, in all readings at once: one side in 95 % of them or more, or in over half, else mixed."""
    good, bad, open_ = (together(found, side)[0] for side in ("for", "against", "undecided"))
    if good > 0.5:
        return "same direction" if good >= 0.95 else "mostly holds"
    if bad > 0.5:
        return "contradicted" if bad >= 0.95 else "mostly contradicted"
    return "undecided" if open_ >= 0.95 else "mixed"


def explained_variance(found: Multiverse) -> dict[str, float]:
    """The share of the effects' variance that each choice explains: type II sums of squares of main effects, over the total.

    A baseline belongs to a method, so both count as one choice, "map".
    """
    import statsmodels.formula.api as smf
    from statsmodels.stats.anova import anova_lm

    table = with_maps(found.table)
    names = [c for c in deciding(found) if table[c].nunique() > 1]
    if len(table) < 3 or not names or table.effect.var() == 0:
        return {}
    fitted = smf.ols("effect ~ " + " + ".join(f"C({name})" for name in names), table).fit()
    squares = anova_lm(fitted, typ=2)["sum_sq"]
    total = float(((table.effect - table.effect.mean()) ** 2).sum())
    by_name = {name: float(squares[f"C({name})"]) / total for name in names}
    return dict(sorted(by_name.items(), key=lambda item: -item[1]))


def deciding(found: Multiverse) -> list[str]:
    """The choices of a claim, method and baseline as one."""
    facts = plan()["claims"][found.claim]["choices"]
    return ["map"] * ("method" in facts) + [name for name in facts if name not in ("method", "baseline")]


def with_maps(table: pd.DataFrame) -> pd.DataFrame:
    """A table of universes with method and baseline as one choice, "map"."""
    return table.assign(map=table.method + "|" + table.baseline) if "method" in table else table


def permutation(found: Multiverse, draws: int = 2000, seed: int = 0) -> float:
    """Two-sided p-value of the median effect over all universes of "both", if each image's two networks could change places.

    It speaks of these trained networks, not of ways to train.
    """
    if not found.differences:
        return float("nan")
    random, drawn = np.random.default_rng(seed), []
    for own in found.differences:
        signs = random.choice([-1.0, 1.0], (draws, len(own))).astype(np.float32)
        drawn.append(np.vstack([own.mean(0), signs @ own.astype(np.float32) / len(own)]))
    medians = np.abs(np.median(np.hstack(drawn), axis=1))
    return float((medians >= medians[0] - 1e-12).mean())


MAP = ["method", "baseline", "output", "images", "networks"]
COLOURS = ("black", "gray", "white")
ROLES = {"standard": "other", "linf": "robust"}  # of the published trainings


@dataclass(frozen=True)
class Closest:
    """The universe nearest to several published values: chosen on every other image, its ``distance`` measured on the rest.

    ``values``: published value and ours there, by name. ``chosen``: the distance on the images that chose it. Distances are
    root mean squares over the values.
    """

    options: dict[str, str]
    values: dict[str, tuple[float, float]]
    chosen: float
    distance: float
    among: int

    def meets(self, tolerance: float) -> bool:
        return all(abs(paper - ours) <= tolerance for paper, ours in self.values.values())


def closest_to_table1(records: Records, n: int) -> Closest:
    """Both CIFAR-10 columns of Table 1 for ResNet-18, standard and 8/255: one map, any two readings of it as the columns."""

    def joined(half: int) -> pd.DataFrame:
        values, signs = (multiverse(claim, records, n, half=half).table for claim in ("index", "regional"))
        values, signs = values.rename(columns={"values": "reading"}), signs.rename(columns={"sign": "reading"})
        every = pd.concat([values, signs], ignore_index=True)
        every = every[every.networks != "densenet"]
        return values[values.networks != "densenet"].merge(every, on=MAP, suffixes=(" global", " regional"))

    paper = published_values(table="table1", dataset="cifar10", architecture="resnet18")
    paper = paper[paper.epsilon_255.isin(["0", "8"])]
    names = paper.training.map(ROLES) + " " + paper.metric.str.removesuffix("_gini")
    wanted = dict(zip(names, paper.value.astype(float), strict=True))
    return _closest(joined, wanted, [*MAP, "reading global", "reading regional"])


def closest_to_a10(records: Records, n: int) -> Closest:
    """The six values of appendix A.10: three colours of patches at N = 10, R = 4, standard and robust."""

    def joined(half: int) -> pd.DataFrame:
        keys, tables = [*MAP, "order", "patch", "search", "count", "radius"], []
        for color in COLOURS:
            own = multiverse(color, records, n, half=half).table
            own = own[(own["count"] == "10") & (own.radius == "4")].drop(columns="color")
            tables.append(own.set_index(keys).add_suffix(f" {color}"))
        return reduce(pd.DataFrame.join, tables).reset_index()

    paper = published_values(table="appendixA10")
    names = paper.training.map(ROLES) + " " + paper.setting.str.split().str[-1]
    wanted = dict(zip(names, paper.value.astype(float) / 100, strict=True))
    return _closest(joined, wanted, [*MAP, "order", "patch", "search"])


def _closest(joined: Callable[[int], pd.DataFrame], wanted: dict[str, float], keys: list[str]) -> Closest:
    names, halves = list(wanted), [joined(0), joined(1)]
    first, second = (np.sqrt(((own[names] - pd.Series(wanted)) ** 2).mean(axis=1)) for own in halves)
    best = int(first.to_numpy().argmin())
    values = {name: (wanted[name], float(halves[1][name].iloc[best])) for name in names}
    options = {key: str(halves[0][key].iloc[best]) for key in keys}
    return Closest(options, values, float(first.iloc[best]), float(second.iloc[best]), len(first))
