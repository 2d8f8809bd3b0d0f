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
# # Assignment 2: Attacks from attributions
#
# *About 90 minutes. 20 points, all graded by tests.*
#
# If a network decides by few pixels, an attacker who knows which ones needs little: some noise on them, or a small
# patch over them. You write the attribution, both attacks, and the control experiment that could prove the idea wrong.
#
# **See it first** (no points). On the page *Fool it yourself* of the book, `_build/html/book/fool_it.html` after `make book`, two such
# networks run in your browser. Hide pixels by hand, then press *Let Algorithm 1 do it*: in question 4 you write what that button does.
#
# **How to work.** Write your code where it says `YOUR CODE HERE`. You may add cells. The cells with tests are fixed; each
# shows a few examples, and the grader runs more, with other values and other models. An error in one question does not cost
# points in the next. Before you submit, restart the kernel and run all cells.
#
# Use PyTorch. A *model* takes images (N, 3, H, W) with pixels in [0, 1] and returns logits (N, classes). Captum and the library's own
# functions for these tasks are switched off in this notebook.

# %% nbgrader={"grade": false, "grade_id": "setup", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["slow"]
import torch

from inequality_phenomenon import attribution, correct_subset, load_checkpoint, load_cifar10
from inequality_phenomenon.coursework import by_hand, close, follow_through

standard = load_checkpoint("cifar10-resnet18w16-standard-s0")
robust = load_checkpoint("cifar10-resnet18w16-linf8-s0")
ids = correct_subset(16)  # test images that both classify correctly
images, labels = (values[ids] for values in load_cifar10("test"))  # (16, 3, 32, 32) in [0, 1]; (16,)
standard_maps, robust_maps = (attribution.attribute(model, images, labels, ids=ids) for model in (standard, robust))
RIGHT = {}  # the grader has right answers to the earlier questions
by_hand("attribution", "attacks", "captum")

# %% [markdown]
# ## 1. Integrated Gradients (5 points)
#
# Walk in a straight line from a baseline $x'$ to the image $x$, and collect the gradient of the logit $f_y$ of the class $y$ on the way:
#
# $$a_i = (x_i - x'_i) \int_0^1 \frac{\partial f_y\bigl(x' + \alpha (x - x')\bigr)}{\partial x_i}\, d\alpha .$$
#
# Write `integrated_gradients(model, images, labels, baselines, steps=20)`: it returns signed attributions with the shape of
# `images`. `labels` (N,) are the classes to explain. `baselines` have the shape of `images`. Replace the integral by a mean over `steps`
# points. Choose them well: a sum that uses only left or only right ends of the intervals is not exact enough.
#
# *Useful:* `torch.autograd.grad(logits.gather(1, labels[:, None]).sum(), inputs)`.


# %% nbgrader={"grade": false, "grade_id": "gradients-answer", "locked": false, "schema_version": 3, "solution": true, "task": false}
def integrated_gradients(model, images, labels, baselines, steps=20):
    ### BEGIN SOLUTION
    total = torch.zeros_like(images)
    for alpha in (torch.arange(steps) + 0.5) / steps:  # midpoints
        inputs = (baselines + alpha * (images - baselines)).requires_grad_()
        chosen = model(inputs).gather(1, labels[:, None])
        total += torch.autograd.grad(chosen.sum(), inputs)[0]
    return (images - baselines) * total / steps
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "gradients", "locked": true, "points": 5, "schema_version": 3, "solution": false, "task": false}
_black = torch.zeros_like(images[:2])
_maps = integrated_gradients(robust, images[:2], labels[:2], _black, steps=20)
assert _maps.shape == (2, 3, 32, 32)
with torch.no_grad():
    _gain = (robust(images[:2]) - robust(_black)).gather(1, labels[:2, None])[:, 0]
