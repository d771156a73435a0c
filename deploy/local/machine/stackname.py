"""Names of stacks, which are also names of folders."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from deploy.local.machine.folder import StackFolder
from deploy.local.problem import Problem

if TYPE_CHECKING:
    from pathlib import Path

_NAME = re.compile(r"[a-z][a-z0-9-]{0,29}")


def stack_folder(name: str, home: Path) -> StackFolder:
    """Give the folder of a stack. Raises Problem for a name that cannot be one."""
    if _NAME.fullmatch(name) is None or name == "cache":
        raise Problem(f"{name!r} cannot name a stack", remedy="use up to 30 lower-case letters, digits and hyphens")
    return StackFolder(home / name)
