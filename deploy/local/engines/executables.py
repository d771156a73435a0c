"""Executables: on PATH or inside an installed wheel, their version, and the libraries they lack."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.local.problem import Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

_PROBE_SECONDS = 20


def on_path(name: str, environ: Mapping[str, str]) -> Path | None:
    """Find an executable on PATH."""
    found = shutil.which(name, path=environ.get("PATH", ""))
    return Path(found) if found else None


def in_wheel(package: str, relative: str) -> Path | None:
    """Find a file inside an installed package without importing it."""
    try:
        spec = importlib.util.find_spec(package)
    except ModuleNotFoundError:
        return None
    for folder in (spec.submodule_search_locations or []) if spec else []:
        candidate = Path(folder) / relative
        if candidate.is_file():
            return candidate
    return None


def missing_libraries(executable: Path) -> list[str]:
    """Name the shared libraries that the loader would not find; none where `ldd` is not at hand."""
    ldd = shutil.which("ldd")
    if ldd is None:
        return []
    answer = subprocess.run(  # noqa: S603 - an executable that we located
        [ldd, str(executable)], capture_output=True, text=True, timeout=_PROBE_SECONDS, check=False
    )
    return re.findall(r"^\s*(\S+) => not found", answer.stdout, re.MULTILINE)


def version_of(executable: Path, arguments: tuple[str, ...], pattern: str, *, name: str) -> tuple[int, ...]:
    """Run it for its version. Raises Problem when it does not start or answers something else."""
    try:
        answer = subprocess.run(  # noqa: S603 - an executable that we located
            [str(executable), *arguments], capture_output=True, text=True, timeout=_PROBE_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise Problem(f"{name} at {executable} does not start", remedy="reinstall it") from exc
    found = re.search(pattern, answer.stdout + answer.stderr)
    if found is None:
        libraries = missing_libraries(executable)
        if libraries:
            raise Problem(
                f"{name} at {executable} needs shared libraries that are not here ({', '.join(libraries)})",
                remedy="install the system packages that carry them, or set the engine's URL",
            )
        raise Problem(f"{name} at {executable} does not tell its version", remedy="reinstall it")
    return tuple(int(part) for part in found.group(1).split(".") if part.isdigit())


def dotted(version: tuple[int, ...]) -> str:
    """Write a version as people do."""
    return ".".join(map(str, version))
