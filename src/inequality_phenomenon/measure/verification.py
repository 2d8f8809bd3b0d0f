"""What every shipped checkpoint must show: its registered accuracy, its quality floor, an honest evaluation, little disk."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from jaxtyping import Float, Int64
from torch import Tensor

from .._support import paths
from ..networks import REGISTRY, Accuracy, CheckpointError, RegistryEntry, dataset_of, fold_batch_norm, load_checkpoint
from ..robustness import Threat, correct
from ..statistics import wilson
from ..training.data import test_images
from ..training.floors import KNOWN_MISSES, floor_of
from ..training.registration import robust_as_registered
from .robustness_flags import check, evaluate

CONFIDENCE = 0.999  # of the intervals: with two dozen of them, 95 % would fail by chance in most runs
TEST_IMAGES = 10_000  # of CIFAR-10
FLAG_IMAGES = 100  # images on which the flags are checked
FOLDER_LIMIT = 60e6  # bytes of checkpoints/: a clone stays quick


def own_threat(entry: RegistryEntry) -> str | None:
    """The threat that a model was trained against, as the registry writes it; ``None`` for standard training."""
    norm, epsilon = entry.training["norm"], entry.training["epsilon"]
    return None if norm == "none" else str(Threat(norm, epsilon))


@dataclass(frozen=True)
class Check:
    """One thing that was looked at, in words, and whether it is as it should be."""

    text: str
    passed: bool
    known_miss: bool = False  # not as it should be, and said so where the network is listed

    def __str__(self) -> str:
        return f"{self.text}  {'ok' if self.passed else 'below its floor' if self.known_miss else 'FAILED'}"


def verify_and_say(checkpoints: Sequence[str], count: int) -> bool:
    """Print every check of these checkpoints on the first ``count`` test images; whether all passed. All are tried.

    A network that is listed as one that misses its floor is said to, and does not fail for that.
    """
    if not 1 <= count <= TEST_IMAGES:
        raise ValueError(f"--images must lie between 1 and {TEST_IMAGES}, the size of the test set; got {count}")
    if public := [name for name in checkpoints if name in REGISTRY and not isinstance(REGISTRY[name], RegistryEntry)]:
        raise ValueError(f"{public[0]} does not ship with the project; `inequality doctor imagenet` checks its file")
    images = cache(lambda dataset: tuple(part[:count] for part in test_images(dataset)))
    failed = []
    for name in checkpoints:
        try:
            checks = verify_checkpoint(name, *images(dataset_of(name)))
        except CheckpointError as problem:
            checks = [Check(str(problem), False)]
        for one in checks:
            print(f"{name}  {one}", flush=True)
        failed += [] if all(one.passed or one.known_miss for one in checks) else [name]
    named = f": not {', '.join(failed)}" if failed else ""
    print(f"{len(checkpoints) - len(failed)} of {len(checkpoints)} checkpoints verified{named}")
    text = f"checkpoints/ {folder_size() / 1e6:.1f} MB of {FOLDER_LIMIT / 1e6:.0f} MB"
    print(folder := Check(text, folder_size() <= FOLDER_LIMIT))
    return not failed and folder.passed


def verify_checkpoint(
    checkpoint: str, images: Float[Tensor, "n 3 h w"], labels: Int64[Tensor, " n"], *, progress: bool = True
) -> list[Check]:
    """Measure a checkpoint again on these test images: registered rates, floors, flags. Errors as of ``load_checkpoint``."""
    entry, model = REGISTRY[checkpoint], load_checkpoint(checkpoint)
    clean = correct(fold_batch_norm(model), images, labels)
    checks = [_rate("clean", int(clean.sum()), len(clean), entry.test_clean)]
    for threat, registered in entry.test_robust.items():
        left = robust_as_registered(checkpoint, model, images, labels, Threat.parse(threat), progress)
        checks.append(_rate(threat, int(left.sum()), len(left), registered))
    return checks + _floors(entry) + [_flags(checkpoint, images[:FLAG_IMAGES], labels[:FLAG_IMAGES])]


def _rate(what: str, count: int, n: int, registered: Accuracy) -> Check:
    found = wilson(count, n, confidence=CONFIDENCE)
    measured = f"{what:12s} {found.value:7.2%} [{found.low:.2%}, {found.high:.2%}] n={n}"
    text = f"{measured}, registered {registered.rate:.2%} n={registered.n}"
    return Check(text, found.low <= registered.rate <= found.high)


def _floors(entry: RegistryEntry) -> list[Check]:
    """The registered rates, of the full test set, against the floors."""
    floor = floor_of(entry.name)
    if floor is None:
        return []
    pairs = [("clean", entry.test_clean, floor.clean)]
    if floor.robust is not None:
        own = own_threat(entry)
        assert own is not None, "a floor for a threat needs a training against it"
        pairs.append((own, entry.test_robust[own], floor.robust))
    checks = []
    for what, found, least in pairs:
        text, passed = f"{what:12s} {found.rate:7.2%} n={found.n}, floor {least:.0%}", found.rate >= least
        checks.append(Check(text, passed, known_miss=not passed and entry.name in KNOWN_MISSES))
    return checks


def meets_floor(checkpoint: str) -> bool | None:
    """Whether a checkpoint's registered accuracies reach its floors; ``None`` where none was set."""
    checks = _floors(REGISTRY[checkpoint])
    return all(one.passed for one in checks) if checks else None


def _flags(checkpoint: str, images: Tensor, labels: Tensor) -> Check:
    """The flags of the evaluation at every registered threat."""
    raised, model = [], load_checkpoint(checkpoint)
    for threat in REGISTRY[checkpoint].test_robust:
        findings = check(evaluate(model, images, labels, Threat.parse(threat)))
        raised += [f"{finding.flag.name} ({threat})" for finding in findings if finding.raised]
    text = f"{'flags':12s} {', '.join(raised) or 'none raised'}, {len(findings)} checked, n={len(images)}"
    return Check(text, not raised)


def folder_size() -> int:
    """Bytes of all files in ``checkpoints/``."""
    return sum(file.stat().st_size for file in paths.CHECKPOINTS.rglob("*") if file.is_file())
