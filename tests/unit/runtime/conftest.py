"""Property tests on a machine that may be busy."""

from __future__ import annotations

from hypothesis import settings

# An example is judged by what it shows, not by how long it took.
settings.register_profile("clarion", deadline=None)
settings.load_profile("clarion")
