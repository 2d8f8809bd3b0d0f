# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     name: python3
# ---

# %% [markdown]
# # 9. Cutout
#
# **The question.** If a network leans on a few pixels, does hiding part of each training image force it to use the others too?

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
from inequality_phenomenon import chapter, show
from inequality_phenomenon.measure.accuracy import PGD, measure_attack, pgd_evaluation
from inequality_phenomenon.measure.panel import measure_panel, subjects
from inequality_phenomenon.show import report

run = chapter.open("09_cutout", globals())
ours, (standard, robust) = run.ours, run.pair
measure_panel(run)
measure_attack(run, pgd_evaluation, PGD, [robust, *subjects(run)], run.options["attack_images"])
run.in_short()

# %% tags=["hide-input"]
report.panel_figure(ours, name="9-values")

# %% tags=["hide-input"]
run.claims()

# %% [markdown]
# ## The claim and the method
#
# *Paper: section 5, appendix A.9, Table 8.*
#
# "We combine Cutout strategy with adversarial training [...]. The strategy slightly releases the inequality degree of the robust model." Table 8
# gives the numbers, on CIFAR-10; its values are not in the text that we have, so we test the direction.
#
# Cutout {cite:p}`devries2017` replaces a square of each training image by the mean colour, here one of 16×16 pixels with its centre anywhere in the image;
# then the adversarial perturbation is found for the image with the hole,
#
# $$\min_\theta\; \mathbb E\; \max_{\|\delta\|_\infty \le 8/255} \mathcal L\big(f_\theta(x \odot m + \mu\,(1 - m) + \delta), y\big).$$
#
# :::{dropdown} What we decided before looking
# This part was written before the network with Cutout was trained.
#
# - **Primary outcome**: the global Gini index of the network trained at 8/255 with Cutout minus that of the network trained without. The claim implies a negative
#   sign.
# - **"Slightly"** has no number in the text. We report the difference as it is; beside it stands how far apart the standard and the $\ell_\infty$ network are.
# - **Secondary**: the rest of the panel against both networks.
# - **The price**: clean and robust accuracy of both networks on the same images (McNemar's test).
# - The size of the hole is that of a follow-up work on the same question {cite:p}`chen2023`; the paper gives none.
# :::

# %% tags=["hide-input"]
show.models_note(run, ours)

# %% [markdown]
# ## Results
#
# Table 8: with and without Cutout. The paper's values are not in the text that we have, so there is no column for them.

# %% tags=["hide-input"]
report.panel_report(ours, {name: ours.panel(name) for name in (robust, standard)}, name="9")

# %% [markdown]
# The price in accuracy, on the first images of the test set, right or wrong.

# %% tags=["hide-input"]
price = ours.contrast(report.price_contrasts(ours, robust), "pgd_evaluation")
report.price_table(price, robust, name="9-price")

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
run.footer()
