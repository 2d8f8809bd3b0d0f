# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     name: python3
# ---

# %% [markdown]
# # 15. In how many readings does each claim hold?
#
# **The question.** The paper leaves choices open; each chapter takes one path through them. Which claims hold on all paths, which hang on one
# choice?

# %% tags=["parameters"]
profile: str = "laptop"  # how much to compute: a file in profiles/
device: str = "auto"  # auto, cpu or cuda
n_images: int | None = None  # the first of the test set; null: the profile's value
seed: int | None = None  # of baselines, samples and noise
models: list[str] | None = None  # checkpoints of the plan; null: the profile's list for this chapter
occlusion_images: int | None = None  # at most so many for patches
chance_images: int | None = None  # for what chance and geometry give
maps: int | None = None  # how many of the plan's attribution maps get an index; null: the profile's value
attacked_maps: int | None = None  # and how many choose the places of noise and patches
attacked: int | None = None  # how many of the networks are attacked

# %% tags=["hide-input"]
from inequality_phenomenon import chapter
from inequality_phenomenon.measure.chance import measure_chance
from inequality_phenomenon.measure.multiverse import measure_multiverse
from inequality_phenomenon.show import boxed
from inequality_phenomenon.show import multiverse as show
from inequality_phenomenon.verdicts.multiverse import closest_to_a10, closest_to_table1, multiverse

run = chapter.open("15_every_reading", globals())
measure_multiverse(run)
measure_chance(run)
ours = run.ours
n, few = ours.n_images, min(ours.n_images, ours.options["occlusion_images"])
asked = {"index": n, "regional": n, "l2": n, "l2_regional": n, "noise": n, "noise_random": n}
asked |= dict.fromkeys(("black", "gray", "white", "minimum"), few)
found = {claim: multiverse(claim, ours.records, count) for claim, count in asked.items()}
patches = show.sentence(*(found[colour] for colour in ("black", "gray", "white")))
boxed([*(show.sentence(found[claim]) for claim in ("index", "l2", "noise")), patches])

# %% tags=["hide-input"]
show.specification_curve(found["index"], name="index")

# %% tags=["hide-input"]
show.specification_curve(found["black"], name="black")

# %% tags=["hide-input"]
show.overview(list(found.values())) + show.named_readings([found[c] for c in ("index", "noise", "black")])

# %% [markdown]
# ## Choose your reading
#
# Set each choice as you would have made it. The lists also have the combinations that coincide with another one.

# %% tags=["hide-input"]
main = {claim: asked[claim] for claim in ("index", "noise", "black", "gray", "white")}
show.explorer([multiverse(claim, ours.records, count, every=True) for claim, count in main.items()])

# %% [markdown]
# ## The claim and the method
#
# *The paper's main claims: sections 4.2 to 4.4, A.5, A.8 and A.10.*
#
# A *universe* is one combination of options: a method with its baseline, an output, an order of regions, a budget, a set of images, a pair of networks, and so on.
# In each universe $u$ we take the claim's difference between the two networks,
#
# $$\Delta_u = \frac{1}{|I_1|} \sum_{i \in I_1} v_u(x_i; f_{\ell_\infty}) - \frac{1}{|I_2|} \sum_{i \in I_2} v_u(x_i; f_{\text{standard}}),$$
#
# where $v_u$ is an image's Gini index, or 1 if the attack fools the network, and $I_1, I_2$ are the images that $u$ counts. It speaks *for* the claim if its 95 % interval lies
# above 0, *against* it below, else it is *undecided*. Steegen et al. {cite}`steegen2016` call all universes together a multiverse;
# Simonsohn et al. {cite}`simonsohn2020` rank them in a specification curve.
#
# **A share is no probability.** It describes our list of options. Universes share networks and images, so they are not independent. The list was fixed before
# these records were measured, by people who knew the results of the other chapters; what they knew is written in the plan.
#
# :::{dropdown} The plan, with the reason for each option
# `results/multiverse.yaml` has every choice, option and reason, the exact number of universes, and what was known when it was written (30 November 2026). Its first draft was read by somebody
# who had not seen it. That reader's objections changed it: accuracy under attack became claims of their own; N = 3, chosen after seeing its result, went; Integrated Gradients averaged over five
# baselines, another width of SmoothGrad and the images that every network gets right came in. Universes that no image can tell apart count once: squared SmoothGrad is never negative,
# so several readings of its maps coincide, and different searches may try the same masks. Left out for their cost: attributions of the probability, and SmoothGrad's second width, in the attacks.
# No universe is left out after looking.
# :::

