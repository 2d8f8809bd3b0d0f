"""Standard and adversarial training, resumable after a kill to the same bits on the same device.

Every epoch draws its randomness from a generator seeded by (seed, epoch) alone, and ends by writing the whole state.
"""

import math
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F
from torch.optim.swa_utils import update_bn
from tqdm import tqdm

from ..networks import fold_batch_norm, load_checkpoint
from ..robustness import ascend, correct, input_gradient, random_start, robust_correct
from .data import TrainingData, training_data
from .pruning import keep_zeros
from .settings import TrainingSettings, learning_rate
from .state import State, TrainingError, fresh_state, restore_state, save_state

CHECK_EVERY = 50  # steps between two looks at the held-out images while a ``stop_at`` waits to be reached
LEARNED = 0.15  # held-out PGD accuracy that is clearly above chance: below it there is nothing to collapse from

Step = Callable[[Tensor, Tensor, Generator], Tensor]  # images, labels, what the noise is drawn from -> loss


def craft(model: nn.Module, images: Tensor, labels: Tensor, settings: TrainingSettings, generator: Generator) -> Tensor:
    """The training examples: the images, N-FGSM (de Jorge et al. 2022) or PGD (Madry et al. 2018), crafted in eval mode."""
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
        own = settings.attack_step
        step = 2.5 * threat.epsilon / settings.attack_steps if own is None else own * threat.epsilon
        for _ in range(settings.attack_steps):
            gradient, _ = input_gradient(model, (images + delta).clamp_(0, 1), labels)
            delta = ascend(delta, gradient, threat, step)
        adversarial = images + delta
    model.train().requires_grad_(True)
    return adversarial.clamp_(0, 1)


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
    device, file = torch.device(device), folder / "state.safetensors"
    state = fresh_state(settings, device)
    if file.exists():
        restore_state(state, settings, file)
    if settings.compile:  # in place, after the average was copied from it: names and states stay the same
        state.model.compile(options={"deterministic": True})
    data = training_data(settings, device)
    threads, deterministic = torch.get_num_threads(), torch.backends.cudnn.deterministic
    torch.set_num_threads(settings.threads)
    torch.backends.cudnn.deterministic = True  # on a GPU: the same bits again
    try:
        step = training_step(state, settings, data)
        while state.epoch < settings.epochs and not state.stopped:
            _one_epoch(state, settings, data, step, file, progress)
            after_epoch(state)
    finally:
        torch.set_num_threads(threads)
        torch.backends.cudnn.deterministic = deterministic
    return state


def _one_epoch(
    state: State, settings: TrainingSettings, data: TrainingData, step: Step, file: Path, progress: bool
) -> None:
    started = time.perf_counter()
    held_out = data.held_out(state.epoch / settings.epochs)
    loss = train_epoch(state, settings, data, step, progress)
    if not math.isfinite(loss):
        kept = f"lower peak_rate. State kept: epoch {state.epoch}"
        raise TrainingError(f"the loss became {loss} in epoch {state.epoch + 1}; {kept}")
    state.epoch += 1
    if state.stopped:  # too early for an average: the model is what was looked at
        state.average.module.load_state_dict(state.model.state_dict())
    elif state.epoch == settings.epochs:
        _estimate_batch_norm(state.average.module, settings, data)
    state.seconds += time.perf_counter() - started
    row: dict[str, float] = {"epoch": state.epoch, "loss": loss, "seconds": state.seconds}
    state.log.append(row | _held_out_accuracy(state, settings, *held_out))
    robust = [row["pgd10"] for row in state.log if "pgd10" in row]
    if robust and max(robust) > LEARNED and robust[-1] < max(robust) / 3:
        fell = f"held-out PGD-10 accuracy fell from {max(robust):.1%} to {robust[-1]:.1%} in epoch {state.epoch}"
        todo = f"Use more attack steps or a lower peak_rate. {file} keeps epoch {state.epoch - 1}"
        raise TrainingError(f"catastrophic overfitting: {fell}. {todo}")
    save_state(state, settings, file)
    if progress:
        tqdm.write("  ".join(f"{key} {value:.4g}" for key, value in state.log[-1].items()))


