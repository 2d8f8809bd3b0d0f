"""The promise: of a public checkpoint exactly the network's tensors are read, nothing in it is run, and what does not fit is named."""

import contextlib
import io
import os
import pickle
import random
import re
import subprocess
import sys
import threading
import time
import tracemalloc
import zipfile
from collections import OrderedDict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import dill
import pytest
import torch
from public_format import attacker_state, write_public
from torch import nn

from inequality_phenomenon._support.files import sha256_of
from inequality_phenomenon.imagenet import public_networks
from inequality_phenomenon.imagenet.pickles import read_state
from inequality_phenomenon.imagenet.public_networks import (
    HUGGING_FACE,
    Conversion,
    PublicModel,
    Shapes,
    fetch,
    public_state,
)
from inequality_phenomenon.networks import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    REGISTRY,
    CheckpointError,
    build,
    load_checkpoint,
)


@pytest.fixture
def network() -> nn.Module:
    """A small real network; the format does not depend on its size."""
    return build("resnet18", width=4, classes=5).eval().network


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where public files lie; conversions go beside it."""
    published = tmp_path / "published"
    published.mkdir()
    monkeypatch.setenv("INEQUALITY_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("INEQUALITY_MODELS", str(published))
    return published


def expected(network: nn.Module) -> Shapes:
    return {key: tuple(value.shape) for key, value in network.state_dict().items()}


def entry(file: Path, sha256: str = "not known", **more: object) -> PublicModel:
    values = {"name": "imagenet-small-linf8-public", "title": "small", "architecture": "small", "origin": "huggingface"}
    return PublicModel.model_validate(values | {"source": file.name, "sha256": sha256, "megabytes": 0.1} | more)


# what is read


@pytest.mark.parametrize("archive", [False, True], ids=["older format", "archive"])
def test_the_networks_tensors_come_out_as_they_went_in(network: nn.Module, tmp_path: Path, archive: bool) -> None:
    file = write_public(network, tmp_path / "a.ckpt", archive=archive)
    state, left = read_state(file)
    weights = network.state_dict()
    assert set(state) == set(weights) | {"normaliser.mean", "normaliser.std"}
    for key, value in weights.items():
        assert state[key].dtype == value.dtype and torch.equal(state[key], value), key
    assert torch.equal(state["normaliser.mean"].flatten(), torch.tensor(IMAGENET_MEAN))
    assert {"dill._dill._create_function", "dill._dill._create_code", "dill._dill._create_type"} <= set(left)


def test_reading_agrees_with_torch_on_views_types_and_plain_states(tmp_path: Path) -> None:
    base = torch.arange(24.0).reshape(4, 6)
    tensors = {"t": base.T, "slice": base[1:3, ::2], "scalar": torch.tensor(7), "flags": base > 3, "half": base.half()}
    tensors |= {"brain": base.bfloat16(), "parameter": nn.Parameter(base + 1), "bytes": base.byte()}
    for archive in (False, True):
        torch.save(tensors, tmp_path / "plain.pth", _use_new_zipfile_serialization=archive)
        state, left = read_state(tmp_path / "plain.pth")
        reference = torch.load(tmp_path / "plain.pth", weights_only=True)
        assert not left and set(state) == set(reference)
        for key, value in reference.items():
            assert state[key].dtype == value.dtype and torch.equal(state[key], value), key


# what is not run


class Payload:
    """Pickles as a call of ``function``, as the files of an attacker do."""

    def __init__(self, function: object, *arguments: object) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple:
        return self.call


def attacks(marker: Path) -> dict[str, Payload]:
    command = f"touch {marker}"
    return {
        "posix.system": Payload(os.system, command),
        "builtins.eval": Payload(eval, f"__import__('os').system({command!r})"),
        "builtins.exec": Payload(exec, f"open({str(marker)!r}, 'w')"),
        "subprocess.Popen": Payload(subprocess.Popen, ["touch", str(marker)]),
        "io.open": Payload(io.open, str(marker), "w"),
        "pathlib.Path.touch": Payload(Path.touch, marker),
    }


@pytest.mark.parametrize("archive", [False, True], ids=["older format", "archive"])
@pytest.mark.parametrize("place", ["training state", "network", "everything"])
@pytest.mark.parametrize("name", list(attacks(Path())))
def test_a_hostile_pickle_does_not_run_and_is_refused_by_name(
    network: nn.Module, tmp_path: Path, name: str, place: str, archive: bool
) -> None:
    marker = tmp_path / "marker"
    payload = attacks(marker)[name]
    content: object = {"model": attacker_state(network), "epoch": payload}
    if place == "network":
        content = {"model": attacker_state(network) | {"module.model.0.weight": payload}}
    if place == "everything":
        content = payload
    file = tmp_path / "hostile.ckpt"
    torch.save(content, file, _use_new_zipfile_serialization=archive)
    loaded = torch.load(file, weights_only=False)  # the attack is real: loading it as usual runs it
    del loaded
    for _ in range(100):
        if marker.exists():
            break
        time.sleep(0.02)
    marker.unlink()
    with pytest.raises(CheckpointError) as caught:
        read_state(file)
    message = str(caught.value)
    assert str(file) in message and "refused" in message and "Nothing was run" in message
    assert re.search(r"asks for \w+\.(system|eval|exec|Popen|open|Path|PosixPath): refused", message)
    time.sleep(0.1)
    assert not marker.exists()


def test_a_function_that_dill_wrote_is_left_unread_and_never_called(network: nn.Module, tmp_path: Path) -> None:
    marker = tmp_path / "marker"

    class Trap:
        def __reduce__(self) -> tuple:
            def run(path: str) -> int:
                open(path, "w").close()
                return 0

            return run, (str(marker),)

    file = write_public(network, tmp_path / "a.ckpt", trap=Trap())
    torch.load(file, pickle_module=dill, weights_only=False)
    assert marker.exists()  # the trap works
    marker.unlink()
    state, left = read_state(file)
    assert "dill._dill._create_function" in left and len(state) == len(network.state_dict()) + 2
    assert not marker.exists()
    file = write_public(network, tmp_path / "b.ckpt", model={"module.model.0.weight": Trap()})
    with pytest.raises(CheckpointError, match=r"0\.weight is no tensor but dill\._dill\._create_function: refused"):
        read_state(file)
    assert not marker.exists()


def test_an_instruction_that_changes_an_admitted_object_cannot_leave_its_storage(tmp_path: Path) -> None:
    storage = torch.storage.TypedStorage(
        wrap_storage=torch.zeros(4).untyped_storage(), dtype=torch.float32, _internal=True
    )
    for size, stride, offset in (((5,), (1,), 0), ((2,), (1,), 3), ((2,), (-1,), 1), ((10**6,), (0,), 0)):

        class Far:
            def __reduce__(self, view: tuple = (offset, size, stride)) -> tuple:
                return torch._utils._rebuild_tensor_v2, (storage, *view, False, OrderedDict())

        torch.save({"x": Far()}, tmp_path / "far.pth")
        with pytest.raises(CheckpointError, match="leaves its storage"):
            read_state(tmp_path / "far.pth")


VIEW = b"ctorch._utils\n_rebuild_tensor_v2\n"
STORAGE = b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000NK\x04tQ"
DOUBLED = b"K\x01" + b"".join(b"q%ch%c\x86" % (n, n) for n in range(25))  # a tuple of two that is one object, and so on
OPCODES = {  # as an attacker writes them by hand, for the model's entry of an archive
    "fills in a function's defaults": (VIEW + b"N}X\x0c\x00\x00\x00__defaults__)s\x86b.", "it holds no state"),
    "an extension number": (b"\x82\x01.", "it has the instruction EXT1, which .*: refused"),
    "an object made at once": (
        b"(X\x04\x00\x00\x00trueios\nsystem\n.",
        "it has the instruction INST, which .*: refused",
    ),
    "a name from the stack": (b"U\x02osU\x06system\x93.", "it has the instruction STACK_GLOBAL, which .*: refused"),
    "a frame, which two readers may end at different places": (
        b"\x95\x02\x00\x00\x00\x00\x00\x00\x00J\x01\x00\x00\x00N.",
        "it has the instruction FRAME, which .*: refused",
    ),
    "a call of a class": (b"ctorch\nFloatStorage\n)R.", "it calls a dtype"),
    "a flood of instructions": (b"(" + b"}" * 600_000 + b"t.", "larger than that of any network"),
    "a flood of names": (b"(" + b"".join(b"ccox\na%d\n" % n for n in range(2000)) + b"t.", "more than 1000 names"),
    "a memo slot far away": (b"Nr\xff\xff\xff\x7f.", "it holds no state"),
    "a name that commands the terminal": (b"cos\n\x1b[2Jsystem\n.", r"asks for os\.\?\[2Jsystem: refused"),
    "a storage of a negative length": (STORAGE.replace(b"K\x04", b"J\xff\xff\xff\xff") + b".", "no storage"),
    "a tensor of a class": (VIEW + b"(ccollections\nOrderedDict\nK\x00))tR.", "no storage"),
}


@pytest.mark.parametrize("archive", [False, True], ids=["older format", "archive"])
@pytest.mark.parametrize("name", OPCODES)
def test_hand_written_instructions_are_refused_and_leave_the_reader_as_it_was(
    tmp_path: Path, name: str, archive: bool
) -> None:
    content, message = OPCODES[name]
    file = tmp_path / "hostile.ckpt"
    if archive:
        with zipfile.ZipFile(file, "w") as written:
            written.writestr("archive/data.pkl", b"\x80\x02" + content)
    else:
        head = (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})
        file.write_bytes(b"".join(pickle.dumps(part, 2) for part in head) + b"\x80\x02" + content + pickle.dumps([], 2))
    with pytest.raises(CheckpointError, match=message):
        read_state(file)
    torch.save({"x": torch.arange(3.0)}, file)
    assert torch.equal(read_state(file)[0]["x"], torch.arange(3.0))


PAIRS = b"".join(b"](U\x04%04dNe" % n for n in range(2000))  # as Python 2 wrote an ordered dict
MULTIPLIERS = {  # of which every repetition would cost as much as the whole, or twice as much as the one before
    "one list made many dicts": b"ccollections\nOrderedDict\nq\x00]("
    + PAIRS
    + b"e\x85q\x010("
    + b"h\x00h\x01R" * 1000
    + b"t.",
    "one list made many shapes": VIEW
    + b"q\x00("
    + STORAGE
    + b"K\x00]("
    + b"K\x01" * 9000
    + b"e)tq\x010("
    + b"h\x00h\x01R" * 1000
    + b"t.",
    "a product of long numbers": (
        VIEW
        + b"("
        + STORAGE
        + b"K\x00(\x8b\x00\x08\x00\x00"
        + b"\x7f" * 2048
        + b"q\x01"
        + b"h\x01" * 3000
        + b"tq\x02h\x02tR."
    ),
    "a storage that is a tuple of tuples": b"(NNN" + DOUBLED + b"NtQ.",
    "a tuple of tuples as a key": b"}" + DOUBLED + b"NsU\x01xNs.",
}


@pytest.mark.parametrize("name", MULTIPLIERS)
def test_repetition_in_a_small_file_is_no_repetition_in_memory(tmp_path: Path, name: str) -> None:
    file = tmp_path / "hostile.ckpt"
    with zipfile.ZipFile(file, "w") as written:
        written.writestr("archive/data.pkl", b"\x80\x02" + MULTIPLIERS[name])
    assert file.stat().st_size < 50_000
    tracemalloc.start()
    with pytest.raises(CheckpointError):
        read_state(file)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5_000_000


def test_a_small_file_cannot_fill_the_memory(tmp_path: Path) -> None:
    large = torch.zeros(100_000)
    torch.save({f"{n}": large.view(1, -1) for n in range(50)}, tmp_path / "again.pth")  # one storage, fifty times
    with pytest.raises(CheckpointError, match="its tensors together are larger than the file"):
        read_state(tmp_path / "again.pth")
    torch.save({"x": large}, tmp_path / "stored.pth")
    with (
        zipfile.ZipFile(tmp_path / "stored.pth") as stored,
        zipfile.ZipFile(tmp_path / "bomb.pth", "w", zipfile.ZIP_DEFLATED) as bomb,
    ):
        for member in stored.namelist():
            bomb.writestr(member, stored.read(member))
    assert (tmp_path / "bomb.pth").stat().st_size < 5000
    with pytest.raises(CheckpointError, match="its members are compressed or overlap"):
        read_state(tmp_path / "bomb.pth")


@pytest.mark.parametrize("archive", [False, True], ids=["older format", "archive"])
def test_damage_is_one_message_with_the_file_or_changes_numbers_only(
    network: nn.Module, tmp_path: Path, archive: bool
) -> None:
    whole = write_public(network, tmp_path / "a.ckpt", archive=archive).read_bytes()
    draw = random.Random(0)
    broken = [whole[:n] for n in (0, 1, 100, len(whole) // 3, len(whole) - 5)] + [b"<!DOCTYPE html><p>Sign in"]
    for _ in range(150):
        changed = bytearray(whole)
        place = draw.randrange(20_000 if draw.random() < 0.7 else len(whole))
        changed[place] ^= 1 << draw.randrange(8)
        broken.append(bytes(changed))
    refused = 0
    for content in broken:
        file = tmp_path / "broken.ckpt"
        file.write_bytes(content)
        with contextlib.suppress(CheckpointError):  # anything else is a failure of this test
            read_state(file)
            continue
        refused += 1
    assert refused >= 20
    file.write_bytes(b"<!DOCTYPE html><p>Sign in")
    with pytest.raises(CheckpointError, match=r"broken\.ckpt is not a complete PyTorch checkpoint"):
        read_state(file)


# conversion


def test_a_model_is_converted_once_with_both_hashes(network: nn.Module, folder: Path) -> None:
    file = write_public(network, folder / "small.ckpt")
    model = entry(file, sha256_of(file))
    with pytest.raises(CheckpointError, match="not converted yet"):
        _ = model.sha256
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
    with file.open("r+b") as stream:
        stream.seek(-1, os.SEEK_END)
        last = stream.read(1)
        stream.seek(-1, os.SEEK_END)
        stream.write(bytes([last[0] ^ 1]))
    with pytest.raises(
        CheckpointError, match=rf"small.ckpt is not the published file: SHA-256 {sha256_of(file)}.*{known}"
    ):
        public_state(entry(file, known), expected(network))
    assert not entry(file).file.exists()
    model = entry(file)
    public_state(model, expected(network))  # its hash is not known: accepted, and recorded
    with pytest.raises(CheckpointError, match="is not the published file"):
        public_state(entry(file, known), expected(network))  # once it is known
    content = bytearray(model.file.read_bytes())
    content[-1] ^= 1
    model.file.write_bytes(content)
    with pytest.raises(CheckpointError, match=f"was altered.*recorded {model.sha256}"):
        public_state(model, expected(network))
    model.file.with_suffix(".json").write_text('{"source": 1}')
    with pytest.raises(CheckpointError, match=r"public\.json is damaged"):
        public_state(model, expected(network))


def test_another_architecture_is_named_tensor_by_tensor(network: nn.Module, folder: Path) -> None:
    file = write_public(network, folder / "small.ckpt")
    wider = build("resnet18", width=8, classes=5).network
    with pytest.raises(
        CheckpointError, match=r"does not fit small: 0\.weight has shape \(4, 3, 3, 3\), expected \(8, 3"
    ):
        public_state(entry(file), expected(wider))
    other = build("densenet_bc", depth=10, classes=5).network
    with pytest.raises(CheckpointError, match=r"small\.ckpt does not fit small: .* is missing; .* more"):
        public_state(entry(file), expected(other))
    assert not entry(file).file.exists()


def test_a_normaliser_that_is_not_imagenets_is_refused(network: nn.Module, folder: Path) -> None:
    state = attacker_state(network)
    state["module.normalizer.new_std"] = torch.full((3, 1, 1), 0.25)
    torch.save({"model": state}, folder / "small.ckpt")
    with pytest.raises(CheckpointError, match=r"its normaliser has std \[0\.25, 0\.25, 0\.25\]"):
        public_state(entry(folder / "small.ckpt"), expected(network))
    state["module.normalizer.new_std"] = torch.full((4, 1), 0.25, dtype=torch.float64)
    torch.save({"model": state}, folder / "small.ckpt")
    with pytest.raises(CheckpointError, match="its normaliser has std"):
        public_state(entry(folder / "small.ckpt"), expected(network))


def test_an_older_plain_state_without_counters_fits(network: nn.Module, folder: Path) -> None:
    state = {key: value for key, value in network.state_dict().items() if "num_batches" not in key}
    torch.save(state, folder / "small.ckpt", _use_new_zipfile_serialization=False)
    found = public_state(entry(folder / "small.ckpt"), expected(network))
    assert set(found) == set(network.state_dict())


NO_SPACE = """
import resource, sys
from pathlib import Path
from inequality_phenomenon.imagenet.public_networks import public_state
from test_foreign_checkpoints import entry, expected
from inequality_phenomenon.networks import build
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
public_state(entry(Path("small.ckpt")), expected(build("resnet18", width=4, classes=5).network))
"""


def test_a_disk_that_fills_up_during_the_conversion_leaves_nothing_and_is_said(
    network: nn.Module, folder: Path
) -> None:
    """In a process whose files may not grow."""
    write_public(network, folder / "small.ckpt")
    path = {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run([sys.executable, "-c", NO_SPACE], env=os.environ | path, capture_output=True, text=True)
    target = entry(folder / "small.ckpt").file
    assert f"OSError: cannot write {target}: " in done.stderr.splitlines()[-1]
    assert list(target.parent.iterdir()) == []


# the registry, and loading by name


def test_the_registry_says_what_is_known() -> None:
    public = public_networks()
    assert {"imagenet-resnet50-standard-torchvision", "imagenet-wide_resnet50_2-linf8-public"} <= set(public)
    sources = [model.source for model in public.values()]
    assert len(set(sources)) == len(sources)
    for model in public.values():
        assert model.name.split("-")[1] == model.architecture.removeprefix("imagenet_")
        assert model.source.startswith(model.name.split("-")[1])
        if model.origin == "torchvision":
            from torchvision.models import get_model_weights

            url = get_model_weights(model.name.split("-")[1])["IMAGENET1K_V1"].url
            assert url.endswith(f"/{model.source}") and model.sha256_of_source in model.source
    name = "imagenet-resnet50-linf4-public"
    assert REGISTRY[name] == public[name] and name in REGISTRY and name not in list(REGISTRY)


def test_a_loaded_public_model_is_torchvisions_network_behind_the_normalisation(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torchvision.models import resnet18

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
    with pytest.raises(CheckpointError, match="is not the published file"):
        load_checkpoint("imagenet-resnet50-linf8-public")
    (folder / "resnet50_linf_eps8.0.ckpt").rename(folder / "resnet50_linf_eps1.0.ckpt")
    with pytest.raises(CheckpointError, match=r"does not fit imagenet_resnet50: .*conv3\.weight is missing"):
        load_checkpoint("imagenet-resnet50-linf1-public")
    assert public_networks()["imagenet-resnet50-linf1-public"].sha256_of_source == "not known"


# fetching


def test_no_space_is_said_before_anything_is_fetched(folder: Path) -> None:
    with pytest.raises(
        CheckpointError, match=r"no space for .*huge\.ckpt: \d+\.\d\d GB are needed, \d+\.\d\d GB are free"
    ):
        fetch(entry(folder / "huge.ckpt", megabytes=1e10))


class _Hub(BaseHTTPRequestHandler):
    """Serves one file as Hugging Face does, and breaks off in the middle of the first answer."""

    content = b""
    ranges: list[str | None] = []  # noqa: RUF012
    served = f"/{HUGGING_FACE}/resolve/main/small.ckpt"

    def _start(self, first: int = 0) -> None:
        self.send_response(206 if first else 200)
        size = len(self.content)
        if first:
            self.send_header("Content-Range", f"bytes {first}-{size - 1}/{size}")
        self.send_header("Content-Length", str(size - first))
        self.send_header("ETag", '"0123456789abcdef"')
        self.send_header("X-Repo-Commit", "0" * 40)
        self.send_header("Accept-Ranges", "bytes")
        self.end_headers()

    def do_HEAD(self) -> None:
        self._start()

    def do_GET(self) -> None:
        if self.path != self.served:
            self.send_error(404)
            return
        asked = self.headers.get("Range")
        first = int(re.findall(r"\d+", asked)[0]) if asked else 0
        self.ranges.append(asked)
        self._start(first)
        if len(self.ranges) == 1:
            self.wfile.write(self.content[: len(self.content) // 2])
            self.close_connection = True
        else:
            self.wfile.write(self.content[first:])

    def log_message(self, *arguments: object) -> None: ...


def test_a_download_that_breaks_off_is_resumed(
    network: nn.Module, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = write_public(network, folder / "served").read_bytes()
    _Hub.content, _Hub.ranges = content + bytes(24_000_000), []
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    endpoint = f"http://127.0.0.1:{server.server_port}"  # what the environment variable HF_ENDPOINT sets
    template = endpoint + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", endpoint)
    monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)
    try:
        file = fetch(entry(folder / "small.ckpt"))
    finally:
        server.shutdown()
    assert file == folder / "small.ckpt" and file.read_bytes() == _Hub.content
    assert len(_Hub.ranges) == 2 and _Hub.ranges[0] is None and _Hub.ranges[1] is not None


@pytest.mark.parametrize("name", ["resnet50-linf1-public", "resnet50-standard-torchvision"])
def test_without_a_network_the_message_says_what_to_do(
    name: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("torchvision.models.ResNet50_Weights.IMAGENET1K_V1.value.url", "http://127.0.0.1:9/x")
    source = REGISTRY[f"imagenet-{name}"].source
    with pytest.raises(CheckpointError, match=f"{name} is not here and could not be fetched: ") as caught:
        load_checkpoint(f"imagenet-{name}")
    assert f"put {source} into a folder and set INEQUALITY_MODELS to it" in str(caught.value)
    assert not list(folder.glob("*50*"))
