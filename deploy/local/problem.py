"""What can be in the way of a local stack, said in one line together with what to do about it."""

from __future__ import annotations


class Problem(Exception):
    """Something outside the program is in the way; `remedy` says what the reader can do about it."""

    def __init__(self, what: str, *, remedy: str) -> None:
        """Take what is in the way, in one line without a full stop, and what to do about it."""
        super().__init__(what)
        self.what = what
        self.remedy = remedy

    def __str__(self) -> str:
        """Give both in one line."""
        return f"{self.what}: {self.remedy}"
