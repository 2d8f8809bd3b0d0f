# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     name: python3
# ---

# %% [markdown]
# # 1. The inequality test
#
# **The question.** Does $\ell_\infty$ adversarial training concentrate a network's decision on fewer pixels, and does it
# do so the more, the larger $\varepsilon$ is?

# %% tags=["parameters"]
profile: str = "laptop"  # how much to compute: a file in profiles/
device: str = "auto"  # auto, cpu or cuda
n_images: int | None = None  # images of the common subset; null: the profile's value
seed: int | None = None  # of the random baselines of Integrated Gradients
models: list[str] | None = None  # checkpoints; null: the profile's list for this chapter
region: int | None = None  # side of a region in pixels (the paper: 4)
steps: int | None = None  # steps of Integrated Gradients (the paper: 20)
own_images: int | None = None  # images for "correct under this model alone"; 0: none

# %% tags=["hide-input"]
from inequality_phenomenon import chapter, show
from inequality_phenomenon.measure.measurements import inequality
from inequality_phenomenon.networks import network_name

run = chapter.open("01_inequality_test", globals())
options = {"steps": run.options["steps"], "seed": run.seed}
run.measure(inequality, region=run.options["region"], **options)
standard, robust = run.pair
ladder = [name for name in run.models if network_name(name) == network_name(standard)]
if run.options["own_images"]:
    alone = {"own": True, "n_images": run.options["own_images"], "name": "own_images"}
    run.measure(inequality, {"": {}}, models=tuple(ladder), region=run.options["region"], **alone, **options)
ours = run.ours
run.in_short()

# %% tags=["hide-input"]
from inequality_phenomenon.show import inequality as figures
from inequality_phenomenon.verdicts.published import table1_cells

table1 = ours.compare(table1_cells("global_gini", ours.models), "inequality")
against = {"The index rises against the standard network": [item for item in table1[:5] if item.cell.baseline]}
figures.gini_by_epsilon(table1[:5], name="global-gini", title="Global Gini index") + show.conclusions(against)

# %% [markdown]
# ## The claim and the method
#
# *Paper: section 4.2, Table 1, Figures 2, 5 and 9, appendix A.3.*
#
# "Experiments on CIFAR10 and ImageNet show that $\ell_\infty$-robust models rely on fewer pixels to
# support the prediction with the increasing of the adversarial strength ($\varepsilon$)." On CIFAR-10 the Gini index of the
# attribution map is reported to rise from 0.58 (standard) to 0.73 ($\varepsilon = 8/255$).
#
# For an image $x$ with $n$ subpixels, attribution gives each subpixel a signed number $a_i$; with the
# absolute values in ascending order, $\phi_1 \le \dots \le \phi_n$,
#
# $$\mathrm{Gini}(\phi) = \frac{1}{n}\left(n + 1 - 2\,\frac{\sum_{i=1}^{n}(n + 1 - i)\,\phi_i}{\sum_{i=1}^{n}\phi_i}\right).$$
#
# It is 0 when all subpixels matter equally and $(n-1)/n$ when one carries everything. The
# [method page](../method.md) derives it and lists the five readings of its regional form.
#
# For every network we attribute the true-class logit with Integrated Gradients (20 Gauss–Legendre steps, one standard normal
# baseline an image in normalised space) on the common subset: test images that
# the shipped ResNet-18 networks (the ladder in ε) all classify correctly. Then we compute both indices for each image.

# %% tags=["hide-input"]
show.models_note(run, ours)

# %% [markdown]
# The paper's own example (A.3) compares two vectors that are equally sparse: two of five entries are not zero. Counting
# non-zero entries cannot tell them apart; the Gini index can.

# %% tags=["hide-input"]
run.claims("l0")

# %% [markdown]
# ## Results
#
# Table 1: the paper beside our measurements. The difference is paired: the same images, the model minus the standard model.
# *p* is from a sign-flip permutation test, adjusted by Holm over this table. The verdict compares with the paper's number;
# how it is decided is [fixed in advance](../numbers.md).

# %% tags=["hide-input"]
caption = f"Table 1, {run.data.title}: global Gini index of |attribution|. The paper's ± is printed as published."
show.comparison_table(table1, name="1-global", caption=caption) + run.claims()

# %% [markdown]
# The same for the regional index. The paper sums importance over 4×4 blocks but leaves open what happens to signs. We take
# sums of absolute values; all five readings follow below.

# %% tags=["hide-input"]
side, blocks = run.options["region"], run.data.region
regional = ours.compare(table1_cells("regional_gini_sum_of_absolute", ours.models), "inequality")
caption = f"Table 1: regional Gini index, {side}×{side} blocks of |attribution|, summed over the channels; the paper's: {blocks}×{blocks}."
show.comparison_table(regional, name="1-regional", caption=caption)

# %% [markdown]
# A Gini index is not a head count. The paper reads 0.95 as "less than 5 % of pixels dominate
# the prediction"; the index alone does not say that. The next figure answers the paper's own definition of
# dominance (section 3.1): how much do the $N$ most important subpixels carry? The Lorenz curve turns it round; the index is
# twice the area between it and the diagonal.

