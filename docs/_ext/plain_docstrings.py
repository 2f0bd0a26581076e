"""Docstrings are plain text: |s| and b* in them are no markup."""

from __future__ import annotations

import re
from typing import Any

CODE = re.compile(r"(`[^`]*`)")


def escape(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Escape stars and bars outside of code, before napoleon reads the docstring."""
    for i, line in enumerate(lines):
        parts = CODE.split(line)
        parts[::2] = [re.sub(r"([*|])", r"\\\1", text) for text in parts[::2]]
        lines[i] = "".join(parts)
    if what in ("attribute", "data", "property"):
        lines.insert(0, "\\ ")  # an empty word, or napoleon takes what is before a colon for a type


def setup(app: Any) -> dict[str, bool]:
    """Register the handler ahead of napoleon's, of priority 500."""
    app.connect("autodoc-process-docstring", escape, priority=100)
    return {"parallel_read_safe": True}
