from __future__ import annotations

from pathlib import Path

import pytest

from synthcp.data.base import Dataset
from synthcp.data.drawn.phantoms import Phantoms, PhantomsConfig
from synthcp.data.drawn.scenes import Scenes, ScenesConfig
from synthcp.data.subset import Subset
from synthcp.errors import DataError, InputError
from synthcp.experiments.request import TableRequest, check_test, open_tests
from synthcp.experiments.table1 import TABLE1


@pytest.fixture
def volumes() -> Dataset:
    return Phantoms(PhantomsConfig(count=2, size=(16, 16, 16)))


@pytest.fixture
def streets() -> Dataset:
    return Scenes(ScenesConfig(count=2))


def test_images_and_volumes_have_tables_of_their_own(volumes: Dataset, streets: Dataset) -> None:
    with pytest.raises(DataError, match="x holds images, but the table is about volumes"):
        check_test("x", streets, streets, "volumes")
    with pytest.raises(DataError, match="x holds volumes, but the table is about images"):
        check_test("x", volumes, volumes, "images")
    check_test("x", Subset(volumes, [1]), volumes, "volumes")
    check_test("x", Subset(streets, [0]), streets, "images")


def test_other_classes_are_refused(volumes: Dataset, streets: Dataset) -> None:
    other = Scenes(ScenesConfig(count=2))
    other.classes = volumes.classes
    with pytest.raises(InputError, match="x has the classes"):
        check_test("x", other, streets, "images")


def test_tests_are_those_asked_for_or_the_usual_ones(streets: Dataset, tmp_path: Path) -> None:
    data, asked = "scenes:?count=2", "scenes:?count=3&split=val"
    (usual,) = TABLE1.usual_tests(data)
    assert list(open_tests(TableRequest(data, tmp_path), TABLE1, streets)) == [usual]
    chosen = open_tests(TableRequest(data, tmp_path, tests=(asked,)), TABLE1, streets)
    assert {spec: len(dataset) for spec, dataset in chosen.items()} == {asked: 3}


def test_only_one_seed_writes_no_page(tmp_path: Path) -> None:
    request = TableRequest("x", tmp_path, seeds=3, only=1)
    request.write("table2", "page")
    assert request.numbers == [1] and not list(tmp_path.iterdir())
    TableRequest("x", tmp_path, seeds=3).write("table2", "page")
    assert (tmp_path / "table2.md").read_text() == "page"