# %% tags=["hide-input"]
import numpy as np

from inequality_phenomenon import lorenz_curve, top_share

samples = {name: run.sample(name) for name in run.models}
maps = {name: sample.maps(**options) for name, sample in samples.items()}
total = run.data.subpixels
counts = np.unique([*np.geomspace(1, total, 60).astype(int), round(0.05 * total)])
shares = {name: top_share(m.abs().flatten(1), counts.tolist()).mean(0).cpu().numpy() for name, m in maps.items()}
curves = {name: lorenz_curve(found.abs().flatten(1)).mean(0).cpu().numpy() for name, found in maps.items()}
figures.top_share_curves(shares, counts, total, name="top-share") + figures.lorenz_curves(curves, name="lorenz")

# %% [markdown]
# Move the sliders: any network, one image of each of five classes, with the numbers of that map. Chosen by a rule: of each
# class the first image of the subset.

# %% tags=["hide-input"]
from inequality_phenomenon.measure.galleries import shared_images, views
from inequality_phenomenon.show import sliders

few = shared_images(run, classes=5)
clean = {name: views(sample, sample.images) for name, sample in few.items()}
found = {"integrated_gradients": {name: sample.maps(**options) for name, sample in few.items()}}
caption = "Maps of Integrated Gradients, as they are and clipped, beside the image and what the network says."
sliders.maps_slider(clean, found, name="maps-slider", caption=caption, records=run.records["inequality"])

# %% [markdown]
# ## What decides it
#
# **The reading.** Five readings of the regional index; the last, without blocks, is the *global* index of the positive part,
# $\mathrm{Gini}(\max(a, 0))$. Each network of the ladder minus the standard one, *secondary*, added after looking, with
# a Holm adjustment of its own.

# %% tags=["hide-input"]
from inequality_phenomenon.verdicts.comparison import against_standard

records = ours.table("inequality")
readings = ["global_gini", *(column for column in records.columns if column.startswith("regional"))]
shown = figures.readings_figure(records[records.checkpoint.isin(run.models)], readings, name="five-readings")
asked = {column.removeprefix("regional_gini_").replace("_", " "): ("", column) for column in readings[1:]}
differences = ours.contrast(against_standard(standard, [n for n in ladder if n != standard], asked), "inequality")
own = [item for item in differences if item.contrast.terms[0][0] == robust]
shown += show.tally({f"The index of {show.named(robust)} against the standard one, reading by reading": own})
caption = "Secondary: five readings of the regional index, each network minus the standard one."
shown + show.contrast_table(differences, name="1-readings", caption=caption)

# %% [markdown]
# **The images.** The common subset holds easy images, those that every network of the ladder gets right. Added after looking: does it
# decide the answer?

# %% tags=["hide-input"]
column = {"global Gini index": ("", "global_gini")}
show.subsets(ours, ladder, column, records, name="1-subsets", what="Global Gini index")

# %% [markdown]
# ## What could be wrong
#
# - **One training run a model.** Every network here is of seed 0, and the interval is over images. It says nothing about another seed, so every
#   statement above is about *these models*, not about the training method. [The chapter of our own controls](13_is_it_inequality) repeats trainings with other seeds.
# - **Small networks.** The shipped ResNet-18 has a quarter of the usual width, so that it runs on a laptop. One training each at the usual width stands in
#   the rows marked *full size* where it was measured; it is [trained more briefly than the paper's](../scale.md).
# - **The DenseNets** are DenseNet-BC-40-12 with 0.18 million parameters; the paper does not name its variant. They differ in more than the attack, also in epochs and device:
#   [their model cards](10_cifar10_models) have both. The images were chosen by the ResNets; those that a DenseNet gets wrong are left out for it.
# - **The baseline is random.** One normal draw an image is what the paper states. Other baselines change the level of the index.
# - **What chance alone gives.** Integrated Gradients multiplies a difference $x_i - x'_i$ by a mean gradient. If both were independent
#   normal numbers, the Gini index of the absolute products would be $\pi/2 - 1 = 0.571$, and of their positive part $\pi/4 = 0.785$. The paper's values for the
#   standard networks on CIFAR-10 are 0.58 and 0.79. So the level of a standard network carries little information; only differences do.
# - **"Regional" is ambiguous.** The figure of the five readings counts how many published values each reading meets. A reading may meet
#   the level of a column without its rise over ε; look at both. Taking sums over equal blocks of a non-negative map can only lower its Gini index, yet the published regional value
#   exceeds the global one in every cell.
#
# ## Exercise
#
# 1. Run this notebook with `-p region 8` and with `-p region 2`. Predict first: which way does the regional index move, and why must it?
# 2. Run it with `-p seed 1`. How large is the change, compared with the width of the intervals? What does the interval *not* cover?
# 3. Show that no five numbers have Gini index 0.6 if no single one may hold more than 40 % of the total. What is the largest index possible?

# %% tags=["hide-input"]
run.footer()
