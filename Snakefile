# The arrows: data -> executed chapters -> book, and data -> trained networks -> cells of the grid. `make book` and
# `make grid` run them; any Snakemake option or executor works as well.
from hashlib import sha256
from pathlib import Path

from inequality_phenomenon.measure.grid import load_grid

CHAPTERS = sorted(path.stem for path in Path("notebooks").glob("[0-9]*.py") if not path.stem.startswith("00_"))
PROFILE = config.get("profile", "laptop")


def files(*patterns):
    return sorted(str(path) for pattern in patterns for path in Path().glob(pattern) if path.is_file())


def content(*names):
    return sha256(b"".join(Path(name).read_bytes() for name in names)).hexdigest()


# What every chapter computes with. Its content is a parameter too: a clock that was moved back hides no change.
COMPUTES = files(f"profiles/{PROFILE}.yaml", "checkpoints/registry.yaml", "src/inequality_phenomenon/**/*.py", "results/**/*")
COMPUTES_CONTENT = content(*COMPUTES)


wildcard_constraints:
    nb="[^/]+",
    checkpoint="[^/]+",
    attribution="[^/]+",


localrules:
    book,
    chapters,
    data,
    grid,


rule book:
    default_target: True
    input:
        "_build/html/index.html",


rule chapters:
    input:
        expand("book/_executed/{nb}.ipynb", nb=CHAPTERS),


# Only fetches the images early and visibly: whoever loads them verifies them, or fetches them again.
rule data:
    output:
        touch(".cache/cifar10.fetched"),
    shell:
        "inequality data >&2"


rule execute:
    input:
        "notebooks/{nb}.py",
        COMPUTES,
        data=ancient(".cache/cifar10.fetched"),
    output:
        "book/_executed/{nb}.ipynb",
    params:
        profile=PROFILE,
        content=lambda wildcards: (content(f"notebooks/{wildcards.nb}.py"), COMPUTES_CONTENT),
    threads: lambda wildcards: workflow.cores  # a chapter uses all cores by itself
    shell:
        "inequality execute {wildcards.nb} {output} -p profile {params.profile}"


# Reads the records that the chapters wrote, so it comes after all of them.
rule scoreboard:
    input:
        rules.chapters.input,
        files("src/inequality_phenomenon/**/*.py", "results/**/*", "profiles/gpu.yaml"),
    output:
        "book/_generated/scoreboard.md",
        "book/_generated/scoreboard_claims.csv",
        "book/_generated/scoreboard_values.csv",
        "book/_generated/pieces.txt",
    params:
        profile=PROFILE,
    shell:
        "inequality scoreboard --profile {params.profile}"


rule build:
    input:
        rules.chapters.input,
        rules.scoreboard.output,
        files("_config.yml", "_toc.yml", "book/*", "book/static/**/*"),
    output:
        "_build/html/index.html",
    log:
        "_build/build.log",
    # From nothing, since Sphinx does not repeat the warnings of a page that it has cached.
    shell:
        "rm -rf _build/html _build/.doctrees && echo 'book: building the pages' >&2 && "
        "NO_COLOR=1 jupyter-book build . -W -n --keep-going -q >{log} 2>&1 || (cat {log} >&2; exit 1)"


rule grid:
    input:
        lambda wildcards: load_grid().targets(),


# A network that is there already only gets its mark: Snakemake would delete a network that it is told to make again.
rule trained:
    input:
        data=ancient(".cache/cifar10.fetched"),
    output:
        touch("_build/grid/{checkpoint}/trained"),
    threads: 1
    shell:
        "inequality grid train {wildcards.checkpoint} >&2"


rule cell:
    input:
        ancient("_build/grid/{checkpoint}/trained"),
    output:
        "_build/grid/{checkpoint}/{attribution}.record",
    threads: 1
    shell:
        "inequality grid measure {wildcards.checkpoint} {wildcards.attribution}"
