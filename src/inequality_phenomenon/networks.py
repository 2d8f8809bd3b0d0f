"""Networks that take pixels in [0, 1] and return logits; the registry of trained ones, and what their names say."""

import contextlib
import copy
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import torch
import yaml
from jaxtyping import Float
from pydantic import BaseModel, ConfigDict
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from ._support import paths
from ._support.checks import device_of, one_of, whole
from ._support.files import atomic_path, file_lock, sha256_of, write_whole
from ._support.plugins import NO_IMAGE_SETS, image_set, image_sets

# Mean and standard deviation of the CIFAR-10 training pixels, per channel, for pixels in [0, 1].
CIFAR10_MEAN = (0.4914, 0.4822, 0.4465)
CIFAR10_STD = (0.2470, 0.2435, 0.2616)
IMAGENET_MEAN = (0.485, 0.456, 0.406)  # as torchvision and Salman et al. have it
IMAGENET_STD = (0.229, 0.224, 0.225)
IMAGENET = IMAGENET_MEAN, IMAGENET_STD


class Normalise(nn.Module):
    """(x - mean) / std per channel; ``inverse`` undoes it. Not learned, not stored in checkpoints."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: tuple[float, ...] = CIFAR10_MEAN, std: tuple[float, ...] = CIFAR10_STD) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.mean) / self.std

    def inverse(self, z: Tensor) -> Tensor:
        return z * self.std + self.mean


class Classifier(nn.Module):
    """``normalise`` then ``network``: pixels (N, 3, H, W) in [0, 1] -> logits (N, classes)."""

    kind = ""  # architecture and arguments, as ``build`` was given them

    def __init__(self, network: nn.Module, normalise: Normalise | None = None) -> None:
        super().__init__()
        self.normalise = normalise or Normalise()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        return self.network(self.normalise(x))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with a shortcut (He et al. 2016, Figure 2)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(out)) + self.shortcut(x))


def resnet18(width: int | Sequence[int] = 64, classes: int = 10, stem: str = "cifar10") -> Classifier:
    """ResNet-18 with a 3x3 stem and no pooling before the end, as usual on CIFAR-10, or with ImageNet's (He et al. 2016).

    ``width``: channels of the first stage, doubled at each of the next three, or of all four stages. 64 is the paper's
    (11.2 M parameters), 16 ships with this project (0.70 M); filter pruning leaves other channels in each stage.
    ``stem``: "imagenet" is a 7x7 convolution of stride 2 and a 3x3 pooling of stride 2, normalised as ImageNet.
    """
    widths = _whole_numbers("width and classes", width, classes)
    if widths != [width] and len(widths) != 4:
        raise ValueError(f"width is one number, or one for each of the four stages; got {width}")
    widths = widths if len(widths) == 4 else [widths[0] * 2**stage for stage in range(4)]
    one_of("stem", stem, ("cifar10", "imagenet"))
    first, inputs = (3, 1, 1) if stem == "cifar10" else (7, 2, 3), widths[0]
    stages: list[nn.Module] = [nn.Conv2d(3, inputs, *first, bias=False), nn.BatchNorm2d(inputs), nn.ReLU()]
    stages += [nn.MaxPool2d(3, 2, 1)] if stem == "imagenet" else []
    for outputs, stride in zip(widths, (1, 2, 2, 2), strict=True):
        stages += [BasicBlock(inputs, outputs, stride), BasicBlock(outputs, outputs, 1)]
        inputs = outputs
    stages += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, classes)]
    return Classifier(nn.Sequential(*stages), Normalise() if stem == "cifar10" else Normalise(*IMAGENET))


def _whole_numbers(name: str, given: int | Sequence[int], *others: int) -> list[int]:
    """One number, or several, as a list; all of them, and the others, must be 1 or more."""
    found: list[Any] = list(given) if isinstance(given, (list, tuple)) else [given]
    for value in (*found, *others):
        whole(name, value, 1)
    return found


class DenseLayer(nn.Module):
    """BN-ReLU-conv1x1-BN-ReLU-conv3x3, output appended to the input (Huang et al. 2017, DenseNet-B)."""

    def __init__(self, inputs: int, growth: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, 4 * growth, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(4 * growth)
        self.conv2 = nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        out = self.conv1(F.relu(self.bn1(x)))
        return torch.cat([x, self.conv2(F.relu(self.bn2(out)))], dim=1)


def densenet_bc(depth: int | Sequence[int] = 40, growth: int = 12, classes: int = 10) -> Classifier:
    """DenseNet-BC with compression 0.5 (Huang et al. 2017), the stem and the sides as usual on CIFAR-10.

    ``depth``: of three equal dense blocks, or the layers of each block. 40 with growth 12 ships with this project (0.176 M
    parameters); [6, 12, 24, 16] with growth 32 is DenseNet-121 for 32x32 pixels (6.96 M).
    """
    blocks = _whole_numbers("depth, growth and classes", depth, growth, classes)
    if blocks == [depth]:
        layers_per_block, rest = divmod(blocks[0] - 4, 6)
        if rest or blocks[0] < 10:
            raise ValueError(f"a DenseNet-BC depth is 6 n + 4, not {depth}")
        blocks = [layers_per_block] * 3
    channels = 2 * growth
    layers: list[nn.Module] = [nn.Conv2d(3, channels, 3, padding=1, bias=False)]
    for block, count in enumerate(blocks):
        if block:  # transition: halve the channels and the sides
            halved = nn.Conv2d(channels, channels // 2, 1, bias=False)
            layers += [nn.BatchNorm2d(channels), nn.ReLU(), halved, nn.AvgPool2d(2)]
            channels //= 2
        layers += [DenseLayer(channels + place * growth, growth) for place in range(count)]
        channels += count * growth
    layers += [nn.BatchNorm2d(channels), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes)]
    return Classifier(nn.Sequential(*layers))


def _torchvision(name: str, classes: int = 1000) -> Classifier:
    """torchvision's network of this name for 224x224 images, without weights."""
    from torchvision.models import get_model  # slow import

    return Classifier(get_model(name, weights=None, num_classes=classes), Normalise(*IMAGENET))


