"""The directive `api-reference`: autodoc of every public module of a package."""

from __future__ import annotations

import pkgutil
from importlib import import_module
from typing import Any

from docutils import nodes
from sphinx.util.docutils import SphinxDirective


def modules(package: str) -> list[str]:
    """Names of the public modules of a package, not of those below it."""
    folder, *_ = import_module(package).__path__
    found = pkgutil.iter_modules([folder], f"{package}.")
    names = [module.name for module in found if not module.ispkg]
    return [name for name in names if not name.rpartition(".")[2].startswith("_")]


class ApiReference(SphinxDirective):
    """The modules of the package that is its argument, a section each."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """The sections as nodes of the page."""
        return [self._module(name) for name in modules(self.arguments[0])]

    def _module(self, name: str) -> nodes.Node:
        section = nodes.section(ids=[name.replace(".", "-")], names=[name])
        section += nodes.title(text=name)
        self.state.document.note_explicit_target(section, section)
        section += self.parse_text_to_nodes(f"```{{eval-rst}}\n.. automodule:: {name}\n```\n")
        return section


def setup(app: Any) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("api-reference", ApiReference)
    return {"parallel_read_safe": True}
