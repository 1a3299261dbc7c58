from __future__ import annotations

import pytest
import torch

from synthcp.nn.spatial import resize
from synthcp.segmentation.base import label_map_at


@pytest.mark.parametrize("size", [(9, 13), (31, 20), (4, 5), (6, 7, 11)])
def test_a_label_map_at_another_size_is_the_argmax_of_the_resized_logits(size) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 5, *(9, 13, 4)[: len(size)], generator=generator)
    assert label_map_at(logits, size).equal(resize(logits, size).argmax(dim=1))


def test_of_equal_logits_the_first_counts() -> None:
    assert label_map_at(torch.tensor([[[[1.0, 2.0]], [[1.0, 2.5]], [[1.0, 2.5]]]]), (1, 2)).tolist() == [[[0, 1]]]
