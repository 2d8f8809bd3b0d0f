# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     name: python3
# ---

# %% [markdown]
# # Your own network
#
# The measurements of chapters 1, 2, 3 and 10 on a network of yours. It is no chapter of the book: its answer depends on what you
# give it. Without parameters it inspects a shipped network, so that you see what comes out.
#
# `factory` is imported, which runs the code in that file. Name only a file that you would run.

# %% tags=["parameters"]
factory: str | None = None  # such as my_network.py:make_network, a function without arguments; null: a shipped network
weights: str | None = None  # safetensors, or a state dict of torch.save; null: those that the function returns
data: str = "cifar10"  # or a safetensors file with images (N, 3, H, W) in [0, 1] and int64 labels
n_images: int = 300  # that are measured
mean: list[float] | None = None  # what the network expects, one value a channel; null: it takes pixels in [0, 1]
std: list[float] | None = None
name: str = "your network"  # as the card calls it
device: str = "auto"  # auto, cpu or cuda
out: str | None = None  # a folder for the card and its data; null: none

# %%
from inequality_phenomenon import inspect_network, load_checkpoint, load_cifar10
from inequality_phenomenon.show.card import inspect_file

options = {"n_images": n_images, "name": name, "mean": mean, "std": std}
if factory is None:
    report = inspect_network(load_checkpoint("cifar10-resnet18w16-linf2-s0"), *load_cifar10("test"), **options)
else:
    report = inspect_file(factory, weights, data, device, **options)

# %% [markdown]
# ## The card
#
# The verdict first. A direction is named where the paired test decides it, after Holm's adjustment over all tests of the card.

# %%
report

# %% [markdown]
# ## The numbers
#
# One row a quantity and network, with its 95 % interval. `report.to_frame()` has them image by image.

# %%
report.summary

# %% [markdown]
# The network minus each one beside it, and important minus random places, paired by image.

# %%
report.differences

# %%
if out:
    print(report.save(out))
