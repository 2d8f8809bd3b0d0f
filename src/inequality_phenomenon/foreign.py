"""Networks that come from elsewhere: made ready to be measured, found by name in a file, registered in a private list."""

import copy
import hashlib
import re
import sys
from collections.abc import Sequence
from functools import cache
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
import yaml
from jaxtyping import Float
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from ._support import paths
from ._support.files import file_lock, sha256_of
from .datasets import load_cifar10
from .networks import (
    CIFAR10_MEAN,
    CIFAR10_STD,
    IMAGENET,
    Accuracy,
    CheckpointError,
    Classifier,
    Normalise,
    fold_batch_norm,
    training_of,
    write_registry,
)
from .robustness import Threat, correct, robust_correct

Values = Sequence[float] | None  # one a channel
SMALL = 64  # side up to which images are normalised as CIFAR-10's; larger ones as ImageNet's
SPACES: dict[str, tuple[Values, Values]] = {
    "no normalisation": (None, None),
    "CIFAR-10's mean and std": (CIFAR10_MEAN, CIFAR10_STD),
    "ImageNet's mean and std": IMAGENET,
}


class Foreign(nn.Module):
    """A network behind the normalisation that all are measured in: (N, 3, H, W) in that space -> float32 logits.

    Undoes ``space`` and does what the network itself expects: ``own`` normalisation, or pixels in [0, 1] without. Logits
    that come as ``.logits``, as Hugging Face's do, are taken out. A network that changes its input in place gets a copy.
    """

    def __init__(
        self, network: nn.Module, space: Normalise, own: Normalise | None, wrapped: bool, foldable: bool
    ) -> None:
        super().__init__()
        self.network, self.space, self.own, self.wrapped, self.foldable = network, space, own, wrapped, foldable
        self.same = own is not None and torch.equal(own.mean, space.mean) and torch.equal(own.std, space.std)

    def forward(self, z: Tensor) -> Tensor:
        x = z.clone() if self.same else self.space.inverse(z)
        x = self.own(x) if self.own is not None and not self.same else x
        out: Any = self.network(x)
        return (out.logits if self.wrapped else out).float()


@torch.no_grad()
def classifier_of(
    model: nn.Module, images: Float[Tensor, "n 3 h w"], mean: Values = None, std: Values = None
) -> Classifier:
    """``model`` as a ``Classifier`` on the images' device, in eval mode, float32, without gradients of weights; a copy.

    ``mean`` and ``std``, one value a channel: what the network expects of pixels in [0, 1]; ``None``: it takes them as they
    are. The space in which noise and baselines are N(0, 1) is that of the images, whatever the network expects, so that
    networks compare. Batch norm is folded where that leaves the logits of ``images`` as they are.
    Raises ``TypeError`` or ``ValueError`` where there are no logits (N, classes).
    """
    try:
        given = [None if values is None else tuple(map(float, values)) for values in (mean, std)]
    except (TypeError, ValueError):
        given = [(), ()]
    if [values and len(values) for values in given] not in ([None, None], [3, 3]):
        raise ValueError(f"mean and std are three numbers each, or None for pixels in [0, 1]; got {mean!r} and {std!r}")
    if isinstance(model, Classifier) and mean is None:
        given = [tuple(values.flatten().tolist()) for values in (model.normalise.mean, model.normalise.std)]
        network, kind = model.network, model.kind
    else:
        network, kind = model, ""
    network = copy.deepcopy(network).to(images.device).eval().requires_grad_(False).float()
    small = images.shape[-1] <= SMALL
    space = Normalise() if small else Normalise(*IMAGENET)
    own = Normalise(given[0], given[1] or ()) if given[0] else None
    wrapped = not isinstance(out := network((own or nn.Identity()).to(images.device)(images[:1].clone())), Tensor)
    out = getattr(out, "logits", None) if wrapped else out
    if not isinstance(out, Tensor) or out.ndim != 2 or len(out) != 1 or out.shape[1] < 2:
        kind_of = f"a tensor {tuple(out.shape)}" if isinstance(out, Tensor) else "neither a tensor nor a .logits"
        raise ValueError(f"a network must return logits (N, classes), at least two classes; this one returns {kind_of}")
    for foldable in (True, False):
        found = Classifier(Foreign(network, space, own, wrapped, foldable), space).to(images.device).eval()
        found.kind = kind
        if not foldable or torch.allclose(fold_batch_norm(found)(images), found(images), rtol=1e-3, atol=1e-3):
            break
    return found


