"""Figures, tables and model cards of the chapter on the trained models (paper, Table 5)."""

import html
from collections.abc import Sequence
from itertools import pairwise

import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.ticker import MaxNLocator

from .._support import paths
from ..measure.accuracy import AUTO_ATTACK, PGD, findings, planned_models, training_log
from ..measure.robustness_flags import FLAGS, Flag
from ..measure.verification import meets_floor, own_threat
from ..networks import FULL_SIZE, LADDER, REGISTRY, RegistryEntry, named, network_name
from ..robustness import ENSEMBLE
from ..statistics import Estimate, wilson
from ..training.floors import floor_of
from ..verdicts.comparison import Contrast, Contrasted, minus
from ..verdicts.every_network import PREDICTORS
from .style import Shown, boxed, dot, drawn, listed, look, shared_legend, table, unfolded
from .tables import contrast_cell
from .words import MISSING, NAMES, percent, plain, text_of, threat_text

COMMON = "linf 8/255"  # the threat that every model is measured under


def ladder() -> list[str]:
    """The registered ResNet-18 ladder of seed 0, in the order of epsilon."""
    return [name for name in LADDER if name in REGISTRY]


def registered() -> list[str]:
    """All registered models, the ladder first, those that do not ship last."""
    return [*ladder(), *(name for name in REGISTRY if name not in LADDER), *REGISTRY.unshipped]


def attack_contrasts(models: Sequence[str]) -> list[Contrast]:
    """AutoAttack minus PGD-20 on the images of both, for every model and each threat in its registry entry."""
    return [
        minus(threat, (name, f"{AUTO_ATTACK}, {threat}", "robust"), (name, f"{PGD}, {threat}", "robust"))
        for name in models
        for threat in REGISTRY[name].test_robust
    ]


def _of(records: pd.DataFrame | None, checkpoint: str, threat: str, attack: str = PGD) -> pd.DataFrame:
    """The rows of one evaluation; none where it was not made."""
    if records is None:
        return pd.DataFrame()
    return records[(records.checkpoint == checkpoint) & (records.condition == f"{attack}, {threat}")]


def _rate(rows: pd.DataFrame, column: str = "robust") -> Estimate | None:
    return wilson(int(rows[column].sum()), len(rows)) if len(rows) else None


def accuracy_table(records: pd.DataFrame, *, name: str) -> Shown:
    """Table 5: clean and PGD-20 accuracy of every registered model, on all test images, and on those of the record."""
    rows, inside = [], []
    for checkpoint in registered():
        entry = REGISTRY[checkpoint]
        own = own_threat(entry)
        asked = {"Clean": (entry.test_clean, COMMON, "clean")}
        asked |= {"PGD-20 at its own ε": (entry.test_robust[own], own, "robust")} if own else {}
        asked["PGD-20 at ℓ∞ 8/255"] = entry.test_robust[COMMON], COMMON, "robust"
        row = {"": named(checkpoint), "Clean": "", "PGD-20 at its own ε": "—"}
        for title, (known, threat, column) in asked.items():
            row[title] = text_of(wilson(known.correct, known.n), "%")
            if found := _rate(_of(records, checkpoint, threat), column):
                row[title] += f"<br><small>first {found.n}: {plain(found, '%')}</small>"
                inside.append(found.low <= known.rate <= found.high)
        rows.append(row)
    caption = (
        "Accuracy on all test images, when the model was registered; below it on the first ones, where this chapter measured them. In "
        f"{sum(inside)} of {len(inside)} cells the value of all images lies in the 95 % interval of the first ones."
    )
    return table(rows, name=name, caption=caption)


def auto_attack_table(found: Sequence[Contrasted], records: pd.DataFrame | None, *, name: str) -> Shown:
    """AutoAttack beside PGD-20 on the same images; ``records``: those that say which attack was first, if any."""
    rows = []
    for item in found:
        checkpoint, threat = item.contrast.terms[0][0], item.contrast.label
        own = _of(records, checkpoint, threat, AUTO_ATTACK)
        titles = zip(ENSEMBLE, ("APGD-CE", "APGD-T", "FAB-T", "Square"), strict=True)
        first = [f"{title} {(own.fooled_by == attack).sum()}" for attack, title in titles if len(own)]
        row = {"": f"{named(checkpoint)}, attacked at {threat_text(threat)}"}
        row["AutoAttack"] = text_of(item.terms[0] if item.difference else None, "%")
        rows.append(row | {"AutoAttack − PGD-20": contrast_cell(item), "First fooled by": ", ".join(first) or "—"})
    what = "how many images each attack of AutoAttack, in this order, was the first to fool"
    caption = f"AutoAttack, standard version, and PGD-20 with 2 restarts on the same images. Last column: {what}."
    return table(rows, name=name, caption=caption)


