import pytest

from coca.atomic_files import check_disk, whole_file
from coca.errors import ConfigError


def test_a_disk_without_space_is_told(tmp_path):
    check_disk("output.directory", tmp_path / "new" / "run", 1)
    with pytest.raises(ConfigError, match=r"output\.directory: found .* free in .*, wanted .* GiB"):
        check_disk("output.directory", tmp_path / "new" / "run", 2**60)


def test_a_file_appears_whole_or_not_at_all(tmp_path):
    path = tmp_path / "file.txt"
    with pytest.raises(RuntimeError), whole_file(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
    with whole_file(path) as temporary:
        temporary.write_text("first")
    with pytest.raises(RuntimeError), whole_file(path) as temporary:
        temporary.write_text("sec")
        raise RuntimeError
    assert path.read_text() == "first"
    assert list(tmp_path.iterdir()) == [path]
