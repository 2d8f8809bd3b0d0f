# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Cutout
#
# *Paper: section 5, appendix A.9, Table 8.*
#
# **The question.** If a network leans on a few pixels, does hiding part of each training image force it to use the others too?
#
# **The paper's claim.** "We combine Cutout strategy with adversarial training [...]. The strategy slightly releases the inequality degree of the robust model." Table 8
# gives the numbers, on CIFAR-10; its values are not in the text that we have, so we test the direction.
#
# **The method.** Cutout {cite:p}`devries2017` replaces a square of each training image by the mean colour, here one of 16×16 pixels with its centre anywhere in the image;
# then the adversarial perturbation is found for the image with the hole,
#
# $$\min_\theta\; \mathbb E\; \max_{\|\delta\|_\infty \le 8/255} \mathcal L\big(f_\theta(x \odot m + \mu\,(1 - m) + \delta), y\big).$$

# %% tags=["parameters"]
profile: str = "laptop"  # how much to compute: a file in profiles/
device: str = "auto"  # auto, cpu or cuda
n_images: int | None = None  # images of the common subset; null: the profile's value
seed: int | None = None  # of the attribution baselines and the noise
models: list[str] | None = None  # checkpoints; null: the profile's list for this chapter
max_count: int | None = None  # N: patches of the occlusion attack
max_radius: int | None = None  # R: largest radius of a patch, in pixels
colors: list[str] | None = None  # of the patches
budget: int | None = None  # noisy subpixels of 3072
draws: int | None = None  # times that the noise is drawn for each image
attack_images: int | None = None  # first images of the test set for the accuracy under PGD-20

# %% tags=["hide-input"]
from IPython.display import HTML

from inequality_phenomenon import show
from inequality_phenomenon.measure.accuracy import PGD, measure_attack, pgd_evaluation
from inequality_phenomenon.measure.panel import measure_panel, panel_records, subjects
from inequality_phenomenon.measure.run import open_run
from inequality_phenomenon.show import panel
from inequality_phenomenon.verdicts.claims import chapter_claims

own = {
    "max_count": max_count,
    "max_radius": max_radius,
    "colors": colors,
    "budget": budget,
    "draws": draws,
    "attack_images": attack_images,
}
run = open_run("09_cutout", profile, device, n_images, seed, models, **own)
standard, robust = run.pair
show.models_note(run)

# %% [markdown]
# ## What we decided before looking
#
# This part was written before the network with Cutout was trained.
#
# - **Primary outcome**: the global Gini index of the network trained at 8/255 with Cutout minus that of the network trained without. The claim implies a negative
#   sign.
# - **"Slightly"** has no number in the text. We report the difference as it is; beside it stands how far apart the standard and the $\ell_\infty$ network are.
# - **Secondary**: the rest of the panel against both networks.
# - **The price**: clean and robust accuracy of both networks on the same images (McNemar's test).
# - The size of the hole is that of a follow-up work on the same question {cite:p}`chen2023`; the paper gives none.
#
# ## The experiment

# %%
measure_panel(run)
measure_attack(run, pgd_evaluation, PGD, [robust, *subjects(run)], run.options["attack_images"])
panel_records(run.records).groupby(["condition", "checkpoint"], sort=False).size().unstack()

# %% [markdown]
# ## Table 8: with and without Cutout

# %%
panel.panel_table(run, name="9-panel", caption="Accuracy, inequality and both attacks.")

# %% [markdown]
# ## Against the network without Cutout

# %%
panel.panel_differences(run, robust, name="9-linf")

# %% [markdown]
# ## Against the standard network

# %%
panel.panel_differences(run, standard, name="9-standard")

# %% [markdown]
# ## The price

# %%
panel.price_table(run, robust, name="9-price")

# %% [markdown]
# ## What we found

# %%
panel.claim_findings(chapter_claims("09_cutout", run.records, run.reference, resamples=run.profile.bootstrap))

# %%
show.close_calls(run.records)

# %% [markdown]
# ## What could be wrong
#
# - **Cutout is an augmentation, too.** It makes training harder; in 16 epochs the network with Cutout fits the training images less well. A change of the Gini
#   index, in either direction, may come with a change of the accuracy, and the two are not told apart by this comparison.
# - **One size of the hole**, in all images, at one $\varepsilon$.
# - **The attack resembles the augmentation.** Cutout trains on images with a gray hole, so robustness to gray patches is what it teaches; robustness to noise is the fairer test of
#   the paper's mechanism.
# - **The images are easy ones**: those that the networks of the ladder and this network all classify correctly.
# - **One training run a model.** The statements are about these networks.
#
# ## Exercise
#
# 1. Which share of the pixels does a 16×16 hole hide on average, if its centre may lie at the border?
# 2. Write a settings file with `cutout: 24` and train it. How does the Gini index move, and what does it cost?
# 3. Cutout also exists without adversarial training. Predict the Gini index of such a network before you train it.

# %% tags=["hide-input"]
HTML(provenance(run))