ARCHITECTURES: dict[str, Callable[..., Classifier]] = {"resnet18": resnet18, "densenet_bc": densenet_bc}
_LARGE = ("resnet18", "resnet50", "wide_resnet50_2")
ARCHITECTURES |= {f"imagenet_{name}": partial(_torchvision, name) for name in _LARGE}


def build(architecture: str, *, seed: int = 0, **arguments: Any) -> Classifier:
    """A freshly initialised network in training mode; ``arguments`` go to the architecture (``width``, ``depth``...).

    The initial weights depend on ``seed`` alone; the global random state is left as it was.
    """
    one_of("architecture", architecture, tuple(sorted(ARCHITECTURES)))
    whole("seed", seed, 0)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed the GPUs too
        model = ARCHITECTURES[architecture](**arguments)
    model.kind = " ".join([architecture, *(f"{name}={value}" for name, value in sorted(arguments.items()))])
    return model


def fold_batch_norm(model: nn.Module) -> nn.Module:
    """A copy for inference with every batch norm that follows a convolution folded into it, channels last.

    Same function up to float32 rounding; about 1.5 times faster on a CPU. The input's gradient stays available;
    ``model`` itself is left as it was. A model with frozen weights is folded once, and again if they are changed (which
    edits through ``.data`` hide). Code that cannot be traced, or that says it is not ``foldable``, is copied unfolded.
    """
    if isinstance(model, torch.fx.GraphModule):
        return model.to(memory_format=torch.channels_last).eval().requires_grad_(False)
    tensors = [*model.parameters(), *model.buffers()]
    if any(value.requires_grad or value.is_inference() for value in tensors):
        return _folded(model)
    state = [(value.data_ptr(), value.dtype, value._version) for value in tensors]
    if model not in _FOLDED or _FOLDED[model][0] != state:
        held = [value.detach() for value in tensors]  # so that no address is used again
        _FOLDED[model] = state, held, _folded(model)
    return _FOLDED[model][2]


