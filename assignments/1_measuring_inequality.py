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
# # Assignment 1: Measuring inequality
#
# *About 75 minutes. 20 points, all graded by tests.*
#
# Duan et al. (2023) say that networks trained against $\ell_\infty$ perturbations decide by very few pixels. Their
# evidence is a number from economics, the Gini index, taken over an attribution map. In this assignment you build that
# number from nothing, apply it to two networks, and find out what it cannot see.
#
# **How to work.** Write your code where it says `YOUR CODE HERE`. You may add cells. The cells with tests are fixed; each
# shows a few examples, and the grader runs more, with other values. An error in one question does not cost points
# in the next. Before you submit, restart the kernel and run all cells.
#
# Use NumPy. The library's own functions for these tasks are switched off in this notebook.

# %% nbgrader={"grade": false, "grade_id": "setup", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["slow"]
import matplotlib.pyplot as plt
import numpy as np

from inequality_phenomenon import attribute, correct_subset, load_checkpoint, load_cifar10
from inequality_phenomenon.coursework import by_hand, close, follow_through

STANDARD, ROBUST = "cifar10-resnet18w16-standard-s0", "cifar10-resnet18w16-linf8-s0"
images, labels = load_cifar10("test")  # (10000, 3, 32, 32) in [0, 1]; (10000,)
RIGHT = {}  # the grader has right answers to the earlier questions
by_hand("inequality")

# %% [markdown]
# ## 1. The Lorenz curve (2 points)
#
# Sort $n$ non-negative values from small to large. The Lorenz curve at place $k$ is the share of the total that the $k$
# smallest values hold.
#
# Write `lorenz(values)`: a one-dimensional array of $n$ non-negative numbers, not all zero, in any order → an array
# of $n + 1$ shares, from 0 (nobody) to 1 (everybody). The input must not change.


# %% nbgrader={"grade": false, "grade_id": "lorenz-answer", "locked": false, "schema_version": 3, "solution": true, "task": false}
def lorenz(values):
    ### BEGIN SOLUTION
    ascending = np.sort(np.asarray(values, float))
    return np.concatenate([[0.0], np.cumsum(ascending)]) / ascending.sum()
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "lorenz", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
assert close(lorenz(np.array([1.0, 1, 1, 1])), [0, 0.25, 0.5, 0.75, 1])
assert close(lorenz(np.array([0.0, 0, 0, 1, 1])), [0, 0, 0, 0, 0.5, 1])
### BEGIN HIDDEN TESTS
_values = np.array([3.0, 1, 2, 0, 4])
assert close(lorenz(_values), [0, 0, 0.1, 0.3, 0.6, 1]), "the values come in any order"
assert (_values == [3, 1, 2, 0, 4]).all(), "the input must not change"
_values = np.random.default_rng(1).exponential(size=200)
assert close(lorenz(_values), lorenz(1e6 * _values)), "the unit does not matter"
assert close(np.diff(lorenz(_values)) * _values.sum(), np.sort(_values)), "each step is one value's share"
### END HIDDEN TESTS

# %% [markdown]
# ## 2. The Gini index (4 points)
#
# With the values in ascending order, $\phi_1 \le \dots \le \phi_n$, the paper's Equation 4 is
#
# $$\mathrm{Gini}(\phi) = \frac{1}{n}\left(n + 1 - 2\,\frac{\sum_{i=1}^{n}(n + 1 - i)\,\phi_i}{\sum_{i=1}^{n}\phi_i}\right).$$
#
# Write `gini(values)`: the same input as above → one number. Any correct way will do. (Is there one that uses your `lorenz`?)