def training_curves(checkpoints: list[str], *, name: str) -> Shown:
    """Held-out accuracy by epoch, clean and under PGD-10 at the model's own budget, from the shipped training logs."""
    if not checkpoints:
        return listed(["No such model is registered yet."])
    figure, panels = plt.subplots(1, 2, figsize=(9.5, 4.4), sharey=True)
    columns = {"clean": "clean", "pgd10": "PGD-10 at its own ε"}
    words, left = [], {}
    for checkpoint in checkpoints:
        log = training_log(checkpoint)
        for axes, column in zip(panels, columns, strict=True):
            if column in log:
                axes.plot(log.epoch, 100 * log[column], ms=4, lw=1.2, label=named(checkpoint), **look(checkpoint))
        ends = [f"{title} {percent(log[column].iloc[-1])}" for column, title in columns.items() if column in log]
        words.append(f"{named(checkpoint)}: {', '.join(ends)}")
        if "pgd10" in log:
            left[named(checkpoint)] = (log.pgd10 / log.pgd10.cummax()).min()
    for axes, title in zip(panels, columns.values(), strict=True):
        axes.set(title=title, xlabel="epoch", ylim=(0, 100))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    panels[0].set_ylabel("held-out accuracy, %")
    shared_legend(figure, panels[0], fontsize=8, ncols=4)
    caption = "Accuracy on 500 training images that are held out. The last point is the registered model."
    if left:
        deepest = min(left, key=left.__getitem__)
        caption += (
            f" The deepest fall under PGD-10 leaves {percent(left[deepest])} of the best epoch so far ({deepest}); "
            "a training that falls below a third is stopped."
        )
    alt = f"Line charts of held-out accuracy by epoch. At the end: {'; '.join(words)}."
    return drawn(figure, name=name, caption=caption, alt=alt)


def trade_off_figure(checkpoints: list[str], auto_attack: pd.DataFrame | None, *, name: str) -> Shown:
    """Clean against robust accuracy under the common threat, on all test images; AutoAttack where it was measured."""
    figure, axes = plt.subplots(figsize=(6.8, 4.4))
    words = []
    for checkpoint in checkpoints:
        entry = REGISTRY[checkpoint]
        clean, robust = 100 * entry.test_clean.rate, 100 * entry.test_robust[COMMON].rate
        fill = "left" if "densenet" in checkpoint else "full"  # colour and marker name the training only
        axes.plot(clean, robust, ls="", ms=9, label=named(checkpoint), fillstyle=fill, **look(checkpoint))
        words.append(f"{named(checkpoint)}: {clean:.1f} % clean, {robust:.1f} % robust")
        if stronger := _rate(_of(auto_attack, checkpoint, COMMON, AUTO_ATTACK)):
            dot(axes, stronger, clean, checkpoint, unit="%", upright=True, mfc="white", ms=8)
            words[-1] += f", {percent(stronger.value)} under AutoAttack (n = {stronger.n})"
    axes.set(xlabel="clean accuracy, %", ylabel="accuracy under PGD-20 at ℓ∞ 8/255, %", ylim=(-2, None))
    figure.legend(fontsize=8, loc="outside right upper")
    rates = {c: (REGISTRY[c].test_clean.rate, REGISTRY[c].test_robust[COMMON].rate) for c in checkpoints}
    clearest, toughest = (max(rates, key=lambda c: rates[c][place]) for place in (0, 1))
    lost, won = (abs(rates[clearest][place] - rates[toughest][place]) for place in (0, 1))
    caption = (
        f"From the model of highest clean accuracy ({named(clearest)}) to the most robust one ({named(toughest)}): "
        f"{100 * lost:.1f} points of clean accuracy less, {100 * won:.1f} points under attack more. All test images. "
        + ("White markers with 95 % Wilson intervals: AutoAttack." if auto_attack is not None else "")
    )
    alt = f"Scatter plot of clean and robust accuracy. {'; '.join(words)}."
    return drawn(figure, name=name, caption=caption, alt=alt)


def flags_table(tables: dict[str, pd.DataFrame], *, name: str) -> Shown:
    """For every flag the largest value over all evaluations, and the evaluations that raise it."""
    rows = []
    for flag in FLAGS:
        found = [(c, condition, item) for c, condition, item in findings(tables) if item.flag is flag]
        raised = "; ".join(f"{named(c)} ({threat_text(condition)})" for c, condition, item in found if item.raised)
        largest = max((item.value for *_, item in found), default=0.0)
        words = f"<strong>{'raised' if raised else 'not raised'}</strong> <small>largest {_limit(flag, largest)}<br>of {len(found)}"
        ours = f"{words}{': ' if raised else ''}{raised}</small>" if found else MISSING
        rows.append({"": flag.name, "Raised if above": _limit(flag, flag.limit), "Ours": ours})
    caption = "Signs that a robust accuracy is an artefact of its evaluation, with the largest value of all."
    return table(rows, name=name, caption=caption)