_FOLDED: WeakKeyDictionary[nn.Module, tuple[list[Any], list[Tensor], nn.Module]] = WeakKeyDictionary()


@torch.inference_mode(False)  # else the copy would give no gradients to a later caller
def _folded(model: nn.Module) -> nn.Module:
    from torch.fx.experimental.optimization import fuse  # slow import

    folded: nn.Module = copy.deepcopy(model).eval()
    if all(getattr(part, "foldable", True) for part in model.modules()):
        with contextlib.suppress(Exception):  # whatever Python a network of others is written in
            folded = fuse(folded, inplace=False)
    return folded.to(memory_format=torch.channels_last).eval().requires_grad_(False)


@torch.no_grad()
def logits(model: nn.Module, images: Float[Tensor, "n 3 h w"], batch: int = 500) -> Float[Tensor, "n classes"]:
    """The model's logits without gradients, ``batch`` images at a time, in full precision on a GPU too (no TF32)."""
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        return torch.cat([model(part) for part in images.split(batch)])


class CheckpointError(RuntimeError):
    """A checkpoint file is missing or not the one that was registered."""


class Accuracy(BaseModel):
    """Correct images out of ``n``."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    correct: int
    n: int

    @property
    def rate(self) -> float:
        return self.correct / self.n


class RegistryEntry(BaseModel):
    """What is known of one trained checkpoint; all of it was measured when it was registered."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: str
    title: str  # as tables and legends show it
    architecture: str
    arguments: dict[str, Any]
    parameters: int
    training: dict[str, Any]  # the settings file, as it was when training ended
    sha256: str
    test_clean: Accuracy  # full test set
    test_robust: dict[str, Accuracy]  # PGD-20, see `robust_evaluation`, by threat ("linf 8/255")
    training_seconds: float
    machine: str
    remake: str | None = None  # the command that makes the weights, where they are too large to ship

    @property
    def file(self) -> Path:
        if self.remake:
            return paths.TRAINING / self.name / "weights.safetensors"
        return paths.CHECKPOINTS / f"{self.name}.safetensors"

    @property
    def log(self) -> Path:
        """The training log, which always ships."""
        return (paths.PAPER_SCALE / "logs" if self.remake else paths.CHECKPOINTS) / f"{self.name}.csv"


def read_registry(file: Path = paths.REGISTRY_FILE) -> dict[str, RegistryEntry]:
    """All registered checkpoints by name, in the order of the file."""
    rows = (yaml.safe_load(file.read_text("utf-8")) if file.exists() else None) or []
    return {row["name"]: RegistryEntry.model_validate(row) for row in rows}


class UnknownCheckpoint(KeyError, ValueError):
    """A name that is not in the registry; the message lists those that are."""

    def __str__(self) -> str:  # KeyError would show it in quotes
        return str(self.args[0])


class _Registry(Mapping[str, Any]):
    """``registry.yaml`` read on first use; an unknown name is answered with the known ones.

    Iterating gives what ships. A look-up also finds the models in ``unshipped``, the user's ``own`` networks, and the
    public networks of the image set that a name begins with, whose files the user makes or brings.
    """

    def __init__(self) -> None:
        self._entries: dict[str, RegistryEntry] | None = None

    def _load(self) -> dict[str, RegistryEntry]:
        if self._entries is None:
            self._entries = read_registry()
        return self._entries

    def __getitem__(self, name: str) -> Any:  # RegistryEntry, foreign.OwnNetwork or plugins.PublicNetwork
        known = self._load() | self.own
        if isinstance(name, str) and name in known:
            return known[name]
        dataset = dataset_of(name) if isinstance(name, str) else None
        if dataset in image_sets() and name in (public := image_set(dataset).public_networks()):
            return public[name]
        others = "".join(f", and the public networks in {other}.yaml" for other in image_sets()) or NO_IMAGE_SETS
        raise UnknownCheckpoint(f"unknown checkpoint {name!r}; known: {', '.join(known)}{others}")

    def __iter__(self):  # type: ignore[no-untyped-def]
        return (name for name, entry in self._load().items() if not entry.remake)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    @property
    def unshipped(self) -> list[str]:
        """The trained CIFAR-10 models whose weights are too large to ship."""
        return [name for name, entry in self._load().items() if entry.remake]

    @property
    def own(self) -> dict[str, Any]:
        """The networks of the private registry that ``INEQUALITY_REGISTRY`` names, as it is now."""
        file = paths.own_registry()
        if file is None or not file.exists():
            return {}
        from .foreign import read_own

        return read_own(file, file.stat().st_mtime_ns)

    def forget(self) -> None:
        """Read the file again on the next use."""
        self._entries = None


