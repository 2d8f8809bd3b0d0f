"""Lets papermill, which loads this by an entry point, read percent-format scripts. Not to import ``papermill.engines``."""

import os
import warnings

import jupytext
import nbformat
from papermill.iorw import papermill_io

OURS = "inequality_phenomenon"  # in the metadata of a notebook that was a script

# papermill warns of every input that does not end in .ipynb or .json.
warnings.filterwarnings("ignore", message=r"The specified file \(.+\.py\)")


def to_notebook(text: str) -> nbformat.NotebookNode:
    """The notebook of a percent-format script, its kernel being the Python that runs papermill (see strict_engine)."""
    notebook = jupytext.reads(text, fmt="py:percent")
    notebook.metadata.pop("jupytext", None)
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook.metadata[OURS] = {"strict": True}
    return notebook


def problem_of(output: str | None) -> str | None:
    """Why papermill could not write the notebook to ``output``, in words; ``None`` where it can, or that is not known."""
    if output is None or output == "-" or "://" in output:
        return None
    here = handler.cwd(None)  # where papermill was called; an execution may be elsewhere
    handler.cwd(here)
    file = os.path.join(here or "", output)
    folder = os.path.dirname(file) or "."
    if os.path.isdir(file):
        return f"{output} is a folder: name a file in it, such as {os.path.join(output, 'out.ipynb')}"
    if not os.path.isdir(folder):
        return f"there is no folder {os.path.dirname(output)} to write {os.path.basename(output)} to: make it first"
    if not os.access(file if os.path.exists(file) else folder, os.W_OK):
        return f"{output} cannot be written: permission denied"
    return None


handler = papermill_io.get_handler("local")
_read = handler.read
handler.read = lambda path: nbformat.writes(to_notebook(_read(path))) if str(path).endswith(".py") else _read(path)
