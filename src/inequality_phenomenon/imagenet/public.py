"""The public networks on ImageNet: found or fetched, converted once to safetensors with both hashes recorded, and loaded."""

import shutil
from functools import cache
from pathlib import Path
from typing import Any, Literal

import torch
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors.torch import load_file, save_file
from torch import Tensor

from .._support import paths
from .._support.files import atomic_path, sha256_of, write_whole
from ..networks import IMAGENET_MEAN, IMAGENET_STD, CheckpointError, Classifier, Normalise, build
from .pickles import read_state, shown

HUGGING_FACE = "madrylab/robust-imagenet-models"
NOT_KNOWN = "not known"

Shapes = dict[str, tuple[int, ...]]  # of a network's tensors, by name


class Conversion(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    source: str
    source_sha256: str
    sha256: str
    left_unread: tuple[str, ...]


class PublicModel(BaseModel):
    """A public network on ImageNet: one row of ``checkpoints/imagenet.yaml``."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: str
    title: str  # as tables and legends show it
    architecture: str
    arguments: dict[str, Any] = Field(default_factory=dict)
    origin: Literal["huggingface", "torchvision"]
    source: str  # name of the published file
    sha256_of_source: str = Field(alias="sha256", pattern=r"^([0-9a-f]{8,64}|not known)$")  # or its first digits
    megabytes: float  # of the published file
    top1: float | None = None  # published clean accuracy, per cent

    @property
    def published_file(self) -> Path:
        return paths.models_folder() / self.source

    @property
    def file(self) -> Path:  # converted
        return paths.converted_folder() / f"{self.name}.safetensors"

    @property
    def conversion(self) -> Conversion | None:
        """The record of the conversion; ``None`` where the model has not been converted yet."""
        if not (record := self.file.with_suffix(".json")).exists() or not self.file.exists():
            return None
        try:
            return Conversion.model_validate_json(record.read_text("utf-8"))
        except ValidationError:
            raise CheckpointError(f"{record} is damaged: delete it, and the model is converted again") from None

    @property
    def sha256(self) -> str:
        """Of the converted file, which is what is measured."""
        if (done := self.conversion) is None:
            raise CheckpointError(f"{self.name} is not converted yet; load_checkpoint({self.name!r}) does it")
        return done.sha256

    def load(self) -> Classifier:
        """The network, fetched and converted the first time. Raises ``CheckpointError`` as ``public_state`` does."""
        with torch.device("meta"):  # shapes alone: drawing weights that are replaced would take seconds
            network = build(self.architecture, **self.arguments).network
        shapes = {key: tuple(value.shape) for key, value in network.state_dict().items()}
        network.load_state_dict(public_state(self, shapes), assign=True)
        return Classifier(network, Normalise(IMAGENET_MEAN, IMAGENET_STD))

    def check_source(self, found: str) -> None:
        """Raise ``CheckpointError`` where the published file's hash is known and another one."""
        known = self.sha256_of_source
        if known != NOT_KNOWN and not found.startswith(known):
            hashes = f"SHA-256 {found}, published {known}. Delete it; it is fetched again"
            raise CheckpointError(f"{self.published_file} is not the published file: {hashes}")


@cache
def public_networks() -> dict[str, PublicModel]:
    """All of ``checkpoints/imagenet.yaml`` by name, in the order of the file."""
    rows = yaml.safe_load(paths.PUBLIC_MODELS.read_text("utf-8"))
    return {row["name"]: PublicModel.model_validate(row) for row in rows}


def public_state(entry: PublicModel, shapes: Shapes) -> dict[str, Tensor]:
    """The tensors of the converted file, made the first time. ``CheckpointError``: not to be had, altered, or another's."""
    done = entry.conversion or convert(entry, fetched(entry), shapes)
    entry.check_source(done.source_sha256)
    if (found := sha256_of(entry.file)) != done.sha256:
        hashes = f"SHA-256 {found}, recorded {done.sha256}"
        raise CheckpointError(f"{entry.file} was altered: {hashes}. Delete it; it is made again")
    return load_file(entry.file)


def convert(entry: PublicModel, source: Path, shapes: Shapes) -> Conversion:
    """Write the network's tensors of ``source`` as safetensors, beside a record with both hashes."""
    source_sha256 = sha256_of(source)
    entry.check_source(source_sha256)
    state, left = read_state(source)
    for part, value in (("mean", IMAGENET_MEAN), ("std", IMAGENET_STD)):
        stored = state.pop(f"normaliser.{part}", torch.tensor(value)).flatten().float()
        if stored.numel() != len(value) or not torch.allclose(stored, torch.tensor(value), atol=1e-4):
            raise CheckpointError(f"{source}: its normaliser has {part} {stored[:4].tolist()}, expected {value}")
    _check_shapes(entry, source, state, shapes)
    with atomic_path(entry.file) as temporary:
        save_file({key: value.contiguous() for key, value in state.items()}, temporary)
    done = Conversion(source=source.name, source_sha256=source_sha256, sha256=sha256_of(entry.file), left_unread=left)
    write_whole(entry.file.with_suffix(".json"), done.model_dump_json(indent=1))
    return done


def _check_shapes(entry: PublicModel, source: Path, state: dict[str, Tensor], shapes: Shapes) -> None:
    """Every tensor of the network, of the right shape, and no other. Older files lack the counters of batch norm."""
    state |= {key: torch.tensor(0) for key in shapes.keys() - state if key.endswith("num_batches_tracked")}
    found = {key: tuple(value.shape) for key, value in state.items()}
    wrong = [f"{key} is missing" for key in shapes if key not in found]
    wrong += [f"{shown(key)} is not part of it" for key in found if key not in shapes]
    other = [key for key in shapes if found.get(key, shapes[key]) != shapes[key]]
    wrong += [f"{key} has shape {found[key]}, expected {shapes[key]}" for key in other]
    if wrong:
        rest = f"; {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise CheckpointError(f"{source} does not fit {entry.architecture}: {'; '.join(wrong[:3])}{rest}")


def fetched(entry: PublicModel) -> Path:
    """The published file, downloaded if need be. ``CheckpointError`` without space or source says what to do."""
    file = entry.published_file
    if file.exists():
        return file
    file.parent.mkdir(parents=True, exist_ok=True)
    free, need = shutil.disk_usage(file.parent).free, 1.1e6 * entry.megabytes
    if free < need:
        raise CheckpointError(f"no space for {file}: {need / 1e9:.2f} GB are needed, {free / 1e9:.2f} GB are free")
    try:
        if entry.origin == "huggingface":
            from huggingface_hub import hf_hub_download  # slow import, needed once

            hf_hub_download(HUGGING_FACE, entry.source, local_dir=file.parent)
        else:
            from torch.hub import download_url_to_file
            from torchvision.models import get_model_weights

            weights = get_model_weights(entry.architecture.removeprefix("imagenet_"))["IMAGENET1K_V1"]
            download_url_to_file(weights.url, str(file), hash_prefix=entry.sha256_of_source)
    except Exception as problem:  # two clients, each with many words for a failure
        reason = (str(problem).strip() or type(problem).__name__).splitlines()[0]
        by_hand = f"put {entry.source} into a folder and set INEQUALITY_MODELS to it."
        words = f"could not be fetched: {reason}\nConnect to a network and run again, or {by_hand}"
        raise CheckpointError(f"{entry.name} is not here and {words}") from None
    return file
