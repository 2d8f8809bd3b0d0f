"""Executes submitted notebooks: each in a process of its own, with limits, and an empty home that looks like this project.

Its environment holds no secret. On Linux with user namespaces it has neither a network nor sight of other processes. It still
runs as the user who grades and can read that user's files. Grade the work of strangers in a container or a virtual machine.
"""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from nbclient import NotebookClient
from nbclient.exceptions import DeadKernelError
from nbformat import NotebookNode
from nbformat.v4 import new_output
from traitlets import Float

from .._support import paths
from .._support.files import socket_folder
from .._support.kernels import OwnInterpreter
from ..datasets import cifar10_file

SHOWN = 20_000  # characters of output that are kept of a cell: an endless loop may print
LOOK = "look"  # tag of cells that only show something: they are not executed
SLOW, PATIENCE = "slow", 5  # tag of cells that may take longer, and by which factor
GIVE_UP = 3  # cells in a row that were stopped: the process does not react
PROJECT = ("notebooks", "profiles", "checkpoints", "results")  # what a chapter under papermill reads
NAMESPACES = (
    ["unshare", "--map-root-user", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"],
    ["unshare", "--map-root-user", "--net"],  # where a container forbids to mount /proc
)


class CannotRun(RuntimeError):
    """The system that grades, not the submission, is why a notebook was not executed. The message says why."""


@dataclass(frozen=True)
class Limits:
    """What one notebook may use. Seconds are of wall-clock time. Beyond ``memory``, in GiB, an allocation fails."""

    cell_seconds: float = 60
    notebook_seconds: float = 900
    memory: float = 4  # own data of the kernel, and of each process that it starts


@cache
def isolation() -> list[str]:
    """The command that starts a process without network, or nothing where the system does not allow it."""
    for command in NAMESPACES:
        with suppress(OSError):
            if subprocess.run([*command, "true"], capture_output=True, check=False).returncode == 0:
                return command
    return []


class SandboxedKernel(OwnInterpreter):
    """A kernel with limited memory and, if possible, no network. It opens no port: its sockets are files."""

    transport_encryption = "disabled"
    memory = Float()  # GiB

    def format_kernel_cmd(self, extra_arguments: list[str] | None = None) -> list[str]:
        network = "own" if isolation() else "shared"
        kernel = [sys.executable, "-m", "inequality_phenomenon.classroom.sandboxed_kernel", str(self.memory), network]
        return [*isolation(), *kernel, "-f", self.connection_file, *(extra_arguments or [])]


class Execution(NotebookClient):
    """Executes cells whatever fails in them, within the limits, and keeps the first ``SHOWN`` characters of each output."""

    def __init__(self, notebook: NotebookNode, kernel: SandboxedKernel, limits: Limits) -> None:
        super().__init__(
            notebook, km=kernel, allow_errors=True, interrupt_on_timeout=True, on_cell_executed=self._mark_time_limit,
            error_on_timeout={"ename": "TimeLimit", "evalue": "", "traceback": []},
            timeout_func=lambda cell: max(0.1, min(self.seconds_for(cell), self.seconds_left())),
            startup_timeout=120, skip_cells_with_tag=LOOK, store_widget_state=False, record_timing=False,
        )  # fmt: skip
        self.kernel, self.limits, self.started = kernel, limits, time.monotonic()
        self.shown: Counter[int] = Counter()
        self.stopped = 0  # cells in a row

    def seconds_for(self, cell: NotebookNode) -> float:
        return self.limits.cell_seconds * (PATIENCE if SLOW in cell.metadata.get("tags", []) else 1)

    def seconds_left(self) -> float:
        return self.started + self.limits.notebook_seconds - time.monotonic()

    async def run(self) -> str | None:
        """Execute the cells in order. Returns why it ended early, or None; ``CannotRun`` if somebody else killed the process."""
        for index, cell in enumerate(self.nb.cells):
            if self.seconds_left() <= 0:
                return f"the notebook's {self.limits.notebook_seconds:g} s were up"
            if self.stopped == GIVE_UP:
                return "the process no longer reacted"
            try:
                await self.async_execute_cell(cell, index)
            except DeadKernelError:
                task = asyncio.current_task()
                if task and task.cancelling():  # nbclient takes our own end for the kernel's
                    raise asyncio.CancelledError from None
                if self.kernel.provisioner and await self.kernel.provisioner.poll() == -signal.SIGKILL:
                    raise CannotRun("the process was killed; did the memory suffice for all at a time?") from None
                cell.outputs.append(error("ProcessEnded", "the process ended in this cell"))
                return "the process ended before the notebook did"
        return None

    def _mark_time_limit(self, cell: NotebookNode, cell_index: int, execute_reply: dict[str, Any]) -> None:
        """The kernel may not have noticed yet that it was interrupted: the cell must show it all the same."""
        content = execute_reply["content"]
        timed_out = content["status"] == "error" and content["ename"] == "TimeLimit"
        self.stopped = self.stopped + 1 if timed_out else 0
        if timed_out:
            cell.outputs.append(error("TimeLimit", f"no end within {self.seconds_for(cell):g} s"))

    def output(
        self, outs: list[NotebookNode], msg: dict[str, Any], display_id: str | None, cell_index: int
    ) -> NotebookNode | None:
        """Drop what exceeds the limit, but no error."""
        self.shown[cell_index] += len(str(msg["content"]))
        if self.shown[cell_index] > SHOWN and msg["msg_type"] != "error":
            return None
        return super().output(outs, msg, display_id, cell_index)


def error(name: str, text: str) -> NotebookNode:
    return new_output("error", ename=name, evalue=text, traceback=[f"{name}: {text}"])


async def run_cells(notebook: NotebookNode, limits: Limits) -> str | None:
    """Execute ``notebook`` in place, in a process of its own that is gone afterwards. Returns why it ended early, or None.

    Raises ``CannotRun`` where the process did not start, was killed by somebody else, or had no space left on the disk.
    """
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sandbox-", ignore_cleanup_errors=True)))
        for part in PROJECT:  # it looks like this project
            (folder / part).symlink_to(paths.ROOT / part)
        sockets = stack.enter_context(tempfile.TemporaryDirectory(prefix="s-", dir=socket_folder()))
        read, write = os.pipe()  # the process ends when nobody holds the other end
        stack.callback(os.close, write)
        log = stack.enter_context((folder / "kernel.log").open("w+"))
        kernel = SandboxedKernel(transport="ipc", connection_file=f"{sockets}/k.json", memory=limits.memory)
        stack.push_async_callback(kernel.shutdown_kernel, now=True)
        stack.callback(os.close, read)
        await kernel.start_kernel(cwd=str(folder), env=_environment(folder), stdin=read, stdout=log, stderr=log)
        client = Execution(notebook, kernel, limits)
        try:
            channels = await client.async_start_new_kernel_client()
        except RuntimeError as problem:
            log.seek(0)
            raise CannotRun(f"the process did not start: {problem} {log.read()[-1000:]}".strip()) from None
        stack.callback(channels.stop_channels)
        trouble = await client.run()
        if shutil.disk_usage(folder).free < 2**20:
            raise CannotRun(f"there is no space left in {folder.parent}")
        return trouble


def _environment(folder: Path) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PYTHONPATH", "LANG", "LC_ALL") if name in os.environ}
    return kept | dict.fromkeys(("HOME", "TMPDIR", "INEQUALITY_ROOT"), str(folder)) | {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
        "MPLCONFIGDIR": str(paths.CACHE / "matplotlib"),  # its list of fonts takes seconds to make
        "INEQUALITY_CACHE": str(folder / ".cache"), "INEQUALITY_DATA": str(cifar10_file().resolve().parent),
        "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "",
    }  # fmt: skip