REGISTRY = _Registry()

# The CIFAR-10 models that the paper compares first: standard and l_inf, epsilon rising.
LADDER = tuple(f"cifar10-resnet18w16-{kind}-s0" for kind in ("standard", "linf1", "linf2", "linf4", "linf8"))


def robust_evaluation(name: str) -> tuple[int, int]:
    """Restarts of PGD-20 and the first test images that they attack, for a checkpoint's registered accuracies.

    Two on all of CIFAR-10; one on 1000 photographs, where all would take 40 minutes of a CPU.
    """
    return (2, 10_000) if dataset_of(name) == "cifar10" else (1, 1000)


def load_checkpoint(name: str, device: str | torch.device = "cpu") -> Classifier:
    """The registered model ``name`` in eval mode, float32, weights without gradients.

    Takes pixels (N, 3, 32, 32) in [0, 1], returns logits (N, 10). The file's SHA-256 is verified first. A public network on
    ImageNet takes (N, 3, 224, 224), returns logits (N, 1000), and is fetched and converted the first time.
    Raises ``ValueError`` for an unknown name (listing the known ones), ``CheckpointError`` for a missing or altered file.
    """
    entry, device = REGISTRY[name], device_of(device)
    if not isinstance(entry, RegistryEntry):
        return entry.load().to(device).eval().requires_grad_(False)
    if entry.remake and not entry.file.exists():
        raise CheckpointError(f"the weights of {name} do not ship with this project; `{entry.remake}` makes them")
    if not entry.file.exists():
        how = f"`make train NAME={name}` makes it again" if paths.CLONED else paths.NOT_CLONED
        raise CheckpointError(f"{entry.file} is missing; {how}")
    if (found := sha256_of(entry.file)) != entry.sha256:
        raise CheckpointError(f"{entry.file} was altered: SHA-256 {found}, registered {entry.sha256}")
    model = build(entry.architecture, **entry.arguments)
    state = load_file(entry.file)
    model.load_state_dict({key: value.float() if value.is_floating_point() else value for key, value in state.items()})
    return model.to(device).eval().requires_grad_(False)


