"""How unequally an attribution map spreads importance: the Gini index (paper, section 3.1 and Equation 4)."""

from collections.abc import Callable
from typing import Literal, get_args

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from ._support.checks import one_of, real_tensor, whole

LARGE = 2**24  # values above which rows are sorted in parts

Reduce = Literal["sum_of_absolute", "sum_of_positive", "positive_of_sum", "absolute_of_sum", "no_blocks_positive"]
REDUCES: tuple[Reduce, ...] = get_args(Reduce)


def gini(values: Float[Tensor, "... n"]) -> Float64[Tensor, "..."]:
    """Gini index of the last axis, in float64 (Equation 4; Dorfman 1979).

    ``values``: non-negative, finite, not all zero. Uniform values give 0, a single non-zero one (n - 1) / n.
    Not changed by scaling or by order. Raises ``ValueError`` naming the first offending row.
    """
    ordered = _shares(values).sort(-1).values
    n = values.shape[-1]
    weights = torch.arange(n, 0, -1, dtype=torch.float64, device=values.device)  # n + 1 - i
    return (n + 1 - 2 * (ordered * weights).sum(-1) / ordered.sum(-1)) / n


def _shares(values: Tensor, first: int = 0) -> Tensor:
    """In float64, relative to the largest of a row, so that sums neither overflow nor underflow; ``first`` row: for messages."""
    real_tensor("values", values)
    if values.ndim == 0 or values.shape[-1] == 0:
        raise ValueError(f"inequality needs at least one value on the last axis, got shape {tuple(values.shape)}")
    values = values.double()
    _refuse(~torch.isfinite(values).all(-1), "has NaN or infinite values", first)
    _refuse((values < 0).any(-1), "has negative values; take absolute or positive values first", first)
    _refuse((values == 0).all(-1), "is all zero: its inequality is not defined", first)
    return values / values.amax(-1, keepdim=True)


def _refuse(bad: Tensor, reason: str, first: int = 0) -> None:
    if bad.any():
        row = tuple(bad.nonzero()[0].tolist())
        raise ValueError(f"row {row[0] + first if len(row) == 1 else row} {reason}" if row else f"the input {reason}")


