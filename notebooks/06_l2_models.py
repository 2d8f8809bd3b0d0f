# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     name: python3
# ---

# %% [markdown]
# # 6. Networks trained in ℓ2
#
# **The question.** Does adversarial training as such make attribution unequal, or only training against $\ell_\infty$ perturbations?

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
from inequality_phenomenon.measure.measurements import centre_share
from inequality_phenomenon.measure.panel import measure_panel
from inequality_phenomenon.show import report

run = chapter.open("06_l2_models", globals())
measure_panel(run)
run.measure(centre_share, {"": {}})
ours, (standard, robust) = run.ours, run.pair
run.in_short()

# %% tags=["hide-input"]
report.panel_figure(ours, name="6-values")

# %% tags=["hide-input"]
run.claims()

# %% [markdown]
# ## The claim and the method
#
# *Paper: appendix A.5.*
#
# "The inequality degree of $l_2$-robust model is similar to the standard trained model (or $l_2$ is even more equal)." "However, $l_2$-robust
# model is still more vulnerable to occlusion." The paper's reason: in $\ell_2$ an attacker who spends much on some pixels has little left for the others,
# so the network uses features of the object *and* of the background {cite:p}`moayeri2022`. The numbers behind it are from ImageNet.
#
# The network solves the same problem with another set of perturbations,
#
# $$\min_\theta\; \mathbb E\; \max_{\|\delta\|_2 \le \varepsilon} \mathcal L\big(f_\theta(x + \delta), y\big),$$
#
# with PGD of three steps and $\varepsilon = 0.5$, the usual radius on CIFAR-10, in units where a pixel is between 0 and 1.
#
# :::{dropdown} What we decided before looking
# This part was written before the $\ell_2$ networks were trained.
#
# - **First claim, no inequality**: both Gini indices of the network of $\varepsilon = 0.5$ are *less than 0.03 above* the standard one's. 0.03 is
#   the tolerance that this book allows for a Gini index everywhere. The test asks for evidence that the index is *not* higher; a difference that is merely not shown
#   is not enough.
# - **Second claim, occlusion**: patches of all three colours at $(N, R) = (5, 2)$ fool it more often than the standard one.
# - The tests of each claim are adjusted by Holm. A claim holds if all its tests do.
# - **Third claim, the background**: CIFAR-10 has no masks that separate an object from its background, so it is *not testable here*. What can be
#   measured is the share of the attribution in the middle of the image, where the objects of CIFAR-10 mostly are. It is shown as an exploration, without a verdict.
# - **Secondary**: all quantities of the panel against both networks, and $\varepsilon = 1$.
# - The images are those of the common subset that the $\ell_2$ network classifies correctly too.
# :::

# %% tags=["hide-input"]
show.models_note(run, ours)

# %% [markdown]
# ## Results
#
# The paper's values are not in the text that we have, so there is no column for them.

# %% tags=["hide-input"]
report.panel_report(ours, {name: ours.panel(name) for name in run.pair}, name="6")

# %% [markdown]
# ## What decides it
#
# **Does it look at the background?** The middle 16×16 pixels are a quarter of the image. A map that is spread evenly would have 25 % of its total there.

# %% tags=["hide-input"]
from inequality_phenomenon.verdicts.comparison import against_standard

others = [name for name in ours.models if name != standard]
show.contrast_table(
    ours.contrast(against_standard(standard, others, {"share": ("", "centre_share")}), "centre_share"),
    name="6-centre",
    caption=f"Exploration: share of the total attribution in the middle 16×16 pixels, minus that of {show.named(standard)}.",
)

# %% [markdown]
# ## What could be wrong
#
# - **Which radius is comparable?** $\ell_\infty$ 8/255 and $\ell_2$ 0.5 differ in how much they move an image: the largest $\ell_\infty$
#   perturbation has the $\ell_2$ norm $\sqrt{3072} \cdot 8/255 = 1.74$. A smaller Gini index of the $\ell_2$ network can be the smaller radius. The panel shows
#   robust accuracy at 8/255 for each network, so that networks can be compared at like robustness.
# - **The middle is not the object.** Many objects of CIFAR-10 fill the image, and a share in the middle says nothing about which features are used.
# - **Another resolution.** On ImageNet an image has 49 times as many pixels; what an attacker can spend on each of them under one $\ell_2$ budget differs.
# - **The images are easy ones**: those that the networks of the ladder and the $\ell_2$ network all classify correctly.
# - **One training run a model.** The statements are about these networks.
#
# ## Exercise
#
# 1. Show that $\|\delta\|_\infty \le \|\delta\|_2 \le \sqrt{d}\,\|\delta\|_\infty$. For which $\varepsilon_2$ does the $\ell_2$ ball hold the $\ell_\infty$ ball of 8/255, and how large would its perturbations look?
# 2. For a linear model, find the perturbation that lowers the score most in each norm. Which of the two spreads over all pixels, whatever their weights?
# 3. Where in the panel does the $\ell_2$ network stand between the standard and the $\ell_\infty$ one: is its place the same for the Gini indices and for the attacks?

# %% tags=["hide-input"]
run.footer()
