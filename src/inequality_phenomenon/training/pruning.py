"""Sparse networks: single weights set to zero for good, or whole filters removed (the paper's appendix A.6)."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.utils import prune

from ..networks import Classifier


def _prunable(model: nn.Module) -> list[nn.Conv2d | nn.Linear]:
    return [module for module in model.modules() if isinstance(module, nn.Conv2d | nn.Linear)]


def prune_weights(model: nn.Module, fraction: float) -> None:
    """Set the smallest ``fraction`` of all convolution and linear weights to zero, in place (Han et al. 2015).

    Raises ``ValueError`` unless 0 <= fraction < 1.
    """
    _check(fraction)
    weights = [(module, "weight") for module in _prunable(model)]
    prune.global_unstructured(weights, prune.L1Unstructured, amount=fraction)
    for module, name in weights:
        prune.remove(module, name)  # keep the zeros, forget the mask


def keep_zeros(model: nn.Module) -> Callable[[], None]:
    """A function that sets the weights that are zero now to zero again; to be called after each optimiser step."""
    kept = [(module.weight, module.weight != 0) for module in _prunable(model)]

    @torch.no_grad()
    def restore() -> None:
        for weight, mask in kept:
            weight.mul_(mask)

    return restore


def prune_filters(model: Classifier, fraction: float) -> None:
    """Remove the ``fraction`` of each layer's filters that have the smallest l1 norm, in place (Li et al. 2017).

    Layers whose outputs are added are pruned together, by the mean norm of their filters (torch-pruning, Fang et al. 2023).
    The last layer keeps its classes. Raises ``ValueError`` unless 0 <= fraction < 1.
    """
    import torch_pruning  # slow import

    _check(fraction)
    last = _prunable(model)[-1]
    model.requires_grad_(True)  # the pruner follows the gradients' graph
    example = torch.zeros(1, 3, 32, 32, device=next(model.parameters()).device)
    l1 = torch_pruning.importance.GroupMagnitudeImportance(p=1)
    torch_pruning.pruner.MagnitudePruner(model, example, l1, pruning_ratio=fraction, ignored_layers=[last]).step()


def sparsity(model: nn.Module) -> float:
    """Fraction of the convolution and linear weights that are zero."""
    weights: list[Tensor] = [module.weight for module in _prunable(model)]
    return sum(int((weight == 0).sum()) for weight in weights) / sum(weight.numel() for weight in weights)


def _check(fraction: float) -> None:
    if not 0 <= fraction < 1:
        raise ValueError(f"the fraction to prune must lie in [0, 1), got {fraction}")
