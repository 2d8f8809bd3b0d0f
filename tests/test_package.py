"""Promise: only what is used is imported, every public name is there, and an unknown one is refused as any module does."""

import subprocess
import sys

import pytest

import inequality_phenomenon as library


@pytest.mark.parametrize(
    ("code", "absent"),
    [("import inequality_phenomenon", "torch"), ("import inequality_phenomenon.book.workflow", "torch")],
)
def test_what_is_not_used_is_not_imported(code: str, absent: str) -> None:
    code += f"\nimport sys\nprint([name for name in sys.modules if (name + '.').startswith('{absent}.')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_every_public_name_is_there_and_no_other() -> None:
    assert all(getattr(library, name) is not None for name in library.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'ginny'"):
        _ = library.ginny
