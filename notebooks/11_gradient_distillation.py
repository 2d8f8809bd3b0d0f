# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     name: python3
# ---

# %% [markdown]
# # 11. Input-gradient distillation
#
# **The question.** Can an $\ell_\infty$-trained network be taught the decision pattern of a standard one, and does that make it harder to fool?

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

run = chapter.open("11_gradient_distillation", globals())
ours, (_, robust) = run.ours, run.pair
measure_panel(run)
measure_attack(run, pgd_evaluation, PGD, [robust, *subjects(run)], run.options["attack_images"])
from_robust = ours.panel(robust)
report.remedies_in_short(ours, from_robust)

# %% tags=["hide-input"]
report.panel_figure(ours, name="11-values")

# %% [markdown]
# ## The claim and the method
#
# *Not in the paper: a follow-up to its section 5 {cite:p}`chen2023`, beside Cutout.*
#
# The follow-up work: "Compared to vanilla $\ell_\infty$-AT, IGD reduces error rates against inductive noise, inductive occlusion, random noise [...] by
# up to 60 %, 16 %, 50 %", "while preserving adversarial robustness".
#
# The network is trained as before, and its input gradient is pulled towards that of a fixed standard network $f_S$, the teacher:
#
# $$\mathcal L = \mathcal L_{\mathrm{CE}}\big(f(x + \delta), y\big) + \lambda\,\Big(1 - \cos\big(\nabla_x f^y(x),\, \nabla_x f_S^y(x)\big)\Big),
# \qquad \lambda = 2 .$$
#
# :::{dropdown} What we decided before looking
# This part was written before the network was trained.
#
# - **Primary outcome**: the panel of the network with distillation minus that of the $\ell_\infty$ network without: both Gini indices, occlusion at $(N, R) = (5, 2)$ in three
#   colours, three kinds of noise on 102 subpixels. Gini indices and rates are one table each, adjusted by Holm within the table.
# - **Beside it**: the same for Cutout, so that both remedies stand in one table.
# - **The price**: clean and robust accuracy on the same images (McNemar's test).
# - The published reductions are for other networks, other data and longer training; they are quoted, not compared by a verdict.
# :::

# %% tags=["hide-input"]
show.models_note(run, ours)

# %% [markdown]
# ## Results

# %% tags=["hide-input"]
report.panel_report(ours, {robust: from_robust}, name="11")

# %% [markdown]
# The price in accuracy, on the first images of the test set, right or wrong.

# %% tags=["hide-input"]
price = ours.contrast(report.price_contrasts(ours, robust), "pgd_evaluation")
report.price_table(price, robust, name="11-price")

# %% [markdown]
# ## What could be wrong
#
# - **A teacher is information.** The student sees the gradients of a network that is far more accurate. What it gains may come from distillation as such, not from a
#   more equal map.
# - **Our version is small.** The training attack is a single step (N-FGSM), training is short, and the networks are narrow.
# - **Alignment at clean images only.** The loss pulls gradients at $x$; Integrated Gradients looks at the whole path from the baseline.
# - **One training run a model, one $\lambda$.**
#
# ## Exercise
#
# 1. The cosine ignores the length of the gradient. Why would matching the gradients themselves work against adversarial training?
# 2. What does the loss need that plain training does not, and why does that make an epoch several times slower?
# 3. Design the control that separates "the student was distilled" from "its map became more equal".

# %% tags=["hide-input"]
run.footer()
