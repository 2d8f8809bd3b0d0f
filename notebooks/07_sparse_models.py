# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     name: python3
# ---

# %% [markdown]
# # 7. Sparse networks
#
# **The question.** Is an unequal attribution map just another face of sparsity? Then a network with few weights or filters should have one,
# too, and be as easy to fool.

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

# %% tags=["hide-input"]
from inequality_phenomenon import chapter, show
from inequality_phenomenon.measure.panel import measure_panel
from inequality_phenomenon.show import report

run = chapter.open("07_sparse_models", globals())
measure_panel(run)
ours = run.ours
run.in_short()

# %% tags=["hide-input"]
report.panel_figure(ours, name="7-values")

# %% tags=["hide-input"]
run.claims()

# %% [markdown]
# ## The claim and the method
#
# *Paper: appendix A.6.*
#
# "The sparsity of either model architecture or weights will not result in inequality on feature attribution.
# The $l_\infty$-AT model is much more easily affected by occlusion and noise attack than the two sparse models." The numbers behind it are
# from ImageNet.
#
# Two sparse networks are made from the standard one. *Weight pruning* {cite:p}`han2015` removes the weights of the smallest
# magnitude over the whole network,
#
# $$w_i \leftarrow w_i \cdot \mathbf 1\big[\,|w_i| \ge t\,\big], \qquad t \text{ such that } 90\,\% \text{ of all } w_i \text{ become } 0,$$
#
# and *filter pruning* {cite:p}`li2017` removes in each layer the 40 % of filters with the smallest $\ell_1$ norm, so that a narrower
# network is left. Both are trained further, and what was removed stays removed.
#
# :::{dropdown} What we decided before looking
# This part was written before the pruned networks were trained.
#
# - **First claim, no inequality**: the global Gini index of each pruned network is *less than 0.03 above* the standard one's. 0.03 is
#   the tolerance that this book allows for a Gini index everywhere. So the test asks for evidence that the index is *not* higher; a difference
#   that is merely not shown is not enough.
# - **Second claim, less fragile than ℓ∞**: black patches at $(N, R) = (5, 2)$, and noise of type I on 102 subpixels, fool the
#   $\ell_\infty$ network with the largest $\varepsilon$ more often than each pruned one. Four paired tests.
# - All tests of both claims are adjusted together by Holm. A claim holds if all its tests do.
# - **Secondary**: all quantities of the panel against both networks.
# - The images are those of the common subset that the pruned network classifies correctly too.
# :::

# %% tags=["hide-input"]
show.models_note(run, ours)

# %% [markdown]
# ## Results
#
# The paper's values are not in the text that we have, so there is no column for them.

# %% tags=["hide-input"]
report.panel_report(ours, {name: ours.panel(name) for name in run.pair}, name="7")

# %% [markdown]
# ## What could be wrong
#
# - **Two kinds of sparsity.** A sparse network has few weights; a sparse map has few important pixels. Nothing forces one to follow from
#   the other, and the paper's claim is that it does not.
# - **How much is pruned decides.** We prune 90 % of the weights and 40 % of the filters; the paper states no fraction. Other fractions
#   can give other results.
# - **Further training.** The pruned networks were trained for a few more epochs than the standard one.
# - **The images are easy ones**: those that the networks of the ladder and the pruned network all classify correctly.
# - **One training run a model.** The statements are about these networks.
#
# ## Exercise
#
# 1. A linear model has $a_i = w_i (x_i - x'_i)$. If 90 % of its weights are zero, what is the smallest Gini index that its map can have? Why does
#    this not carry over to a convolutional network?
# 2. Write a settings file with `pruned: 0.98` and train it. Does the Gini index rise once accuracy falls?
# 3. Which of the two pruned networks is closer to the standard one in the table above, and how could you test it?

# %% tags=["hide-input"]
run.footer()
