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
# # The gallery
#
# *Paper: appendices A.2, A.10 and A.11, Figures 5, 6, 8 and 9.*
#
# **The question.** The paper shows attribution maps and occluded images of a few networks. Do the pictures look like that for
# the networks of this book that are listed below? And what does the clipping that such figures usually get take away?
#
# **The paper's claim** (A.2). Most figures of attribution maps clip the values at three standard deviations. "Thus, the most
# influential pixels with extremely high values are clipped to a relatively lower value but they actually dominate the
# prediction". Clipped maps are therefore "more perceptually-aligned with human observers" than the maps are.
#
# **The method.** With $s$ the standard deviation of all subpixels of one map $a$, clipping replaces $a_i$ by
#
# $$\tilde a_i = \max\bigl(-3s,\ \min(3s,\ a_i)\bigr), \qquad
# \text{hidden importance} = 1 - \frac{\sum_i |\tilde a_i|}{\sum_i |a_i|}.$$

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
from IPython.display import HTML

from inequality_phenomenon import show
from inequality_phenomenon.measure.galleries import clipping, first_successes, ladder_of, shared_images, views
from inequality_phenomenon.measure.run import open_run
from inequality_phenomenon.show import gallery, sliders
from inequality_phenomenon.verdicts.comparison import against_standard, contrasted

# %% tags=["hide-input"]
own = {"methods": methods, "colors": colors, "max_count": max_count, "max_radius": max_radius}
run = open_run("14_gallery", profile, device, n_images, seed, models, **own)
standard, robust = run.pair
show.models_note(run)

# %% [markdown]
# ## What we decided before looking
#
# - **The pictures are chosen by a rule**: of each class the first image of the common subset that all networks of a figure
#   classify correctly. Classes come in CIFAR-10's order. Nobody looked for good examples.
# - **Primary outcome**: hidden importance, the $\ell_\infty$ network with the largest $\varepsilon$ minus the standard one, on the
#   same images. If the largest values stand out more in the $\ell_\infty$ network, as the paper says, clipping hides more there.
# - **Secondary**: the same for every other step of $\varepsilon$. One table, one Holm adjustment.
# - Whether a map is "aligned with human observers" is a question about people. We asked none, so we show the maps and measure only
#   what is taken away.
#
# ## The experiment
#
# What does clipping do to the maps of Integrated Gradients? The maps are those of the first chapter.

# %%
ladder = ladder_of(run)
records = run.measure(clipping, {"clipping": {}}, models=ladder, seed=run.seed)
gallery.clipping_table(records, "This run", name="14-clipping", resamples=run.profile.bootstrap)

# %% [markdown]
# ## Does it hide more of the ℓ∞ network?

# %%
others = [name for name in ladder if name != standard]
asked = against_standard(standard, others, {"hidden importance": ("clipping", "share_hidden")}, expected=1)
reference = contrasted(asked, run.reference.get("clipping"), resamples=run.profile.bootstrap)
this_run = contrasted(asked, records, resamples=run.profile.bootstrap)
show.contrast_table(
    reference,
    this_run,
    name="14-hidden",
    caption="Share of the importance that clipping at three standard deviations hides, each network minus the standard one.",
)

# %% [markdown]
# ## Figures 5, 6 and 9: maps as they are, and clipped
#
# Move the sliders: every network that the note above lists as measured, one image of each class. Each map is on its own scale, from black
# to its largest value.

# %% tags=["hide-input"]
samples = shared_images(run)
clean = {name: views(sample, sample.images) for name, sample in samples.items()}
maps = {"integrated_gradients": {name: sample.maps(seed=run.seed) for name, sample in samples.items()}}
sliders.maps_slider(
    samples,
    clean,
    maps,
    name="gallery-maps",
    caption="Integrated Gradients of the networks measured here, as they are and clipped at three standard deviations, beside the image and "
    "what the network says.",
)

# %% [markdown]
# ## The same image, other attribution methods
#
# Does the picture depend on Integrated Gradients? The two networks that the paper compares, under its four methods.

# %% tags=["hide-input"]
pair = {name: samples[name] for name in run.pair}
by_method = {
    method: {name: sample.maps(method, seed=run.seed) for name, sample in pair.items()}
    for method in run.options["methods"]
}
sliders.maps_slider(
    pair,
    clean,
    by_method,
    name="gallery-methods",
    caption="The paper's attribution methods, for the standard and the ℓ∞ network.",
)

# %% [markdown]
# ## Figure 8: occluded images and predictions
#
# Algorithm 1 under each network's own map, with the paper's budget and colours. The picture is its first success; where
# nothing succeeds, the last mask tried.

# %% tags=["hide-input"]
budget = run.options["max_count"], run.options["max_radius"]
occluded = {
    color: {name: first_successes(samples[name], *budget, color, seed=run.seed) for name in ladder}
    for color in run.options["colors"]
}
sliders.first_success_slider(
    {name: clean[name] for name in ladder},
    occluded,
    name="gallery-occluded",
    caption=f"Occlusion by Algorithm 1, up to {budget[0]} patches of radius up to {budget[1]}, before and at its first success.",
)

# %% [markdown]
# ## What we found

# %%
row, (found, _) = others.index(robust), show.preferred(run.reference.get("clipping"), records)
gallery.clipping_findings(show.best(this_run, reference)[row], found, robust)

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
HTML(provenance(run))
