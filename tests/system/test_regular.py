import os

import pytest

from synthcp.system.regular import MEBIBYTE, require_file


def test_a_file_passes(tmp_path):
    (tmp_path / "a").write_bytes(bytes(MEBIBYTE))
    require_file(tmp_path / "a", MEBIBYTE)
    (tmp_path / "b").symlink_to("a")
    require_file(tmp_path / "b")


def test_a_larger_file_is_refused_before_it_is_read(tmp_path, fails):
    with (tmp_path / "a").open("wb") as file:
        file.truncate(5 << 40)  # sparse
    with fails("a has 5242880 MiB", "more than the 1 MiB", "replace it"):
        require_file(tmp_path / "a", MEBIBYTE)


def test_what_is_no_file_is_refused(tmp_path, fails):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path, "/dev/zero"):
        with fails(str(path), "is no regular file", "put the file itself there"):
            require_file(type(tmp_path)(path))
    with pytest.raises(FileNotFoundError):
        require_file(tmp_path / "none")