assert close(_maps.sum(dim=(1, 2, 3)), _gain, tolerance=0.05), "attributions add up to the change of the logit"
### BEGIN HIDDEN TESTS
_random = torch.Generator().manual_seed(1)
_weights = torch.randn(5, 3 * 4 * 4, generator=_random)


def _quadratic(inputs):
    """Logits whose Integrated Gradients are known: w (x^2 - x'^2)."""
    return inputs.flatten(1).square() @ _weights.T


_x, _start = (torch.rand(7, 3, 4, 4, generator=_random) for _ in range(2))
_classes = torch.tensor([0, 1, 2, 3, 4, 0, 1])
_right = (_weights[_classes] * (_x.square() - _start.square()).flatten(1)).view_as(_x)
assert close(integrated_gradients(_quadratic, _x, _classes, _start, 50).detach(), _right, 1e-3), "closed form"
assert close(integrated_gradients(_quadratic, _x, _classes, _start, steps=8).detach(), _right, 5e-2), "steps"
_others = (labels[:2] + 3) % 10
_maps = integrated_gradients(standard, images[:2], _others, _black, steps=32).detach()
with torch.no_grad():
    _gain = (standard(images[:2]) - standard(_black)).gather(1, _others[:, None])[:, 0]
assert close(_maps.sum(dim=(1, 2, 3)), _gain, tolerance=0.2), "the classes that were asked for"
### END HIDDEN TESTS

# %% [markdown]
# The paper draws its baselines at random, in normalised colours, and `standard_maps` and `robust_maps` are made in this way. Go on
# with them, whatever became of your own.
#
# ## 2. Where the noise goes (3 points)
#
# Write `top_mask(maps, k)`: maps (N, C, H, W) → a mask of the same shape, boolean, true at *exactly* the $k$ subpixels of each image with the
# largest *signed* attribution: those that speak for the class most. Break ties as you like.


# %% nbgrader={"grade": false, "grade_id": "mask-answer", "locked": false, "schema_version": 3, "solution": true, "task": false}
def top_mask(maps, k):
    ### BEGIN SOLUTION
    largest = maps.flatten(1).topk(k).indices
    mask = torch.zeros(maps.flatten(1).shape, dtype=torch.bool)
    return mask.scatter(1, largest, True).view(maps.shape)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "mask", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
_mask = top_mask(robust_maps, 100)
assert _mask.dtype == torch.bool and _mask.shape == robust_maps.shape
assert int(_mask.sum()) == 16 * 100
### BEGIN HIDDEN TESTS
_maps = torch.randn(5, 3, 8, 8, generator=torch.Generator().manual_seed(2)) - 0.5
_maps[0] *= 100
for _k in (1, 20, 150):
    for _signed, _chosen in zip(_maps, top_mask(_maps, _k), strict=True):
        assert int(_chosen.sum()) == _k, "k subpixels of each image"
        assert set(_signed[_chosen].tolist()) == set(_signed.flatten().sort().values[-_k:].tolist()), "the largest"
assert int(top_mask(torch.zeros(2, 3, 8, 8), 10)[1].sum()) == 10, "ties"
### END HIDDEN TESTS

# %% [markdown]
# ## 3. Inductive noise (3 points)
#
# With a mask $M$ and noise $\eta$, the paper's Equation 5 has two kinds of noise:
#
# $$\text{type 1:}\quad x + M \odot \eta, \qquad\qquad \text{type 2:}\quad (1 - M) \odot x + M \odot \eta .$$
#
# Write `add_noise(inputs, mask, noise, kind)` with `kind` "type_1" or "type_2". All tensors have the same shape; the mask is boolean, as
# your `top_mask` returns it.


# %% nbgrader={"grade": false, "grade_id": "noise-answer", "locked": false, "schema_version": 3, "solution": true, "task": false}
def add_noise(inputs, mask, noise, kind):
    ### BEGIN SOLUTION
    changed = inputs + noise if kind == "type_1" else noise
    return torch.where(mask, changed, inputs)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "noise", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
