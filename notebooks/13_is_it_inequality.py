# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     name: python3
# ---

# %% [markdown]
# # 13. Is it the inequality?
#
# **The question.** If an $\ell_\infty$-trained network has a higher Gini index and is fooled more often by some attack, is it fooled *because* its
# attribution is unequal?

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
trainings_images: int | None = None  # on which three trainings of each kind are compared; 0: none

# %% tags=["hide-input"]
from inequality_phenomenon import chapter, show
from inequality_phenomenon.measure.measurements import margins
from inequality_phenomenon.measure.panel import TRAINING_RECORDS, measure_panel, measure_trainings
from inequality_phenomenon.networks import checkpoint_of
from inequality_phenomenon.show import report

run = chapter.open("13_is_it_inequality", globals())
measure_panel(run)
measure_trainings(run)
run.measure(margins)
ours, (standard, robust) = run.ours, run.pair
run.in_short()

# %% tags=["hide-input"]
report.panel_figure(ours, name="13-values")

# %% tags=["hide-input"]
early, pgd = checkpoint_of("resnet18", "standard_early", ""), checkpoint_of("resnet18", "linf", "8_pgd3")
condition = "N={} R={} {}".format(ours.options["max_count"], ours.options["max_radius"], ours.options["colors"][0])
covariates = {"relative margin": ("margins", "relative_margin"), "Gini index": ("inequality", "global_gini")}
fits = {name: ours.explain([name, robust], condition, "occlusion", covariates) for name in (early, standard)}
at_equal_accuracy = ours.panel(early, [robust])
slopes = {f" at equal margin, against {show.named(name)}": fit for name, fit in fits.items()}
show.conclusions({"At equal accuracy, the ℓ∞ model is fooled": at_equal_accuracy[1]}) + show.listed(
    [show.slope_sentence(fit, where) for where, fit in slopes.items()]
)

# %% tags=["hide-input"]
run.claims()

# %% [markdown]
# ## The claim and the method
#
# *Our own controls. The paper has no section on them.*
#
# "Such a decision pattern results in unstable prediction": "the prediction is susceptible to change when these significant
# characteristics are modified". This is a statement about causes. The paper compares networks that differ in much else. An adversarially trained network of
# the same size is less accurate, so its margins are smaller, and small margins alone make predictions easy to change.
#
# Three comparisons that hold something else fixed, and one that repeats the training:
#
# 1. *Equal accuracy.* A standard network that is stopped early, when its accuracy on held-out training images reaches that of the $\ell_\infty$ network.
# 2. *Equal noise in training.* A network trained by PGD instead of N-FGSM, which trains with strong uniform noise.
# 3. *Equal margins.* A logistic regression over images and two networks,
#
# $$\operatorname{logit} P(\text{fooled}) = \beta_0 + \beta_1\,[\ell_\infty] + \beta_2\, m + \beta_3\, G,$$
#
# where $m$ is an image's relative logit margin and $G$ the Gini index of its map, each in standard deviations. If inequality is what makes predictions fragile, $\beta_3 > 0$:
# of two images with the same margin, the one with the more unequal map is fooled more often.
#
# 4. *Three trainings of each kind.* The same recipe with other random numbers gives another network. What holds for one network need not hold for
#    the recipe. So the difference of the two recipes is tested over networks, with Welch's test.
#
# :::{dropdown} What we decided before looking
# This part was written before the early-stopped network was trained.
#
# - **Primary outcome**: the panel of the $\ell_\infty$ network with the largest $\varepsilon$ minus the *early-stopped* standard network of
#   the same held-out accuracy: both Gini indices, occlusion at $(N, R) = (5, 2)$ in three colours, three kinds of noise on 102 subpixels. If a difference from the
#   *fully trained* standard network is gone here, accuracy explains it as well as $\ell_\infty$ training does. Gini indices and rates are one table each, adjusted by Holm
#   within the table.
# - **Secondary**: the same for the network trained by PGD, minus the early-stopped one.
# - **ℓ2 at equal accuracy**, added when the ℓ2 network was trained and before its records were seen: the panel of the network trained in $\ell_2$ minus that of the
#   $\ell_\infty$ ladder whose accuracy on the test set is nearest.
# - **Regression**: $\beta_3$ at equal margin, for black patches; the two networks are the early-stopped and the $\ell_\infty$ one, then
#   the fully trained standard one and the $\ell_\infty$ one. Standard errors are clustered by image. The paper's explanation implies a positive $\beta_3$.
# - **Seeds.** A statement about a training *method* needs at least three networks of each kind: seeds 0, 1 and 2 of standard training and of the
#   $\ell_\infty$ training with the largest $\varepsilon$. This part was written when one network of each kind had been measured. The images are the
#   first of all test images, in an order drawn once, that all six networks classify correctly: the common subset was chosen by the networks of seed 0. Each network's mean over
#   these images is one value. Welch's $t$-test compares three values with three. (A permutation test cannot decide here: there are only 20 splits.) The expected
#   sign is the paper's, a higher value for $\ell_\infty$, for all eight quantities of the panel; Gini indices and rates are one table each. No seed is added if three do not
#   decide, and none is left out. Every other statement of this book is about the networks of seed 0.
# :::

