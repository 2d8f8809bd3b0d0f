"""What the chapters found, in sentences made from their numbers."""

from collections.abc import Collection, Mapping, Sequence

from ..networks import named
from ..statistics import Estimate
from ..verdicts.comparison import Contrasted
from .style import Shown, listed
from .words import NAMES, counted, decided, decided_sign, plain, result, side, stated

Groups = Mapping[str, Sequence[Contrasted]]  # title -> what is compared


def conclusions(groups: Groups) -> Shown:
    """For each group: how many comparisons have the expected sign, then every one in a sentence."""
    return listed([line for title, items in groups.items() for line in (*_count(title, items), *map(stated, items))])


def tally(groups: Groups) -> Shown:
    """For each group the numbers alone: see ``words.counted``."""
    return listed([line for title, items in groups.items() for line in _count(title, items)])


def controls(items: Sequence[Contrasted], placebos: Collection[str]) -> Shown:
    """The attack's variants counted, and apart from them those whose places the attack would not choose, by their labels."""
    titles = {False: "The attack and its variants", True: "Placebos, places that the attack would not choose"}
    return tally({t: [i for i in items if (i.contrast.label in placebos) is p] for p, t in titles.items()})


def _count(title: str, items: Sequence[Contrasted]) -> list[str]:
    return [f"<strong>{title}:</strong> {counted(items)} (adjusted p below 0.05)."] if items else []


def slope_sentence(fits: Mapping[str, Mapping[str, Estimate]], where: str = "") -> str:
    """What one standard deviation of the Gini index does in the last regression of ``comparison.explained``."""
    said = "Not measured here."
    if fits and (effect := list(fits.values())[-1].get("Gini index")):
        word = {1: "raises", -1: "lowers", 0: "is not shown to change"}[side(effect)]
        said = f"One standard deviation more {word} the log odds: {plain(effect, 'log odds')}, n = {effect.n}."
    return f"<strong>Gini index{where}.</strong> {said}"


def mechanism_findings(
    gap: Contrasted,
    where: Contrasted,
    others: dict[str, Contrasted],
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
    if gap.difference is None:
        return listed(["The mechanism: not measured here."])
    state = decided(gap, "is fooled more often", "is fooled less often", "is not shown to be fooled more or less often")
    asked, name = {"where": where, **others}, named(robust)
    difference = f"{attack.capitalize()} {name} {state} than the standard model: {result(gap)}."
    sentences = [f"<strong>The difference.</strong> {difference}"]
    sentences += [_mechanism(asked[key], title) for key, title in NAMES["mechanisms"].items() if key in asked]
    alone, adjusted = [*(fit["model"] for fit in fits.values()), None, None][:2]
    if alone and adjusted:
        sentences.append(
            f"<strong>Regression.</strong> Log odds of being fooled, {name} against standard: {plain(alone, 'log odds')} alone, "
            f"{plain(adjusted, 'log odds')} at equal margin (n = {alone.n} rows, one an image and model)."
        )
        sentences.append(slope_sentence(fits))
    sign = decided_sign(gap)
    reasons = {
        "where the patches are": decided_sign(where) == sign,
        "how large the masks are": decided_sign(others["size"]) == sign,
        # The gap shows alone, the margins differ so as to produce it, and at equal margin the gap is gone.
        "the margins": bool(alone and adjusted)
        and (decided_sign(others["margin"]), side(alone)) == (-sign, sign) != (-sign, side(adjusted)),  # type: ignore[arg-type]
    }
    verdict = _mechanism_verdict(sign, [reason for reason, holds in reasons.items() if holds], f"{name} is", attack)
    if sign != 0 == decided_sign(where) and decided_sign(others["random"]) == sign:
        verdict += " The difference is there at random places, too, and the map is not shown to add to it."
    sentences.append(f"<strong>Verdict.</strong> {verdict}")
    if "single" in others and (single := decided_sign(others["single"])):
        accounts = decided_sign(others["larger"]) == single != decided_sign(others["equal"])
        word = "accounts" if accounts else "does not account"
        sentences.append(f"At the large budget the size of the mask {word} for the difference under a single mask.")
    return listed(sentences)


def _mechanism_verdict(sign: int, reasons: list[str], subject: str, attack: str) -> str:
    if sign == 0:
        return "There is no established difference to explain."
    fragile = f"{subject} {'more' if sign > 0 else 'less'} fragile than the standard model {attack}"
    if not reasons:
        return f"{fragile}. Neither where the patches are nor how large they are nor the margins account for it in these data."
    if reasons == ["the margins"]:
        return f"{fragile}, and only its {'smaller' if sign > 0 else 'larger'} margins account for it."
    return f"{fragile}. It goes with {' and '.join(reasons)}."


def _mechanism(item: Contrasted, title: str) -> str:
    name, _, what = title.partition(": ")
    if item.difference is None:
        return f"<strong>{name}.</strong> Not measured here."
    word = decided(item, "larger for the ℓ∞ model", "smaller for the ℓ∞ model", "no difference is shown")
    if item.difference.low == item.difference.high == 0:
        word = "the same for all images"
    return f"<strong>{name}.</strong> {what.capitalize()}, ℓ∞ model minus standard: {result(item)}: {word}."