_x, _noise = torch.full((1, 3, 2, 2), 0.5), torch.ones(1, 3, 2, 2)
_everywhere = torch.ones_like(_x, dtype=torch.bool)
assert close(add_noise(_x, _everywhere, _noise, "type_1"), _x + 1)
assert close(add_noise(_x, _everywhere, _noise, "type_2"), _noise)
### BEGIN HIDDEN TESTS
_random = torch.Generator().manual_seed(3)
_x, _noise = (torch.randn(3, 3, 8, 8, generator=_random) for _ in range(2))
_mask = torch.rand(3, 3, 8, 8, generator=_random) < 0.3
for _kind, _inside in (("type_1", _x + _noise), ("type_2", _noise)):
    _found = add_noise(_x.clone(), _mask, _noise.clone(), _kind)
    assert close(_found[_mask], _inside[_mask]), f"{_kind} inside the mask"
    assert close(_found[~_mask], _x[~_mask]), f"{_kind} leaves the rest alone"
### END HIDDEN TESTS

# %% [markdown]
# How often does it work? The noise is standard normal in normalised colours; `model.normalise` goes there, `model.normalise.inverse` back.

# %% tags=["look"]
for kind in ("type_1", "type_2"):
    for title, model, maps in (("standard", standard, standard_maps), ("ℓ∞ 8/255", robust, robust_maps)):
        noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(0))
        noisy = model.normalise.inverse(add_noise(model.normalise(images), top_mask(maps, 300), noise, kind))
        with torch.no_grad():
            print(f"{kind}, {title}: {int((model(noisy).argmax(1) != labels).sum())} of 16 fooled")

# %% [markdown]
# ## 4. Inductive occlusion (4 points)
#
# Cut the image into $4 \times 4$ regions from the top left. A region's importance is the *signed* sum of its attributions, over its pixels and
# its three channels. Its centre is at row $4i + 2$, column $4j + 2$. A patch of radius $r$ around $(c, d)$ hides the rows from $c - r$
# to $c + r - 1$ and the columns from $d - r$ to $d + r - 1$, as far as the image goes.
#
# Write `occlude(images, maps, count, radius, fill)`: copies of the images (N, 3, 32, 32) in which patches over the `count` most important
# regions of each image have the value `fill` in all channels.


