"""What both attacks share: checked input, the order of scores, and a network that says which inputs fool it."""

from collections.abc import Sequence

import torch
from torch import Tensor

from .._support import checks
from .._support.batching import for_batches, rows_for
from ..networks import Classifier, fold_batch_norm, logits

CLOSE = 1e-4  # two top logits nearer than this may change places with the batch size or the number of threads


def checked_ids(images: Tensor, maps: Tensor, ids: Sequence[int] | None) -> list[int]:
    """The images' ids; ``ValueError`` if images, maps and ids cannot belong together."""
    checks.pictures(images)
    checks.real_tensor("maps", maps)
    if maps.shape != images.shape:
        raise ValueError(f"the maps of these images have shape {tuple(images.shape)}, got {tuple(maps.shape)}")
    if (bad := ~torch.isfinite(maps).flatten(1).all(1)).any():
        raise ValueError(f"the map of image {int(bad.nonzero()[0])} (counted from 0) has NaN or infinite values")
    return checks.image_ids(ids, len(images))


def ranking(scores: Tensor, descending: bool = True) -> Tensor:
    """(N, M) -> (N, M): indices in the order of the scores, ties by index (-0.0 counts as 0.0 on every device)."""
    return (scores + 0.0).sort(dim=1, descending=descending, stable=True).indices


class Referee:
    """The model, folded once, and its verdicts. Refuses bad labels and images that are misclassified at the start."""

    def __init__(self, model: Classifier, images: Tensor, labels: Tensor, batch: int | None) -> None:
        checks.classifier(model, images)
        if model.training:
            raise ValueError("the model is in training mode: call model.eval() before attacking it")
        checks.labels_of(images, labels)
        if batch is not None:
            checks.whole("batch", batch, 1)
        self.network, self.labels = fold_batch_norm(model), labels
        # ``rows`` is what the network gets at once: less than a batch after out of memory.
        self.batch = self.rows = batch or rows_for(
            images.device, images[0, 0].numel(), getattr(model, "kind", ""), "prediction"
        )
        self.everyone = torch.arange(len(images), device=images.device)
        checks.classes_known(labels, self._logits(images[:1]).shape[1])
        verdicts = [self.verdicts(images[part], part) for part in self.parts(self.everyone)]
        fooled, margins = (torch.cat(column) for column in zip(*verdicts, strict=True))
        if len(wrong := fooled.nonzero().flatten().tolist()):
            names = ", ".join(map(str, wrong[:10])) + (", ..." if len(wrong) > 10 else "")
            raise ValueError(f"the model misclassifies {len(wrong)} images before any attack (from 0): {names}")
        self.close_at_start = margins.abs() < CLOSE

    def parts(self, which: Tensor) -> tuple[Tensor, ...]:
        """``which`` in nearly equal parts of at most a batch."""
        return which.chunk(-(-len(which) // self.batch))

    def _logits(self, inputs: Tensor) -> Tensor:
        found: list[Tensor] = []
        self.rows = for_batches(
            len(inputs), self.rows, lambda part, rows: found.append(logits(self.network, inputs[part], rows).float())
        )
        return torch.cat(found)

    def verdicts(self, inputs: Tensor, which: Tensor) -> tuple[Tensor, Tensor]:
        """Fooled, and the margin (best other logit minus the label's), of ``inputs`` made from the images ``which``."""
        scores, labels = self._logits(inputs), self.labels[which, None]
        if not (finite := torch.isfinite(scores).all(1)).all():
            raise ValueError(f"the model's logits of image {int(which[~finite][0])} (counted from 0) are not finite")
        margins = scores.scatter(1, labels, -torch.inf).amax(1) - scores.gather(1, labels)[:, 0]
        return scores.argmax(1) != labels[:, 0], margins
