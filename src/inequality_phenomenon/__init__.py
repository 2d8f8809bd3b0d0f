"""The inequality phenomenon in l_inf adversarial training, measured again."""

from .attacks import occlude, perturb_with_noise
from .attribution import attribute
from .datasets import correct_subset, load_cifar10
from .inequality import gini, global_gini, lorenz_curve, region_sums, regional_gini, top_share
from .models import REGISTRY, build, load_checkpoint
from .profiles import load_profile
from .results import compare, measure
from .robustness import pgd, robust_accuracy
from .statistics import bootstrap_mean, mcnemar, wilson
from .training import train

__all__ = [
    "REGISTRY", "attribute", "bootstrap_mean", "build", "compare", "correct_subset", "gini", "global_gini", "load_checkpoint",
    "load_cifar10", "load_profile", "lorenz_curve", "mcnemar", "measure", "occlude",
    "perturb_with_noise", "pgd", "region_sums", "regional_gini",
    "robust_accuracy", "top_share", "train", "wilson",
]  # fmt: skip
