"""The cache of measurements. Its keys name everything that decides a result, the measuring code included."""

import ast
import hashlib
import json
import time
from collections.abc import Callable, Iterator
from functools import cache
from importlib.util import find_spec, resolve_name
from pathlib import Path
from typing import Any

from .._support import paths
from .._support.files import read_sealed, write_sealed

PACKAGE = __name__.partition(".")[0]

# What decides no measured value: a change of these makes no measurement stale. All else in the package does.
IDLE = tuple(
    f"{PACKAGE}.{name}"
    for name in (
        "statistics", "verdicts", "show", "imagenet", "measure.cache", "measure.grid", "measure.reference", "measure.run",
        "_support.checks", "_support.files", "_support.kernels", "_support.npm", "_support.paths",
        "_support.plugins", "_support.profiles",
    )
)  # fmt: skip


class UnresolvedImport(ImportError):
    """An import that ``code_hash`` cannot follow to a source file."""


@cache
def code_hash(module: str) -> str:
    """SHA-256 of a module's source and of all that it imports from its package, directly or not, but for ``IDLE``.

    ``module`` is a full name. Imports inside functions count. Raises ``UnresolvedImport`` where one leads to no source.
    """
    return hashlib.sha256(json.dumps(code_closure(module), sort_keys=True).encode()).hexdigest()


def code_closure(module: str) -> dict[str, str]:
    """The sources that ``code_hash`` covers, by module name."""
    todo, sources = [module], dict[str, str]()
    while todo:
        name = todo.pop()
        if name not in sources:
            file = _source_file(name)
            sources[name] = file.read_text("utf-8")
            found = _imported(name, file.name == "__init__.py", sources[name])
            todo += [other for other in found if not f"{other}.".startswith(tuple(f"{idle}." for idle in IDLE))]
    return sources


def _imported(name: str, is_package: bool, source: str) -> Iterator[str]:
    """Full names of the modules of the same top-level package that ``source`` imports, with the packages around them."""
    top = name.partition(".")[0]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            here = name if is_package else name.rpartition(".")[0]
            base = resolve_name("." * node.level + (node.module or ""), here) if node.level else node.module or ""
            found = [base] if base.partition(".")[0] != top else [_module_of(base, alias.name) for alias in node.names]
        else:
            continue
        for other in found:
            parts = other.split(".")
            if parts[0] == top:
                yield from (".".join(parts[:length]) for length in range(2, len(parts) + 1))


def _module_of(base: str, name: str) -> str:
    """What ``from base import name`` takes the name from: the module ``base.name``, else ``base``."""
    is_package = _source_file(base).name == "__init__.py"
    return f"{base}.{name}" if is_package and find_spec(f"{base}.{name}") else base


def _source_file(name: str) -> Path:
    try:
        spec = find_spec(name)
    except ModuleNotFoundError:
        spec = None
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        raise UnresolvedImport(f"{name}: an import leads here, but there is no source file")
    return Path(spec.origin)


def cached(name: str, key: dict[str, Any], compute: Callable[[], bytes]) -> tuple[bytes, dict[str, Any]]:
    """``compute()`` or what it gave before for the same key; also how long it took and whether it was cached.

    Raises ``files.DamagedFile`` naming the file where a stored result was altered.
    """
    text = json.dumps(key, sort_keys=True)
    file = paths.CACHE / name / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.bin"
    if file.exists():
        payload = read_sealed(file)
        header, _, content = payload.partition(b"\n")
        return content, {"cached": True, **json.loads(header)}
    started = time.perf_counter()
    content = compute()
    facts = {"seconds": round(time.perf_counter() - started, 3)}
    write_sealed(file, json.dumps(facts).encode() + b"\n" + content)
    return content, {"cached": False, **facts}