# %% [markdown]
# ## What decides
#
# For each claim, the choices that move the effect most (type II sums of squares of main effects), with the share of readings for and against at each option.

# %% tags=["hide-input"]
show.what_decides([own for own in found.values() if not own.table.empty])

# %% [markdown]
# **Noise.** The curve of all readings in which noise sits on the subpixels that matter.

# %% tags=["hide-input"]
show.specification_curve(found["noise"], name="noise")

# %% [markdown]
# **ℓ2 training.** Here a universe compares the ℓ∞ network with one trained in ℓ2, by the same recipe.

# %% tags=["hide-input"]
show.specification_curve(found["l2"], name="l2")

# %% [markdown]
# **Every option of the two claims that depend most on choices.**

# %% tags=["hide-input"]
show.option_table(found["black"], name="options-black") + show.option_table(found["index"], name="options-index")

# %% [markdown]
# ## Accuracy under attack
#
# Until here an attack counts only where the network was right before it. Who *uses* a network cares about something else: how often it is right *under* attack. The ℓ∞ network is wrong more often
# before any attack, so this claim starts ahead.

# %% tags=["hide-input"]
under = {"noise_accuracy": n, "patches_accuracy": few}
accuracy = [multiverse(claim, ours.records, count) for claim, count in under.items()]
show.overview(accuracy, name="readings-accuracy") + show.what_decides(accuracy, most=1)

# %% [markdown]
# ## Which reading gives the published numbers?
#
# Among thousands of readings one comes near to any number by chance. So the nearest is chosen on every other image, and its distance is measured on the rest.

# %% tags=["hide-input"]
table1, a10 = closest_to_table1(ours.records, n), closest_to_a10(ours.records, few)
show.closest_note(table1, "Table 1, ResNet-18 on CIFAR-10", "Gini") + show.closest_note(a10, "Appendix A.10", "%")

# %% [markdown]
# ## What chance and geometry give
#
# Integrated Gradients is $(x - x')$ times a mean gradient. So a part of its index is there before a network has learnt anything. Here the baseline is black. *Permuted* puts a
# map's values at random places: what is left of the regional index is not clustering. The last columns follow Chalasani et al. {cite}`chalasani2020`, who showed first that adversarial training makes attributions sparser,
# and measured it by a Gini index too.

# %% tags=["hide-input"]
show.chance_table(ours.records["chance"], resamples=ours.profile.bootstrap)

# %% tags=["hide-input"]
show.cascade_figure(ours.records["cascade"], resamples=ours.profile.bootstrap)

# %% [markdown]
# ## What could be wrong
#
# - Options weigh by how many there are. Integrated Gradients has five baselines, squared SmoothGrad one. The table by option shows what each does alone.
# - One training a kind. A joint test over universes speaks of these networks; other seeds of the same recipe may differ.
# - Two of the planned pairs were trained with noise in the images, which may make them robust against the noise of the attack. The pair is one of the choices.
# - The budgets are the paper's, scaled from 224 pixels to 32. How to scale a radius is itself a choice, and here it is an option.
#
# ## Try it
#
# Choose one claim and write down, before you look, which choice you expect to decide it. Then find the reading that speaks most strongly against you.

# %% tags=["hide-input"]
run.footer()
