"""Sphinx configuration; CONTRIBUTING.md has the command. Nothing is fetched at build."""

import sys
from pathlib import Path

here = Path(__file__).parent
sys.path[:0] = [str(here.parent), str(here / "_ext")]

from coca import __version__  # noqa: E402

project, author, copyright = "coca", "The coca developers", "The coca developers"
release = version = __version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx-mathjax-offline",
    "api_reference",
    "plain_docstrings",
    "benchmark_list",
    "config_reference",
]
exclude_patterns = ["_build"]
suppress_warnings = ["ref.python"]  # `rows` or `mesh` is an attribute of several classes
nitpicky = False  # numpydoc's words for types (array, sequence of Step) are no references

myst_heading_anchors = 3
nb_execution_mode = "off"  # the tutorial keeps what it shows; a test runs it again
napoleon_google_docstring = False
napoleon_use_ivar = True
autodoc_typehints = "none"  # shapes and units stand in the docstrings
autodoc_default_options = {"members": True, "show-inheritance": True, "member-order": "bysource"}
autodoc_preserve_defaults = True

toc_object_entries = False  # three thousand of them on every page
html_theme = "furo"
html_title = f"coca {release}"
