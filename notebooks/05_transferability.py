# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     name: python3
# ---

# %% [markdown]
# # 5. Transferability
#
# **The question.** An attack image is made on one network. Does it also fool another network, and does it matter which of the two it was made
# on?

# %% tags=["parameters"]
profile: str = "laptop"  # how much to compute: a file in profiles/
device: str = "auto"  # auto, cpu or cuda
n_images: int | None = None  # images of the common subset; null: the profile's value
seed: int | None = None  # of the attribution baselines and the noise
models: list[str] | None = None  # checkpoints, each a source and a target; null: the profile's list for this chapter
color: str | None = None  # of the patches
budget: int | None = None  # noisy subpixels (the paper's 5000 of 150528: 102 of 3072)
draws: int | None = None  # times that the noise is drawn for each image

# %% tags=["hide-input"]
from inequality_phenomenon import chapter, show
from inequality_phenomenon.measure.measurements import occlusion_conditions
from inequality_phenomenon.measure.transferability import noise_transfer, occlusion_transfer

run = chapter.open("05_transferability", globals())
attack = occlusion_conditions(run.options["occlusions"], [run.options["color"]])
kinds = {"noise type I": {"kind": "type_1"}, "noise type II": {"kind": "type_2"}}
noisy = {"budget": run.options["budget"], "draws": run.options["draws"]}
run.measure(occlusion_transfer, attack, targets=list(run.models), seed=run.seed)
run.measure(noise_transfer, kinds, targets=list(run.models), seed=run.seed, **noisy)
ours = run.ours
run.in_short()

# %% tags=["hide-input"]
from inequality_phenomenon.show import attacks as figures

tables, attacks = ("occlusion_transfer", "noise_transfer"), [*attack, *kinds]
figures.transfer_matrix(ours.table(*tables), attacks, name="transfer-matrix")

# %% tags=["hide-input"]
from inequality_phenomenon.verdicts.contrasts import transfer_contrasts

low, easier = transfer_contrasts(run.pair, [*attack, "noise type I"])
primary = ours.contrast(low + easier, *tables)
show.conclusions({"Is transfer low?": primary[: len(low)], "Is it easier from standard to ℓ∞?": primary[len(low) :]})

# %% [markdown]
# ## The claim and the method
#
# *Paper: appendix A.4, Table 4.*
#
# On ImageNet, with a ResNet-50: "the transferability between the l∞-robust model and the standard-trained model is low. Transferring attack
# results from the standard-trained model to the l∞-robust model is easier." The paper takes this as support: "If the region of the most
# important pixels is occluded, the l∞-robust model fails to recognize the images correctly." The numbers of its Table 4 are not in our copy
# of the text.
#
# Let $x'_S$ be the attack image of $x$ made on network $S$, the *source*. It is shown to network $T$, the *target*. With $N$ images that both
# classify correctly when clean, the transfer rate is
#
# $$t(S \to T) = \frac{1}{N} \sum_{n=1}^{N} \left[\, f_T\big(x'_{S,n}\big) \ne y_n \right] .$$
#
# $t(T \to T)$ is the rate of the ordinary attack. For occlusion, $x'_S$ is the image at the first success of Algorithm 1 on $S$, or the one
# under its last mask if there is none. For noise, $S$ only says where the noise goes.

# %% tags=["hide-input"]
show.models_note(run, ours)

# %% [markdown]
# <details><summary>What we decided before looking at any result</summary>
#
# - **Attacks**: black patches at $(N, R) = (5, 2)$ and $(10, 4)$, the paper's two budgets carried over to 32 pixels, and noise on 102 of 3072
#   subpixels. The paper does not say which type of noise; type I decides, type II is shown beside it.
# - **The rate counts all images**, as the paper's error rate does, also those on which the source itself was not fooled. The share among
#   those that did fool the source is in the table too.
# - **"Low"** needs a threshold, and the paper gives none. We call transfer low where an image made on the other network fools the target
#   *less than half as often* as the target's own images do: $t(S \to T) - \tfrac12\, t(T \to T) < 0$. The claim holds if that is so in both
#   directions, for all three attacks: six tests.
# - **"Easier from standard to robust"**: $t(\text{standard} \to \ell_\infty) - t(\ell_\infty \to \text{standard}) > 0$ on the same images,
#   for all three attacks: three tests. The $\ell_\infty$ network is the one with the largest $\varepsilon$.
# - The nine tests are adjusted together by Holm: McNemar's test where two outcomes are compared, else a sign-flip test. Type II noise gets
#   its own table and adjustment.
# - **All other pairs** of networks are in the matrices, without tests.
# </details>
#
# ## Results
#
# Table 4 in its CIFAR-10 form: both networks of the claim, as source and as target.

# %% tags=["hide-input"]
caption = "Images fooled by attack images made on either network."
figures.pair_table(ours.table(*tables), run.pair, attacks, name="5-transfer", caption=caption)

# %% [markdown]
# The primary tests: is transfer low, and is it easier in one direction?

# %% tags=["hide-input"]
caption = "The nine primary tests, adjusted together. First six rows: transferred minus half of the target's own rate."
show.contrast_table(primary, name="5-primary", caption=caption) + run.claims()

# %% [markdown]
# ## What decides it
#
# **The type of noise.** The same for type II.

# %% tags=["hide-input"]
low, easier = transfer_contrasts(run.pair, ["noise type II"])
second = ours.contrast(low + easier, *tables)
show.contrast_table(second, name="5-type-2", caption="Secondary: noise of type II.")

# %% [markdown]
# ## What could be wrong
#
# - **"Half" is our choice.** With another threshold the verdict on "low" can change; the table has the rates, so that readers can apply their
#   own.
# - **The two attacks are not treated alike.** A target's own occlusion is the best of up to $N \cdot R$ masks, each tried on it. A
#   transferred one is a single mask, which the target never saw. So even two equal networks would show a gap. For noise there is no search,
#   and no such advantage.
# - **The source decides how large the mask is.** A source that is fooled early leaves a small patch, and a source that is never fooled hands
#   over its largest mask. A network that resists occlusion therefore makes *stronger* images for others. That alone can make one direction
#   easier.
# - **Fragile is not the same as sharing features.** A target that fails under any patch will also fail under a transferred one. The chapters
#   on noise and occlusion have the controls: random places, and the other network's map with the target's own search.
# - **The images are easy ones**: those that all the networks of the ladder classify correctly.
# - **One training run a model.** The statements are about these networks.
#
# ## Exercise
#
# 1. Run with `-p color gray`. Gray is close to the mean colour, so a patch removes without adding an edge in strong contrast. Which of the
#    two parts of the claim changes?
# 2. Which of the two is larger, $t(2/255 \to 8/255)$ or $t(\text{standard} \to 8/255)$? Guess first, then look at the matrices. What does the
#    answer say about the features that the networks share?
# 3. Show that the transfer rate of noise of type I with all 3072 subpixels noisy does not depend on the source.

# %% tags=["hide-input"]
run.footer()
