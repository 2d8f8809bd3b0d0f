"""What the chapters on the attacks found, in sentences made from their numbers."""

from collections.abc import Collection, Sequence

from ..networks import named
from ..statistics import Estimate
from ..verdicts.comparison import Compared, Contrasted, direction
from .style import Shown, listed
from .tables import tally
from .words import decided, decided_sign, p_text, percent, plain, points, result, side, verdict_badge


def claim_sentence(items: Sequence[Compared], subject: str) -> str:
    """How many of the primary comparisons have the paper's direction."""
    verdicts = [direction_of(item) for item in items]
    words = {"same direction": "confirmed", "contradicted": "contradicted", "undecided": "undecided"}
    parts = [f"{word} in {verdicts.count(verdict)}" for verdict, word in words.items()]
    if unknown := verdicts.count("not measured here"):
        parts.append(f"not measured in {unknown}")
        state = ""
    else:
        state = f" is {words[verdicts[0]] if len(set(verdicts)) == 1 else 'not the same in all comparisons'}"
    lead = f"{subject[0].upper()}{subject[1:]}. The paper's direction{state}"
    return f"<strong>{lead}: of {len(verdicts)}, {', '.join(parts)}.</strong>"


def direction_of(item: Compared) -> str:
    """The verdict on the direction alone, whether or not the value is reproduced."""
    if item.difference is None or item.cell.baseline is None:
        return "not measured here"
    return direction(item.difference, item.adjusted_p, item.cell.paper - item.cell.baseline[1])


def compared_sentence(item: Compared) -> str:
    """One comparison with the standard network in words."""
    if item.ours is None or item.difference is None or item.cell.baseline is None:
        return f"<strong>{item.cell.label}</strong>: not measured here."
    base = item.ours.value - item.difference.difference
    paper = 100 * (item.cell.paper - item.cell.baseline[1])
    where = " on ImageNet" if item.cell.dataset == "imagenet" else ""
    verb = "are fooled" if item.cell.column == "fooled" else "fail"
    return (
        f"<strong>{item.cell.label}</strong>: {percent(item.ours.value)} {verb}, of the standard model "
        f"{percent(base)}: {result(item)}. The paper's difference{where} is {paper:+.1f} points. Verdict: {verdict_badge(item.verdict)}"
    )


def where_sentence(item: Contrasted) -> str:
    """One question about places in words: within a model (two terms), or between models (four)."""
    if item.difference is None:
        return f"<strong>{item.contrast.label}</strong>: not measured here."
    more, less, neither = (
        "the chosen places do more harm", "the chosen places do less harm", "no difference between the places is shown"
    ) if len(item.terms) == 2 else (
        "the choice of places adds more harm to the ℓ∞ model", "the choice of places adds less harm to the ℓ∞ model",
        "no difference between the models in what the choice of places adds is shown",
    )  # fmt: skip
    return f"<strong>{item.contrast.label}</strong>: {decided(item, more, less, neither)} ({result(item)})."


def tallies(controls: Sequence[Contrasted], placebos: Collection[str], robust: str) -> list[str]:
    """The attack's variants and the placebos, counted apart; each placebo also by itself."""
    known = [item for item in controls if item.difference]
    variants = [item for item in known if item.contrast.label not in placebos]
    others = [item for item in known if item.contrast.label in placebos]
    sentences = [f"The attack and its variants, {named(robust)}: {tally(variants)}."] if variants else []
    if others:
        each = [f"{i.contrast.label}: {points(i.difference)}, {p_text(i)}" for i in others if i.difference]
        lead = f"Placebos, places that the attack would not choose, {named(robust)}: {tally(others)}"
        sentences.append(f"{lead}. {'; '.join(each)}.")
    return sentences


def occlusion_findings(
    primary: Sequence[Compared],
    published: Sequence[Compared],
    controls: Sequence[Contrasted],
    *,
    robust: str,
    placebos: Collection[str],
) -> Shown:
    """What the tables of the chapter say about the claim, in sentences made from the numbers.

    ``placebos``: the controls whose places the attack would not choose.
    """
    primary, claimed = ([item for item in items if item.cell.baseline] for items in (primary, published))
    sentences = [claim_sentence(primary, f"{named(robust)} against standard, primary budget, {len(primary)} colours")]
    sentences += map(compared_sentence, primary)
    sentences.append(claim_sentence(claimed, f"appendix A.10, {len(claimed)} colours"))
    sentences += map(compared_sentence, claimed)
    return listed(sentences + tallies(controls, placebos, robust))


def mechanism_findings(
    gap: Compared | Contrasted,
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
    sign = decided_sign(gap)
    state = decided(gap, "is fooled more often", "is fooled less often", "is not shown to be fooled more or less often")
    lead = f"<strong>The difference.</strong> {attack.capitalize()} {named(robust)} {state} than the standard model"
    asked = {"where": where, **others}
    sentences = [f"{lead}: {result(gap)}."]
    sentences += [_mechanism(asked[key], *words) for key, words in _MECHANISMS.items() if key in asked]
    alone, adjusted = [*(fit["model"] for fit in fits.values()), None, None][:2]
    if alone and adjusted:
        sentences.append(
            f"<strong>Regression.</strong> Log odds of being fooled, {named(robust)} against standard: {plain(alone, 'log odds')} alone, "
            f"{plain(adjusted, 'log odds')} at equal margin (n = {alone.n} rows, one an image and model)."
        )
    for fit in list(fits.values())[-1:]:
        for name in [name for name in fit if name.startswith("Gini")]:
            word = {1: "raises", -1: "lowers", 0: "is not shown to change"}[side(fit[name])]
            change = plain(fit[name], "log odds")
            sentences.append(f"<strong>{name}.</strong> One standard deviation more {word} the log odds: {change}.")
    reasons = [
        "where the patches are" if decided_sign(where) == sign else "",
        "how large the masks are" if decided_sign(others["size"]) == sign else "",
        "the margins" if alone and adjusted and _only_margins(sign, others["margin"], alone, adjusted) else "",
    ]
    verdict = _mechanism_verdict(sign, list(filter(None, reasons)), f"{named(robust)} is", attack)
    if sign != 0 == decided_sign(where) and decided_sign(others["random"]) == sign:
        verdict += " The difference is there at random places, too, and the map is not shown to add to it."
    sentences.append(f"<strong>Verdict.</strong> {verdict}")
    if "single" in others and (single := decided_sign(others["single"])):
        larger, equal = decided_sign(others["larger"]), decided_sign(others["equal"])
        word = "accounts" if larger == single != equal else "does not account"
        sentences.append(f"At the large budget the size of the mask {word} for the difference under a single mask.")
    return listed(sentences)


_MECHANISMS = {  # of the differences between the two models that ``mechanism_findings`` puts into words
    "where": ("Where", "what the map adds over random places", "points"),
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


def _mechanism(item: Contrasted, title: str, what: str, unit: str) -> str:
    if item.difference is None:
        return f"<strong>{title}.</strong> Not measured here."
    word = decided(item, "larger for the ℓ∞ model", "smaller for the ℓ∞ model", "no difference is shown")
    if item.difference.low == item.difference.high == 0:
        word = "the same for all images"
    return f"<strong>{title}.</strong> {what.capitalize()}, ℓ∞ model minus standard: {result(item, unit)}: {word}."


def _only_margins(sign: int, margin: Contrasted, alone: Estimate, adjusted: Estimate) -> bool:
    """The gap shows alone, the margins differ so as to produce it, and at equal margin the gap is gone."""
    return decided_sign(margin) == -sign and side(alone) == sign and side(adjusted) != sign
