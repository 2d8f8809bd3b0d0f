# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     name: python3
# ---

# %% [markdown]
# # 8. Inequality by class
#
# **The question.** Does the inequality of an attribution map depend on what is in the picture?

# %% tags=["parameters"]
profile: str = "laptop"  # how much to compute: a file in profiles/
device: str = "auto"  # auto, cpu or cuda
n_images: int | None = None  # images of the common subset; null: the profile's value
seed: int | None = None  # of the random baselines of Integrated Gradients
models: list[str] | None = None  # checkpoints: a standard and an l_inf one; null: the profile's list for this chapter
region: int | None = None  # side of a region in pixels (the paper: 4)

# %% tags=["hide-input"]
from inequality_phenomenon import chapter, show
from inequality_phenomenon.measure.classes import INDICES, class_inequality
from inequality_phenomenon.show import inequality as figures

run = chapter.open("08_class_inequality", globals())
run.measure(class_inequality, models=run.compared, region=run.options["region"], seed=run.seed)
ours, (standard, robust), resamples = run.ours, run.pair, run.ours.profile.bootstrap
run.in_short()

# %% tags=["hide-input"]
records = ours.records["class_inequality"]
figures.class_dots(records, [standard, robust], name="classes")

# %% tags=["hide-input"]
from inequality_phenomenon.verdicts.claims import examine

primary, secondary = figures.class_tests(standard, robust)
decided = examine(primary, ours.records, resamples=resamples)
show.outcome_table(
    decided,
    examine(primary, ours.full_size, resamples=resamples),
    name="8-primary",
    caption="The two primary tests, adjusted together. Intervals are over images, p over classes.",
)

# %% [markdown]
# ## The claim and the method
#
# *Paper: section 4.2 and appendix A.7, Tables 6 and 7.*
#
# On ImageNet, for the network trained at 8/255: "classes related to animal tends to have a higher value on
# Gini index. For example, class 'Bustard' has the highest value on Gini of 0.950. Classes related to scenes or stuff tend to have
# a lower Gini. For example, class 'Web site' has the lowest inequality of 0.890". And: "Classes with high regional inequality are
# similar to classes with high global inequality."
#
# Let $G_n$ be the Gini index of image $n$, global or regional, and $\mathcal{I}_c$ the images of class $c$. Classes are
# ranked by
#
# $$\bar G_c = \frac{1}{|\mathcal{I}_c|} \sum_{n \in \mathcal{I}_c} G_n .$$
#
# CIFAR-10 has ten classes instead of a thousand: six animals (bird, cat, deer, dog, frog, horse) and four objects, all of
# them vehicles. It has no scenes.
#
# :::{dropdown} What we decided before looking
# This part was written before any class mean was seen.
#
# - **Primary outcome**: the mean of $\bar G_c$ over the six animals minus that over the four objects, global index, the
#   $\ell_\infty$ network with the largest $\varepsilon$. Every class counts the same, however many of its images are in the subset.
# - **Two kinds of doubt.** The interval is a bootstrap over images within each class. It is about these ten classes. *p* is from an exact
#   permutation test of the ten class means: of the 210 ways to call six classes "animals", how many give a difference as large?
#   It asks whether the split into animals and objects is special among splits, as the claim about animals in general needs it. With ten classes *p* cannot be below
#   0.0095. The verdict uses *p*.
# - **Second outcome**: Spearman's correlation, over the ten classes, between $\bar G_c$ of the global and of the regional index, same
#   network; *p* from permutations of the classes. The paper's direction is positive.
# - These two are adjusted together by Holm. **Secondary**, in a table of their own: the regional index, and both for the standard network.
# - **Ranks** get intervals as well: images are drawn again within each class, and the classes ranked again. Where the intervals of two
#   classes overlap widely, their order means little.
# - **Examples** are chosen by a rule: for each index the median image of the class with the highest mean and of the one with the
#   lowest, and the two images with the highest and the lowest index of all.
# :::

# %% tags=["hide-input"]
show.models_note(run, ours)

# %% [markdown]
# ## Results
#
# Tables 6 and 7 in their CIFAR-10 form: classes by descending mean. The paper's values belong to ImageNet classes and have no place here. The indices are those of the maps
# in the [chapter on the inequality test](01_inequality_test).

# %% tags=["hide-input"]
figures.class_table(records, robust, "global_gini", name="8-global")

# %% tags=["hide-input"]
figures.class_table(records, robust, figures.REGIONAL, name="8-regional")

# %% [markdown]
# ## What decides it
#
# The index, and the network: what the standard network shows as well is not due to $\ell_\infty$ training.

# %% tags=["hide-input"]
show.outcome_table(
    examine(secondary, ours.records, resamples=resamples),
    examine(secondary, ours.full_size, resamples=resamples),
    name="8-secondary",
    caption="Secondary: the regional index and the standard network, adjusted together.",
)

# %% [markdown]
# **The extremes**, chosen by the rule above. Each map is on its own scale.

# %% tags=["hide-input"]
from inequality_phenomenon.measure.classes import class_examples

sample = ours.sample(robust)
examples = {column: class_examples(sample, records, column, seed=ours.seed) for column in INDICES}
figures.example_grid(examples, robust, name="class-examples")

# %% [markdown]
# ## What could be wrong
#
# - **Ten classes are few.** The four objects are all vehicles, photographed in the open; the paper's low end is scenes and
#   textures such as web sites. CIFAR-10 cannot test that end at all.
# - **The images are chosen.** The common subset holds images that all networks of the ladder classify correctly. Weak networks get few cats
#   and birds right, and those few are the easy ones: perhaps a large animal on a plain ground. The number of images of each class
#   is in the tables.
# - **Class, or picture?** Animals and vehicles differ in the size of the object, the background and the colours. The
#   Gini index of a map that is $(x - x')$ times a gradient depends on the picture as such. If the standard network shows the same
#   order of classes, the order says little about $\ell_\infty$ training; the secondary table has it.
# - **Two kinds of doubt again.** An interval that excludes 0 beside a *p* above 0.05 is no contradiction: these classes differ, but with
#   four against six that may be due to other things than being an animal.
# - **One training run a model.** The statements are about these networks.
#
# ## Exercise
#
# 1. Before you look: which class should have the highest regional index, if objects that fill the frame spread the attribution? Check.
# 2. Run with `-p region 8`. Which ranks change, and by more than their intervals?
# 3. Show that with six classes against four, an exact two-sided permutation test cannot give a *p* below $2/210$. How many classes of
#    each kind would be needed for 0.001?

# %% tags=["hide-input"]
run.footer()