def half_precision(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The floating-point tensors of a state in float16, as they are stored and measured; integers unchanged."""
    halves = {key: value.half() if value.is_floating_point() else value for key, value in state.items()}
    for key, value in halves.items():
        if not torch.isfinite(value).all():
            raise CheckpointError(f"{key} does not fit into half precision")
    return halves


def save_checkpoint(model: nn.Module, file: Path) -> str:
    """Write ``model`` in half precision, atomically; returns the file's SHA-256."""
    state = {key: value.contiguous().cpu() for key, value in half_precision(model.state_dict()).items()}
    with atomic_path(file) as temporary:
        save_file(state, temporary)
    return sha256_of(file)


def registry_file(dataset: str) -> Path:
    """Where networks that were trained on a data set are registered."""
    return paths.REGISTRY_FILE if dataset == "cifar10" else paths.CHECKPOINTS / f"{dataset}.yaml"


def register(entry: RegistryEntry, file: Path | None = None) -> None:
    """Add or replace one entry of its registry, atomically, entries sorted by name; others may do so meanwhile."""
    file = file or registry_file(dataset_of(entry.name))
    with file_lock(paths.LOCKS / "registry"):
        write_registry(dict(sorted((read_registry(file) | {entry.name: entry}).items())), file)
    REGISTRY.forget()


def write_registry(entries: Mapping[str, BaseModel], file: Path) -> None:
    """Write a list of networks, in this order."""
    rows = [entry.model_dump(mode="json", exclude_defaults=True) for entry in entries.values()]
    write_whole(file, yaml.safe_dump(rows, sort_keys=False, allow_unicode=True, width=110))


# --- names: DATASET-NETWORK-TRAINING-sSEED, and the paper's networks that they stand for ------------------------------

SHIPPED = {"resnet18": "resnet18w16", "densenet": "densenetbc40"}  # the paper's network -> the one that ships
AT_224 = {"resnet18": "resnet18w32"}  # the same for Imagenette
# Our networks of the paper's size, and those that stand for them where no large weights ship.
FULL_SIZE = {"resnet18w64": "resnet18w16", "densenet121": "densenetbc40"}


def checkpoint_of(
    architecture: str, training: str, epsilon_255: int | str, seed: int = 0, dataset: str = "cifar10"
) -> str:
    """The name of our checkpoint for the paper's network and training, or of the public one on ImageNet; it need not exist."""
    kind = training if training == "standard" else f"{training}{epsilon_255}"
    if dataset == "imagenet":
        return f"imagenet-{architecture}-{kind}-{'torchvision' if kind == 'standard' else 'public'}"
    return f"{dataset}-{(SHIPPED if dataset == 'cifar10' else AT_224)[architecture]}-{kind}-s{seed}"


def _parts(checkpoint: str) -> list[str]:
    """Data set, network, training and the rest; a name of another form, which a user's own network may have, is all of them."""
    parts = checkpoint.split("-")
    known = len(parts) > 2 and (parts[0] == "cifar10" or parts[0] in image_sets())
    return parts if known else ["cifar10", checkpoint, checkpoint]


def dataset_of(checkpoint: str) -> str:
    """The data set in a checkpoint's name: cifar10, imagenet, imagenette."""
    return _parts(checkpoint)[0]


def network_of(checkpoint: str) -> str:
    """The paper's name of the network in a checkpoint's name: resnet18, densenet, resnet50, ..."""
    ours = {shipped: paper for paper, shipped in [*SHIPPED.items(), *AT_224.items()]}
    network = network_name(checkpoint)
    return ours.get(FULL_SIZE.get(network, network), network)


def network_name(checkpoint: str) -> str:
    """The network in a checkpoint's name, such as resnet18w16."""
    return _parts(checkpoint)[1]


def training_of(checkpoint: str) -> str:
    """The training in a checkpoint's name: standard, linf8, linf8_pgd3, ..."""
    return _parts(checkpoint)[2]


def named(checkpoint: str) -> str:
    """The title of a checkpoint: registered, or from its settings; one without either is called by its training.

    Networks that differ in the seed alone share a title, so one of another seed than 0 has it added.
    """
    if training_of(checkpoint) == checkpoint:  # somebody's own
        return REGISTRY[checkpoint].title if checkpoint in REGISTRY else checkpoint
    seed = checkpoint.rpartition("-s")[2]
    if seed.isdecimal() and seed != "0":
        return f"{named(checkpoint.removesuffix(seed) + '0')}, seed {seed}"
    if checkpoint in REGISTRY:
        return REGISTRY[checkpoint].title
    settings = paths.CHECKPOINTS / f"{checkpoint}.yaml"
    if settings.exists():
        return str(yaml.safe_load(settings.read_text("utf-8"))["title"])
    training, _, variant = training_of(checkpoint).partition("_")
    name = training if training == "standard" else f"ℓ∞ {training.removeprefix('linf')}/255"
    return f"{name}, {variant}" if variant else name