def _in_parts(values: Tensor, compute: Callable[[Tensor, int], Tensor]) -> Tensor:
    """``compute(rows, number of the first)``, on parts of many long rows: sorting takes several times their memory."""
    real_tensor("values", values)
    if values.ndim != 2 or values.numel() <= LARGE:
        return compute(values, 0)
    rows = max(1, LARGE // values.shape[1])
    return torch.cat([compute(part, place * rows) for place, part in enumerate(values.split(rows))])


def _checked_maps(maps: Tensor) -> Tensor:
    real_tensor("maps", maps)
    if maps.ndim != 4:
        raise ValueError(f"attribution maps have shape (N, channels, height, width), got {tuple(maps.shape)}")
    _refuse_image(~torch.isfinite(maps).flatten(1).all(1), "has NaN or infinite values")
    _refuse_image((maps == 0).flatten(1).all(1), "is all zero")
    return maps.double()


def _refuse_image(bad: Tensor, reason: str) -> None:
    if bad.any():
        raise ValueError(f"the attribution map of image {int(bad.nonzero()[0])} (counted from 0) {reason}")


def global_gini(
    maps: Float[Tensor, "n c h w"], sign: Literal["absolute", "positive"] = "absolute"
) -> Float64[Tensor, " n"]:
    """Global inequality of signed attribution maps: Gini over all subpixels (section 3.1).

    ``sign``: "absolute" takes |a| (the paper's text), "positive" takes max(a, 0) (the second released script).
    """
    one_of("sign", sign, ("absolute", "positive"))
    maps = _checked_maps(maps)
    return _gini_of_images(maps.abs() if sign == "absolute" else maps.clamp_min(0))


def _gini_of_images(values: Tensor) -> Tensor:
    values = values.flatten(1)
    _refuse_image((values == 0).all(1), "has no value above zero in this reading: its Gini index is not defined")
    return gini(values)


def region_sums(maps: Float[Tensor, "n c h w"], region: int) -> Float64[Tensor, "n rows columns"]:
    """Sums over non-overlapping ``region`` x ``region`` blocks from the top left and over the channels, signed.

    Raises ``ValueError`` where ``region`` does not divide both sides.
    """
    real_tensor("maps", maps)
    whole("region", region)
    if maps.ndim != 4:
        raise ValueError(f"attribution maps have shape (N, channels, height, width), got {tuple(maps.shape)}")
    n, channels, height, width = maps.shape
    if region < 1 or height % region or width % region:
        raise ValueError(f"regions of {region}x{region} do not tile an image of {height}x{width}")
    blocks = maps.double().reshape(n, channels, height // region, region, width // region, region)
    return blocks.sum(dim=(1, 3, 5))


def regional_gini(
    maps: Float[Tensor, "n c h w"], region: int, reduce: Reduce = "sum_of_absolute"
) -> Float64[Tensor, " n"]:
    """Regional inequality: Gini over block sums (section 3.1). The paper leaves the sign open, hence five readings.

    ``sum_of_absolute``: blocks of |a|; ``sum_of_positive``: blocks of max(a, 0); ``positive_of_sum``: max(block, 0);
    ``absolute_of_sum``: |block|; ``no_blocks_positive``: max(a, 0) without blocks (the first released script).
    """
    return _gini_of_images(regional_values(maps, region, reduce))


def regional_values(maps: Float[Tensor, "n c h w"], region: int, reduce: Reduce) -> Float64[Tensor, "n values"]:
    """The values of which ``regional_gini`` is the Gini index: 0 or more, all 0 where the reading leaves nothing."""
    one_of("reduce", reduce, REDUCES)
    whole("region", region)
    maps = _checked_maps(maps)
    if reduce == "sum_of_absolute":
        values = region_sums(maps.abs(), region)
    elif reduce == "sum_of_positive":
        values = region_sums(maps.clamp_min(0), region)
    elif reduce == "positive_of_sum":
        values = region_sums(maps, region).clamp_min(0)
    elif reduce == "absolute_of_sum":
        values = region_sums(maps, region).abs()
    else:
        values = maps.clamp_min(0)
    return values.flatten(1)


def lorenz_curve(values: Float[Tensor, "... n"], points: int = 101) -> Float64[Tensor, "... points"]:
    """Share of the total held by the least important fraction 0, ..., 1 of the values, at ``points`` equal steps.

    The Gini index is 1 minus twice the area under this curve (exactly, where every value has its own point).
    Values as for ``gini``, with the same errors.
    """
    whole("points", points, 2)

    def curve(rows: Tensor, first: int) -> Tensor:
        ordered = _shares(rows, first).sort(-1).values
        cumulated = torch.nn.functional.pad(ordered.cumsum(-1), (1, 0))
        places = torch.linspace(0, rows.shape[-1], points, dtype=torch.float64, device=rows.device)
        low = places.floor().long().clamp_max(rows.shape[-1] - 1)
        share = cumulated[..., low] + (places - low) * (cumulated[..., low + 1] - cumulated[..., low])
        return share / cumulated[..., -1:]

    return _in_parts(values, curve)


def top_share(values: Float[Tensor, "... n"], counts: list[int]) -> Float64[Tensor, "... counts"]:
    """Share of the total carried by the ``counts`` largest values: the paper's own definition of dominance (3.1).

    Values as for ``gini``, with the same errors.
    """
    if not isinstance(counts, (list, tuple)):
        raise TypeError(f"counts must be a list of whole numbers, got {counts!r}")
    for count in counts:
        whole("a count", count)

    def shares(rows: Tensor, first: int) -> Tensor:
        cumulated = _shares(rows, first).sort(-1, descending=True).values.cumsum(-1)
        if not counts or min(counts) < 1 or max(counts) > rows.shape[-1]:
            raise ValueError(f"counts must lie between 1 and {rows.shape[-1]}, got {counts}")
        return cumulated[..., torch.tensor(counts, device=rows.device) - 1] / cumulated[..., -1:]

    return _in_parts(values, shares)
