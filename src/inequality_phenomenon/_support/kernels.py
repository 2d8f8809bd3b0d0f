"""The kernel that executes a notebook: chapters under papermill, submissions in a sandbox."""

import os
from tempfile import TemporaryDirectory
from typing import Any

from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from traitlets import default


class OwnInterpreter(AsyncKernelManager):
    """Starts the Python that asks for a kernel, whatever kernels, IPython profile or start-up file the user has."""

    transport_encryption = "auto"  # without it the kernel warns of an open local port

    @default("kernel_spec_manager")
    def _without_installed_kernels(self) -> KernelSpecManager:
        return KernelSpecManager(parent=self, kernel_dirs=[])

    async def start_kernel(self, **options: Any) -> None:  # type: ignore[override]
        self._empty = TemporaryDirectory(prefix="ipython-", ignore_cleanup_errors=True)  # for as long as the kernel
        own = {"IPYTHONDIR": self._empty.name, "PYTHONSTARTUP": ""}
        await super().start_kernel(**options | {"env": (options.get("env") or os.environ) | own})

    async def _async_cleanup_resources(self, restart: bool = False) -> None:
        await super()._async_cleanup_resources(restart=restart)
        if not restart:
            self._empty.cleanup()
