"""The promise: of a public checkpoint exactly the network's tensors are read, and nothing in it is run."""

import io
import os
import pickle
import random
import subprocess
import time
import tracemalloc
import zipfile
from collections import OrderedDict
from pathlib import Path

import dill
import pytest
import torch
from conftest import fails
from public_format import attacker_state, write_public
from torch import nn

from inequality_phenomenon.imagenet.pickles import read_state
from inequality_phenomenon.networks import IMAGENET_MEAN, CheckpointError


@pytest.mark.parametrize("archive", [False, True], ids=["older format", "archive"])
def test_tensors_come_out_as_they_went_in_or_damage_is_named(network: nn.Module, tmp_path, archive: bool) -> None:
    state, left = read_state(write_public(network, tmp_path / "a.ckpt", archive=archive))
    mean, std = (state.pop(f"normaliser.{name}") for name in ("mean", "std"))
    torch.testing.assert_close(state, dict(network.state_dict()), rtol=0, atol=0)
    assert torch.equal(mean.flatten(), torch.tensor(IMAGENET_MEAN)) and mean.shape == std.shape
    assert {"dill._dill._create_function", "dill._dill._create_code", "dill._dill._create_type"} <= set(left)
    draw, whole = random.Random(0), (tmp_path / "a.ckpt").read_bytes()
    broken = [whole[:n] for n in (0, 1, 100, len(whole) // 3, len(whole) - 5)] + [b"<!DOCTYPE html><p>Sign in"]
    for _ in range(150):
        place = draw.randrange(20_000 if draw.random() < 0.7 else len(whole))
        broken.append(whole[:place] + bytes([whole[place] ^ 1 << draw.randrange(8)]) + whole[place + 1 :])
    refused, file = 0, tmp_path / "broken.ckpt"
    for content in broken:
        file.write_bytes(content)
        try:
            read_state(file)
        except CheckpointError:  # anything else is a failure of this test
            refused += 1
    assert refused >= 20
    file.write_bytes(b"<!DOCTYPE html><p>Sign in")
    fails(CheckpointError, r"broken\.ckpt is not a complete PyTorch checkpoint", read_state, file)


def test_reading_agrees_with_torch_on_views_types_and_plain_states(tmp_path: Path) -> None:
    base = torch.arange(24.0).reshape(4, 6)
    tensors = {"t": base.T, "slice": base[1:3, ::2], "scalar": torch.tensor(7), "flags": base > 3, "half": base.half()}
    tensors |= {"brain": base.bfloat16(), "parameter": nn.Parameter(base + 1), "bytes": base.byte()}
    for archive in (False, True):
        torch.save(tensors, tmp_path / "plain.pth", _use_new_zipfile_serialization=archive)
        state, left = read_state(tmp_path / "plain.pth")
        torch.testing.assert_close(state, torch.load(tmp_path / "plain.pth", weights_only=True), rtol=0, atol=0)
        assert not left


def pickled_as(function: object, *arguments: object) -> object:
    """Something that pickles as a call of ``function``, as the files of an attacker do."""
    return type("Payload", (), {"__reduce__": lambda self: (function, arguments)})()


def attacks(marker: Path) -> dict[str, object]:
    command = f"touch {marker}"
    return {
        "posix.system": pickled_as(os.system, command), "pathlib.Path.touch": pickled_as(Path.touch, marker),
        "builtins.eval": pickled_as(eval, f"__import__('os').system({command!r})"),
        "builtins.exec": pickled_as(exec, f"open({str(marker)!r}, 'w')"),
        "subprocess.Popen": pickled_as(subprocess.Popen, ["touch", str(marker)]),
        "io.open": pickled_as(io.open, str(marker), "w"),
    }  # fmt: skip


@pytest.mark.parametrize("archive", [False, True], ids=["older format", "archive"])
@pytest.mark.parametrize("place", ["training state", "network", "everything"])
@pytest.mark.parametrize("name", list(attacks(Path())))
def test_a_hostile_pickle_does_not_run_and_is_refused_by_name(network, tmp_path, name, place, archive: bool) -> None:
    marker = tmp_path / "marker"
    payload = attacks(marker)[name]
    content = {
        "training state": {"model": attacker_state(network), "epoch": payload}, "everything": payload,
        "network": {"model": attacker_state(network) | {"module.model.0.weight": payload}},
    }[place]  # fmt: skip
    file = tmp_path / "hostile.ckpt"
    torch.save(content, file, _use_new_zipfile_serialization=archive)
    torch.load(file, weights_only=False)  # the attack is real: loading it as usual runs it
    for _ in range(100):
        if marker.exists():
            break
        time.sleep(0.02)
    marker.unlink()
    named = r"asks for \w+\.(system|eval|exec|Popen|open|Path|PosixPath): refused.* Nothing was run"
    fails(CheckpointError, f"{file}.* {named}", read_state, file)
    time.sleep(0.1)
    assert not marker.exists()


def test_a_function_that_dill_wrote_is_left_unread_and_never_called(network: nn.Module, tmp_path: Path) -> None:
    marker = tmp_path / "marker"

    def run(path: str) -> int:
        open(path, "w").close()
        return 0

    trap = pickled_as(run, str(marker))
    file = write_public(network, tmp_path / "a.ckpt", trap=trap)
    torch.load(file, pickle_module=dill, weights_only=False)
    assert marker.exists()  # the trap works
    marker.unlink()
    state, left = read_state(file)
    assert "dill._dill._create_function" in left and len(state) == len(network.state_dict()) + 2 and not marker.exists()
    file = write_public(network, tmp_path / "b.ckpt", model={"module.model.0.weight": trap})
    fails(CheckpointError, r"0\.weight is no tensor but dill\._dill\._create_function: refused", read_state, file)
    assert not marker.exists()


def test_an_instruction_that_changes_an_admitted_object_cannot_leave_its_storage(tmp_path: Path) -> None:
    own = torch.zeros(4).untyped_storage()
    storage = torch.storage.TypedStorage(wrap_storage=own, dtype=torch.float32, _internal=True)
    for size, stride, offset in (((5,), (1,), 0), ((2,), (1,), 3), ((2,), (-1,), 1), ((10**6,), (0,), 0)):
        view = (storage, offset, size, stride, False, OrderedDict())
        torch.save({"x": pickled_as(torch._utils._rebuild_tensor_v2, *view)}, tmp_path / "far.pth")
        fails(CheckpointError, "leaves its storage", read_state, tmp_path / "far.pth")


VIEW = b"ctorch._utils\n_rebuild_tensor_v2\n"
STORAGE = b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000NK\x04tQ"
DOUBLED = b"K\x01" + b"".join(b"q%ch%c\x86" % (n, n) for n in range(25))  # a tuple of two that is one object, and so on
OPCODES = {  # as an attacker writes them by hand, for the model's entry of an archive
    "fills in a function's defaults": (VIEW + b"N}X\x0c\x00\x00\x00__defaults__)s\x86b.", "it holds no state"),
    "an extension number": (b"\x82\x01.", "it has the instruction EXT1, which .*: refused"),
    "an object made at once": (b"(X\x04\x00\x00\x00trueios\nsystem\n.", "the instruction INST, which .*: refused"),
    "a name from the stack": (b"U\x02osU\x06system\x93.", "it has the instruction STACK_GLOBAL, which .*: refused"),
    # two readers may end it at different places
    "a frame": (b"\x95\x02" + bytes(7) + b"J\x01\x00\x00\x00N.", "the instruction FRAME, which .*: refused"),
    "a call of a class": (b"ctorch\nFloatStorage\n)R.", "it calls a dtype"),
    "a flood of instructions": (b"(" + b"}" * 600_000 + b"t.", "larger than that of any network"),
    "a flood of names": (b"(" + b"".join(b"ccox\na%d\n" % n for n in range(2000)) + b"t.", "more than 1000 names"),
    "a memo slot far away": (b"Nr\xff\xff\xff\x7f.", "it holds no state"),
    "a name that commands the terminal": (b"cos\n\x1b[2Jsystem\n.", r"asks for os\.\?\[2Jsystem: refused"),
    "a storage of a negative length": (STORAGE.replace(b"K\x04", b"J\xff\xff\xff\xff") + b".", "no storage"),
    "a tensor of a class": (VIEW + b"(ccollections\nOrderedDict\nK\x00))tR.", "no storage"),
}


def write_archive(file: Path, content: bytes) -> None:
    with zipfile.ZipFile(file, "w") as written:
        written.writestr("archive/data.pkl", b"\x80\x02" + content)


@pytest.mark.parametrize("archive", [False, True], ids=["older format", "archive"])
@pytest.mark.parametrize("name", OPCODES)
def test_hand_written_instructions_are_refused_and_leave_the_reader_as_it_was(tmp_path, name, archive: bool) -> None:
    content, message = OPCODES[name]
    file = tmp_path / "hostile.ckpt"
    if archive:
        write_archive(file, content)
    else:
        head = (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})
        file.write_bytes(b"".join(pickle.dumps(part, 2) for part in head) + b"\x80\x02" + content + pickle.dumps([], 2))
    fails(CheckpointError, message, read_state, file)
    torch.save({"x": torch.arange(3.0)}, file)
    assert torch.equal(read_state(file)[0]["x"], torch.arange(3.0))


PAIRS = b"".join(b"](U\x04%04dNe" % n for n in range(2000))  # as Python 2 wrote an ordered dict
NUMBERS = b"K\x00(\x8b\x00\x08\x00\x00" + b"\x7f" * 2048 + b"q\x01" + b"h\x01" * 3000
MULTIPLIERS = {  # of which every repetition would cost as much as the whole, or twice as much as the one before
    "one list made many dicts": b"ccollections\nOrderedDict\nq\x00](" + PAIRS + b"e\x85q\x010(" + b"h\x00h\x01R" * 1000 + b"t.",
    "one list made many shapes":
        VIEW + b"q\x00(" + STORAGE + b"K\x00](" + b"K\x01" * 9000 + b"e)tq\x010(" + b"h\x00h\x01R" * 1000 + b"t.",
    "a product of long numbers": VIEW + b"(" + STORAGE + NUMBERS + b"tq\x02h\x02tR.",
    "a storage that is a tuple of tuples": b"(NNN" + DOUBLED + b"NtQ.",
    "a tuple of tuples as a key": b"}" + DOUBLED + b"NsU\x01xNs.",
}  # fmt: skip


def test_a_dict_of_pairs_as_python_2_writes_it_is_read(tmp_path: Path) -> None:
    weights = torch.arange(3.0)
    torch.save({"model": pickled_as(OrderedDict, [["weight", weights]])}, tmp_path / "old.pth")
    state, _ = read_state(tmp_path / "old.pth")
    assert list(state) == ["weight"] and torch.equal(state["weight"], weights)


@pytest.mark.parametrize("name", MULTIPLIERS)
def test_repetition_in_a_small_file_is_no_repetition_in_memory(tmp_path: Path, name: str) -> None:
    file = tmp_path / "hostile.ckpt"
    write_archive(file, MULTIPLIERS[name])
    assert file.stat().st_size < 50_000
    tracemalloc.start()
    fails(CheckpointError, str(file), read_state, file)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5_000_000


def test_a_small_file_cannot_fill_the_memory(tmp_path: Path) -> None:
    large = torch.zeros(100_000)
    torch.save({f"{n}": large.view(1, -1) for n in range(50)}, tmp_path / "again.pth")  # one storage, fifty times
    fails(CheckpointError, "its tensors together are larger than the file", read_state, tmp_path / "again.pth")
    torch.save({"x": large}, tmp_path / "stored.pth")
    with zipfile.ZipFile(tmp_path / "stored.pth") as stored:
        members = {name: stored.read(name) for name in stored.namelist()}
    with zipfile.ZipFile(tmp_path / "bomb.pth", "w", zipfile.ZIP_DEFLATED) as bomb:
        for name, content in members.items():
            bomb.writestr(name, content)
    assert (tmp_path / "bomb.pth").stat().st_size < 5000
    fails(CheckpointError, "its members are compressed or overlap", read_state, tmp_path / "bomb.pth")
