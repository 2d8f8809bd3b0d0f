# The arrows: data -> executed chapters -> book. `make book` runs them; any Snakemake option or executor works as well.
from pathlib import Path

CHAPTERS = sorted(path.stem for path in Path("notebooks").glob("[0-9]*.py"))
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
        files("src/inequality_phenomenon/*.py", "results/**/*"),
        data=ancient(".cache/cifar10.fetched"),
    output:
        "book/_executed/{nb}.ipynb",
    params:
        profile=PROFILE,
    threads: workflow.cores  # a chapter uses all cores by itself
    shell:
        "python -m inequality_phenomenon.execution {wildcards.nb} {output} -p profile {params.profile}"


rule build:
    input:
        rules.chapters.input,
        files("_config.yml", "_toc.yml", "book/*", "book/static/**/*"),
    output:
        "_build/html/index.html",
    log:
        "_build/build.log",
    # From nothing, since Sphinx does not repeat the warnings of a page that it has cached.
    shell:
        "rm -rf _build/html _build/.doctrees && echo 'book: building the pages' >&2 && "
        "NO_COLOR=1 jupyter-book build . -W -n --keep-going -q >{log} 2>&1 || (cat {log} >&2; exit 1)"
