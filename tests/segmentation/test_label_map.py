from __future__ import annotations

import pytest
import torch

from synthcp.nn.spatial import resize
from synthcp.segmentation.label_map import label_map_at

SIZES = [(9, 13), (31, 20), (4, 5), (9, 40), (150, 13), (1, 1), (6, 7, 11), (70, 13, 4), (9, 30, 8)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", ["noise", "smooth"])
def test_a_label_map_at_another_size_is_the_argmax_of_the_resized_logits(size, kind) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 5, *(9, 13, 4)[: len(size)], generator=generator)
    if kind == "smooth":  # of which most classes cannot win in most places
        logits = resize(resize(logits, [2] * len(size)), logits.shape[2:])
    assert label_map_at(logits, size).equal(resize(logits, size).argmax(dim=1))


@pytest.mark.parametrize("size", SIZES)
def test_where_two_logits_are_equal_either_class_may_be_chosen_and_no_other(size) -> None:
    logits = torch.randn(2, 5, *(9, 13, 4)[: len(size)], generator=torch.Generator().manual_seed(0)).round()
    resized, found = resize(logits, size), label_map_at(logits, size)
    chosen = resized.gather(1, found[:, None])[:, 0]
    torch.testing.assert_close(chosen, resized.amax(dim=1), atol=1e-6, rtol=0)
    assert (found != resized.argmax(dim=1)).float().mean() < 0.01


def test_logits_channels_last_have_the_same_label_map() -> None:
    logits = torch.randn(1, 7, 12, 17, generator=torch.Generator().manual_seed(1))
    last = logits.contiguous(memory_format=torch.channels_last)
    assert label_map_at(last, (90, 120)).equal(label_map_at(logits, (90, 120)))


def test_more_classes_than_a_byte_can_tell_apart() -> None:
    logits = torch.randn(1, 300, 4, 5, generator=torch.Generator().manual_seed(2))
    found = label_map_at(logits, (16, 15))
    assert found.equal(resize(logits, (16, 15)).argmax(dim=1)) and found.max() > 255


def test_a_single_row_or_pixel_is_seen_everywhere() -> None:
    logits = torch.tensor([[[[1.0, 5.0]], [[2.0, 1.0]]]])
    assert label_map_at(logits, (3, 2)).tolist() == [[[1, 0]] * 3]


def test_of_equal_logits_the_first_counts() -> None:
    assert label_map_at(torch.tensor([[[[1.0, 2.0]], [[1.0, 2.5]], [[1.0, 2.5]]]]), (1, 2)).tolist() == [[[0, 1]]]
    equal = torch.tensor([[1.0, 1.0, 1.0], [1.0, 2.5, 2.5]]).T.reshape(1, 3, 1, 2)
    assert label_map_at(equal, (1, 8)).tolist() == [[[0] * 2 + [1] * 6]]
