"""Builds the stubs into the wheel: they exist nowhere in the source tree."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

sys.path.insert(0, str(Path(__file__).parent))

from stubs import generate


class StubsBuildHook(BuildHookInterface[Any]):
    """Generates the package `clarion` and puts it into the wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Generate before the wheel is packed; a source distribution carries the protos instead."""
        if self.target_name != "wheel":
            return
        self._folder = tempfile.TemporaryDirectory()
        generate(Path(self._folder.name))
        build_data["force_include"][str(Path(self._folder.name) / "clarion")] = "clarion"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove what was generated once it is packed."""
        if self.target_name == "wheel":
            self._folder.cleanup()
