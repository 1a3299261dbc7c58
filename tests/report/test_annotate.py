"""The list of images to annotate, written and read back."""

import pytest

from synthcp.errors import InputError
from synthcp.report.annotate import read_choice, write_choice
from synthcp.report.rows import ResultRow

ROWS = [ResultRow("b/2", "images/b/2.png", error_share=0.25), ResultRow('a,"1"', 'images/a,"1".png', error_share=1 / 3)]


def test_the_order_is_kept(tmp_path):
    write_choice(tmp_path, ROWS)
    assert (tmp_path / "annotate.txt").read_text() == 'images/b/2.png\nimages/a,"1".png\n'
    assert (tmp_path / "annotate.csv").read_text().splitlines() == [
        "rank,id,source,error_share",
        "1,b/2,images/b/2.png,0.25",
        '2,"a,""1""","images/a,""1"".png",0.333333',
    ]
    assert read_choice(tmp_path) == {"b/2": 1, 'a,"1"': 2}


def test_no_choice_is_none(tmp_path):
    assert read_choice(tmp_path) == {}


def test_a_name_is_written_as_the_disk_has_it(tmp_path):
    write_choice(tmp_path, [ResultRow("a", "caf\udce9.png", error_share=0.5)])
    assert (tmp_path / "annotate.txt").read_bytes() == b"caf\xe9.png\n"


@pytest.mark.parametrize("text", ["rank,name\n1,a\n", "rank,id\nfirst,a\n", "rank,id\n1\n,,,\n"])
def test_a_broken_list_is_named(tmp_path, text):
    (tmp_path / "annotate.csv").write_text(text)
    with pytest.raises(InputError, match=r"annotate\.csv is not as a run writes it"):
        read_choice(tmp_path)
