"""The house itself: a test file for every module, and nothing that runs what it reads."""

import re

from tests import ROOT


def test_nothing_is_unpickled():
    """Neither pickle nor what uses it for files: only NumPy's arrays of numbers are loaded."""
    forbidden = r"\b(pickle|dill|joblib|shelve|marshal|torch\.load|eval|exec)\b *(\(|\.|$)"
    for path in [ROOT / "run_sim.py", *(ROOT / "coca").rglob("*.py")]:
        text = path.read_text()
        code = re.sub(r'""".*?"""|#.*', "", text, flags=re.S | re.M)
        found = [line for line in code.splitlines() if re.search(forbidden, line)]
        assert [line for line in found if ".eval()" not in line] == [], path
        assert "yaml.load(" not in code or "_Loader" in code, path
        for call in re.findall(r"np\.load\([^\n]*", code):
            assert "allow_pickle=False" in call, path
