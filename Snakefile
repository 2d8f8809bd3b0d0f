# The arrows: data -> executed chapters -> book, and data -> trained networks -> cells of the grid. `make book` and
# `make grid` run them; any Snakemake option or executor works as well. What decides a result is a parameter, by its content:
# a checkout with other times repeats nothing, and a clock that was moved back hides no change.
from inequality_phenomenon.book.workflow import chapters, content, fingerprint

CHAPTERS = chapters()
PROFILE = config.get("profile", "laptop")
# Chapters at once: half of a small run is work that one core does. Large runs need the memory, or the GPU, for one.
AT_ONCE = 2 if PROFILE in ("laptop", "smoke") else 1


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
        data=ancient(".cache/cifar10.fetched"),
    output:
        "book/_executed/{nb}.ipynb",
    params:
        profile=PROFILE,
        decided_by=lambda wildcards: fingerprint(wildcards.nb, PROFILE),
    threads: lambda wildcards: max(1, (workflow.cores or 1) // AT_ONCE)
    shell:
        "inequality execute {wildcards.nb} {output} -p profile {params.profile}"


# The longest begin, so that none is left alone at the end.
use rule execute as execute_first with:
    output:
        "book/_executed/{nb,15_every_reading|04_attribution_ablation|02_noise_attack|03_occlusion_attack}.ipynb",
    priority: 1


ruleorder: execute_first > execute


# Reads the records that the chapters wrote, so it comes after all of them.
rule scoreboard:
    input:
        rules.chapters.input,
    output:
        "book/_generated/scoreboard.md",
        "book/_generated/scoreboard_claims.csv",
        "book/_generated/scoreboard_values.csv",
        "book/_generated/pieces.txt",
    params:
        profile=PROFILE,
        decided_by=lambda _: content("src/inequality_phenomenon/**/*", "results/**/*", "profiles/gpu.yaml", "book/static/scoreboard.md"),
    shell:
        "inequality scoreboard --profile {params.profile}"


# The networks as scripts that a reader's browser runs, where the vendored TensorFlow.js is there.
rule live_page:
    input:
        data=ancient(".cache/cifar10.fetched"),
    output:
        "book/_generated/fool_it.txt",
    params:
        decided_by=lambda _: content(
            "checkpoints/registry.yaml", "checkpoints/common_subset.json", "src/inequality_phenomenon/*.py",
            "src/inequality_phenomenon/attacks/*.py", "src/inequality_phenomenon/book/live_page.py",
            "book/static/vendor/tfjs-*/**/*",
        ),
    shell:
        "python -c 'from inequality_phenomenon.book.live_page import write_live_page; write_live_page()'"


rule build:
    input:
        rules.chapters.input,
        rules.scoreboard.output,
        rules.live_page.output,
    output:
        "_build/html/index.html",
    params:
        decided_by=lambda _: content(  # of what is in vendor, the packages: live_page is an input
            "_config.yml", "_toc.yml", "book/*", "book/static/*", "book/static/doctor/*", "book/static/vendor/*@*/**/*",
            "src/**/*.py",
        ),
    log:
        "_build/build.log",
    # From nothing, since Sphinx does not repeat the warnings of a page that it has cached.
    shell:
        "rm -rf _build/html _build/.doctrees && echo 'book: building the pages' >&2 && "
        "NO_COLOR=1 jupyter-book build . -W -n --keep-going -q >{log} 2>&1 || (cat {log} >&2; exit 1)"


def cells(_):
    from inequality_phenomenon.measure.grid import load_grid

    return load_grid().targets()


rule grid:
    input:
        cells,


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
