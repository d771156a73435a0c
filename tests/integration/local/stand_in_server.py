"""A server that accepts connections and writes down its life: NAME PORT JOURNAL [--child] [--deaf] [--fails].

`--child` starts a process of its own, `--deaf` ignores SIGTERM, `--fails` ends with 7 before it listens.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time


def main() -> None:
    """Be the server until SIGTERM."""
    name, port, journal, *options = sys.argv[1:]
    if "--fails" in options:
        print("no such luck", flush=True)  # noqa: T201 - its last words
        sys.exit(7)

    def write(what: str) -> None:
        with open(journal, "a") as file:  # noqa: PTH123 - no more imports than needed
            file.write(f"{name} {what}\n")

    def end(_signum: int, _frame: object) -> None:
        write("ended")
        os._exit(0)

    signal.signal(signal.SIGTERM, signal.SIG_IGN if "--deaf" in options else end)
    if "--child" in options:
        subprocess.Popen([sys.executable, "-I", "-c", "import time; time.sleep(600)", journal])
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(("127.0.0.1", int(port)))
        write("began")
        server.listen()
        while True:
            time.sleep(60)


if __name__ == "__main__":
    main()
