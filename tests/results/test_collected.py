import json

import pytest

from coca.errors import CocaError
from coca.results.collected import check_ensemble


def test_members_that_finished_are_those_with_a_record(tmp_path):
    """Of the list; others may stand beside them."""
    for name in ("0000", "0001", "0002", "older"):
        (tmp_path / name).mkdir()
    for name in ("0000", "0002", "older"):
        (tmp_path / name / "run.json").write_text("{}")
    (tmp_path / "ensemble.json").write_text(json.dumps(dict.fromkeys(("0000", "0001", "0002"), "")))
    found = check_ensemble(tmp_path, None)
    assert [path.name for path in found] == ["0000", "0002"]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [(None, "wanted an ensemble's list"), ('{"0000": "failed: x"}', "no member that has finished")],
)
def test_a_directory_without_finished_members_is_refused(tmp_path, text, wanted):
    if text is not None:
        (tmp_path / "ensemble.json").write_text(text)
    with pytest.raises(CocaError, match=wanted):
        check_ensemble(tmp_path, None)
