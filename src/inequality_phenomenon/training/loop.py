"""Standard and adversarial training on CIFAR-10, resumable after a kill to the same bits.

Every epoch draws its randomness from a generator seeded by (seed, epoch) alone, and the whole state is written
atomically at the end of the epoch: a run that is killed and started again ends with the weights of an
undisturbed run on the same device.
"""

import csv
import hashlib
import json
import math
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Generator, Tensor, nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel
from tqdm import tqdm

from .._support import paths
from .._support.files import atomic_path, sha256_of
from ..datasets import load_cifar10, load_cifar10_bytes
from ..networks import (
    CIFAR10_MEAN,
    Accuracy,
    Classifier,
    RegistryEntry,
    build,
    fold_batch_norm,
    half_precision,
    load_checkpoint,
    register,
    save_checkpoint,
)
from ..robustness import Threat, ascend, correct, input_gradient, parse_fraction, random_start, robust_correct
from .pruning import keep_zeros, prune_filters, prune_weights

HELD_OUT = 500  # training images never trained on: the only images that may influence a choice

CHECK_EVERY = 50  # steps between two looks at the held-out images while a ``stop_at`` waits to be reached

SHIPPED = 2_000_000  # parameters: the weights of a larger model are not committed, only how to make them

LEARNED = 0.15  # held-out PGD accuracy that is clearly above chance: below it there is nothing to collapse from


Step = Callable[[Tensor, Tensor, Generator], Tensor]  # images, labels, what the noise is drawn from -> loss


class TrainingError(RuntimeError):
    """Training cannot go on; the message says why and what to do. The last good state is kept."""


def _fraction(value: object) -> float:
    return parse_fraction(str(value))


