"""`python -m deploy.local.demo`."""

from __future__ import annotations

import sys

from deploy.local.demo.command import main

if __name__ == "__main__":
    sys.exit(main())
