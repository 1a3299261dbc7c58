from __future__ import annotations

import json
import math

import pytest
import torch

from synthcp.errors import ShapeError
from synthcp.records import Classes
from synthcp.segmentation.class_mapping import ClassMapping, choose_mapping, read_mapping

CLASSES = Classes(("road", "car", "sky"), ((1, 2, 3), (4, 5, 6), (7, 8, 9)))
MODEL = ("unlabeled", "Sky", "lane marking", "road", "truck", "car")


@pytest.fixture
def write(tmp_path):
    def write(content):
        path = tmp_path / "mapping.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    return write


def test_probabilities_of_joined_classes_add_up():
    mapping = ClassMapping(6, ((3, 2), (5, 4), (1,)))
    raw = torch.randn(2, 6, 3, 4, generator=torch.Generator().manual_seed(0))
    expected = torch.empty(2, 3, 3, 4)
    for index, source in enumerate(mapping.sources):
        for place in torch.cartesian_prod(torch.arange(2), torch.arange(3), torch.arange(4)).tolist():
            b, h, w = place
            expected[b, index, h, w] = math.log(sum(math.exp(raw[b, label, h, w]) for label in source))
    torch.testing.assert_close(mapping.logits(raw), expected)


def test_logits_stay_finite_in_half_precision():
    raw = torch.tensor([50_000.0, -50_000.0, 50_000.0, -50_000.0, 0.0, -50_000.0]).view(1, 6, 1, 1)
    assert ClassMapping(6, ((2, 0), (1, 3), (5,))).logits(raw).half().isfinite().all()


def test_the_same_classes_are_left_alone():
    mapping = choose_mapping(3, (), CLASSES)
    raw = torch.randn(1, 3, 2, 2)
    assert mapping.is_identity and mapping.note == "" and mapping.logits(raw) is raw


def test_another_number_of_classes_than_when_opened(fails):
    with fails("gives 4 classes, and gave 3 when it was opened", error=ShapeError):
        choose_mapping(3, (), CLASSES).logits(torch.zeros(1, 4, 2, 2))


def test_a_label_map_is_translated():
    mapping = ClassMapping(0, ((3, 2), (5,), (1,)))
    labels = torch.tensor([[0, 1, 2], [3, 4, 5], [255, 7, 3]])
    assert mapping.label_map(labels, 99).tolist() == [[99, 2, 0], [0, 99, 1], [99, 99, 0]]


def test_a_file_maps_by_index_and_by_name(write):
    path = write({"0": None, "sky": None, "1": "sky", "lane marking": "road", "3": "road", "truck": "car", "5": "car"})
    assert read_mapping(path, CLASSES, 6, ("unlabeled", "sky", *MODEL[2:])) == ((2, 3), (4, 5), (1,))


@pytest.mark.parametrize(
    ("content", "texts"),
    [
        ("{", ("missing or not JSON", "such as")),
        ([1], ("holds no JSON object",)),
        ({"0": "raod", "1": "car", "2": "sky"}, ("no class 'raod'", "did you mean road?")),
        ({"0": "road", "1": "car"}, ("no class of the model becomes 'sky'",)),
        ({"6": "road"}, ("no class 6; its 6 classes are 0 to 5",)),
        ({"lorry": "car"}, ("no class 'lorry'", "choose one of: unlabeled, Sky")),
        ({"0": 1}, ("the data has no class 1",)),
        ({"0": "road", "00": "car", "2": "sky"}, ("maps class 0 of the model twice, first to 'road'",)),
        ({"Sky": "road", "1": "car", "2": "sky"}, ("maps class 1 of the model twice",)),
        ('{"0": "road", "0": "car", "1": "sky"}', ("the key '0' comes twice",)),
    ],
)
def test_an_unusable_file(content, texts, write, fails):
    with fails("mapping.json", *texts):
        read_mapping(write(content), CLASSES, 6, MODEL)
    with fails("nowhere.json is missing"):
        choose_mapping(6, MODEL, CLASSES, write("{}").with_name("nowhere.json"))


def test_a_name_needs_a_model_that_knows_names(write, fails):
    with fails("no class 'road'; write its index"):
        read_mapping(write({"road": "road"}), CLASSES, 3)


def test_classes_are_found_by_name_and_it_is_said():
    mapping = choose_mapping(6, ("Unlabeled", "SKY", "lane_marking", "Road", "truck", "car"), CLASSES)
    assert mapping.sources == ((3,), (5,), (1,))
    assert mapping.note == "the 3 classes of the data were found by name among the 6 of the model"
    permuted = choose_mapping(3, ("sky", "road", "car"), CLASSES)
    raw = torch.randn(1, 3, 2, 2)
    torch.testing.assert_close(permuted.logits(raw), raw[:, [1, 2, 0]])


def test_a_wrong_number_of_classes(fails):
    with fails("the model gives 21 classes, the data has 3", "?mapping=FILE.json"):
        choose_mapping(21, (), CLASSES)


def test_names_that_contradict_the_order_are_not_passed_over(fails):
    with fails("class 2 of the data is 'sky', which the model has as its class 0", "?mapping=FILE.json"):
        choose_mapping(3, ("sky", "street", "vehicle"), CLASSES)
    assert choose_mapping(3, ("LABEL_0", "LABEL_1", "LABEL_2"), CLASSES).is_identity


def test_a_label_beyond_all_others_is_ignored_without_a_table_as_long():
    labels = torch.tensor([[0, 2**62, 5], [3, 2**63 - 1, 1]])
    mapping = ClassMapping(0, ((3, 0), (5,)))
    assert mapping.label_map(labels, 255).tolist() == [[0, 255, 1], [0, 255, 255]]


def test_a_name_of_two_classes_of_the_model_or_of_the_data(write, fails):
    with fails("'car' is the name of several of the model's classes; write the index of each"):
        read_mapping(write({"car": "car"}), CLASSES, 2, ("car", "car"))
    alike = Classes(("traffic sign", "Traffic-Sign", "car"), ((0, 0, 0), (1, 1, 1), (2, 2, 2)))
    with fails("class 0 of the model, 'traffic_sign', is by its name two classes of the data", "?mapping="):
        choose_mapping(3, ("traffic_sign", "car", "sky"), alike)
