# The arrows: data -> executed chapters -> book. `make book` runs them; any Snakemake option or executor works as well.
from pathlib import Path

CHAPTERS = sorted(path.stem for path in Path("notebooks").glob("[0-9]*.py") if not path.stem.startswith("00_"))
PROFILE = config.get("profile", "laptop")


def files(*patterns):
    return sorted(str(path) for pattern in patterns for path in Path().glob(pattern) if path.is_file())


wildcard_constraints:
    nb="[^/]+",


localrules:
    book,
    chapters,
    data,


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
        f"profiles/{PROFILE}.yaml",
        "checkpoints/registry.yaml",
        files("src/inequality_phenomenon/**/*.py", "results/**/*"),
        data=ancient(".cache/cifar10.fetched"),
    output:
        "book/_executed/{nb}.ipynb",
    params:
        profile=PROFILE,
    threads: workflow.cores  # a chapter uses all cores by itself
    shell:
        "python -m inequality_phenomenon.execution {wildcards.nb} {output} -p profile {params.profile}"


# Reads the records that the chapters wrote, so it comes after all of them.
rule scoreboard:
    input:
        rules.chapters.input,
        files("src/inequality_phenomenon/**/*.py", "results/**/*"),
    output:
        "book/_generated/scoreboard.md",
        "book/_generated/scoreboard_claims.csv",
        "book/_generated/scoreboard_values.csv",
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
