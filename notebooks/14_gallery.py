# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     name: python3
# ---

# %% [markdown]
# # 14. The gallery
#
# **The question.** Do the attribution maps and occluded images of this book's networks look like the paper's? And what does the usual clipping
# of such figures take away?

# %% tags=["parameters"]
profile: str = "laptop"  # how much to compute: a file in profiles/
device: str = "auto"  # auto, cpu or cuda
n_images: int | None = None  # images of the common subset; null: the profile's value
seed: int | None = None  # of the random baselines and of the noise
models: list[str] | None = None  # checkpoints; null: the profile's list for this chapter
methods: list[str] | None = None  # attribution methods of the second gallery
colors: list[str] | None = None  # of the patches in the gallery of occluded images
max_count: int | None = None  # N of these patches (the paper: 10)
max_radius: int | None = None  # R in pixels (the paper: 4)

# %% tags=["hide-input"]
from inequality_phenomenon import chapter, show
from inequality_phenomenon.measure.galleries import clipping, ladder_of
from inequality_phenomenon.show import attacks
from inequality_phenomenon.verdicts.comparison import against_standard

run = chapter.open("14_gallery", globals())
standard, robust = run.pair
run.measure(clipping, {"clipping": {}}, models=ladder_of(run), seed=run.seed)
ours = run.ours
others = [name for name in ladder_of(ours) if name != standard]
place = {"hidden importance": ("clipping", "share_hidden")}
hidden = ours.contrast(against_standard(standard, others, place, expected=1), "clipping")
attacks.clipping_in_short(hidden[others.index(robust)], ours.records["clipping"])

# %% [markdown]
# Figures 5, 6 and 9: maps as they are, and clipped. Move the sliders: every network that is listed below as measured, one image of each class. Each map is on
# its own scale, from black to its largest value.

# %% tags=["hide-input"]
from inequality_phenomenon.measure.galleries import shared_images, views
from inequality_phenomenon.show import sliders

samples = shared_images(run)
clean = {name: views(sample, sample.images) for name, sample in samples.items()}
sliders.maps_slider(
    clean,
    {"integrated_gradients": {name: sample.maps(seed=run.seed) for name, sample in samples.items()}},
    name="gallery-maps",
    caption="Integrated Gradients of the networks measured here, as they are and clipped at three standard deviations, beside "
    "the image and what the network says.",
)

# %% [markdown]
# ## The claim and the method
#
# *Paper: appendices A.2, A.10 and A.11, Figures 5, 6, 8 and 9.*
#
# Most figures of attribution maps clip the values at three standard deviations (A.2). "Thus, the most
# influential pixels with extremely high values are clipped to a relatively lower value but they actually dominate the
# prediction". Clipped maps are therefore "more perceptually-aligned with human observers" than the maps are.
#
# With $s$ the standard deviation of all subpixels of one map $a$, clipping replaces $a_i$ by
#
# $$\tilde a_i = \max\bigl(-3s,\ \min(3s,\ a_i)\bigr), \qquad
# \text{hidden importance} = 1 - \frac{\sum_i |\tilde a_i|}{\sum_i |a_i|}.$$
#
# The maps of Integrated Gradients are those of the first chapter.
#
# :::{dropdown} What we decided before looking
# - **The pictures are chosen by a rule**: of each class the first image of the common subset that all networks of a figure
#   classify correctly. Classes come in CIFAR-10's order. Nobody looked for good examples.
# - **Primary outcome**: hidden importance, the $\ell_\infty$ network with the largest $\varepsilon$ minus the standard one, on the
#   same images. If the largest values stand out more in the $\ell_\infty$ network, as the paper says, clipping hides more there.
# - **Secondary**: the same for every other step of $\varepsilon$. One table, one Holm adjustment.
# - Whether a map is "aligned with human observers" is a question about people. We asked none, so we show the maps and measure only
#   what is taken away.
# :::

# %% tags=["hide-input"]
show.models_note(run, ours)

# %% [markdown]
# ## Results

# %% tags=["hide-input"]
attacks.clipping_table(ours.records["clipping"], name="14-clipping")

# %% [markdown]
# Does it hide more of the $\ell_\infty$ network?

# %% tags=["hide-input"]
show.contrast_table(
    hidden,
    name="14-hidden",
    caption="Share of the importance that clipping at three standard deviations hides, each network minus the standard one.",
)

# %% [markdown]
# Figure 8: occluded images and predictions. Algorithm 1 under each network's own map, with the paper's budget and colours. The picture is its first success;
# where nothing succeeds, the last mask tried.

# %% tags=["hide-input"]
from inequality_phenomenon.measure.galleries import first_successes

budget = run.options["max_count"], run.options["max_radius"]
sliders.first_success_slider(
    {name: clean[name] for name in ladder_of(run)},
    {
        color: {name: first_successes(samples[name], *budget, color, seed=run.seed) for name in ladder_of(run)}
        for color in run.options["colors"]
    },
    name="gallery-occluded",
    caption=f"Occlusion by Algorithm 1, up to {budget[0]} patches of radius up to {budget[1]}, before and at its first success.",
)

# %% [markdown]
# ## What decides it
#
# **The attribution method.** Does the picture depend on Integrated Gradients? The two networks that the paper compares, under its four methods.

# %% tags=["hide-input"]
pair = {name: samples[name] for name in run.pair}
sliders.maps_slider(
    clean,
    {
        method: {name: sample.maps(method, seed=run.seed) for name, sample in pair.items()}
        for method in run.options["methods"]
    },
    name="gallery-methods",
    caption="The paper's attribution methods, for the standard and the ℓ∞ network.",
)

# %% [markdown]
# ## What could be wrong
#
# - **A dozen pictures prove nothing.** They make the measurements of the other chapters visible; they do not replace them.
# - **Each map has its own scale.** Two maps of equal brightness can differ by any factor. The Gini index does not see the factor either.
# - **Colour and channel.** The pictures add up the three channels of a pixel; all numbers are computed on single subpixels.
# - **Clipping is not the only cosmetics.** Taking the logarithm, smoothing or showing only positive values changes a map as much.
# - **Hidden importance is not the Gini index.** A heavy tail raises both, but a map that is empty except for many equal pixels has a
#   high index and nothing to clip.
#
# ## Exercise
#
# 1. Find a network and an image whose index changes by more than 0.05 when it is clipped. Would you have guessed it from the picture?
# 2. Which method's maps of the same image look most alike between the two networks? Compare your impression with the indices.
# 3. Show that clipping never raises the Gini index of $|a|$. Hint: it moves no value past another, and takes a larger part from the
#    larger ones. Where does the {term}`transfer principle` come in?

# %% tags=["hide-input"]
run.footer()
