"""The promise: a public network is converted once, known by its hashes, and what does not fit it is named."""

import os
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from conftest import fails, python
from damage import flip_bit
from public_format import attacker_state, write_public
from torch import nn
from torchvision.models import get_model_weights, resnet18

from inequality_phenomenon import REGISTRY, build, load_checkpoint
from inequality_phenomenon._support.files import sha256_of
from inequality_phenomenon.imagenet import public_networks
from inequality_phenomenon.imagenet.public import HUGGING_FACE, Conversion, PublicModel, Shapes, fetched, public_state
from inequality_phenomenon.networks import IMAGENET_MEAN, IMAGENET_STD, CheckpointError


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    published = tmp_path / "published"
    published.mkdir()
    monkeypatch.setenv("INEQUALITY_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("INEQUALITY_MODELS", str(published))
    return published


def expected(network: nn.Module) -> Shapes:
    return {key: tuple(value.shape) for key, value in network.state_dict().items()}


def refused(words: str, model: PublicModel, network: nn.Module) -> None:
    fails(CheckpointError, words, public_state, model, expected(network))


def entry(file: Path, sha256: str = "not known", **more: object) -> PublicModel:
    values = {"name": "imagenet-small-linf8-public", "title": "small", "architecture": "small", "origin": "huggingface"}
    return PublicModel.model_validate(values | {"source": file.name, "sha256": sha256, "megabytes": 0.1} | more)


def test_a_model_is_converted_once_with_both_hashes(network: nn.Module, folder: Path) -> None:
    file = write_public(network, folder / "small.ckpt")
    model = entry(file, sha256_of(file))
    fails(CheckpointError, "not converted yet", getattr, model, "sha256")
    state = public_state(model, expected(network))
    assert all(torch.equal(state[key], value) for key, value in network.state_dict().items())
    record = Conversion.model_validate_json(model.file.with_suffix(".json").read_text())
    assert (record.source_sha256, record.sha256) == (sha256_of(file), sha256_of(model.file))
    assert model.sha256 == record.sha256 and "dill._dill._create_function" in record.left_unread
    written = model.file.stat().st_mtime_ns
    file.unlink()  # no longer needed
    assert set(public_state(model, expected(network))) == set(state) and model.file.stat().st_mtime_ns == written


def test_altered_files_are_refused_with_both_hashes(network: nn.Module, folder: Path) -> None:
    file = write_public(network, folder / "small.ckpt")
    known = sha256_of(file)
    flip_bit(file)
    refused(rf"is not the published file: SHA-256 {sha256_of(file)}.*{known}", entry(file, known), network)
    assert not entry(file).file.exists()
    model = entry(file)
    public_state(model, expected(network))  # its hash is not known: accepted, and recorded
    refused("is not the published file", entry(file, known), network)  # once it is known
    flip_bit(model.file)
    refused(f"was altered.*recorded {model.sha256}", model, network)
    model.file.with_suffix(".json").write_text('{"source": 1}')
    refused(r"public\.json is damaged", model, network)


def test_another_architecture_or_normaliser_is_refused_and_an_older_state_fits(network: nn.Module, folder) -> None:
    file = write_public(network, folder / "small.ckpt")
    wider = build("resnet18", width=8, classes=5).network
    refused(r"small: 0\.weight has shape \(4, 3, 3, 3\), expected \(8, 3", entry(file), wider)
    other = build("densenet_bc", depth=10, classes=5).network
    refused(r"small\.ckpt does not fit small: .* is missing; .* more", entry(file), other)
    assert not entry(file).file.exists()
    state = attacker_state(network)
    for std in (torch.full((3, 1, 1), 0.25), torch.full((4, 1), 0.25, dtype=torch.float64)):
        torch.save({"model": state | {"module.normalizer.new_std": std}}, folder / "small.ckpt")
        refused(r"its normaliser has std \[0\.25, 0\.25, 0\.25", entry(file), network)
    state = {key: value for key, value in network.state_dict().items() if "num_batches" not in key}
    torch.save(state, folder / "small.ckpt", _use_new_zipfile_serialization=False)
    assert set(public_state(entry(folder / "small.ckpt"), expected(network))) == set(network.state_dict())


NO_SPACE = """import resource
from test_public import Path, build, entry, expected, public_state
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
public_state(entry(Path("small.ckpt")), expected(build("resnet18", width=4, classes=5).network))"""


def test_a_disk_that_fills_up_leaves_nothing_and_no_space_is_said_before_anything_is_fetched(network, folder) -> None:
    write_public(network, folder / "small.ckpt")
    path = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    done = python("-c", NO_SPACE, status=1, PYTHONPATH=path)
    target = entry(folder / "small.ckpt").file
    assert f"OSError: cannot write {target}: " in done.stderr.splitlines()[-1] and list(target.parent.iterdir()) == []
    needed = r"no space for .*huge\.ckpt: \d+\.\d\d GB are needed, \d+\.\d\d GB are free"
    fails(CheckpointError, needed, fetched, entry(folder / "huge.ckpt", megabytes=1e10))


def test_the_registry_says_what_is_known() -> None:
    public = public_networks()
    assert {"imagenet-resnet50-standard-torchvision", "imagenet-wide_resnet50_2-linf8-public"} <= set(public)
    sources = [model.source for model in public.values()]
    assert len(set(sources)) == len(sources)
    for model in public.values():
        assert model.name.split("-")[1] == model.architecture.removeprefix("imagenet_")
        assert model.source.startswith(model.name.split("-")[1])
        if model.origin == "torchvision":
            url = get_model_weights(model.name.split("-")[1])["IMAGENET1K_V1"].url
            assert url.endswith(f"/{model.source}") and model.sha256_of_source in model.source
    name = "imagenet-resnet50-linf4-public"
    assert REGISTRY[name] == public[name] and name in REGISTRY and name not in list(REGISTRY)


def test_a_loaded_public_model_is_torchvisions_network_behind_the_normalisation(folder: Path) -> None:
    torch.manual_seed(3)
    plain = resnet18().eval()
    file = write_public(plain, folder / "resnet18_linf_eps8.0.ckpt")
    model = load_checkpoint("imagenet-resnet18-linf8-public")
    assert not model.training and not any(p.requires_grad for p in model.parameters())
    images = torch.rand(2, 3, 224, 224)
    mean, std = (torch.tensor(values)[:, None, None] for values in (IMAGENET_MEAN, IMAGENET_STD))
    with torch.no_grad():
        assert torch.equal(model(images), plain((images - mean) / std)) and model(images).shape == (2, 1000)
    file.rename(folder / "resnet50_linf_eps8.0.ckpt")
    fails(CheckpointError, "is not the published file", load_checkpoint, "imagenet-resnet50-linf8-public")
    (folder / "resnet50_linf_eps8.0.ckpt").rename(folder / "resnet50_linf_eps1.0.ckpt")
    misses = r"does not fit imagenet_resnet50: .*conv3\.weight is missing"
    fails(CheckpointError, misses, load_checkpoint, "imagenet-resnet50-linf1-public")
    assert public_networks()["imagenet-resnet50-linf1-public"].sha256_of_source == "not known"


class _Hub(BaseHTTPRequestHandler):
    """Serves one file as Hugging Face does, and breaks off in the middle of the first answer."""

    content = b""
    ranges: list[str | None] = []  # noqa: RUF012
    served = f"/{HUGGING_FACE}/resolve/main/small.ckpt"

    def do_HEAD(self, first: int = 0) -> None:
        size = len(self.content)
        headers = {"Content-Range": f"bytes {first}-{size - 1}/{size}"} if first else {}
        headers |= {"Content-Length": str(size - first), "ETag": '"0123456789abcdef"', "X-Repo-Commit": "0" * 40}
        self.send_response(206 if first else 200)
        for name, value in (headers | {"Accept-Ranges": "bytes"}).items():
            self.send_header(name, value)
        self.end_headers()

    def do_GET(self) -> None:
        if self.path != self.served:
            return self.send_error(404)
        asked = self.headers.get("Range")
        first = int(re.findall(r"\d+", asked)[0]) if asked else 0
        self.ranges.append(asked)
        self.do_HEAD(first)
        self.close_connection = len(self.ranges) == 1
        self.wfile.write(self.content[first : len(self.content) // 2 if self.close_connection else None])

    def log_message(self, *arguments: object) -> None: ...


def test_a_download_that_breaks_off_is_resumed(network: nn.Module, folder: Path, monkeypatch) -> None:
    _Hub.content, _Hub.ranges = write_public(network, folder / "served").read_bytes() + bytes(24_000_000), []
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    endpoint = f"http://127.0.0.1:{server.server_port}"  # what the environment variable HF_ENDPOINT sets
    template = endpoint + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", endpoint)
    monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)
    try:
        file = fetched(entry(folder / "small.ckpt"))
    finally:
        server.shutdown()
    assert file == folder / "small.ckpt" and file.read_bytes() == _Hub.content
    assert len(_Hub.ranges) == 2 and _Hub.ranges[0] is None and _Hub.ranges[1] is not None


@pytest.mark.parametrize("name", ["resnet50-linf1-public", "resnet50-standard-torchvision"])
def test_without_a_network_the_message_says_what_to_do(name: str, folder: Path, monkeypatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("torchvision.models.ResNet50_Weights.IMAGENET1K_V1.value.url", "http://127.0.0.1:9/x")
    by_hand = f"put {REGISTRY[f'imagenet-{name}'].source} into a folder and set INEQUALITY_MODELS to it"
    words = f"(?s){name} is not here and could not be fetched: .*{by_hand}"
    fails(CheckpointError, words, load_checkpoint, f"imagenet-{name}")
    assert not list(folder.glob("*50*"))
