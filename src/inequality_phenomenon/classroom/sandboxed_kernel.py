"""The process in which a submission's code runs, started by ``sandbox``.

It limits its memory, ends when the grader that started it does, and becomes an ordinary notebook kernel. Its arguments are
the bytes that it may use, whether it has a network of its own (own, shared), and then those of the kernel.
"""

import os
import socket
import struct
import sys
from threading import Thread

from ipykernel import kernelapp

_SET_INTERFACE_FLAGS, _UP = 0x8914, 1  # Linux: SIOCSIFFLAGS, IFF_UP


def limit_memory(size: int) -> None:
    """At most ``size`` bytes of own data for this process, and for each that it starts: beyond it, ``MemoryError``."""
    import resource  # a Windows has none, and there the grader says that it cannot run

    resource.setrlimit(resource.RLIMIT_DATA, (size, size))


def end_with_parent() -> None:
    """Leave when the other end of standard input is closed: it is held open by the grader alone."""

    def wait() -> None:
        os.read(0, 1)
        os._exit(1)

    Thread(target=wait, daemon=True).start()


def raise_loopback() -> None:
    """Let the process talk to itself in its own, empty network: papermill starts a kernel within this kernel."""
    import fcntl

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, _SET_INTERFACE_FLAGS, struct.pack("16sH14x", b"lo", _UP))


if __name__ == "__main__":
    _, size, network, *kernel_arguments = sys.argv
    limit_memory(int(size))
    end_with_parent()
    if network == "own":
        raise_loopback()
    sys.argv = [__file__, *kernel_arguments]
    kernelapp.launch_new_instance()
