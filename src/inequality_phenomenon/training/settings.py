"""How a network is trained: one settings file a checkpoint, ``checkpoints/NAME.yaml``."""

from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PositiveFloat, PositiveInt, model_validator

from .._support import paths
from ..robustness import Threat, parse_fraction

HELD_OUT = 500  # training images never trained on: the only images that may influence a choice
FractionOrNumber = Annotated[float, BeforeValidator(lambda value: parse_fraction(str(value)))]


class TrainingSettings(BaseModel):
    """One file ``checkpoints/NAME.yaml``. Defaults are the recipe that all shipped models share."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    title: str
    architecture: str = "resnet18"
    arguments: dict[str, Any] = Field(default_factory=lambda: {"width": 16})
    dataset: str = "cifar10"  # or an image set that registered itself and has training images
    norm: Literal["none", "linf", "l2"] = "none"
    epsilon: FractionOrNumber = 0.0  # pixel units; "8/255" is read as a fraction
    attack: Literal["none", "nfgsm", "pgd"] = "none"
    attack_steps: PositiveInt = 1
    attack_step: PositiveFloat | None = None  # of PGD, in epsilons; none: 2.5 / attack_steps
    cutout: int = Field(default=0, ge=0)  # side of the square hole, 0 for none
    teacher: str | None = None  # registered checkpoint whose input gradients the model imitates (IGD)
    distillation: float = Field(default=0.0, ge=0)  # weight of one minus the cosine of the two input gradients
    start_from: str | None = None  # registered checkpoint that gives the initial weights
    pruning: Literal["none", "weights", "filters"] = "none"  # of the initial weights; what is removed stays removed
    pruned: float = Field(default=0.0, ge=0, lt=1)  # fraction of the weights, or of each layer's filters
    stop_at: float | None = None  # held-out clean accuracy at which training ends, looked at every CHECK_EVERY steps
    epochs: PositiveInt = 16
    batch_size: PositiveInt = 128
    peak_rate: PositiveFloat = 0.2  # highest that trained stably at batch 128 with Nesterov momentum
    warm_up: float = Field(default=0.25, gt=0, lt=1)  # share of the steps until the peak: see learning_rate
    momentum: float = Field(default=0.9, gt=0, lt=1)  # Nesterov's needs one
    weight_decay: float = Field(default=5e-4, ge=0)
    average_from: float = Field(default=2 / 3, ge=0, lt=1)  # weights are averaged, step by step, over the last third
    # Of the forward pass; weights, images and perturbations stay float32.
    precision: Literal["float32", "bfloat16"] = "bfloat16"
    compile: bool = False  # the network's passes by torch.compile: other roundings, worth the minute it takes on a GPU
    threads: PositiveInt = 1  # CPU threads: part of the settings because the order of additions depends on it
    seed: int = Field(default=0, ge=0)
    train_images: PositiveInt = 50_000 - HELD_OUT
    shipped: bool = True  # unless the network is too large

    @model_validator(mode="after")
    def _attack_fits_threat(self) -> "TrainingSettings":
        fitting = {"none": ["none"], "linf": ["nfgsm", "pgd"], "l2": ["pgd"]}[self.norm]
        pruned = self.pruning != "none"
        wrong = {
            f"norm {self.norm} goes with attack {' or '.join(fitting)}, not {self.attack}": self.attack not in fitting,
            f"norm {self.norm} does not go with epsilon {self.epsilon:g}": (self.epsilon > 0) != (self.norm != "none"),
            "a teacher and a distillation above 0 go together": (self.teacher is None) != (self.distillation == 0),
            "compile does not go with a teacher, whose loss is differentiated twice": self.compile and self.teacher,
            f"pruning {self.pruning} does not go with pruned {self.pruned:g}": pruned != (self.pruned > 0),
            "pruning needs start_from: a trained model to prune": pruned and not self.start_from,
        }
        if problems := [problem for problem, found in wrong.items() if found]:
            raise ValueError("; ".join(problems))
        return self

    @property
    def threat(self) -> Threat | None:
        return None if self.norm == "none" else Threat(self.norm, self.epsilon)


def load_settings(name: str) -> TrainingSettings:
    """The settings file of a checkpoint; an unknown name is answered with the known ones.

    Without a file of its own, a checkpoint of seed k has the settings of seed 0 but for the seed.
    """
    known = sorted(path.stem for path in paths.CHECKPOINTS.glob("*-s[0-9]*.yaml"))
    stem, _, seed = name.rpartition("-s")
    other = {} if name in known or not (seed.isascii() and seed.isdecimal()) else {"seed": int(seed)}
    if (named := f"{stem}-s0" if other else name) not in known:
        raise ValueError(f"no settings for checkpoint {name!r}; known: {', '.join(known)}")
    values = yaml.safe_load((paths.CHECKPOINTS / f"{named}.yaml").read_text("utf-8"))
    return TrainingSettings.model_validate(values | other)


def learning_rate(settings: TrainingSettings, progress: float) -> float:
    """One triangular cycle; ``progress`` in [0, 1]."""
    rising, falling = progress / settings.warm_up, (1 - progress) / (1 - settings.warm_up)
    return settings.peak_rate * max(0.0, min(rising, falling))
