"""The directive `benchmark-list`: every benchmark with the first line of its docstring."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

from benchmarks.__main__ import NAMES


class BenchmarkList(SphinxDirective):
    """A table of names, what is measured, and the rows kept in docs/."""

    def run(self) -> list[nodes.Node]:
        """The table."""
        lines = ["| `python -m benchmarks` | |", "| --- | --- |"]
        for name in NAMES:
            summary = (import_module(f"benchmarks.{name}").__doc__ or "").splitlines()[0]
            lines.append(f"| `{name}` | {summary} |")
        return self.parse_text_to_nodes("\n".join(lines))


def setup(app: Any) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("benchmark-list", BenchmarkList)
    return {"parallel_read_safe": True}
