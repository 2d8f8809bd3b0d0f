"""A papermill engine that refuses wrong parameters before anything runs and leaves no output of a failed run.

papermill loads it by an entry point, with or without ``--engine strict``. Other people's notebooks are executed as ever.
"""

import ast
import builtins
import typing
from typing import Any

from click import ClickException
from jupyter_client.kernelspec import NATIVE_KERNEL_NAME
from nbformat import NotebookNode
from papermill.engines import Engine, NBClientEngine, papermill_engines
from papermill.models import Parameter
from papermill.translators import PythonTranslator, papermill_translators
from papermill.utils import find_first_tagged_cell_index
from pydantic import ConfigDict, TypeAdapter, ValidationError

from .._support.kernels import OwnInterpreter
from .percent_notebooks import OURS, problem_of


class ParameterError(ClickException, ValueError):
    """A parameter that the notebook lacks, or of the wrong type. On the command line: one message, no traceback."""


class AnnotatedParameters(PythonTranslator):
    """Reads the cell tagged ``parameters`` by Python's grammar; papermill's pattern does not know ``int | None``."""

    @classmethod
    def inspect(cls, parameters_cell: NotebookNode) -> list[Parameter]:
        """``name: type = default  # help`` -> papermill's ``Parameter``, also for ``papermill --help-notebook``."""
        ours = annotated(parameters_cell.source)
        names = {parameter.name for parameter in ours}
        return ours + [other for other in super().inspect(parameters_cell) if other.name not in names]


def annotated(source: str) -> list[Parameter]:
    """The parameters that have a type; none in a cell that is not Python, such as one with magics."""
    try:
        statements = ast.parse(source).body
    except SyntaxError:
        return []
    text, helps = ast.unparse, [line.partition("#")[2].strip() for line in source.splitlines()]
    return [
        Parameter(text(one.target), text(one.annotation), text(one.value), helps[(one.end_lineno or 0) - 1])
        for one in statements
        if isinstance(one, ast.AnnAssign) and one.value
    ]


class StrictEngine(NBClientEngine):
    """Checks parameters against the annotations in the notebook; writes nothing until all cells ran."""

    @classmethod
    def execute_notebook(
        cls, nb: NotebookNode, kernel_name: str, output_path: str | None = None, **options: Any
    ) -> NotebookNode:
        from papermill.execute import raise_for_execution_errors  # imports papermill.engines, which imports this module

        check_parameters(nb, nb.metadata.papermill.get("parameters") or {})
        if problem := problem_of(nb.metadata.papermill.get("output_path")):
            raise ClickException(problem)
        executed = super().execute_notebook(nb, kernel_name, output_path=None, **options)
        raise_for_execution_errors(executed, None)  # here, because papermill would write the failed notebook first
        return executed

    @classmethod
    def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, **options: Any) -> None:
        if kernel_name == NATIVE_KERNEL_NAME:
            options["kernel_manager_class"] = OwnInterpreter
        super().execute_managed_notebook(nb_man, kernel_name, **options)


class StrictWithOurs(Engine):
    """Strict with a notebook that was a script of ours, papermill's own engine with any other."""

    @classmethod
    def execute_notebook(cls, nb: NotebookNode, kernel_name: str, **options: Any) -> NotebookNode:
        engine = StrictEngine if OURS in nb.metadata else NBClientEngine
        return engine.execute_notebook(nb, kernel_name, **options)


def check_parameters(notebook: NotebookNode, given: dict[str, Any]) -> None:
    """Raise ``ParameterError`` with the list of valid parameters unless every given one exists and has its type."""
    index = find_first_tagged_cell_index(notebook, "parameters")
    valid = annotated(notebook.cells[index].source) if index >= 0 else []
    types = {parameter.name: parameter.inferred_type_name for parameter in valid}
    if problems := [text for name, value in given.items() if (text := _problem(name, value, types))]:
        lines = [f"  {p.name}: {p.inferred_type_name} = {p.default}  {p.help}".rstrip() for p in valid] or ["  (none)"]
        lines.append("A list is given as YAML, -y 'name: [first, second]', and null as -p name None.")
        raise ParameterError("\n".join([*problems, "Valid parameters of this notebook:", *lines]))


def _problem(name: str, value: Any, types: dict[str, str]) -> str | None:
    if name not in types:
        return f"unknown parameter {name!r}"
    expected = eval(types[name], vars(builtins) | vars(typing))  # noqa: S307 (the notebook's own code, about to be run)
    try:
        TypeAdapter(expected, config=ConfigDict(strict=True)).validate_python(value)
    except ValidationError:
        return f"parameter {name!r} must be {types[name]}, not {value!r}"
    return None


papermill_engines.register(None, StrictWithOurs)
papermill_translators.register("python", AnnotatedParameters)
