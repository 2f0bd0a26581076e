"""The tutorial of the documentation runs, and keeps what it shows."""

import json
import subprocess
import sys

import pytest

from tests import ROOT

PATH = ROOT / "docs" / "tutorial.ipynb"
RUN = """
import sys, nbformat
from nbclient import NotebookClient
book = nbformat.read(sys.argv[1], 4)
NotebookClient(book, timeout=900, kernel_name="python3").execute(cwd=sys.argv[2])
print("ran", sum(cell.cell_type == "code" for cell in book.cells))
"""


def test_every_cell_was_run_and_shows_something():
    cells = [c for c in json.loads(PATH.read_text())["cells"] if c["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    assert all(cell["outputs"] for cell in cells)
    kinds = {output["output_type"] for cell in cells for output in cell["outputs"]}
    assert kinds == {"execute_result", "stream", "display_data"}  # and no error
    streams = [o["name"] for c in cells for o in c["outputs"] if o["output_type"] == "stream"]
    assert set(streams) == {"stdout"}  # and no warning


@pytest.mark.slow
def test_it_runs(tmp_path):
    pytest.importorskip("nbclient")
    run = [sys.executable, "-c", RUN, PATH, tmp_path]
    done = subprocess.run(run, capture_output=True, text=True, timeout=1500)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("ran 8")