def make_network(factory: str, weights: str | Path | None = None) -> nn.Module:
    """What a function in a file, such as "module.py:make_network", returns, in eval mode. Importing the file runs its code.

    ``weights``: safetensors, or a state dict of ``torch.save``, of which tensors alone are read: no code in it runs. One
    that lies under "state_dict" is found. Raises ``ValueError`` for names of nothing and for weights that do not fit.
    """
    place, _, name = factory.rpartition(":")
    file = Path(place).expanduser().resolve()
    if file.suffix != ".py" or not file.is_file():
        raise ValueError(f"a network is named like module.py:make_network, by a file that exists; got {factory!r}")
    spec = spec_from_file_location(file.stem, file)
    assert spec and spec.loader
    module = sys.modules[file.stem] = module_from_spec(spec)
    sys.path.insert(0, str(file.parent))  # what stands beside it may be imported, as by `python module.py`
    try:
        spec.loader.exec_module(module)
        network = getattr(module, name, lambda: None)()
    finally:
        sys.path.remove(str(file.parent))
    if not isinstance(network, nn.Module):
        raise ValueError(f"{file} must have a function {name} that returns a torch module")
    try:
        state: Any = {} if weights is None else _state(Path(weights).expanduser())
        network.load_state_dict(state.get("state_dict", state), strict=weights is not None)
    except (UnpicklingError, SafetensorError):
        raise ValueError(f"{weights} is damaged, or holds more than a state dict: only tensors are read") from None
    except (OSError, RuntimeError, AttributeError) as problem:
        raise ValueError(f"{weights} does not fit {factory}: {problem}") from None
    return network.eval()


def _state(file: Path) -> Any:
    return load_file(file) if file.suffix == ".safetensors" else torch.load(file, "cpu", weights_only=True)


class OwnNetwork(BaseModel):
    """One row of a private registry, which ``INEQUALITY_REGISTRY`` names; ``inequality register`` writes it.

    Loading runs the factory's file. Accuracies are on CIFAR-10 test images.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: str
    title: str
    factory: str
    weights: str | None = None
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None
    sha256: str
    parameters: int
    test_clean: Accuracy
    test_robust: dict[str, Accuracy]
    architecture: str = "own"
    arguments: dict[str, Any] = {}
    remake: str | None = None

    @property
    def file(self) -> Path:
        """The weights, or the factory's file where that makes them."""
        return Path(self.weights or self.factory.rpartition(":")[0])

    def load(self) -> Classifier:
        """The network; ``CheckpointError`` where its files are others than those that were registered."""
        if hash_of(self.factory, self.weights) != self.sha256:
            raise CheckpointError(f"the files of {self.name} were altered since it was registered; register it again")
        some = torch.linspace(0, 1, 2 * 3 * 32 * 32).view(2, 3, 32, 32)
        return classifier_of(make_network(self.factory, self.weights), some, self.mean, self.std)


def hash_of(factory: str, weights: str | None) -> str:
    """SHA-256 of the hashes of a factory's file and of the weights; ``CheckpointError`` where one is missing."""
    files = [Path(factory.rpartition(":")[0]), *([Path(weights)] if weights else [])]
    if missing := [str(file) for file in files if not file.is_file()]:
        raise CheckpointError(f"{', '.join(missing)}: missing; a registered network needs its files")
    return hashlib.sha256("".join(map(sha256_of, files)).encode()).hexdigest()


@cache
def read_own(file: Path, modified: int) -> dict[str, OwnNetwork]:
    """The networks of a private registry by name; read once for as long as it is not ``modified``."""
    try:
        rows = yaml.safe_load(file.read_text("utf-8")) or []
        found = [OwnNetwork.model_validate(row) for row in rows]
    except (yaml.YAMLError, TypeError, ValidationError) as problem:
        raise ValueError(f"{file} is no private registry: {problem}") from None
    return {entry.name: entry for entry in found}


def register_own(
    name: str, factory: str, weights: str | None, mean: Values, std: Values, title: str = "", n_images: int = 1000
) -> OwnNetwork:
    """Measure a network on the first CIFAR-10 test images and put it into the private registry; the same name is replaced.

    Its accuracies are clean and under PGD-20 with 2 restarts at ℓ∞ 8/255. Raises ``ValueError`` without
    ``INEQUALITY_REGISTRY``, for a name that chapters would take for one of ours, and as ``make_network``.
    """
    file = paths.own_registry()
    if file is None:
        raise ValueError("set INEQUALITY_REGISTRY to a file that is to list your networks, such as ~/networks.yaml")
    if not re.fullmatch(r"[\w.+-]+", name) or training_of(name) != name:
        raise ValueError(f"a name has letters, digits and ._+-, and does not begin as ours do; got {name!r}")
    place, _, function = factory.rpartition(":")
    factory, weights = f"{Path(place).resolve()}:{function}", str(Path(weights).resolve()) if weights else None
    network = make_network(factory, weights)
    images, labels = (part[:n_images] for part in load_cifar10("test"))
    model = classifier_of(network, images[:50], mean, std)
    robust = robust_correct(model, images, labels, Threat("linf", 8 / 255), progress=True)
    rates = [Accuracy(correct=int(found.sum()), n=n_images) for found in (correct(model, images, labels), robust)]
    entry = OwnNetwork(
        name=name, title=title or name, factory=factory, weights=weights, mean=mean, std=std,
        sha256=hash_of(factory, weights), parameters=sum(value.numel() for value in network.parameters()),
        test_clean=rates[0], test_robust={"linf 8/255": rates[1]},
    )  # fmt: skip
    with file_lock(file.with_name(f".{file.name}.lock")):
        known = read_own(file, file.stat().st_mtime_ns) if file.exists() else {}
        write_registry(known | {name: entry}, file)
    return entry