class TrainingSettings(BaseModel):
    """One file ``checkpoints/NAME.yaml``. Defaults are the recipe that all shipped models share."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    title: str
    architecture: str = "resnet18"
    arguments: dict[str, Any] = Field(default_factory=lambda: {"width": 16})
    norm: Literal["none", "linf", "l2"] = "none"
    epsilon: Annotated[float, BeforeValidator(_fraction)] = 0.0  # pixel units; "8/255" is read as a fraction
    attack: Literal["none", "nfgsm", "pgd"] = "none"
    attack_steps: PositiveInt = 1
    cutout: NonNegativeInt = 0  # side of the square hole, 0 for none
    teacher: str | None = None  # registered checkpoint whose input gradients the model imitates (IGD)
    distillation: float = Field(default=0.0, ge=0)  # weight of one minus the cosine of the two input gradients
    start_from: str | None = None  # registered checkpoint that gives the initial weights
    pruning: Literal["none", "weights", "filters"] = "none"  # of the initial weights; what is removed stays removed
    pruned: float = Field(default=0.0, ge=0, lt=1)  # fraction of the weights, or of each layer's filters
    stop_at: float | None = None  # held-out clean accuracy at which training ends, looked at every CHECK_EVERY steps
    epochs: PositiveInt = 16
    batch_size: PositiveInt = 128
    peak_rate: PositiveFloat = 0.2  # highest that trained stably at batch 128 with Nesterov momentum
    warm_up: float = Field(
        default=0.25, gt=0, lt=1
    )  # fraction of the steps until the peak; the rate falls linearly to 0 afterwards
    momentum: float = Field(default=0.9, gt=0, lt=1)  # Nesterov's needs one
    weight_decay: NonNegativeFloat = 5e-4
    average_from: float = Field(default=2 / 3, ge=0, lt=1)  # weights are averaged, step by step, over the last third
    precision: Literal["float32", "bfloat16"] = (
        "bfloat16"  # of the forward pass; weights and perturbations stay float32
    )
    compile: bool = False  # the network's passes by torch.compile: other roundings, worth the minute it takes on a GPU
    threads: PositiveInt = 1  # CPU threads: part of the settings because the order of additions depends on it
    seed: NonNegativeInt = 0
    train_images: PositiveInt = 50_000 - HELD_OUT

    @model_validator(mode="after")
    def _attack_fits_threat(self) -> "TrainingSettings":
        fitting = {"none": ["none"], "linf": ["nfgsm", "pgd"], "l2": ["pgd"]}[self.norm]
        if self.attack not in fitting:
            raise ValueError(f"norm {self.norm} goes with attack {' or '.join(fitting)}, not {self.attack}")
        if (self.epsilon > 0) != (self.norm != "none"):
            raise ValueError(f"norm {self.norm} does not go with epsilon {self.epsilon:g}")
        if (self.teacher is None) != (self.distillation == 0):
            raise ValueError("a teacher and a distillation above 0 go together")
        if self.teacher is not None and self.compile:
            raise ValueError("compile does not go with a teacher, whose loss is differentiated twice")
        if (self.pruning == "none") != (self.pruned == 0):
            raise ValueError(f"pruning {self.pruning} does not go with pruned {self.pruned:g}")
        if self.pruning != "none" and self.start_from is None:
            raise ValueError("pruning needs start_from: a trained model to prune")
        return self

    @property
    def threat(self) -> Threat | None:
        return None if self.norm == "none" else Threat(self.norm, self.epsilon)


def load_settings(name: str) -> TrainingSettings:
    """The settings file of a checkpoint; an unknown name is answered with the known ones.

    Without a file of its own, a checkpoint of seed k has the settings of seed 0 but for the seed.
    """
    known = sorted(path.stem for path in paths.CHECKPOINTS.glob("cifar10-*.yaml"))
    stem, _, seed = name.rpartition("-s")
    other = {} if name in known or not (seed.isascii() and seed.isdecimal()) else {"seed": int(seed)}
    if (named := f"{stem}-s0" if other else name) not in known:
        raise ValueError(f"no settings for checkpoint {name!r}; known: {', '.join(known)}")
    return TrainingSettings.model_validate(
        yaml.safe_load((paths.CHECKPOINTS / f"{named}.yaml").read_text("utf-8")) | other
    )


def held_out_ids() -> Tensor:
    """The 500 training images, 50 a class by position in the file, that no model is trained on."""
    labels = load_cifar10_bytes("train")[1]
    return torch.cat([(labels == label).nonzero().flatten()[:50] for label in range(10)]).sort().values


def _held_out() -> tuple[Tensor, Tensor]:
    """The held-out images in [0, 1] and their labels."""
    images, labels = load_cifar10_bytes("train")
    ids = held_out_ids()
    return images[ids].permute(0, 3, 1, 2).float().div_(255), labels[ids].long()


class TrainingImages:
    """Training images on the device as uint8, augmented in batches: random crop of a 4-pixel zero padding, random flip."""

    def __init__(self, settings: TrainingSettings, device: torch.device) -> None:
        images, labels = load_cifar10_bytes("train")
        kept = torch.ones(len(images), dtype=torch.bool)
        kept[held_out_ids()] = False
        ids = kept.nonzero().flatten()[: settings.train_images]
        self.padded = F.pad(images[ids], (0, 0, 4, 4, 4, 4)).to(device)  # (N, 40, 40, 3)
        self.labels = labels[ids].long().to(device)
        self.mean_colour = torch.tensor(CIFAR10_MEAN, device=device)
        self.settings = settings

    def batches(self, generator: Generator) -> Iterator[tuple[Tensor, Tensor]]:
        """Shuffled batches of (images in [0, 1], channels-last (B, 3, 32, 32); labels); the last short one is dropped."""
        order = torch.randperm(len(self.labels), generator=generator, device=self.padded.device)
        size = min(self.settings.batch_size, len(order))
        for ids in order.split(size)[: len(order) // size]:
            yield self._augment(ids, generator), self.labels[ids]

    def __len__(self) -> int:
        return max(1, len(self.labels) // self.settings.batch_size)

    def _augment(self, ids: Tensor, generator: Generator) -> Tensor:
        device, n = ids.device, len(ids)
        offsets = torch.randint(0, 9, (2, n, 1), generator=generator, device=device)
        flip = torch.rand(n, 1, generator=generator, device=device) < 0.5
        span = torch.arange(32, device=device)
        rows = offsets[0] + span
        columns = offsets[1] + torch.where(flip, 31 - span, span)
        images = self.padded[ids[:, None, None], rows[:, :, None], columns[:, None, :]].float().div_(255)
        if self.settings.cutout:
            images = _cutout(images, self.settings.cutout, self.mean_colour, generator)
        return images.permute(0, 3, 1, 2)


def _cutout(images: Tensor, side: int, colour: Tensor, generator: Generator) -> Tensor:
    """One square hole an image, of one colour, its centre anywhere: DeVries and Taylor 2017. (B, H, W, 3) -> same."""
    device, (n, height, width, _) = images.device, images.shape
    centre = torch.randint(0, height, (2, n, 1), generator=generator, device=device)
    inside = [
        (torch.arange(length, device=device) - centre[axis] >= -side // 2)
        & (torch.arange(length, device=device) - centre[axis] < side // 2)
        for axis, length in ((0, height), (1, width))
    ]
    hole = inside[0][:, :, None] & inside[1][:, None, :]
    return torch.where(hole[..., None], colour, images)


def craft(model: nn.Module, images: Tensor, labels: Tensor, settings: TrainingSettings, generator: Generator) -> Tensor:
    """The training examples: the images themselves, N-FGSM (de Jorge et al. 2022) or PGD (Madry et al. 2018).

    The model is used in eval mode, with frozen weights: only the gradient of the input is computed.
    """
    threat = settings.threat
    if threat is None:
        return images
    model.eval().requires_grad_(False)
    if settings.attack == "nfgsm":  # uniform noise of twice the budget, one step, no projection onto the ball
        noise = torch.empty_like(images).uniform_(-2 * threat.epsilon, 2 * threat.epsilon, generator=generator)
        noisy = (images + noise).clamp_(0, 1)
        adversarial = noisy + threat.epsilon * input_gradient(model, noisy, labels)[0].sign()
    else:
        delta = random_start(images, threat, generator)
        for _ in range(settings.attack_steps):
            gradient, _ = input_gradient(model, (images + delta).clamp_(0, 1), labels)
            delta = ascend(delta, gradient, threat, 2.5 * threat.epsilon / settings.attack_steps)
        adversarial = images + delta
    model.train().requires_grad_(True)
    return adversarial.clamp_(0, 1)


def learning_rate(settings: TrainingSettings, progress: float) -> float:
    """One triangular cycle; ``progress`` in [0, 1]."""
    rising, falling = progress / settings.warm_up, (1 - progress) / (1 - settings.warm_up)
    return settings.peak_rate * max(0.0, min(rising, falling))


@dataclass
class State:
    """Everything that an epoch hands to the next one."""

    model: Classifier
    average: AveragedModel
    optimizer: torch.optim.SGD
    epoch: int = 0
    stopped: bool = False  # ``stop_at`` was reached
    seconds: float = 0.0
    log: list[dict[str, float]] = field(default_factory=list)

    def tensors(self) -> dict[str, Tensor]:
        """Flat and by name, as they are written."""
        named = dict(self.model.named_parameters())
        momenta = {name: self.optimizer.state[p].get("momentum_buffer") for name, p in named.items()}
        found = {f"model.{k}": v for k, v in self.model.state_dict().items()}
        found |= {f"average.{k}": v for k, v in self.average.state_dict().items()}
        found |= {f"momentum.{k}": v for k, v in momenta.items() if v is not None}
        return {k: v.detach().cpu().contiguous().clone() for k, v in found.items()}

    def load(self, tensors: dict[str, Tensor]) -> None:
        def part(prefix: str) -> dict[str, Tensor]:
            return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}

        self.model.load_state_dict(part("model."))
        self.average.load_state_dict(part("average."))
        momenta = part("momentum.")
        for name, parameter in self.model.named_parameters():
            if name in momenta:
                self.optimizer.state[parameter]["momentum_buffer"] = torch.empty_like(parameter).copy_(momenta[name])


def _initial_model(settings: TrainingSettings) -> Classifier:
    model = build(settings.architecture, seed=settings.seed, **settings.arguments)
    if settings.start_from:
        start = load_checkpoint(settings.start_from)
        if settings.pruning == "weights":
            prune_weights(start, settings.pruned)
        elif settings.pruning == "filters":
            prune_filters(start, settings.pruned)
        model.load_state_dict(start.state_dict())
    return model


def _fresh_state(settings: TrainingSettings, device: torch.device) -> State:
    model = _initial_model(settings).to(device).to(memory_format=torch.channels_last)
    on_gpu = device.type == "cuda"  # there the rate is a tensor: a recorded step reads it anew
    optimizer = torch.optim.SGD(
        model.parameters(),
        lr=torch.tensor(settings.peak_rate, device=device) if on_gpu else settings.peak_rate,
        momentum=settings.momentum,
        weight_decay=settings.weight_decay,
        nesterov=True,
        fused=True if on_gpu else None,
    )
    if on_gpu:  # a recorded step cannot make them, and from zero the first step is the same
        for parameter in model.parameters():
            optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
    return State(model, AveragedModel(model), optimizer)


def _recipe(settings: TrainingSettings) -> dict[str, Any]:
    """The settings that decide the weights: all but the title."""
    return settings.model_dump(mode="json", exclude={"title"})


def _save_state(state: State, settings: TrainingSettings, file: Path) -> None:
    facts = json.dumps(
        {
            "epoch": state.epoch,
            "stopped": state.stopped,
            "seconds": state.seconds,
            "log": state.log,
            "settings": _recipe(settings),
        }
    )
    tensors = state.tensors()
    try:
        with atomic_path(file) as temporary:
            save_file(tensors, temporary, metadata={"facts": facts, "sha256": _digest(facts, tensors)})
    except OSError as problem:
        raise TrainingError(
            f"could not save {file}: {problem}. Free some space and run again: epoch {state.epoch} is repeated"
        ) from None


def _digest(facts: str, tensors: dict[str, Tensor]) -> str:
    """SHA-256 of all that a state file holds."""
    found = hashlib.sha256(facts.encode())
    for name in sorted(tensors):
        found.update(name.encode())
        found.update(tensors[name].flatten().view(torch.uint8).numpy().data)
    return found.hexdigest()


def _restore_state(state: State, settings: TrainingSettings, file: Path) -> None:
    try:
        with safe_open(file, framework="pt") as stored:
            metadata = stored.metadata() or {}
            tensors = {key: stored.get_tensor(key) for key in stored.keys()}  # noqa: SIM118 (not a dict)
        if _digest(metadata["facts"], tensors) != metadata["sha256"]:
            raise ValueError("its content does not match its checksum")
        facts = json.loads(metadata["facts"])
    except (SafetensorError, KeyError, ValueError) as problem:
        raise TrainingError(f"{file} is damaged ({problem}); delete it to start this training again") from None
    defaults = _recipe(TrainingSettings(title=""))  # of the settings that did not exist when the state was written
    if defaults | facts["settings"] != _recipe(settings):
        raise TrainingError(f"{file} belongs to other settings; delete {file.parent} to start again")
    state.load(tensors)
    state.epoch, state.stopped = facts["epoch"], facts["stopped"]
    state.seconds, state.log = facts["seconds"], facts["log"]


def train(
    settings: TrainingSettings,
    folder: Path,
    *,
    device: str | torch.device = "cpu",
    progress: bool = True,
    after_epoch: Callable[[State], None] = lambda state: None,
) -> State:
    """Train to the end, from the state in ``folder`` if there is one; the averaged model is ``state.average.module``.

    Writes ``folder/state.safetensors`` after every epoch. Raises ``TrainingError`` on a loss that is not finite, on
    catastrophic overfitting (held-out PGD accuracy under a third of its best) and on a full disk.
    """
    device = torch.device(device)
    file = folder / "state.safetensors"
    state = _fresh_state(settings, device)
    if file.exists():
        _restore_state(state, settings, file)
    if settings.compile:  # in place, after the average was copied from it: names and states stay the same
        state.model.compile(options={"deterministic": True})
    data = TrainingImages(settings, device)
    held_out = tuple(part.to(device) for part in _held_out())
    threads, deterministic = torch.get_num_threads(), torch.backends.cudnn.deterministic
    torch.set_num_threads(settings.threads)
    torch.backends.cudnn.deterministic = True  # on a GPU: the same bits again
    try:
        step = training_step(state, settings, data)
        while state.epoch < settings.epochs and not state.stopped:
            _one_epoch(state, settings, data, held_out, step, file, progress)
            after_epoch(state)
    finally:
        torch.set_num_threads(threads)
        torch.backends.cudnn.deterministic = deterministic
    return state


def _one_epoch(
    state: State,
    settings: TrainingSettings,
    data: TrainingImages,
    held_out: tuple[Tensor, ...],
    step: Step,
    file: Path,
    progress: bool,
) -> None:
    """Train, measure on the held-out images, refuse what went wrong, save."""
    device = data.labels.device
    started = time.perf_counter()
    loss = _train_epoch(state, settings, data, held_out, step, progress)
    if not math.isfinite(loss):
        raise TrainingError(
            f"the loss became {loss} in epoch {state.epoch + 1}; lower peak_rate. State kept: epoch {state.epoch}"
        )
    state.epoch += 1
    if state.stopped:  # too early for an average: the model is what was looked at
        state.average.module.load_state_dict(state.model.state_dict())
    elif state.epoch == settings.epochs:
        _estimate_batch_norm(state.average.module, settings, data, device)
    state.seconds += time.perf_counter() - started
    state.log.append(
        {"epoch": state.epoch, "loss": loss, "seconds": state.seconds} | _held_out_accuracy(state, settings, *held_out)
    )
    _refuse_collapse(state, file)
    _save_state(state, settings, file)
    if progress:
        tqdm.write("  ".join(f"{key} {value:.4g}" for key, value in state.log[-1].items()))


def _generator(device: torch.device, settings: TrainingSettings, epoch: int) -> Generator:
    return Generator(device).manual_seed(settings.seed * 1_000_003 + epoch)


def _autocast(settings: TrainingSettings, device: torch.device) -> torch.autocast:
    return torch.autocast(device.type, torch.bfloat16, enabled=settings.precision == "bfloat16")


def training_step(state: State, settings: TrainingSettings, data: TrainingImages) -> Step:
    """One step of the optimizer on one batch; on a GPU recorded once and then replayed.

    Small networks leave a GPU waiting for Python, which launches their many kernels one by one; a CUDA graph launches
    them all at once.
    """
    device = data.labels.device
    teacher = load_checkpoint(settings.teacher, device) if settings.teacher else None

    def step(images: Tensor, labels: Tensor, generator: Generator) -> Tensor:
        with _autocast(settings, device):
            examples = craft(state.model, images, labels, settings, generator)
            logits = state.model(examples)
            loss = F.cross_entropy(logits.float(), labels)
            if teacher is not None:
                loss = loss + settings.distillation * gradient_distance(state.model, teacher, images, labels)
        state.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        state.optimizer.step()
        return loss.detach()

    state.model.train()
    if device.type != "cuda" or teacher is not None:  # recorded, a loss that is differentiated twice was not a number
        return step
    return _recorded(step, state, data)


def _recorded(step: Step, state: State, data: TrainingImages) -> Step:
    """``step`` as a CUDA graph for batches of the size that ``data`` gives; the state is left as it was."""
    recorded_generator = Generator(data.labels.device)
    images, labels = next(data.batches(recorded_generator))
    before, stream = state.tensors(), torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):  # what a library sets up at its first calls cannot be recorded
            step(images, labels, recorded_generator)
    torch.cuda.current_stream().wait_stream(stream)
    state.load(before)
    state.optimizer.zero_grad(set_to_none=True)
    graph = torch.cuda.CUDAGraph()
    graph.register_generator_state(recorded_generator)
    with torch.cuda.graph(graph):
        loss = step(images, labels, recorded_generator)

    def replay(new_images: Tensor, new_labels: Tensor, generator: Generator) -> Tensor:
        images.copy_(new_images)
        labels.copy_(new_labels)
        recorded_generator.set_state(generator.get_state())
        graph.replay()
        generator.set_state(recorded_generator.get_state())
        return loss

    return replay


def _train_epoch(
    state: State,
    settings: TrainingSettings,
    data: TrainingImages,
    held_out: tuple[Tensor, ...],
    step: Step,
    progress: bool,
) -> float:
    """One pass over the data, or less where ``stop_at`` is reached; returns the mean training loss."""
    device = data.labels.device
    generator = _generator(device, settings, state.epoch)
    images_held_out, labels_held_out = held_out
    restore_zeros = keep_zeros(state.model) if settings.pruning == "weights" else None
    total = torch.zeros((), device=device)
    state.model.train()
    bar = tqdm(
        data.batches(generator),
        total=len(data),
        desc=f"epoch {state.epoch + 1}/{settings.epochs}",
        leave=False,
        disable=not progress,
    )
    for done, (images, labels) in enumerate(bar):
        fraction = (state.epoch + done / len(data)) / settings.epochs
        _set_rate(state.optimizer, learning_rate(settings, fraction))
        total += step(images, labels, generator)
        if restore_zeros is not None:
            restore_zeros()
        if fraction >= settings.average_from:
            state.average.update_parameters(state.model)
        if settings.stop_at is not None and done % CHECK_EVERY == 0:
            state.stopped = (
                correct(state.model.eval(), images_held_out, labels_held_out).double().mean().item() >= settings.stop_at
            )
            state.model.train()
            if state.stopped:
                break
    return (total / (done + 1)).item()


def _set_rate(optimizer: torch.optim.SGD, rate: float) -> None:
    group = optimizer.param_groups[0]
    if isinstance(group["lr"], Tensor):
        group["lr"].fill_(rate)
    else:
        group["lr"] = rate


def gradient_distance(model: nn.Module, teacher: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """Input-gradient distillation: one minus the cosine of both models' input gradients, mean over the images.

    The gradients are of the true class's logit at the clean images; the teacher's is a constant, the model's is taken in
    eval mode and can be differentiated again. The loss of "Releasing Inequality Phenomenon in l_inf-norm Adversarial
    Training via Input Gradient Distillation" (Chen et al. 2023), which adds it to the adversarial cross-entropy.
    """

    def gradient(of: nn.Module, create_graph: bool) -> Tensor:
        inputs = images.detach().requires_grad_()
        score = of(inputs).gather(1, labels[:, None]).sum()
        return torch.autograd.grad(score, inputs, create_graph=create_graph)[0].flatten(1)

    target = gradient(teacher, create_graph=False)
    model.eval()
    found = gradient(model, create_graph=True)
    model.train()
    return (1 - F.cosine_similarity(found.float(), target.float())).mean()


def _estimate_batch_norm(
    model: nn.Module, settings: TrainingSettings, data: TrainingImages, device: torch.device
) -> None:
    """Running means and variances for the averaged weights, from one more pass over the training examples."""
    generator = _generator(device, settings, settings.epochs)
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    with _autocast(settings, device):
        examples = [
            craft(model, *batch, settings, generator)
            for batch, _ in zip(data.batches(generator), range(100), strict=False)
        ]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean over the batches
    model.train()
    with torch.no_grad(), _autocast(settings, device):
        for batch in examples:
            model(batch)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    model.eval()


def _held_out_accuracy(state: State, settings: TrainingSettings, images: Tensor, labels: Tensor) -> dict[str, float]:
    """Clean and PGD-10 accuracy on the held-out images; of the final model, averaged or stopped, at the end."""
    done = state.stopped or state.epoch == settings.epochs
    model = (state.average.module if done else state.model).eval()
    found = {"clean": correct(fold_batch_norm(model), images, labels).double().mean().item()}
    if settings.threat:
        survives = robust_correct(model, images, labels, settings.threat, steps=10, restarts=1)
        found["pgd10"] = survives.double().mean().item()
    model.requires_grad_(True)
    return found


def _refuse_collapse(state: State, file: Path) -> None:
    robust = [row["pgd10"] for row in state.log if "pgd10" in row]
    if robust and max(robust) > LEARNED and robust[-1] < max(robust) / 3:
        raise TrainingError(
            f"catastrophic overfitting: held-out PGD-10 accuracy fell from {max(robust):.1%} to {robust[-1]:.1%} "
            f"in epoch {state.epoch}. Use more attack steps or a lower peak_rate. {file} keeps epoch {state.epoch - 1}"
        )


def write_log(state: State, file: Path) -> None:
    """The line-an-epoch log as CSV."""
    with atomic_path(file) as temporary, temporary.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, fieldnames=list(state.log[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows({key: f"{value:.6g}" for key, value in row.items()} for row in state.log)


def train_and_register(name: str, *, device: str | torch.device = "cpu", progress: bool = True) -> RegistryEntry:
    """Train checkpoint ``name`` by its settings file, measure it on the full test set, and register it."""
    settings = load_settings(name)
    state = train(settings, paths.TRAINING / name, device=device, progress=progress)
    model = state.average.module.eval()
    model.load_state_dict(
        {k: v.float() if v.is_floating_point() else v for k, v in half_precision(model.state_dict()).items()}
    )
    images, labels = (part.to(device) for part in load_cifar10("test"))
    threats = {str(threat): threat for threat in (settings.threat, Threat("linf", 8 / 255)) if threat}
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):  # float32 on every device
        robust = {
            text: robust_correct(model, images, labels, threat, progress=progress) for text, threat in threats.items()
        }
        clean = correct(fold_batch_norm(model), images, labels)
    parameters = sum(p.numel() for p in model.parameters())
    entry = RegistryEntry(
        name=name,
        title=settings.title,
        architecture=settings.architecture,
        arguments=settings.arguments,
        parameters=parameters,
        training=settings.model_dump(mode="json", exclude={"title", "architecture", "arguments"}),
        sha256="",
        test_clean=Accuracy(correct=int(clean.sum()), n=len(clean)),
        test_robust={text: Accuracy(correct=int(found.sum()), n=len(found)) for text, found in robust.items()},
        training_seconds=round(state.seconds),
        machine=f"{_processor(images.device, settings)}, torch {torch.__version__}",
        remake=f"inequality train {name} --device {device}" if parameters > SHIPPED else None,
    )
    write_log(state, entry.log)
    entry = entry.model_copy(update={"sha256": save_checkpoint(model, entry.file)})
    assert sha256_of(entry.file) == entry.sha256
    register(entry)
    return entry


def _processor(device: torch.device, settings: TrainingSettings) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{platform.machine()} {device}, {settings.threads} thread(s)"
