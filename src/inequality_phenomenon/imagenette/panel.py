"""What the chapter on photographs measures of a pair of networks."""

from ..measure.measurements import Conditions, inequality, margins, noise, occlusion, occlusion_conditions
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
    and those of ``measure_slice`` and ``measure_resolution``.
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
    measure_slice(run)
    measure_resolution(run)
