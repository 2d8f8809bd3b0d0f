"""The generated parts of ``book/imagenet.md``: what a run costs, and the paper's numbers beside an empty column.

``python -m inequality_phenomenon.imagenet.page`` writes them; a test checks that they are up to date.
"""

import pandas as pd
from torchvision.models import get_model_weights

from .._support import paths
from .._support.files import atomic_path
from .._support.profiles import Profile, load_profile
from ..networks import REGISTRY, network_of
from ..verdicts.published import NETWORKS, published_values
from .data import SIDE
from .doctor import MAP_BYTES, Work, in_words, maps_of, planned_models, work_of

PAGE = paths.BOOK / "imagenet.md"
BENCHMARK = paths.ROOT / "results" / "benchmarks" / "imagenet.csv"
BEGIN, END = "<!-- {0}: written by python -m inequality_phenomenon.imagenet.page -->", "<!-- end of {0} -->"
SUSTAINED = 10e12  # floating-point operations a second, an assumption for the estimates


def operations(checkpoint: str, work: Work) -> float:
    """Floating-point operations: two for each multiply-add; a backward pass to the input costs what a forward pass does."""
    multiply_adds = 1e9 * get_model_weights(network_of(checkpoint))["IMAGENET1K_V1"].meta["_ops"]
    return 2 * multiply_adds * (2 * work.gradients + work.forwards)


def costs() -> str:
    """Passes and estimated time of each chapter, and the disk that everything takes."""
    profile = load_profile("imagenet")
    lines = [
        "| Chapter | Forward and backward passes | Forward passes, at most | 10¹⁵ operations | Estimate at 10 TFLOP/s |",
        "|---|---|---|---|---|",
    ]
    whole = 0.0
    for chapter, values in profile.chapters.items():
        found = work_of(chapter, values, values.n_images or profile.n_images)
        total = sum(operations(name, work) for name, work in found.items())
        whole += total
        gradients, forwards = (
            sum(getattr(work, kind) for work in found.values()) for kind in ("gradients", "forwards")
        )
        estimate = in_words(total / SUSTAINED) if total else "maps of chapter 01"
        lines.append(f"| {chapter} | {gradients:,.0f} | {forwards:,.0f} | {total / 1e15:,.1f} | {estimate} |")
    lines.append(f"| all | | | {whole / 1e15:,.1f} | {in_words(whole / SUSTAINED)} |")
    return "\n".join([*lines, "", _table1_sentence(profile), "", _disk_sentence(profile), "", _cpu_sentence()])


def _table1_sentence(profile: Profile) -> str:
    ladder = profile.common
    steps = profile.chapters["01_inequality_test"].options["steps"]
    work = Work(gradients=profile.n_images * steps)
    total = sum(operations(name, work) for name in ladder)
    return (
        f"Table 1 for one ladder of {len(ladder)} ResNet-50: {profile.n_images} images, {steps} steps, "
        f"{len(ladder) * work.gradients:,.0f} forward and backward passes, {total / 1e15:.1f} · 10¹⁵ operations, estimated "
        f"{in_words(total / SUSTAINED)} at 10 TFLOP/s."
    )


def _disk_sentence(profile: Profile) -> str:
    models = [REGISTRY[name] for name in planned_models(profile)]
    published = sum(model.megabytes for model in models) / 1e3
    converted = sum(model.megabytes * (0.5 if model.origin == "huggingface" else 1) for model in models) / 1e3
    first = profile.chapters["01_inequality_test"].models
    held = len(first) * profile.n_images * 2 * MAP_BYTES / 1e9
    return (
        f"Disk, computed: {published:.1f} GB for the published files of {len(models)} models, {converted:.1f} GB for their converted "
        f"tensors, {MAP_BYTES * maps_of(profile) / 1e9:.1f} GB for {maps_of(profile):,} attribution maps of {MAP_BYTES / 1e3:.0f} kB "
        f"({SIDE}×{SIDE}×3 numbers in half precision). Memory, computed: chapter 01 holds the maps of its {len(first)} models at once, in "
        f"single precision, {held:.1f} GB."
    )


def _cpu_sentence() -> str:
    """What the benchmark found on the machine that it ran on."""
    if not BENCHMARK.exists():
        return (
            "No map of these networks has been timed here, neither on a CPU nor on a GPU; `make bench` and the doctor do it on "
            "your machine."
        )
    row = pd.read_csv(BENCHMARK).iloc[0]
    seconds = row["steps"] / row["attribute_passes_per_s"]
    return (
        f"Measured with random weights by `make bench`, on {row['device']}: one attribution map of {row['steps']} steps on a "
        f"{row['network']} takes {seconds:.0f} seconds, {row['attribute_passes_per_s']:.2f} forward and backward passes a second, "
        f"{100 * row['ratio']:.0f} % of the rate of such passes alone. The machine: {row['cpu']}, {row['threads']} threads."
    )


def published() -> str:
    """Every ImageNet value of the paper, table by table, beside an empty column."""
    values = published_values(dataset="imagenet")
    parts = []
    for table, rows in values.groupby("table", sort=False):
        lines = [f"### {_heading(str(table))}", "", "| Network | What | Paper | Yours |", "|---|---|---|---|"]
        lines += [f"| {_network(row)} | {_what(row)} | {_value(row)} | |" for row in rows.to_dict("records")]
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def _heading(table: str) -> str:
    return table.replace("table", "Table ").replace("section", "Section ").replace("appendix", "Appendix ")


def _network(row: dict) -> str:
    training = "standard" if row["training"] == "standard" else f"ℓ∞ {row['epsilon_255']}/255"
    if row["training"] not in ("standard", "linf"):
        training = str(row["training"])
    return f"{NETWORKS.get(row['architecture'], row['architecture'])}, {training}"


def _what(row: dict) -> str:
    words = [str(row[key]).replace("_", " ") for key in ("metric", "setting", "attribution") if row[key]]
    return ", ".join(words)


def _value(row: dict) -> str:
    if not row["value"]:
        return "(not in our copy of the text)"
    spread = f" ± {row['sd']}" if row["sd"] not in ("", None) else ""
    return f"{row['value']}{spread}{' %' if row['unit'] == '%' else ''}"


BLOCKS = {"costs": costs, "published": published}


def with_blocks(page: str) -> str:
    """The page with its generated parts between their markers."""
    for name, make in BLOCKS.items():
        before, _, rest = page.partition(BEGIN.format(name))
        _, _, after = rest.partition(END.format(name))
        page = f"{before}{BEGIN.format(name)}\n\n{make()}\n\n{END.format(name)}{after}"
    return page


def main() -> None:
    text = with_blocks(PAGE.read_text("utf-8"))
    with atomic_path(PAGE) as temporary:
        temporary.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
