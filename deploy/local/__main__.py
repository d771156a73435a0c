"""`python -m deploy.local` is the `clarion` command."""

from __future__ import annotations

from deploy.local.cli import main

if __name__ == "__main__":
    main()
