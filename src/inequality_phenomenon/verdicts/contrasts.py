"""What single chapters compare: attribution methods (section 4.5), and attack images on another network (appendix A.4)."""

from collections.abc import Sequence

from ..networks import named
from .comparison import Contrast, Sign, against_standard, minus


def method_contrasts(
    favourite: str, others: list[str], models: dict[str, str], settings: dict[str, str]
) -> list[Contrast]:
    """One method minus each other one on the same network, for each setting -> column; the paper's direction is up.

    ``models``: checkpoint -> how the label calls it; ``settings``: what follows the method in the condition.
    """
    leads = {setting: f"{setting.removeprefix(', ')}: " if setting else "" for setting in settings}
    return [
        minus(f"{leads[s]}{favourite} − {other}, {called}", (c, favourite + s, column), (c, other + s, column), 1)
        for s, column in settings.items()
        for other in others
        for c, called in models.items()
    ]


def faithfulness_contrasts(methods: list[str], models: dict[str, str]) -> list[Contrast]:
    """Each method's order minus a random one: an order that matters has less area under deletion, more under insertion."""
    areas: list[tuple[str, str, Sign]] = [("deletion", "deletion_area", -1), ("insertion", "insertion_area", 1)]
    return [
        minus(f"{kind}: {method}, {called}", (checkpoint, method, area), (checkpoint, "random order", area), sign)
        for kind, area, sign in areas
        for method in methods
        for checkpoint, called in models.items()
    ]


def transfer_contrasts(pair: tuple[str, str], attacks: Sequence[str]) -> tuple[list[Contrast], list[Contrast]]:
    """The two parts of the claim for each attack: is transfer low (both directions), and is one direction easier?

    ``pair``: the standard network and the other. Low: fewer fooled than half of those that the target's own images fool.
    """

    def rarer(attack: str, source: str, target: str) -> Contrast:
        label = f"{attack}, made on {named(source)}, shown to {named(target)}"
        terms = ((source, attack, target), (target, attack, target))
        return Contrast(label=label, terms=terms, expected=-1, weights=(1, -0.5))

    standard, robust = pair
    low = [rarer(attack, *places) for attack in attacks for places in (pair, pair[::-1])]
    directions = f"{named(standard)} → {named(robust)} minus {named(robust)} → {named(standard)}"
    return low, [minus(f"{a}: {directions}", (standard, a, robust), (robust, a, standard), 1) for a in attacks]


def section45_contrasts(
    methods: Sequence[str], models: dict[str, str], budget: int, patches: tuple[int, int], colors: Sequence[str]
) -> dict[str, list[Contrast]]:
    """What section 4.5 says about the methods -> the contrasts that it implies. Arguments as for ``table3_cells``."""
    noisy = {f", {kind}": f"failure_{budget}" for kind in ("type I", "type II")}
    patched = {f", N={patches[0]} R={patches[1]} {color}": "fooled" for color in colors}

    def best(favourite: str, settings: dict[str, str]) -> list[Contrast]:
        return method_contrasts(favourite, [name for name in methods if name != favourite], models, settings)

    return {
        "SmoothGrad has the higher Gini index": best("SmoothGrad", {"": "global_gini"}),
        "SmoothGrad makes noise more successful": best("SmoothGrad", noisy),
        "Integrated Gradients make occlusion more successful": best("Integrated Gradients", patched),
    }


def settings_contrasts(
    pair: tuple[str, str], settings: Sequence[str], budget: int, patch: str
) -> tuple[list[Contrast], list[Contrast]]:
    """The other network of the pair minus the standard one under every setting: Gini index, and both attacks.

    ``patch``: the occlusion, such as "N=5 R=2 black". The paper's direction is up.
    """
    places = {f"{name}, {kind}": f"failure_{budget}" for name in settings for kind in ("type I", "type II")}
    places |= {f"{name}, {patch}": "fooled" for name in settings}
    attacks = {label: (label, column) for label, column in places.items()}
    indices = {name: (name, "global_gini") for name in settings}
    return against_standard(pair[0], pair[1:], indices, 1), against_standard(pair[0], pair[1:], attacks, 1)
