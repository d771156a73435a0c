"""Becomes the command it is given, after arranging to be killed when the process that started it dies.

Run as a file, `python -I -S launch.py PARENT_PID COMMAND...`, so that only the standard library is read.
A wrapper rather than a `preexec_fn`: the supervisor has threads (drivers bring them), and Python code between
fork and exec in a process with threads can deadlock. The kernel keeps the setting across `exec` (prctl(2),
PR_SET_PDEATHSIG). Where there is no such call, leftovers are found through the stack's state file instead.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    """Arrange for the signal, make sure that the parent is still there, and exec the command."""
    parent = int(arguments[0])
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
    os.execvp(arguments[1], arguments[1:])  # noqa: S606 - starting a command is what this file is for


if __name__ == "__main__":
    main(sys.argv[1:])
