# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     name: python3
# ---

# %% [markdown]
# # Playground
#
# Any test image, any network, any attribution method, and the paper's two attacks at any strength. Run all cells, then move the
# controls. This notebook needs a live kernel, so it is not a chapter of the book; the chapters have sliders that do not need one.

# %%
import ipywidgets as widgets
from IPython.display import display

from inequality_phenomenon import REGISTRY, global_gini, load_checkpoint, load_cifar10, top_share
from inequality_phenomenon.attribution import METHODS
from inequality_phenomenon.measure.galleries import View, clipped, hidden, noisy, views
from inequality_phenomenon.measure.sample import Sample
from inequality_phenomenon.networks import named
from inequality_phenomenon.show.sliders import importance, picture

images, labels = load_cifar10("test")
networks = {name: load_checkpoint(name) for name in REGISTRY}

# %% [markdown]
# ## The controls

# %%
controls = {
    "number": widgets.BoundedIntText(value=0, min=0, max=len(labels) - 1, description="Image"),
    "network": widgets.Dropdown(options={named(name): name for name in REGISTRY}, description="Network"),
    "method": widgets.Dropdown(options=METHODS, value="integrated_gradients", description="Method"),
    "seed": widgets.BoundedIntText(value=0, min=0, max=999, description="Seed"),
    "kind": widgets.Dropdown(options={"type I: added": "type_1", "type II: instead": "type_2"}, description="Noise"),
    "positions": widgets.Dropdown(options=["top", "random", "lowest"], description="Where"),
    "budget": widgets.IntSlider(value=102, min=1, max=1500, description="Subpixels", continuous_update=False),
    "color": widgets.Dropdown(options=["black", "gray", "white"], description="Patches"),
    "count": widgets.IntSlider(value=3, min=1, max=20, description="How many", continuous_update=False),
    "radius": widgets.IntSlider(value=2, min=1, max=6, description="Radius", continuous_update=False),
}

# %% [markdown]
# ## What they show
#
# Below each picture stands what the network says. The attribution is that of the true class, whatever the network says.


# %%
def panel(title: str, content: str, below: str = "") -> str:
    return f"<div style='image-rendering: pixelated'><b>{title}</b><br>{content}<br>{below}</div>"


def seen(title: str, view: View) -> str:
    says = f"{view.guess}, {view.confidence:.0%}"
    return panel(title, picture(view.image, f"{title}: {says}"), says)


def shown(number, network, method, seed, kind, positions, budget, color, count, radius) -> str:
    """The panels for one choice, as HTML."""
    one = slice(number, number + 1)
    sample = Sample(network, networks[network], images[one], labels[one], [number])
    maps = sample.maps(method, seed=seed)
    index, share = global_gini(maps).item(), top_share(maps.abs().flatten(1), [154]).item()
    clean = views(sample, sample.images)[0]
    with_noise = noisy(sample, budget, seed=seed, method=method, kind=kind, positions=positions)[0]
    with_patches = hidden(sample, count, radius, color, seed=seed, method=method)[0]
    panels = [
        seen(f"a {clean.label}", clean),
        panel("attribution", importance(maps[0], "attribution map"), f"Gini index {index:.3f}"),
        panel("clipped at 3σ", importance(clipped(maps)[0], "clipped map"), f"top 5 % carry {share:.0%}"),
        seen(f"noise, {with_noise.pixels} pixels", with_noise),
        seen(f"patches, {with_patches.pixels} pixels", with_patches),
    ]
    return f"<div style='display: flex; gap: 1rem'>{''.join(panels)}</div>"


# %%
picture_box = widgets.HTML()


def draw(_change: object = None) -> None:
    picture_box.value = shown(**{name: control.value for name, control in controls.items()})


for control in controls.values():
    control.observe(draw, names="value")
draw()
columns = [
    widgets.VBox(part)
    for part in (list(controls.values())[:4], list(controls.values())[4:7], list(controls.values())[7:])
]
display(widgets.VBox([widgets.HBox(columns), picture_box]))
