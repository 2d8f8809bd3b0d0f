"""The promise: what the GPU benchmark computes is right at a tiny size on a CPU, and without a GPU it says so."""

import pytest
import torch
from torch import nn

from benchmarks import gpu, measure

TINY = gpu.Sizes(width=4, train_images=32, batch=16, images=8, single=2, matrix=32, repeats=1)
CPU = torch.device("cpu")


def test_every_row_is_a_positive_share_of_its_bound() -> None:
    rows = gpu.run(CPU, TINY)
    names = ["PGD-10 epoch"] * 2 + ["Integrated Gradients"] + ["occlusion (10, 4)"] * 2
    assert [row["name"].split(":")[0] for row in rows] == names
    assert all(row["ours"] > 0 and row["bound"] > 0 for row in rows)
    speed, epoch = rows[:2]
    assert speed["ratio"] == pytest.approx(epoch["ratio"])  # the same share, once as a rate and once as a time
    assert speed["ours"] * epoch["ours"] == pytest.approx(speed["bound"] * epoch["bound"])  # the same operations


def test_the_operations_of_an_epoch_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "seconds", lambda work, device, repeats: 1.0)
    _, counted = gpu.epoch(CPU, TINY)
    sizes: list[int] = []
    model = gpu.build("resnet18", width=4)
    for module in model.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            module.register_forward_hook(
                lambda m, _, out: sizes.append(2 * m.weight.numel() * (out[0, 0].numel() if out.ndim == 4 else 1))
            )
    model(torch.zeros(2, 3, 32, 32))
    assert counted == sum(sizes) * 32 * 23


def test_without_a_gpu_nothing_is_measured(monkeypatch: pytest.MonkeyPatch, capsys, tmp_path) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(measure, "FOLDER", tmp_path)
    gpu.main()
    assert "no GPU here: not measured" in capsys.readouterr().out and not list(tmp_path.iterdir())
