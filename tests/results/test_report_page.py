from coca.results import report_page


def test_values_are_shown_as_in_yaml():
    config = {"seed": 3, "output": {"redshifts": [1.0, 0.0]}, "reference": None}
    assert report_page.sections(config) == {
        "run": {"seed": 3, "reference": None}, "output": {"redshifts": [1.0, 0.0]}
    }  # fmt: skip
    shown = [report_page.shown(value) for value in (None, True, 0.1, "µ", [1.0, 0.0])]
    assert shown == ["null", "true", "0.1", "µ", "[1.0, 0.0]"]