# %% nbgrader={"grade": false, "grade_id": "occlusion-answer", "locked": false, "schema_version": 3, "solution": true, "task": false}
def occlude(images, maps, count, radius, fill):
    ### BEGIN SOLUTION
    sums = maps.reshape(len(maps), 3, 8, 4, 8, 4).sum(dim=(1, 3, 5)).flatten(1)
    hidden = images.clone()
    for image, best in zip(hidden, sums.topk(count).indices, strict=True):
        for place in best.tolist():
            row, column = 4 * (place // 8) + 2, 4 * (place % 8) + 2
            top, left = max(row - radius, 0), max(column - radius, 0)
            image[:, top : row + radius, left : column + radius] = fill
    return hidden
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "occlusion", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
### BEGIN HIDDEN TESTS
# Defined before anything can fail: the later questions use it too.
def _right_occlusion(images, maps, count, radius, fill):
    pixels = torch.arange(32)
    found = images.clone()
    for n in range(len(images)):
        sums = torch.nn.functional.avg_pool2d(maps[n : n + 1].sum(1), 4)[0]
        for place in sums.flatten().argsort(descending=True)[:count].tolist():
            offsets = [pixels - (4 * centre + 2) for centre in divmod(place, 8)]
            rows, columns = ((offset >= -radius) & (offset < radius) for offset in offsets)
            found[n, :, rows[:, None] & columns] = fill
    return found


RIGHT["occlude"] = _right_occlusion
### END HIDDEN TESTS
_maps = torch.zeros(1, 3, 32, 32)
_maps[0, 0, 13, 22] = 1  # in the region of rows 12 to 15 and columns 20 to 23
_changed = occlude(torch.ones(1, 3, 32, 32), _maps, count=1, radius=2, fill=0.0)
assert int((_changed == 0).sum()) == 3 * 16 and bool((_changed[0, :, 12:16, 20:24] == 0).all())
### BEGIN HIDDEN TESTS
_maps = torch.randn(6, 3, 32, 32, generator=torch.Generator().manual_seed(4))
_maps[:, 1] *= 3
_maps[:3, :, 0:4, 0:4] += 2  # a patch over the corner goes beyond the border
_maps[3:, :, 28:, 28:] += 2
_maps[:, :, 16:20, 8:12] -= 9  # important, but against the class
_before = images[:6].clone()
for _settings in ((1, 2, 0.0), (5, 3, 0.5), (10, 4, 1.0)):
    _found = occlude(images[:6], _maps, *_settings)
    assert close(_found, _right_occlusion(images[:6], _maps, *_settings)), f"count, radius, fill = {_settings}"
assert torch.equal(images[:6], _before), "the images must not change"
### END HIDDEN TESTS

# %% [markdown]
# ## 5. The search (2 points)
#
# Algorithm 1 of the paper tries every $n = 1, \dots, N$ and $r = 1, \dots, R$. The image counts as fooled if *any* of these masks makes the model
# predict something else than the label.
#
# Write `fooled(model, images, labels, maps, max_count, max_radius, fill)`: a boolean tensor (N,).


# %% nbgrader={"grade": false, "grade_id": "search-answer", "locked": false, "schema_version": 3, "solution": true, "task": false}
def fooled(model, images, labels, maps, max_count, max_radius, fill):
    ### BEGIN SOLUTION
    hit = torch.zeros(len(images), dtype=torch.bool)
    with torch.no_grad():
        for n in range(1, max_count + 1):
            for r in range(1, max_radius + 1):
                hit |= model(occlude(images, maps, n, r, fill)).argmax(1) != labels
    return hit
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "search", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
### BEGIN HIDDEN TESTS
def _counting(first, last):
    """A model that answers 1 where the number of black pixels lies between ``first`` and ``last``, else 0."""

    def model(inputs):
        black = (inputs.sum(1) == 0).flatten(1).sum(1)
        return torch.nn.functional.one_hot(((black >= first) & (black <= last)).long(), 2).float()

    return model


### END HIDDEN TESTS
def _check_search():
    found = fooled(robust, images[:4], labels[:4], robust_maps[:4], 1, 1, 0.0)
    assert found.shape == (4,) and found.dtype == torch.bool
    ### BEGIN HIDDEN TESTS
    white = torch.ones(3, 3, 32, 32)
    truth = torch.tensor([0, 1, 0])
    only = torch.zeros(3, 3, 32, 32)
    only[:, :, 4:8, 4:8], only[:, :, 20:24, 20:24], only[:, :, 12:16, 24:28] = 3, 2, 1  # far apart
    for first, last in ((4, 4), (16, 16), (36, 36), (48, 48), (108, 108)):
        hit = fooled(_counting(first, last), white, truth, only, 3, 3, 0.0)
        assert hit.tolist() == [True, True, True], f"a mask of {first} pixels is among those to try"
    for (first, last), expected in (((109, 2000), [False, True, False]), ((0, 2000), [True, False, True])):
        hit = fooled(_counting(first, last), white, truth, only, 3, 3, 0.0)
        assert hit.tolist() == expected, "no mask beyond, and the labels as they are given"
    ### END HIDDEN TESTS


follow_through(_check_search, globals(), RIGHT)

# %% [markdown]
# ## 6. A control that could refute the claim (3 points)
#
# Suppose 40 % of the images are fooled. Does that show that the *places* matter? Perhaps any five patches would do. The control is the same
# search at random places: if it fools as many images, the attributions have added nothing, and the claim is refuted.
#
# Write `control(model, images, labels, maps, max_count, max_radius, fill, draws, seed)`. For each draw, shuffle the 64 regions of each map (each
# image by itself), so that the places are random and their number stays; then run the search. Return the mean share of fooled images over all
# draws, a number. The same seed gives the same number. The places must not depend on the labels or on the model's answers: a control
# that may choose its best draw is an attack.


# %% nbgrader={"grade": false, "grade_id": "control-answer", "locked": false, "schema_version": 3, "solution": true, "task": false}
def control(model, images, labels, maps, max_count, max_radius, fill, draws, seed):
    ### BEGIN SOLUTION
    generator = torch.Generator().manual_seed(seed)
    shares = []
    for _ in range(draws):
        anywhere = torch.rand(len(maps), 1, 8, 8, generator=generator)  # a new importance for each region
        random_maps = anywhere.repeat_interleave(4, 2).repeat_interleave(4, 3).expand(-1, 3, -1, -1)
        hit = fooled(model, images, labels, random_maps, max_count, max_radius, fill)
        shares.append(hit.double().mean().item())
    return sum(shares) / draws
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "control", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
### BEGIN HIDDEN TESTS
def _right_search(model, images, labels, maps, max_count, max_radius, fill):
    with torch.no_grad():
        tries = [
            model(_right_occlusion(images, maps, n, r, fill)).argmax(1) != labels
            for n in range(1, max_count + 1)
            for r in range(1, max_radius + 1)
        ]
    return torch.stack(tries).any(0)


def _one_region_matters(inputs):
    """A model that answers 1 once the region in rows 8 to 11 and columns 16 to 19 is black: 1 of 64."""
    black = (inputs[:, :, 8:12, 16:20] == 0).flatten(1).all(1)
    return torch.nn.functional.one_hot(black.long(), 2).float()


RIGHT["fooled"] = _right_search


### END HIDDEN TESTS
def _check_control():
    first, second = (
        control(robust, images[:4], labels[:4], robust_maps[:4], 1, 1, 0.0, draws=2, seed=0) for _ in range(2)
    )
    assert 0 <= float(first) <= 1 and float(first) == float(second)
    ### BEGIN HIDDEN TESTS
    white, truth = torch.ones(64, 3, 32, 32), torch.zeros(64, dtype=torch.long)
    pointed = torch.randn(64, 3, 32, 32, generator=torch.Generator().manual_seed(5))
    pointed[:, :, 8:12, 16:20] += 9  # the attack would always find it
    few = white[:16], truth[:16], pointed[:16]
    share = float(control(_one_region_matters, *few, 8, 2, 0.0, draws=48, seed=1))
    assert 0.07 < share < 0.18, f"eight random places of 64 hit with probability 1/8, this control with {share:.2f}"
    once = float(control(_one_region_matters, white, truth, pointed, 16, 2, 0.0, draws=1, seed=2))
    assert 0 < once < 1, "each image has places of its own"
    sure = control(lambda inputs: 1 - _one_region_matters(inputs), white, truth, pointed, 1, 1, 0.0, draws=2, seed=3)
    assert close(sure, 1), "a model that is always wrong"
    ### END HIDDEN TESTS


follow_through(_check_control, globals(), RIGHT)

# %% [markdown]
# Your experiment. Is the claim refuted for one of the networks? What would 1000 images tell you that 16 do not?

# %% tags=["look"]
for title, model, maps in (("standard", standard, standard_maps), ("ℓ∞ 8/255", robust, robust_maps)):
    attacked = fooled(model, images, labels, maps, 5, 2, 0.0).double().mean()
    anywhere = control(model, images, labels, maps, 5, 2, 0.0, draws=3, seed=0)
    print(f"{title}: fooled {attacked:.0%} by its map, {anywhere:.0%} at random places")