# %% tags=["hide-input"]
show.models_note(run, ours)

# %% [markdown]
# ## Results

# %% tags=["hide-input"]
report.panel_table(ours, ours.full_size, name="13-panel")

# %% [markdown]
# **At equal accuracy.** The $\ell_\infty$ network minus the early-stopped standard one.

# %% tags=["hide-input"]
report.differences(at_equal_accuracy, early, name="13-early")

# %% [markdown]
# The network trained by PGD, whose attacks start from uniform noise half as wide as N-FGSM's and then take three gradient steps, minus the
# early-stopped one.

# %% tags=["hide-input"]
report.differences(ours.panel(early, [pgd]), early, name="13-pgd")

# %% [markdown]
# The $\ell_2$ network minus the $\ell_\infty$ network of nearly the same accuracy.

# %% tags=["hide-input"]
l2, matched = checkpoint_of("resnet18", "l2_", 0.5), checkpoint_of("resnet18", "linf", 4)
report.differences(ours.panel(matched, [l2]), matched, name="13-l2")

# %% [markdown]
# Beside it, $\ell_\infty$ training and the early-stopped network against the fully trained standard one.

# %% tags=["hide-input"]
caption = "Images fooled, minus the fully trained standard network."
show.contrast_table(ours.panel(standard, [robust, early])[1], name="13-usual", caption=caption)

# %% [markdown]
# **At equal margins.**

# %% tags=["hide-input"]
what = f"Log odds of being fooled ({condition}), for one standard deviation of a predictor; for the model, "
first, second = (
    f"{show.named(robust)} against the {kind} standard network." for kind in ("early-stopped", "fully trained")
)
show.regression_table(fits[early], name="13-regression", caption=what + first) + show.regression_table(
    fits[standard], name="13-regression-standard", caption=f"The same, {second}"
)

# %% [markdown]
# Black alone can hide effects of the other colours, and one slope for two networks can hide two. So every rate and each network by itself follow. They were added after
# the regressions above had been seen.

# %% tags=["hide-input"]
groups = [(early, robust), (standard, robust), (robust,), (pgd,), (standard,), (early,)]
report.slopes_table(ours, groups, covariates, name="13-slopes")

# %% [markdown]
# ## What decides it
#
# **The training.** Three trainings of each kind.

# %% tags=["hide-input"]
trainings = [ours.contrast(group, *TRAINING_RECORDS) for group in report.training_contrasts(ours)]
report.trainings_figure(trainings, name="13-trainings-figure")

# %% tags=["hide-input"]
caption = ": the ℓ∞ trainings minus the standard ones. The networks are the sample, not the images."
report.differences(trainings, name="13-trainings", caption=caption)

# %% [markdown]
# ## What could be wrong
#
# - **Equal accuracy is not equal training.** A network that is stopped early has seen few images, at a high learning rate, and its weights are not
#   averaged. It is a network of the same accuracy, not the same network without the attack.
# - **Equal on which images?** The accuracies agree on 500 held-out training images, within about four points. On the common subset
#   both are right everywhere, by selection.
# - **A margin is not all of robustness.** Two networks with the same margins can react with different strength to the same change of the input. The
#   regression's first coefficient holds what is left.
# - **Correlation over images is not a cause either.** Images with an unequal map may be fragile for a third reason, such as a small object.
#   The regression can refute the paper's explanation more easily than it can prove it.
# - **Three networks are few.** Welch's test with three against three finds only differences that are large beside the spread of the trainings. Its interval says
#   what other trainings by these recipes would give on these images. The early-stopped network and the one trained by PGD were trained once each.
#
# ## Exercise
#
# 1. Before you look: which of the six rates should change most when the standard network is replaced by the early-stopped one?
# 2. Write a settings file with `stop_at: 0.5` and train it; it takes minutes. Where does its Gini index lie, and what does that say about the claim that a high index
#    comes from adversarial training?
# 3. The outcome under noise is a rate over a few draws, not true or false. Which assumption of a logistic regression does this break, and what do clustered standard
#    errors repair?

# %% tags=["hide-input"]
run.footer()
