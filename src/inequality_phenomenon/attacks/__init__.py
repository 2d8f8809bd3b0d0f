"""Common corruptions put where the attribution is: inductive noise (paper, 3.2.1) and inductive occlusion (3.2.2).

Attribution maps are signed: large values speak for the label. Pixels are in [0, 1], radii and areas in pixels.
"Fooled" means that the label is no longer predicted. Random parts belong to (seed, image id, draw), not to a batch.
"""

from .noise import BUDGETS, Kind, NoiseOutcomes, noise_outcomes, perturb_with_noise
from .occlusion import GridOutcomes, Occlusion, grid_outcomes, occlude, occlude_area
from .patches import Centres, Color, area_mask, mask_areas, patch_centres, patch_fill, patch_mask
from .referee import CLOSE

__all__ = [
    "BUDGETS", "CLOSE", "Centres", "Color", "GridOutcomes", "Kind", "NoiseOutcomes", "Occlusion", "area_mask",
    "grid_outcomes", "mask_areas", "noise_outcomes", "occlude", "occlude_area", "patch_centres", "patch_fill",
    "patch_mask", "perturb_with_noise",
]  # fmt: skip