def _generator(device: torch.device, settings: TrainingSettings, epoch: int) -> Generator:
    return Generator(device).manual_seed(settings.seed * 1_000_003 + epoch)


def _autocast(settings: TrainingSettings, device: torch.device) -> torch.autocast:
    return torch.autocast(device.type, torch.bfloat16, enabled=settings.precision == "bfloat16")


def training_step(state: State, settings: TrainingSettings, data: TrainingData) -> Step:
    """One step of the optimizer on one batch; on a GPU recorded once and replayed: Python is too slow for small networks."""
    device = data.labels.device
    teacher = load_checkpoint(settings.teacher, device) if settings.teacher else None

    def step(images: Tensor, labels: Tensor, generator: Generator) -> Tensor:
        with _autocast(settings, device):
            examples = craft(state.model, images, labels, settings, generator)
            loss = F.cross_entropy(state.model(examples).float(), labels)
            if teacher is not None:
                loss = loss + settings.distillation * gradient_distance(state.model, teacher, images, labels)
        state.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        state.optimizer.step()
        return loss.detach()

    state.model.train()
    if device.type != "cuda" or teacher is not None or settings.dataset != "cifar10":
        # recorded, a loss that is differentiated twice was not a number; and a recording has one size of batch
        return step
    return _recorded(step, state, data)


def _recorded(step: Step, state: State, data: TrainingData) -> Step:
    """``step`` as a CUDA graph for batches of the size that ``data`` gives; the state is left as it was."""
    recorded_generator = Generator(data.labels.device)
    images, labels = next(data.batches(recorded_generator, 0.0))
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


def train_epoch(state: State, settings: TrainingSettings, data: TrainingData, step: Step, progress: bool) -> float:
    """One pass over the data, or less where ``stop_at`` is reached; returns the mean training loss."""
    device = data.labels.device
    generator = _generator(device, settings, state.epoch)
    restore_zeros = keep_zeros(state.model) if settings.pruning == "weights" else None
    begun = state.epoch / settings.epochs
    watched = () if settings.stop_at is None else data.held_out(begun)
    total, group = torch.zeros((), device=device), state.optimizer.param_groups[0]
    state.model.train()
    title = f"epoch {state.epoch + 1}/{settings.epochs}"
    bar = tqdm(data.batches(generator, begun), title, total=len(data), leave=False, disable=not progress)
    for done, (images, labels) in enumerate(bar):
        fraction = (state.epoch + done / len(data)) / settings.epochs
        rate = learning_rate(settings, fraction)
        group["lr"] = group["lr"].fill_(rate) if isinstance(group["lr"], Tensor) else rate
        total += step(images, labels, generator)
        if restore_zeros is not None:
            restore_zeros()
        if fraction >= settings.average_from:
            state.average.update_parameters(state.model)
        if settings.stop_at is not None and done % CHECK_EVERY == 0:
            state.stopped = correct(state.model.eval(), *watched).double().mean().item() >= settings.stop_at
            state.model.train()
            if state.stopped:
                break
    return (total / (done + 1)).item()


def gradient_distance(model: nn.Module, teacher: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """Input-gradient distillation (Chen et al. 2023): one minus the cosine of both models' input gradients, image mean.

    The gradients are of the true class's logit at the clean images; the teacher's is a constant, the model's is taken in
    eval mode and can be differentiated again.
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


def _estimate_batch_norm(model: nn.Module, settings: TrainingSettings, data: TrainingData) -> None:
    """Running means and variances for the averaged weights, from one more pass over the training examples."""
    device = data.labels.device
    generator = _generator(device, settings, settings.epochs)
    with _autocast(settings, device):  # all are crafted by one model, before its statistics change
        examples = [craft(model, *batch, settings, generator) for batch in islice(data.batches(generator, 1.0), 100)]
    with _autocast(settings, device):
        update_bn(examples, model)
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
