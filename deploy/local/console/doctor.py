"""What this machine has of what a stack needs: found where, or missing and what to do about it."""

from __future__ import annotations

import importlib.util
import sys
import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.local.composition import envoy
from deploy.local.composition.environment import SERVICES
from deploy.local.engines import kafka, mongodb, redis
from deploy.local.engines.executables import missing_libraries, on_path
from deploy.local.problem import Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from deploy.local.engines.engine import Found

_OLDEST_PYTHON = (3, 11)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked for; `remedy` is set when it is missing and needed."""

    name: str
    found: str
    remedy: str = ""

    @property
    def is_well(self) -> bool:
        """Say whether a stack can do with what was found."""
        return not self.remedy


def examine(environ: Mapping[str, str], *, home: Path, cache: Path) -> list[Finding]:
    """Look for everything, missing or not; blocks, and fetches Kafka's artifacts where they can be fetched."""
    checks: list[tuple[str, Callable[[], str]]] = [
        ("python", _python),
        ("mongodb", lambda: _engine(mongodb.find(environ))),
        ("redis", lambda: _engine(redis.find(environ))),
        ("kafka", lambda: _engine(kafka.find(environ, cache=cache))),
        ("envoy", lambda: _envoy(environ)),
        ("services", _services),
        ("data", partial(_writable, home)),
        ("grpcurl", lambda: _grpcurl(environ)),
    ]
    findings = []
    for name, check in checks:
        try:
            findings.append(Finding(name=name, found=check()))
        except Problem as problem:
            findings.append(Finding(name=name, found=problem.what, remedy=problem.remedy))
    return findings


def _python() -> str:
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info < _OLDEST_PYTHON:
        raise Problem(f"Python {version} is too old", remedy="install 3.11 or newer and run `make setup`")
    return f"Python {version} ({sys.executable})"


def _engine(found: Found) -> str:
    return f"{found.description} ({found.origin}: {found.executable or 'runs elsewhere'})"


def _envoy(environ: Mapping[str, str]) -> str:
    executable = envoy.find(environ)
    libraries = missing_libraries(executable)
    if libraries:
        raise Problem(
            f"{executable} needs shared libraries that are not here ({', '.join(libraries)})",
            remedy="install the system packages that carry them",
        )
    return f"Envoy ({executable})"


def _services() -> str:
    missing = [service.name for service in SERVICES if _missing(f"services.{service.name}")]
    if missing:
        raise Problem(f"not installed: {', '.join(missing)}", remedy="run `make setup` in the checkout")
    return f"{len(SERVICES)} services"


def _missing(module: str) -> bool:
    try:
        return importlib.util.find_spec(f"{module}.__main__") is None
    except ModuleNotFoundError:
        return True


def _writable(home: Path) -> str:
    try:
        home.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=home):
            return str(home)
    except OSError as exc:
        raise Problem(f"{home} cannot be written ({exc.strerror})", remedy="choose another folder with --data") from exc


def _grpcurl(environ: Mapping[str, str]) -> str:
    # Wanted for the lines that `clarion up` prints, not needed: its absence is no illness.
    beside = Path(sys.executable).with_name("grpcurl")
    found = on_path("grpcurl", environ) or (beside if beside.exists() else None)
    return str(found) if found else "not found (only for the calls that `clarion up` suggests)"
