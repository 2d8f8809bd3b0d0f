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
# # Is it the inequality?
#
# *Our own controls. The paper has no section on them.*
#
# **The question.** Suppose that an $\ell_\infty$-trained network has a higher Gini index and is fooled more often by some attack. Is
# it fooled *because* its attribution is unequal?
#
# **The paper's claim.** "Such a decision pattern results in unstable prediction": "the prediction is susceptible to change when these significant
# characteristics are modified". This is a statement about causes. The paper compares networks that differ in much else. An adversarially trained network of
# the same size is less accurate, so its margins are smaller, and small margins alone make predictions easy to change.
#
# **The method.** Three comparisons that hold something else fixed, and one that repeats the training.
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
from IPython.display import HTML

from inequality_phenomenon import show
from inequality_phenomenon.measure.measurements import margins
from inequality_phenomenon.measure.panel import measure_panel, measure_trainings, panel_contrasts, panel_records
from inequality_phenomenon.measure.run import open_run
from inequality_phenomenon.networks import checkpoint_of
from inequality_phenomenon.show import panel
from inequality_phenomenon.verdicts.claims import chapter_claims
from inequality_phenomenon.verdicts.comparison import contrasted, explained

own = {"max_count": max_count, "max_radius": max_radius, "colors": colors, "budget": budget, "draws": draws}
own["trainings_images"] = trainings_images
run = open_run("13_is_it_inequality", profile, device, n_images, seed, models, **own)
standard, robust = run.pair
early, pgd = checkpoint_of("resnet18", "standard_early", ""), checkpoint_of("resnet18", "linf", "8_pgd3")
l2, matched = checkpoint_of("resnet18", "l2_", 0.5), checkpoint_of("resnet18", "linf", 4)
show.models_note(run)

# %% [markdown]
# ## What we decided before looking
#
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
#
# ## The experiment

# %%
measure_panel(run)
measure_trainings(run)
run.measure(margins)
committed, records = panel_records(run.reference), panel_records(run.records)
records.groupby(["condition", "checkpoint"], sort=False).size().unstack()

# %% [markdown]
# ## The table

# %%
panel.panel_table(run, name="13-panel", caption="Accuracy, inequality and both attacks.")

# %% [markdown]
# ## At equal accuracy

# %%
resamples = run.profile.bootstrap
ginis, rates = panel_contrasts(run, early, [robust])
show.contrast_table(
    contrasted(ginis, committed, resamples=resamples),
    contrasted(ginis, records, resamples=resamples),
    name="13-gini",
    caption=f"Gini indices, {show.title_of(robust)} minus the early-stopped standard network.",
    unit="Gini",
)

# %%
reference, this_run = (contrasted(rates, source, resamples=resamples) for source in (committed, records))
show.contrast_table(
    reference,
    this_run,
    name="13-rates",
    caption=f"Images fooled, {show.title_of(robust)} minus the early-stopped standard network.",
)

# %% [markdown]
# The network trained by PGD, whose attacks start from uniform noise half as wide as N-FGSM's and then take three gradient steps, minus the
# early-stopped one.

# %%
panel.panel_differences(run, early, [pgd], name="13-pgd")

# %% [markdown]
# The $\ell_2$ network minus the $\ell_\infty$ network of nearly the same accuracy.

# %%
panel.panel_differences(run, matched, [l2], name="13-l2")

# %% [markdown]
# Beside it, $\ell_\infty$ training against the fully trained standard network.

# %%
_, usual = panel_contrasts(run, standard, [robust, early])
show.contrast_table(
    contrasted(usual, committed, resamples=resamples),
    contrasted(usual, records, resamples=resamples),
    name="13-usual",
    caption="Images fooled, minus the fully trained standard network.",
)

# %% [markdown]
# ## At equal margins

# %%
condition = "N={} R={} {}".format(run.options["max_count"], run.options["max_radius"], run.options["colors"][0])
covariates = {"relative margin": ("margins", "relative_margin"), "Gini index": ("inequality", "global_gini")}
fits = {
    other: [
        explained((other, robust), condition, tables, "occlusion", covariates)
        for tables in (run.reference, run.records)
    ]
    for other in (early, standard)
}
show.regression_table(
    *fits[early],
    name="13-regression",
    caption=f"Log odds of being fooled ({condition}), for one standard deviation of a predictor; for the model, "
    f"{show.title_of(robust)} against the early-stopped standard network.",
)

# %%
show.regression_table(
    *fits[standard],
    name="13-regression-standard",
    caption=f"The same, {show.title_of(robust)} against the fully trained standard network.",
)

# %% [markdown]
# Black alone can hide effects of the other colours, and one slope for two networks can hide two. So every rate and each network by itself follow. They were added after
# the regressions above had been seen.

# %%
groups = [(early, robust), (standard, robust), (robust,), (pgd,), (standard,), (early,)]
panel.slopes_table(run, groups, covariates, name="13-slopes")

# %% [markdown]
# ## Three trainings of each kind

# %%
panel.trainings_table(run, name="13-trainings")

# %%
panel.trainings_figure(run, name="13-trainings-figure")

# %% [markdown]
# ## What we found

# %%
panel.claim_findings(chapter_claims(run.chapter, run.records, run.reference, resamples=resamples))

# %%
panel.accuracy_findings(
    show.best(this_run, reference),
    {show.named(name): show.preferred(stored, live)[0] for name, (stored, live) in fits.items()},
)

# %%
show.close_calls(run.records)

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
HTML(provenance(run))
