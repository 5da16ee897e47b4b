"""The built-in rules by what they read."""

from __future__ import annotations

import ravine

ELEMENTWISE = [name for name, r in ravine.rules().items() if r.graph.is_elementwise]
"""Those whose every element depends on the same place alone: any shape will do, and kernels take them as they are."""

MATRIX = [name for name in ravine.rules() if name not in ELEMENTWISE]
"""Those that read more than one element at a time."""