def _limit(flag: Flag, value: float) -> str:
    return f"{100 * value:.3g} %" if flag.percent else f"{value:.1g}"


def model_cards(tables: dict[str, pd.DataFrame]) -> Shown:
    """A collapsible card for each registered model; ``tables``: records with evaluations of some of them."""
    cards = []
    for name in registered():
        always = {key: text.format(name=name) for key, text in NAMES["model_card"].items()}
        facts = _facts(REGISTRY[name]) | _rates(REGISTRY[name]) | _evaluation(name, tables) | always
        attributes = f"class='model-card' id='card-{name}'"
        cards.append(unfolded(f"{named(name)}: <code>{name}</code>", facts.items(), attributes))
    return Shown("".join(cards), "\n".join(f"Model card: {name}" for name in registered()))


def _facts(entry: RegistryEntry) -> dict[str, str]:
    unused = {key for key, value in entry.training.items() if value in (None, "none", 0) and key != "seed"}
    shown = {key: value for key, value in entry.training.items() if key not in unused | {"norm", "epsilon"}}
    remade = entry.remake and f"not shipped, <code>{html.escape(entry.remake)}</code> makes it"
    shipping = remade or f"{entry.file.stat().st_size / 1e6:.2f} MB"
    return {
        "Network": f"{entry.architecture}, {_pairs(entry.arguments)}; {entry.parameters:,} parameters",
        "Trained against": threat_text(own_threat(entry) or "none: standard training"),
        "Training": _pairs(shown),
        "Trained in": f"{entry.training_seconds / 60:.0f} minutes on the clock, {html.escape(entry.machine)}",
        "File": f"{shipping}, half precision, SHA-256 <code>{entry.sha256}</code>",
    }


def _pairs(values: dict[str, object]) -> str:
    words = (f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}" for key, value in values.items())
    return html.escape(", ".join(words))


def _rates(entry: RegistryEntry) -> dict[str, str]:
    floor, clean = floor_of(entry.name), "Clean accuracy"
    least = {clean: floor.clean, own_threat(entry): floor.robust} if floor else {}
    rows = {}
    for key, accuracy in ({clean: entry.test_clean} | entry.test_robust).items():
        value = text_of(wilson(accuracy.correct, accuracy.n), "%")
        if minimum := least.get(key):
            value += f" <small>floor {100 * minimum:g} %: {'met' if accuracy.rate >= minimum else 'missed'}</small>"
        rows[key if key == clean else f"PGD-20, 2 restarts, {threat_text(key)}"] = value
    return rows


def _evaluation(checkpoint: str, tables: dict[str, pd.DataFrame]) -> dict[str, str]:
    found = [(condition, item) for name, condition, item in findings(tables) if name == checkpoint]
    raised = sorted({f"{item.flag.name} ({threat_text(condition)})" for condition, item in found if item.raised})
    checked = len({item.flag.name for _, item in found})
    words = f"{', '.join(raised) or 'none raised'}; {checked} of {len(FLAGS)} checked"
    stronger = tables.get("auto_attack_evaluation")
    return {"Flags": words if found else "not checked here"} | {
        f"AutoAttack, {threat_text(threat)}": text_of(_rate(_of(stronger, checkpoint, threat, AUTO_ATTACK)), "%")
        for threat in REGISTRY[checkpoint].test_robust
    }


def planned_table(*, name: str) -> Shown:
    """Models that a settings file or a profile asks for and nobody has trained yet, with the command that does it."""
    rows = []
    for checkpoint, chapters in planned_models().items():
        device = " --device cuda" if network_name(checkpoint) in FULL_SIZE else ""
        written = (paths.CHECKPOINTS / f"{checkpoint}.yaml").exists()
        made = f"<code>inequality train {checkpoint}{device}</code>" if written else "settings not written"
        rows.append([f"<code>{checkpoint}</code>", made, ", ".join(chapters) or "none yet"])
    caption = (
        f"Planned models without a checkpoint: {len(rows)}. Nothing about them is measured. Those on photographs need <code>inequality data "
        "imagenette</code> first, full-size distillation the full-size standard network."
    )
    frame = pd.DataFrame(rows, columns=["", "Made by", "Wanted by chapters"])
    return table(frame, name=name, caption=caption, missing="Every planned model is trained and registered.")


