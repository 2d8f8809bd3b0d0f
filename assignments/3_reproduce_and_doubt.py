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
# # Assignment 3: Reproduce and doubt
#
# *About 90 minutes. 20 points: 14 graded by tests, 6 by a person.*
#
# You rerun a published table with parameters of your own, put intervals and a test on it, and then write one page of judgement:
# what do these numbers show, and what do they not show?
#
# **How to work.** Write your code where it says `YOUR CODE HERE`. You may add cells. The cells with tests are fixed; each
# shows a few examples, and the grader runs more, with other values. An error in one question does not cost points in the next. Before
# you submit, restart the kernel and run all cells.
#
# NumPy, pandas and SciPy are allowed. The library's own functions for intervals and tests are switched off in this notebook.

# %% nbgrader={"grade": false, "grade_id": "setup", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["slow"]
import os
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import papermill

from inequality_phenomenon import attribute, load_checkpoint, load_cifar10
from inequality_phenomenon.coursework import EXECUTED, ROOT, by_hand, close

STANDARD, ROBUST = "cifar10-resnet18w16-standard-s0", "cifar10-resnet18w16-linf8-s0"
os.chdir(ROOT)  # papermill finds the chapters from here
output = Path(tempfile.mkdtemp()) / "out.ipynb"  # for your executed notebook
by_hand("statistics")

# %% [markdown]
# ## 1. Rerun a table (4 points)
#
# `notebooks/01_inequality_test.py` is the first chapter of the book. It makes the paper's Table 1: the Gini index of attribution
# maps, network by network. Execute it with [papermill](https://papermill.readthedocs.io/) and with these parameters:
#
# | Parameter | Value |
# | --- | --- |
# | `profile` | `"smoke"` |
# | `models` | `[STANDARD, ROBUST]` |
# | `n_images` | your choice, 20 to 60 |
# | `seed` | your choice, a whole number of at least 1 (the book uses 0) |
#
# A chapter with own parameters writes its per-image records to `EXECUTED / "records" / "own" / "01_inequality_test" /
# "inequality.parquet"`: the columns `checkpoint`, `image_id`, `global_gini` and more. It takes about a minute.
#
# Set three variables: `n_images` and `seed` to your choices, and `records` to a data frame of your run's records.
#
# *Useful:* `papermill.execute_notebook(chapter, output, parameters={...})` and `pd.read_parquet(file)`. Give the chapter as the text
# above, with no folder before it: the first cell went to the project's folder.

# %% nbgrader={"grade": false, "grade_id": "rerun-answer", "locked": false, "schema_version": 3, "solution": true, "task": false} tags=["slow"]
### BEGIN SOLUTION
n_images, seed = 20, 7
papermill.execute_notebook(
    "notebooks/01_inequality_test.py",
    output,
    parameters={"profile": "smoke", "models": [STANDARD, ROBUST], "n_images": n_images, "seed": seed},
    progress_bar=False,
)
records = pd.read_parquet(EXECUTED / "records" / "own" / "01_inequality_test" / "inequality.parquet")
### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "rerun", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
assert 20 <= n_images <= 60 and seed >= 1
assert {STANDARD, ROBUST} == set(records["checkpoint"])
assert records.groupby("checkpoint")["image_id"].nunique().between(0.8 * n_images, n_images).all()
### BEGIN HIDDEN TESTS
_images, _labels = load_cifar10("test")
for _name in (STANDARD, ROBUST):
    _rows = records[records["checkpoint"] == _name].iloc[[0, -1]]
    _ids = _rows["image_id"].tolist()
    _maps = attribute(load_checkpoint(_name), _images[_ids], _labels[_ids], ids=_ids, seed=seed).abs().flatten(1)
    _sorted = _maps.double().sort(1).values.numpy()
    _right = ((2 * np.arange(3072) - 3071) * _sorted).sum(1) / (3072 * _sorted.sum(1))
    assert close(_rows["global_gini"].to_numpy(), _right, tolerance=1e-4), "these images, measured with your seed"
### END HIDDEN TESTS

# %% [markdown]
# ## 2. Pairs (2 points)
#
# Both networks saw the same images. A comparison that uses this is far sharper than one that does not.
#
# Write `paired(records, first, second)`: two NumPy arrays, the `global_gini` of the checkpoints `first` and `second`, where place $i$ in both
# belongs to the same image. Keep only the images that both have. The rows of `records` come in any order.


