"""What the chapter on photographs measures of a pair of networks."""

from ..measure.ablation import PAPER_SETTINGS, attributed
from ..measure.measurements import (
    NOISE_KINDS,
    Conditions,
    crossed,
    inequality,
    margins,
    noise,
    occlusion,
    occlusion_conditions,
)
from ..measure.panel import NOISE
from ..measure.run import Run
from .readings import measure_slice
from .resolution import measure_resolution


def patch_conditions(run: Run) -> tuple[Conditions, Conditions]:
    """Algorithm 1 at the run's budgets in all colours, the first condition being the primary one; and its controls."""
    standard, robust = run.pair
    attack = occlusion_conditions(run.options["patches"], run.options["colors"])
    controls: Conditions = {
        "random places": {"positions": "random"},
        "other model's map": {"maps_from": {standard: robust, robust: standard}},
        "one mask only": {"search": "single"},
        "one mask only, random places": {"search": "single", "positions": "random"},
    }
    primary = next(iter(attack.values()))
    return attack, {label: primary | own for label, own in controls.items()}


def measure_photographs(run: Run) -> None:
    """All records of the chapter on photographs.

    The run's options: ``budgets`` and ``draws`` of the noise; ``patches`` (N, R) and ``colors``, of ``occlusion_images``;
    and those of ``measure_methods``, ``measure_slice`` and ``measure_resolution``.
    """
    options, (attack, controls) = run.options, patch_conditions(run)
    noisy = {"budgets": tuple(options["budgets"]), "draws": options["draws"], "seed": run.seed}
    few = {"n_images": min(run.n_images, options["occlusion_images"]), "seed": run.seed}
    run.measure(inequality, {"": {}}, region=run.data.region, seed=run.seed)
    run.measure(margins, {"": {}})
    run.measure(noise, NOISE, **noisy)
    places = {"random, type II": {"kind": "type_2", "positions": "random"}}
    run.measure(noise, places, name="controls_noise", **noisy)
    run.measure(occlusion, attack, **few)
    run.measure(occlusion, controls, name="controls", **few)
    measure_methods(run)
    measure_slice(run)
    measure_resolution(run)


def measure_methods(run: Run) -> None:
    """Table 3's methods other than Integrated Gradients, as the records ``methods_*``: index, noise and occlusion.

    The run's options: ``method_images`` (0: none); the middle one of ``budgets``; the first of ``patches``; ``colors``.
    """
    options = run.options
    if not (count := options["method_images"]):
        return
    settings = {title: own for title, own in PAPER_SETTINGS.items() if own["method"] != "integrated_gradients"}
    few = {"models": run.pair, "n_images": count, "seed": run.seed}
    noisy = {"budgets": (options["budgets"][len(options["budgets"]) // 2],), "draws": options["draws"]}
    masks = occlusion_conditions(options["patches"][:1], options["colors"])
    run.measure(inequality, settings, name="methods_inequality", region=run.data.region, **few)
    run.measure(noise, crossed(attributed(settings), NOISE_KINDS), name="methods_noise", **noisy, **few)
    run.measure(occlusion, crossed(attributed(settings), masks), name="methods_occlusion", **few)