# %% nbgrader={"grade": false, "grade_id": "gini-answer", "locked": false, "schema_version": 3, "solution": true, "task": false}
def gini(values):
    ### BEGIN SOLUTION
    ascending = np.sort(np.asarray(values, float))
    n = len(ascending)
    weights = n + 1 - np.arange(1, n + 1)
    return (n + 1 - 2 * (weights * ascending).sum() / ascending.sum()) / n
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "gini", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
### BEGIN HIDDEN TESTS
# Defined before anything can fail: the later questions use it too.
def _right_gini(values):
    """Half the mean difference of all pairs, relative to the mean: the definition behind Equation 4."""
    values = np.sort(np.asarray(values, float).ravel())
    n = len(values)
    return np.sum((2 * np.arange(n) - n + 1) * values) / (n * values.sum())


RIGHT["gini"] = _right_gini
### END HIDDEN TESTS
assert close(gini(np.array([1.0, 1, 1, 1, 1])), 0)
assert close(gini(np.array([0.0, 0, 0, 1, 1])), 0.6)
assert close(gini(np.array([0.0, 0, 0, 1, 1000])), 0.7996, tolerance=1e-4)
### BEGIN HIDDEN TESTS
_random = np.random.default_rng(2)
for _n in (2, 7, 64, 3072):
    _values = _random.exponential(size=_n) ** 2
    _pairs = np.abs(_values[:, None] - _values).sum() / (2 * _n * _values.sum())
    assert close(_right_gini(_values), _pairs)
    assert close(gini(_values), _pairs), f"{_n} random values in any order"
    assert close(gini(np.eye(_n)[_n // 2]), (_n - 1) / _n), "one value that holds everything"
assert close(gini(np.array([5, 1, 3])), 8 / 27), "whole numbers"
### END HIDDEN TESTS

# %% [markdown]
# ## 3. Global inequality (2 points)
#
# An attribution map gives each of the $3 \cdot 32 \cdot 32 = 3072$ subpixels a signed number: for or against the class. The
# global index of a map is the Gini index of the *absolute* values of all its subpixels.
#
# Write `global_gini(maps)`: an array (N, 3, 32, 32) → an array of N indices, one a map.


# %% nbgrader={"grade": false, "grade_id": "global-answer", "locked": false, "schema_version": 3, "solution": true, "task": false}
def global_gini(maps):
    ### BEGIN SOLUTION
    return np.array([gini(np.abs(signed).ravel()) for signed in maps])
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "global", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
def _check_global():
    assert close(global_gini(np.ones((2, 3, 32, 32))), [0, 0])
    ### BEGIN HIDDEN TESTS
    maps = np.random.default_rng(3).standard_normal((3, 3, 32, 32)) ** 3
    maps[1] *= 100
    assert close(global_gini(maps), [_right_gini(np.abs(signed)) for signed in maps]), "signed maps, each by itself"
    assert close(global_gini(-maps), global_gini(maps)), "the sign must not matter"
    ### END HIDDEN TESTS


follow_through(_check_global, globals(), RIGHT)

# %% [markdown]
# ## 4. Regional inequality (4 points)
#
# The paper's second index asks whether important subpixels sit together. Cut the image into square regions from the top left, add
# up the absolute values inside each region *over its pixels and its three channels*, and take the Gini index of these sums.
# Regions of $4 \times 4$ pixels give 64 sums.
#
# Write `regional_gini(maps, region=4)`: an array (N, 3, 32, 32) → an array of N indices. `region` divides 32.


# %% nbgrader={"grade": false, "grade_id": "regional-answer", "locked": false, "schema_version": 3, "solution": true, "task": false}
def regional_gini(maps, region=4):
    ### BEGIN SOLUTION
    rows = 32 // region
    blocks = np.abs(maps).reshape(len(maps), 3, rows, region, rows, region)
    sums = blocks.sum(axis=(1, 3, 5)).reshape(len(maps), -1)
    return np.array([gini(values) for values in sums])
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "regional", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
def _check_regional():
    one_region = np.zeros((1, 3, 32, 32))
    one_region[0, :, 4:8, 12:16] = 1
    assert close(regional_gini(one_region), [63 / 64])
    assert close(regional_gini(np.ones((2, 3, 32, 32))), [0, 0])
    ### BEGIN HIDDEN TESTS
    maps = np.random.default_rng(4).standard_normal((2, 3, 32, 32)) * np.array([9.0, 3, 1]).reshape(3, 1, 1)
    maps *= np.linspace(0, 2, 32) ** 2
    for region in (4, 8):
        starts = range(0, 32, region)
        for signed, found in zip(maps, regional_gini(maps, region), strict=True):
            sums = [np.abs(signed[:, i : i + region, j : j + region]).sum() for i in starts for j in starts]
            assert close(found, _right_gini(sums)), f"regions of {region} x {region}, all channels"
    ### END HIDDEN TESTS


follow_through(_check_regional, globals(), RIGHT)

# %% [markdown]
# ## 5. Closed forms (3 points)
#
# A measure that you can compute by hand is one that you understand. Write three formulas. They must answer at once for
# $n = 10^{12}$, so no arrays and no loops.
#
# - `k_of_n(k, n)`: the index of $n$ values of which $k$ are equal and positive and the others are zero (1 point);
# - `evenly_spaced(n)`: the index of the values $1, 2, \dots, n$ (1 point);
# - `with_zeros(index, n, zeros)`: the index of a list after `zeros` zeros were appended to it, if before it had `n` values and the Gini
#   index `index` (1 point). The paper's authors cut off the negative half of a map in this way; what does that do to the index?


# %% nbgrader={"grade": false, "grade_id": "closed-k-answer", "locked": false, "schema_version": 3, "solution": true, "task": false}
def k_of_n(k, n):
    ### BEGIN SOLUTION
    return 1 - k / n
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "closed-k", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
assert close(k_of_n(2, 5), 0.6)
### BEGIN HIDDEN TESTS
for _k, _n in ((1, 7), (3, 10), (12, 12)):
    assert close(k_of_n(_k, _n), _right_gini([0] * (_n - _k) + [2.5] * _k))
assert close(k_of_n(10**9, 10**12), 0.999, tolerance=1e-9), "large numbers"
### END HIDDEN TESTS


# %% nbgrader={"grade": false, "grade_id": "closed-even-answer", "locked": false, "schema_version": 3, "solution": true, "task": false}
def evenly_spaced(n):
    ### BEGIN SOLUTION
    return (n - 1) / (3 * n)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "closed-even", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
assert close(evenly_spaced(1), 0)
### BEGIN HIDDEN TESTS
for _n in (2, 3, 10, 999):
    assert close(evenly_spaced(_n), _right_gini(range(1, _n + 1)))
assert close(evenly_spaced(10**12), 1 / 3, tolerance=1e-9), "large numbers"
### END HIDDEN TESTS


# %% nbgrader={"grade": false, "grade_id": "closed-zeros-answer", "locked": false, "schema_version": 3, "solution": true, "task": false}
def with_zeros(index, n, zeros):
    ### BEGIN SOLUTION
    share = n / (n + zeros)
    return 1 - share * (1 - index)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "closed-zeros", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
assert close(with_zeros(0, 2, 3), 0.6)
### BEGIN HIDDEN TESTS
_values = np.random.default_rng(5).exponential(size=40)
for _zeros in (0, 1, 40, 1000):
    assert close(with_zeros(_right_gini(_values), 40, _zeros), _right_gini([*_values, *[0] * _zeros]))
assert close(with_zeros(0.5, 10**12, 3 * 10**12), 0.875), "large numbers"
### END HIDDEN TESTS

# %% [markdown]
# ## 6. The measurement (2 points)
#
# Now the claim itself. `attribute(model, images, labels, ids=ids)` gives a signed map for each image (Integrated Gradients; a
# PyTorch tensor). Its random baseline belongs to the image's number, so pass the numbers as `ids`: then both networks see the same
# baselines.
#
# Write `mean_index(index, name, ids)`: attribute the test images number `ids` (a list of places in `images`) with the network
# `name`, and return the mean of `index(maps)`, where `index` is a function such as your `global_gini` and `maps` is a NumPy array.


# %% nbgrader={"grade": false, "grade_id": "measure-answer", "locked": false, "schema_version": 3, "solution": true, "task": false}
def mean_index(index, name, ids):
    ### BEGIN SOLUTION
    maps = attribute(load_checkpoint(name), images[ids], labels[ids], ids=ids)
    return index(maps.numpy()).mean()
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "measure", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
_seen = []
mean_index(lambda maps: _seen.append(maps) or np.zeros(len(maps)), STANDARD, [3, 8])
assert isinstance(_seen[0], np.ndarray) and sum(maps.shape[0] for maps in _seen) == 2
### BEGIN HIDDEN TESTS
_ids = correct_subset(40)[-2:]


def _probe(maps):
    """An index that depends on every subpixel and its sign."""
    return (np.asarray(maps).reshape(len(maps), -1) * np.cos(np.arange(3072))).sum(1)


for _name in (STANDARD, ROBUST):
    _maps = attribute(load_checkpoint(_name), images[_ids], labels[_ids], ids=_ids).numpy()
    assert close(mean_index(_probe, _name, _ids), _probe(_maps).mean(), tolerance=1e-3), "network, images, labels, ids"
### END HIDDEN TESTS

# %% [markdown]
# Look at the result for both networks. Is the difference what the paper says, 0.58 against 0.73?

# %% tags=["look"]
seen = []


def remember(maps):
    """The global index; it also keeps the maps, for the plot."""
    seen.append(maps)
    return global_gini(maps)


ids = correct_subset(12)  # test images that both networks classify correctly
for name, title in ((STANDARD, "standard"), (ROBUST, "ℓ∞ 8/255")):
    print(f"{title}: global {mean_index(remember, name, ids):.3f}, regional {mean_index(regional_gini, name, ids):.3f}")
    plt.plot(np.linspace(0, 1, 3073), lorenz(np.abs(seen[-1][0]).ravel()), label=title)
plt.gca().set(xlabel="share of the subpixels", ylabel="share of the importance", title=f"Test image {ids[0]}")
plt.legend()
plt.show()

# %% [markdown]
# ## 7. What the index hides (3 points)
#
# The paper reads a high index as "few pixels dominate". A Gini index alone does not say that. Show it.
#
# Write `same_index_other_top()`: return two lists of ten non-negative numbers that have the same Gini index (to $10^{-9}$), while
# the share of the total that the largest value holds differs by at least 0.1 between the two. The cell with tests checks only that
# these are lists of the right kind, so check the two conditions with your own `gini` before you go on.
#
# *Useful:* in Equation 4 the index depends on a single weighted sum of the ordered shares. With most values zero, few weights are left.


# %% nbgrader={"grade": false, "grade_id": "hides-answer", "locked": false, "schema_version": 3, "solution": true, "task": false}
def same_index_other_top():
    ### BEGIN SOLUTION
    # Only 3 p3 + 2 p2 + p1 of the ordered shares matters when seven values are zero: 1.5 in both lists.
    return [0] * 8 + [50, 50], [0] * 7 + [15, 20, 65]
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "hides", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
_first, _second = (np.asarray(values, float) for values in same_index_other_top())
assert _first.shape == _second.shape == (10,)
assert (_first >= 0).all() and (_second >= 0).all() and _first.sum() > 0 and _second.sum() > 0
### BEGIN HIDDEN TESTS
assert np.isfinite(_first).all() and np.isfinite(_second).all()
assert abs(_right_gini(_first) - _right_gini(_second)) <= 1e-9, "the same index"
assert abs(_first.max() / _first.sum() - _second.max() / _second.sum()) >= 0.1 - 1e-9, (
    "another share of the largest value"
)
### END HIDDEN TESTS

# %% [markdown]
# **To think about, not graded.** Shuffle the pixels of a map. What happens to the global index, and what to the regional one? Which of
# the two could tell an object from scattered noise?