# %% nbgrader={"grade": false, "grade_id": "pairs-answer", "locked": false, "schema_version": 3, "solution": true, "task": false}
def paired(records, first, second):
    ### BEGIN SOLUTION
    table = records.pivot(index="image_id", columns="checkpoint", values="global_gini")
    both = table[[first, second]].dropna()
    return both[first].to_numpy(), both[second].to_numpy()
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "pairs", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
_table = pd.DataFrame(
    {"checkpoint": ["a", "a", "b", "b"], "image_id": [4, 9, 4, 9], "global_gini": [0.1, 0.2, 0.3, 0.4]}
)
_first, _second = paired(_table, "a", "b")
assert close(_first, [0.1, 0.2]) and close(_second, [0.3, 0.4])
### BEGIN HIDDEN TESTS
_random = np.random.default_rng(1)
_values = _random.random((3, 40))
_table = pd.DataFrame(
    {
        "checkpoint": np.repeat(["a", "b", "c"], 40),
        "image_id": np.tile(np.arange(100, 140), 3),
        "global_gini": _values.ravel(),
    }
)
_table = _table.drop(index=[3, 17, 44]).sample(frac=1, random_state=2)
_kept = [i for i in range(40) if i not in (3, 4, 17)]
_found = sorted(zip(*paired(_table, "b", "a"), strict=True))
assert close(_found, sorted(zip(_values[1][_kept], _values[0][_kept], strict=True))), "by image, whatever the order"
### END HIDDEN TESTS

# %% [markdown]
# ## 3. An interval for a mean (3 points)
#
# The bootstrap draws images again, with replacement, as many as there are; the mean of each draw tells how much the mean would vary
# with other images. The 95 % percentile interval goes from the 2.5 % to the 97.5 % quantile of these means.
#
# Write `bootstrap_interval(values, resamples=2000, seed=0)`: a one-dimensional array → `(low, high)`. The same seed gives the same
# interval.


# %% nbgrader={"grade": false, "grade_id": "bootstrap-answer", "locked": false, "schema_version": 3, "solution": true, "task": false}
def bootstrap_interval(values, resamples=2000, seed=0):
    ### BEGIN SOLUTION
    random = np.random.default_rng(seed)
    drawn = random.integers(len(values), size=(resamples, len(values)))
    low, high = np.quantile(np.asarray(values)[drawn].mean(axis=1), [0.025, 0.975])
    return low, high
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "bootstrap", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
assert close(bootstrap_interval(np.full(10, 0.7)), [0.7, 0.7])
assert close(bootstrap_interval(np.arange(30.0), seed=3), bootstrap_interval(np.arange(30.0), seed=3), tolerance=0)
### BEGIN HIDDEN TESTS
for _n, _scale in ((50, 1.0), (400, 10.0)):
    _values = 3 + _scale * np.random.default_rng(_n).standard_normal(_n)
    _low, _high = bootstrap_interval(_values, resamples=4000, seed=1)
    _half = 1.96 * _values.std() / np.sqrt(_n)
    assert abs(_low - (_values.mean() - _half)) < 0.12 * _half, f"the lower end, n = {_n}"
    assert abs(_high - (_values.mean() + _half)) < 0.12 * _half, f"the upper end, n = {_n}"
### END HIDDEN TESTS

# %% [markdown]
# ## 4. An interval for a rate (2 points)
#
# If 0 of 20 images were fooled, is the rate 0 for sure? Wilson's 95 % interval for $k$ successes out of $n$, with $p = k / n$ and $z = 1.96$, is
#
# $$\frac{p + \frac{z^2}{2n} \pm z \sqrt{\frac{p (1 - p)}{n} + \frac{z^2}{4 n^2}}}{1 + \frac{z^2}{n}} .$$
#
# Write `wilson(successes, n)`: `(low, high)`.


# %% nbgrader={"grade": false, "grade_id": "wilson-answer", "locked": false, "schema_version": 3, "solution": true, "task": false}
def wilson(successes, n):
    ### BEGIN SOLUTION
    z, p = 1.96, successes / n
    middle = p + z**2 / (2 * n)
    half = z * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    return (middle - half) / (1 + z**2 / n), (middle + half) / (1 + z**2 / n)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "wilson", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
assert close(wilson(10, 20), [0.2993, 0.7007], tolerance=1e-3)
### BEGIN HIDDEN TESTS
assert close(wilson(0, 20), [0, 0.1611], tolerance=1e-3), "none of 20"
assert close(wilson(20, 20), [0.8389, 1], tolerance=1e-3), "all of 20"
assert close(wilson(3, 10), [0.1078, 0.6032], tolerance=1e-3), "3 of 10"
assert close(wilson(604, 1000), [0.5733, 0.6339], tolerance=1e-3), "604 of 1000"
### END HIDDEN TESTS

# %% [markdown]
# ## 5. A paired test (3 points)
#
# If the two networks did not differ, the sign of each image's difference would be a coin toss. So flip the signs of the differences at random, many
# times, and count how often the mean is at least as far from 0, *on either side*, as the observed one. That share is the p-value.
#
# Write `paired_p(a, b, resamples=2000, seed=0)`: two arrays of the same images → a number.


# %% nbgrader={"grade": false, "grade_id": "test-answer", "locked": false, "schema_version": 3, "solution": true, "task": false}
def paired_p(a, b, resamples=2000, seed=0):
    ### BEGIN SOLUTION
    differences = np.asarray(a) - np.asarray(b)
    signs = np.random.default_rng(seed).choice([-1, 1], size=(resamples, len(differences)))
    flipped = np.abs((signs * differences).mean(axis=1))
    return (1 + (flipped >= abs(differences.mean()) - 1e-12).sum()) / (resamples + 1)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
