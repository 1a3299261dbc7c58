from __future__ import annotations

import json
from itertools import combinations

import pytest

from synthcp.data.classes import default_colors, read_classes
from synthcp.data.labels import LabelValues, stored_values
from synthcp.errors import DataError
from synthcp.records import Classes

SKY = {"index": 0, "name": "Sky", "color": [128, 129, 130]}
ROAD = {"index": 1, "name": "Road", "color": [1, 2, 3]}


@pytest.fixture
def write(tmp_path):
    def write_json(content):
        path = tmp_path / "classes.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    return write_json


def test_long_form_is_ordered_by_index(write):
    path = write({"ignore_index": 11, "size": [480, 360], "classes": [ROAD, SKY]})
    assert read_classes(path) == Classes(("Sky", "Road"), ((128, 129, 130), (1, 2, 3)), 11)


def test_short_form(write):
    path = write({"names": ["a", "b"], "colors": [[9, 8, 7], [0, 0, 255]], "ignore_index": -1})
    assert read_classes(path) == Classes(("a", "b"), ((9, 8, 7), (0, 0, 255)), -1)


def test_what_is_left_out_has_defaults(write):
    assert read_classes(write({"names": ["a", "b"]})) == Classes(("a", "b"), default_colors(2), 255)
    mixed = read_classes(write({"classes": [SKY, {"index": 1, "name": "Road"}]}))
    assert mixed.colors == ((128, 129, 130), default_colors(2)[1])


def test_byte_order_mark_is_accepted(write):
    assert read_classes(write('\ufeff{"names": ["a", "b"]}')).names == ("a", "b")


def test_default_colors_are_distinct_and_do_not_depend_on_the_count():
    assert len(set(default_colors(256))) == 256
    assert default_colors(5) == default_colors(40)[:5]
    distances = [max(abs(a - b) for a, b in zip(x, y, strict=True)) for x, y in combinations(default_colors(20), 2)]
    assert min(distances) >= 25


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ('{"names": ["a",', "missing or not JSON"),
        ("[1, 2]", "holds no JSON object {...}"),
        ({}, 'lacks the key "names"'),
        ({"names": "ab"}, 'lacks the key "names"'),
        ({"names": ["a"]}, "has 1 classes"),
        ({"names": ["a", 3]}, "3 is no class name"),
        ({"names": ["a", "b", "a"]}, 'the name "a" comes twice'),
        ({"names": ["a", "b"], "colors": [[0, 0, 0]]}, "one colour for each of the 2 names"),
        ({"names": ["a", "b"], "colors": [[0, 0, 0], [0, 256, 0]]}, "[0, 256, 0] is no colour"),
        ({"names": ["a", "b"], "colors": [[0, 0, 0], [0, 0]]}, "[0, 0] is no colour"),
        ({"names": ["a", "b"], "ignore_index": 1}, '"ignore_index" 1 is a class index (0 to 1)'),
        ({"names": ["a", "b"], "ignore_index": "void"}, "must be a whole number, not 'void'"),
        ({"classes": {"Sky": 0}}, "must be a list of objects"),
        ({"classes": [SKY, {"index": 1}]}, 'entry 1 of "classes" lacks the key "name"'),
        ({"classes": [SKY, {"name": "Road"}]}, 'entry 1 of "classes" lacks the key "index"'),
        ({"classes": [SKY, {"index": 2, "name": "Road"}]}, "without a gap, not [0, 2]"),
        ({"classes": [SKY, {"index": 0, "name": "Road"}]}, "without a gap, not [0, 0]"),
        ({"classes": [SKY, ROAD, {"index": 2, "name": "Sky"}]}, 'the name "Sky" comes twice'),
    ],
)
def test_wrong_content(write, fails, content, text):
    with fails("classes.json", text, error=DataError):
        read_classes(write(content))


def test_missing_file(tmp_path, fails):
    with fails("classes.json", "no such file", error=DataError):
        read_classes(tmp_path / "classes.json")


@pytest.mark.parametrize(
    ("content", "known", "void"),
    [
        ({"values": [0, 255]}, [0, 255], ()),
        ({"values": [0, 255], "ignore_index": None}, [0, 255], ()),
        ({"values": [1, 2]}, [1, 2], (255,)),
        ({"values": [2, 1], "ignore_index": 0}, [2, 1], (0,)),
        ({"ignore_index": None}, [0, 1], ()),
    ],
)
def test_what_the_stored_values_mean(write, content, known, void):
    path = write({"names": ["a", "b"], **content})
    classes = read_classes(path)
    assert classes.ignore_index == 255 and stored_values(path, classes) == LabelValues(known, (), void)


@pytest.mark.parametrize("content", [{}, {"ignore_index": 255}, {"ignore_index": -1}])
def test_stored_values_are_the_indices_unless_something_else_is_said(write, content):
    path = write({"names": ["a", "b"], **content})
    assert stored_values(path, read_classes(path)) is None


@pytest.mark.parametrize("values", [[0], [0, 0], [0, 256], [0, 1.0], [True, False], "01"])
def test_wrong_stored_values(write, fails, values):
    path = write({"names": ["a", "b"], "values": values})
    with fails("classes.json", "an integer from 0 to 255 for each of the 2 classes", "correct it", error=DataError):
        stored_values(path, read_classes(path))


@pytest.mark.parametrize("void", [255, 300, "void"])
def test_an_ignore_index_among_the_stored_values_or_none(write, fails, void):
    path = write({"names": ["a", "b"], "values": [0, 255], "ignore_index": void})
    with fails("classes.json", "must be null, or an integer from 0 to 255", repr(void), error=DataError):
        stored_values(path, read_classes(path))
