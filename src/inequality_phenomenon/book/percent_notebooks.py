"""Lets papermill read the percent-format scripts in notebooks/: ``papermill notebooks/NAME.py out.ipynb`` just works.

The script is the only source; the notebook exists in memory alone. papermill finds ``handler`` through the entry point
``papermill.io``. This module must not import ``papermill.engines``, which imports it.
"""

import warnings

import jupytext
import nbformat
from papermill.iorw import LocalHandler

# papermill warns of every input that does not end in .ipynb or .json.
warnings.filterwarnings("ignore", message=r"The specified file \(\S*notebooks/\S+\.py\)")


class PercentNotebooks(LocalHandler):
    """Files under notebooks/: a ``.py`` is converted while it is read, anything else is read and written as it is."""

    def read(self, path: str) -> str:
        text = super().read(path)
        return nbformat.writes(to_notebook(text)) if path.endswith(".py") else text


def to_notebook(text: str) -> nbformat.NotebookNode:
    """The notebook of a percent-format script, its kernel being the Python that runs papermill (see strict_engine)."""
    notebook = jupytext.reads(text, fmt="py:percent")
    notebook.metadata.pop("jupytext", None)
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return notebook


handler = PercentNotebooks()
