# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     name: python3
# ---

# %% [markdown]
# # 10. The models
#
# **The question.** Every statement of this book is about networks that were trained for it. How accurate are they, how robust are
# they, and can their robustness be trusted?

# %% tags=["parameters"]
profile: str = "laptop"  # how much to compute: a file in profiles/
device: str = "auto"  # auto, cpu or cuda
n_images: int | None = None  # the first so many test images; null: the profile's value
seed: int | None = None  # of the attacks' random starts
models: list[str] | None = None  # checkpoints; null: the profile's list for this chapter
auto_attack_models: list[str] | None = None  # checkpoints to attack by AutoAttack, about half an hour each
auto_attack_images: int | None = None  # the first so many test images for AutoAttack

# %% tags=["hide-input"]
from inequality_phenomenon import REGISTRY, chapter, show
from inequality_phenomenon.measure import accuracy
from inequality_phenomenon.show import models as networks

run = chapter.open("10_cifar10_models", globals())
chosen = [name for name in run.options["auto_attack_models"] if name in run.models]
few = run.options["auto_attack_images"]
accuracy.measure_attack(run, accuracy.pgd_evaluation, accuracy.PGD, run.models)
accuracy.measure_attack(run, accuracy.auto_attack_evaluation, accuracy.AUTO_ATTACK, chosen, few)
ours = run.ours
strongest = ours.table("auto_attack_evaluation")
attacked = list(dict.fromkeys([*run.pair, *([] if strongest is None else strongest.checkpoint)]))
stronger = ours.contrast(networks.attack_contrasts(attacked), "pgd_evaluation", "auto_attack_evaluation")
networks.models_in_short(stronger, ours.records)

# %% tags=["hide-input"]
networks.trade_off_figure(networks.registered(), strongest, name="trade-off")

# %% [markdown]
# ## The claim and the method
#
# *Paper: appendix, Table 5.*
#
# "We summarize the clean and robust accuracy of models trained on CIFAR10 in Table 5. Regarding robust
# accuracy, we use AutoAttack [...] for evaluation."
#
# :::{admonition} There is no column with the paper's values
# :class: note
# The text of the paper that this project works from names Table 5 but does not contain it. No other place states its numbers. So this
# chapter has nothing to compare with, and no verdicts.
# :::
#
# A network $f$ is robust on an image $x$ with label $y$ if no perturbation within the budget changes its answer. An attack
# can only show that it is *not* robust, so every measured robust accuracy is an upper bound of the true one:
#
# $$\begin{aligned}
# &\frac{1}{n} \sum_{i=1}^{n} \mathbb{1}\big[\forall\, \lVert\delta\rVert \le \varepsilon:\ f(x_i + \delta) = y_i\big] \\
# \le\; &\frac{1}{n} \sum_{i=1}^{n} \mathbb{1}\big[f(x_i) = y_i \text{ and } f(x_i + \delta_i) = y_i\big],
# \qquad \delta_i \text{ found by the attack.}
# \end{aligned}$$
#
# {term}`PGD`-20 climbs the loss for 20 steps. {term}`AutoAttack` is slower and stronger: four attacks, one after the other, without a
# step size to choose.
#
# :::{dropdown} What we decided before looking
# When this part was written, the PGD-20 accuracy of the first networks was known, since a network is measured when it is registered.
# AutoAttack had run on 25 images of one of them and on 50 of another, to see how long it takes.
#
# - **Images**: the first $n$ of the test set, right or wrong. The other chapters measure images that a network classifies correctly; an accuracy cannot.
# - **PGD-20**: step $2.5\,\varepsilon / 20$, random start, 2 restarts; an image counts as robust if it survives both. At the budget that the network was trained for, and
#   at $\ell_\infty$ 8/255 for all.
# - **AutoAttack**: the standard version (APGD-CE, targeted APGD-DLR, targeted FAB, Square with 5000 queries), at the same budgets.
#   We report the difference from PGD-20 on the same images (McNemar's test, adjusted by Holm over the table). That AutoAttack finds more is
#   expected; the question is how much more.
# - **Floors**: the least accuracy with which a network may ship, for some kinds of training; they are in the cards below. Those of the ladder entered
#   the code after its seed 0 was trained, all others before their networks were measured.
# - **Flags**: nine signs that a robust accuracy is an artefact, with limits that are fixed in the code. [The page on
#   flags](../robustness_flags.md) gives each. A raised flag is shown beside the number; it does not remove it.
# - **No choice by test images.** Nothing here chose an epoch, a setting or a network. The only images that may stop a training are 500
#   training images that are held out.
# :::

