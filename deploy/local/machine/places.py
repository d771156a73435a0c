"""Where things lie on this machine: the checkout, and the one folder that everything local is written to."""

from __future__ import annotations

from pathlib import Path

_CHECKOUT = Path(__file__).resolve().parents[3]


def project_folder() -> Path:
    """Give the checkout, or the working folder when Clarion runs from an installed wheel."""
    return _CHECKOUT if (_CHECKOUT / "pyproject.toml").is_file() else Path.cwd()


def home_folder() -> Path:
    """Give the folder that holds every stack."""
    return project_folder() / ".clarion"


def cache_folder() -> Path:
    """Give the folder for what is fetched once and shared by all stacks and tests."""
    return home_folder() / "cache"
