"""The kernel that executes a notebook: chapters under papermill, submissions in a sandbox."""

from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from traitlets import default


class OwnInterpreter(AsyncKernelManager):
    """Starts the Python that asks for a kernel, whatever kernels named python3 the user has installed elsewhere."""

    transport_encryption = "auto"  # without it the kernel warns of an open local port

    @default("kernel_spec_manager")
    def _without_installed_kernels(self) -> KernelSpecManager:
        return KernelSpecManager(parent=self, kernel_dirs=[])
