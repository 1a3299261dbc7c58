from __future__ import annotations

import math

import pytest
import torch
from sklearn.metrics import confusion_matrix as reference_confusion
from sklearn.metrics import f1_score, jaccard_score
from torch import Tensor

from synthcp.errors import InputError, ShapeError
from synthcp.metrics.overlap import (
    confusion_matrix,
    dice,
    image_dice,
    image_iou,
    image_quality,
    intersection_over_union,
    mean_iou,
)
from synthcp.records import Measure

IGNORE = 255


def draw(shape: tuple[int, ...], classes: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """A label map with ignored pixels and a prediction that shares half of it."""
    generator = torch.Generator().manual_seed(seed)
    label_map = torch.randint(classes, shape, generator=generator)
    noise = torch.randint(classes, shape, generator=generator)
    prediction = torch.where(torch.rand(shape, generator=generator) < 0.5, label_map, noise)
    label_map[torch.rand(shape, generator=generator) < 0.1] = IGNORE
    return label_map, prediction


@pytest.mark.parametrize("shape", [(31, 17), (5, 12, 9), (400,)])
def test_scores_agree_with_scikit_learn_on_the_judged_pixels(shape: tuple[int, ...]) -> None:
    label_map, prediction = draw(shape, classes=4)
    confusion = confusion_matrix(label_map, prediction, 4, IGNORE)
    judged = label_map != IGNORE
    true, predicted = label_map[judged].numpy(), prediction[judged].numpy()
    assert confusion.tolist() == reference_confusion(true, predicted, labels=range(4)).tolist()
    expected = jaccard_score(true, predicted, average=None)
    assert intersection_over_union(confusion).tolist() == pytest.approx(list(expected))
    assert image_iou(label_map, prediction, 4, IGNORE).tolist() == pytest.approx(list(expected))
    assert dice(confusion).tolist() == pytest.approx(list(f1_score(true, predicted, average=None)))
    assert mean_iou(confusion) == pytest.approx(expected.mean())


def test_rows_are_true_and_columns_predicted_classes() -> None:
    label_map = torch.tensor([[0, 0, 0], [1, 2, IGNORE]])
    prediction = torch.tensor([[0, 1, 1], [1, 0, 2]])
    assert confusion_matrix(label_map, prediction, 3, IGNORE).tolist() == [[1, 2, 0], [0, 1, 0], [1, 0, 0]]


def test_confusions_of_images_add_up_to_the_confusion_of_all() -> None:
    label_map, prediction = draw((6, 8, 10), classes=5)
    total = sum(confusion_matrix(*pair, 5, IGNORE) for pair in zip(label_map, prediction, strict=True))
    assert torch.equal(torch.as_tensor(total), confusion_matrix(label_map, prediction, 5, IGNORE))


def test_a_class_that_occurs_nowhere_is_undefined_and_leaves_the_mean() -> None:
    confusion = confusion_matrix(torch.tensor([0, 0, 2]), torch.tensor([0, 2, 2]), 4, IGNORE)
    nan = math.nan
    assert intersection_over_union(confusion).tolist() == pytest.approx([1 / 2, nan, 1 / 2, nan], nan_ok=True)
    assert dice(confusion).tolist() == pytest.approx([2 / 3, nan, 2 / 3, nan], nan_ok=True)
    assert mean_iou(confusion) == 0.5


def test_a_class_predicted_but_absent_is_judged_over_the_data_set_and_not_in_its_image() -> None:
    label_map, prediction = torch.tensor([0, 0, 1]), torch.tensor([0, 2, 0])
    confusion = confusion_matrix(label_map, prediction, 3, IGNORE)
    assert intersection_over_union(confusion).tolist() == pytest.approx([1 / 3, 0, 0])
    expected = [1 / 3, 0, math.nan]
    assert image_iou(label_map, prediction, 3, IGNORE).tolist() == pytest.approx(expected, nan_ok=True)


def test_a_structure_that_is_rightly_empty_has_dice_1_and_one_that_only_one_side_holds_0() -> None:
    label_map, prediction = torch.tensor([[0, 0, 1, 4]]), torch.tensor([[0, 2, 1, 4]])
    assert image_dice(label_map, prediction, 5, IGNORE).tolist() == pytest.approx([2 / 3, 1, 0, 1, 1])
    assert image_dice(prediction, label_map, 5, IGNORE)[2] == 0
    assert image_quality("Dice", label_map, prediction, 5, IGNORE)[3] == 1
    assert image_quality("IoU", label_map, prediction, 5, IGNORE)[3].isnan()


def test_what_is_predicted_on_ignored_pixels_does_not_matter() -> None:
    label_map, prediction = draw((20, 20), classes=3)
    other = prediction.where(label_map != IGNORE, IGNORE)
    assert torch.equal(
        confusion_matrix(label_map, prediction, 3, IGNORE), confusion_matrix(label_map, other, 3, IGNORE)
    )


def test_the_ignore_index_may_be_a_class_number() -> None:
    label_map, prediction = torch.tensor([0, 1, 1, 2]), torch.tensor([0, 0, 1, 1])
    assert confusion_matrix(label_map, prediction, 3, ignore_index=0).tolist() == [[0, 0, 0], [1, 1, 0], [0, 1, 0]]


def test_narrow_integers_do_not_overflow() -> None:
    label_map = torch.full((3,), 200, dtype=torch.uint8)
    confusion = confusion_matrix(label_map, label_map, 201, IGNORE)
    assert (confusion[200, 200], confusion.sum()) == (3, 3)


def test_nothing_judged_is_undefined() -> None:
    nothing = torch.full((4, 4), IGNORE)
    confusion = confusion_matrix(nothing, nothing, 2, IGNORE)
    assert confusion.tolist() == [[0, 0], [0, 0]]
    assert math.isnan(mean_iou(confusion))
    assert image_iou(nothing, nothing, 2, IGNORE).isnan().all()


def test_values_outside_the_classes_are_refused() -> None:
    inside = torch.tensor([0, 1])
    with pytest.raises(InputError, match="label map holds the value 7"):
        confusion_matrix(torch.tensor([0, 7]), inside, 2, IGNORE)
    with pytest.raises(InputError, match="prediction holds the value -1"):
        confusion_matrix(inside, torch.tensor([-1, 1]), 2, IGNORE)
    with pytest.raises(ShapeError, match=r"\(2,\).*\(1, 2\)"):
        confusion_matrix(inside, inside[None], 2, IGNORE)


@pytest.mark.parametrize("measure", ["IoU", "Dice"])
def test_of_an_image_without_a_pixel_that_has_a_class_nothing_is_known(measure: Measure) -> None:
    void, predicted = torch.full((3, 4), 255), torch.tensor([[0, 1, 2, 0]] * 3)
    assert image_quality(measure, void, predicted, 4, 255).isnan().all()
