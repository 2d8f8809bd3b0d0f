"""Promise: pruning removes exactly the share that was asked for, the smallest first, and says when it cannot."""

import pytest
import torch

from inequality_phenomenon.networks import build
from inequality_phenomenon.training.pruning import keep_zeros, prune_filters, prune_weights, sparsity


def test_the_smallest_weights_of_the_whole_network_become_zero() -> None:
    model = build("resnet18", width=4)
    before = torch.cat(
        [m.weight.detach().flatten() for m in model.modules() if hasattr(m, "stride") or m is model.network[-1]]
    )
    prune_weights(model, 0.75)
    after = torch.cat(
        [m.weight.detach().flatten() for m in model.modules() if hasattr(m, "stride") or m is model.network[-1]]
    )
    assert sparsity(model) == pytest.approx(0.75, abs=1e-4)
    assert torch.equal(after[after != 0], before[after != 0])
    assert before[after == 0].abs().max() <= before[after != 0].abs().min()
    assert not [name for name, _ in model.named_buffers() if "mask" in name]  # an ordinary network again


def test_zeros_return_after_a_step_that_moves_them() -> None:
    model = build("resnet18", width=4)
    prune_weights(model, 0.5)
    restore, share = keep_zeros(model), sparsity(model)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1.0)
    assert sparsity(model) < share
    restore()
    assert sparsity(model) == share


@pytest.mark.parametrize(("fraction", "widths"), [(0.25, [6, 12, 24, 48]), (0.5, [4, 8, 16, 32])])
def test_filters_of_least_norm_leave_every_layer(fraction: float, widths: list[int]) -> None:
    model = build("resnet18", width=8)
    block = model.network[3]
    norms = block.conv1.weight.detach().abs().sum((1, 2, 3))
    for parameter in (block.conv1.weight, block.bn1.weight):  # the first two filters are the weakest of all
        parameter.data[:2] *= 1e-3
    kept = block.conv1.weight.detach()[2:].clone()
    prune_filters(model, fraction)
    narrow = build("resnet18", width=widths)
    narrow.load_state_dict(model.state_dict())
    assert model(torch.rand(2, 3, 32, 32)).shape == (2, 10)
    left = model.network[3].conv1.weight.detach()
    assert len(left) == widths[0] < len(norms)
    assert left.abs().sum((1, 2, 3)).min() > kept.abs().max() * 0.5  # no weak filter among them


@pytest.mark.parametrize("fraction", [-0.1, 1.0, float("nan")])
@pytest.mark.parametrize("function", [prune_weights, prune_filters])
def test_fraction_out_of_range_is_refused(function, fraction: float) -> None:
    with pytest.raises(ValueError, match=r"must lie in \[0, 1\)"):
        function(build("resnet18", width=4), fraction)
