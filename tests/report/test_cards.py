from synthcp.records import AnomalousRegion
from synthcp.report.cards import OBJECTS, unknown_objects


def region(*box: tuple[int, int]) -> AnomalousRegion:
    return AnomalousRegion(1, 0.1, 0.7, 0.8, box, "road")


def test_a_box_is_told_in_percent_of_each_side() -> None:
    (found,) = unknown_objects([region((10, 30), (40, 45))], (40, 50))
    assert found.place == (80.0, 25.0, 10.0, 50.0)
    assert found.number == 1


def test_more_boxes_than_can_be_seen_are_left_out() -> None:
    regions = [region((row, row + 1), (0, 2)) for row in range(OBJECTS + 3)]
    found = unknown_objects(regions, (20, 4))
    assert [(item.number, item.region) for item in found] == list(enumerate(regions[:OBJECTS], start=1))


def test_in_three_planes_of_a_volume_a_box_has_no_place() -> None:
    (found,) = unknown_objects([region((1, 3), (4, 9), (2, 8))], (40, 50))
    assert found.place == () and found.number == 1