assert 0 <= paired_p(np.arange(10.0), np.arange(10.0) + 1) < 0.02
assert paired_p(np.array([1.0, 2, 3, 4]), np.array([2.0, 1, 4, 3])) > 0.9  # the differences cancel
### BEGIN HIDDEN TESTS
_signs = 1 - 2 * (np.arange(2**12)[:, None] >> np.arange(12) & 1)  # all of them
_random = np.random.default_rng(3)
_images_differ = 100 * _random.standard_normal(12)
for _shift in (0.2, 0.5, -0.5):
    _difference = _shift + _random.standard_normal(12)
    _means = np.abs(_signs @ _difference) / 12
    _exact = (_means >= abs(_difference.mean()) - 1e-12).mean()
    _found = paired_p(_images_differ + _difference, _images_differ, resamples=4000, seed=4)
    assert abs(_found - _exact) < 0.035, f"two-sided and paired: {_exact:.3f}, not {_found:.3f}"
### END HIDDEN TESTS

# %% [markdown]
# ## Your table
#
# The paper has 0.58 for the standard network and 0.73 for the one trained with $\varepsilon = 8/255$, on networks four times as wide.

# %% tags=["look"]
standard_gini, robust_gini = paired(records, STANDARD, ROBUST)
for title, values in (
    ("standard", standard_gini),
    ("ℓ∞ 8/255", robust_gini),
    ("difference", robust_gini - standard_gini),
):
    low, high = bootstrap_interval(values)
    print(f"{title:10} {values.mean():.3f} [{low:.3f}, {high:.3f}], n = {len(values)}")
above = int((robust_gini > standard_gini).sum())
print(f"p = {paired_p(robust_gini, standard_gini):.4f}")
print(
    "images on which the ℓ∞ network has the higher index:",
    above,
    "of",
    len(robust_gini),
    wilson(above, len(robust_gini)),
)

# %% [markdown]
# ## 6. One page of judgement (6 points, graded by a person)
#
# In at most 400 words: does your rerun support the claim that $\ell_\infty$ adversarial training makes a network depend on fewer pixels? One
# point for each of these, if it is right, specific to your numbers, and reasoned:
#
# 1. **The result.** Your numbers with their intervals, beside the paper's, and a verdict in words.
# 2. **The interval.** What varies in it, and a source of variation that it leaves out.
# 3. **The p-value.** What it says here, and what a reader may wrongly take it to say.
# 4. **Your choices.** What `n_images`, `seed` and the choice of images could change, and how you know or could find out.
# 5. **Another explanation.** One besides the claim that would give the same numbers.
# 6. **The next experiment.** One that could change your mind, with the outcome that would.

# %% [markdown] nbgrader={"grade": true, "grade_id": "judgement", "locked": false, "points": 6, "schema_version": 3, "solution": true, "task": false}
# ### BEGIN SOLUTION
# *A model answer; other answers can be as good.*
#
# 1. My run shows a higher mean index for the network trained with 8/255 than for the standard one, and the interval of the difference excludes 0. The
#    level is below the paper's 0.73. I call the direction reproduced, and the value not.
# 2. The interval varies the images: it says what another draw of test images might have given. It leaves out the training: another seed of the same
#    recipe gives another network, and I have one of each kind.
# 3. The p-value says that random signs seldom give so large a mean difference. It does not give the probability that the claim is true, nor does it
#    speak of all networks trained in this way.
# 4. A second run with another seed draws other baselines; its means moved by less than the width of my interval. The images are those that several networks classify
#    correctly, so they are easy ones. More images would narrow the interval and leave this bias.
# 5. The adversarially trained network has a smaller clean accuracy and smaller logits. A less confident network may spread its attribution in another way
#    without depending on fewer pixels. The Gini index is also not a count of pixels.
# 6. Train three networks of each kind with different seeds, and compare them at equal accuracy. If the difference between the two kinds is
#    not larger than that between seeds, I would give up the claim for this architecture.
# ### END SOLUTION

# %% [markdown]
# ## Optional: train with Cutout
#
# The authors suggest training with Cutout, squares of the image hidden at random, against the inequality. Does it lower the index? Set `TRAIN = True`
# to train two very small networks for two epochs each, without and with Cutout; it takes a few minutes. Why would you not believe the
# answer yet?

# %% tags=["look"]
TRAIN = False

if TRAIN:
    from inequality_phenomenon.training.loop import train
    from inequality_phenomenon.training.settings import TrainingSettings

    test_images, test_labels = load_cifar10("test")
    numbers = list(range(64))
    for cutout in (0, 16):
        settings = TrainingSettings(
            title=f"cutout {cutout}", arguments={"width": 8}, epochs=2, train_images=10_000, cutout=cutout
        )
        network = train(settings, Path(tempfile.mkdtemp())).average.module.eval().requires_grad_(False)
        maps = attribute(network, test_images[numbers], test_labels[numbers], ids=numbers).abs().flatten(1)
        ordered = maps.double().sort(1).values.numpy()
        index = ((2 * np.arange(3072) - 3071) * ordered).sum(1) / (3072 * ordered.sum(1))
        print(f"cutout {cutout}: mean Gini index {index.mean():.3f}", bootstrap_interval(index))