def models_in_short(found: Sequence[Contrasted], tables: dict[str, pd.DataFrame]) -> Shown:
    """The chapter's conclusion, in the box on top of the page. ``found``: of ``attack_contrasts``; ``tables``: records."""
    met = {name: fine for name in [*REGISTRY, *REGISTRY.unshipped] if (fine := meets_floor(name)) is not None}
    missed = [named(name) for name, fine in met.items() if not fine]
    words = f"; missed by {', '.join(missed)}" if missed else ""
    floors = f"<strong>Quality floors.</strong> Met by {len(met) - len(missed)} of {len(met)}{words}."
    sentences = [floors, _ladder_sentence()]
    for item in found:
        said = "AutoAttack is not measured here"
        if item.difference:
            strong, weak = item.terms
            said = f"{plain(strong, '%')} under AutoAttack, {percent(weak.value)} under PGD-20, n = {strong.n}"
        what = f"{named(item.contrast.terms[0][0])}, attacked at {threat_text(item.contrast.label)}"
        sentences.append(f"<strong>{what}</strong>: {said}.")
    if checks := findings(tables):
        raised = [f"{item.flag.name}, {named(c)}, {threat_text(at)}" for c, at, item in checks if item.raised]
        words = f"{len(raised)} raised{': ' if raised else ''}{'; '.join(raised)}"
        sentences.append(f"<strong>Flags.</strong> {len(checks)} checks, {words}.")
    return boxed(sentences)


def _ladder_sentence() -> str:
    """Does clean accuracy fall, and robust accuracy rise, at each step of the registered ladder?"""
    entries = [REGISTRY[name] for name in ladder()]
    clean, robust = [e.test_clean.rate for e in entries], [e.test_robust[COMMON].rate for e in entries]
    falls, rises = all(a > b for a, b in pairwise(clean)), all(a < b for a, b in pairwise(robust))
    values = ", ".join(f"{e.title} {percent(c)} / {percent(r)}" for e, c, r in zip(entries, clean, robust, strict=True))
    return (
        f"<strong>The ladder</strong> (clean / PGD-20 at {threat_text(COMMON)}, all test images): {values}. With ε, clean accuracy "
        f"{'falls' if falls else 'does not fall'} and robust accuracy {'rises' if rises else 'does not rise'} at every step."
    )


def predictors_figure(networks: pd.DataFrame, found: dict[str, dict[str, Estimate]], *, name: str) -> Shown:
    """The Gini index of every network against each of ``PREDICTORS``; of ``every_network`` and ``predicted``."""
    figure, panels = plt.subplots(1, len(PREDICTORS), figsize=(10, 4.6), sharey=True)
    for axes, predictor in zip(panels, PREDICTORS, strict=True):
        for _, row in networks.iterrows():
            fill = {} if row.fitted else {"mfc": "white"}
            dot(axes, row.gini, row[predictor], row.checkpoint, upright=True, label=named(row.checkpoint), **fill)
        axes.set(xlabel=predictor, title=f"r = {plain(found['alone'][predictor], 'r')}")
    panels[0].set_ylabel("global Gini index")
    shared_legend(figure, panels[0], ncols=4, fontsize=7)
    each = found["each other"][PREDICTORS[0]]
    caption = (
        f"How each goes with the index: Pearson's r over {found['alone'][PREDICTORS[0]].n} networks. Without the ℓ2 ones ({each.n} left) budget "
        f"and robust accuracy go together (r = {plain(each, 'r')}); the nearer that is to 1, the less can they be told apart. "
        "Hollow: DenseNets, in no correlation. Bars: 95 % intervals over up to 1000 images, not the same ones for all networks."
    )
    words = [
        f"{named(row.checkpoint)}: {', '.join(f'{p} {row[p]:.0f}' for p in PREDICTORS)}, index {plain(row.gini)}"
        for _, row in networks.iterrows()
    ]
    alone = "; ".join(f"{predictor}: r = {plain(r, 'r')}" for predictor, r in found["alone"].items())
    alt = f"Three scatter plots of the Gini index. {alone}. {'; '.join(words)}."
    return drawn(figure, name=name, caption=caption, alt=alt)


def predictors_table(found: dict[str, dict[str, Estimate]], *, name: str) -> Shown:
    """Pearson's r of each predictor with the index, and the index for one standard deviation of it at equal others."""
    together = "Together, Gini for one standard deviation"
    columns = {"Alone, r": ("alone", "r"), "Alone, without ℓ2": ("linf", "r"), together: ("together", "Gini")}
    rows = [
        {"Goes with the Gini index?": p}
        | {title: text_of(found[key][p], unit) for title, (key, unit) in columns.items()}
        for p in PREDICTORS
    ]
    caption = "What goes with the global Gini index; 95 % intervals over networks, which are few and partly alike."
    return table(rows, name=name, caption=caption)