# %% tags=["hide-input"]
images = f"the first {ours.n_images} of the 10,000 test images, whether or not a model classifies them correctly"
counts = f"{len(networks.registered())} registered models were measured on all; {len(accuracy.planned_models())} more are planned and listed below"
show.models_note(run, ours, f"Images: {images}. The {counts}.")

# %% [markdown]
# ## Results
#
# Table 5: clean and robust accuracy.

# %% tags=["hide-input"]
networks.accuracy_table(ours.records["pgd_evaluation"], name="10-accuracy")

# %% [markdown]
# ## What decides it
#
# **The attack.** How far can PGD-20 be trusted?

# %% tags=["hide-input"]
networks.auto_attack_table(stronger, strongest, name="10-autoattack")

# %% [markdown]
# **An artefact?** A network can look robust because the attack cannot get hold of it: gradients that vanish, outputs that are no logits, layers that draw
# random numbers. Each evaluation above is checked for these signs.

# %% tags=["hide-input"]
networks.flags_table(ours.records, name="10-flags")

# %% [markdown]
# **The training.** First the ladder, then all other registered networks.

# %% tags=["hide-input"]
networks.training_curves(networks.ladder(), name="training-ladder")

# %% tags=["hide-input"]
networks.training_curves([name for name in REGISTRY if name not in networks.ladder()], name="training-others")

# %% [markdown]
# **What goes with the Gini index?** The budget $\varepsilon$ of ℓ∞ training, or the accuracy that it costs, or the robustness that it buys? Every
# network whose index is in this book's records, ℓ2, pruned, Cutout and distilled ones among them. *Added after looking.*

# %% tags=["hide-input"]
from inequality_phenomenon.verdicts.every_network import every_network, predicted

all_of_them = every_network()
found = predicted(all_of_them)
networks.predictors_figure(all_of_them, found, name="10-predictors") + networks.predictors_table(
    found, name="10-goes-with"
)

# %% [markdown]
# **Model cards**, generated from the registry. Open one to read it. Below them: what is planned and not there.

# %% tags=["hide-input"]
networks.model_cards(ours.records)

# %% tags=["hide-input"]
networks.planned_table(name="10-planned")

# %% [markdown]
# ## What could be wrong
#
# - **They are not the paper's networks.** A quarter of the usual channels, few epochs, and mostly a one-step attack in training. Published networks
#   of the usual size reach more on both axes. [Two networks of the usual size](../scale.md) were trained once each, briefly.
# - **An upper bound stays an upper bound.** AutoAttack has no proof. It is what the field compares by.
# - **Few images.** With the laptop profile an interval is some twenty points wide. The registered values of PGD-20 use all test images; those of AutoAttack
#   do not, nor does the PGD-20 beside them.
# - **The flags see what they look for.** A network without a flag can still be overestimated. The nine were chosen because each has fooled a
#   published evaluation or is easy to cause by accident.
# - **One training run a model.** Each row is one network, of seed 0 unless its title names another. The difference between two of them is not the difference
#   between two training methods. [The chapter of our own controls](13_is_it_inequality) repeats trainings with other seeds.
#
# ## Exercise
#
# 1. Run with `-p n_images 500`. In how many cells of the first table does the value of all test images lie in the interval of the first 500? How many would you
#    expect?
# 2. The standard network's accuracy at 8/255 is close to zero. At which $\varepsilon$ is it half of the clean one? Use
#    `robust_accuracy` with a `Threat` of your choice.
# 3. Wrap a network so that it rounds its input to eight levels, and call `robustness_flags.evaluate` on it. Which flags are raised, and what
#    does its robust accuracy seem to be?

# %% tags=["hide-input"]
run.footer()
