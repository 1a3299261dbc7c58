from __future__ import annotations

import pytest
import torch

from synthcp.nn.labels import one_hot


@pytest.mark.parametrize("size", [(3, 5), (2, 3, 4)])
def test_every_pixel_marks_its_class_or_none(size: tuple[int, ...]) -> None:
    values = torch.tensor([0, 1, 2, 3, 255, -1])
    label_map = values[torch.randint(6, (2, *size), generator=torch.Generator().manual_seed(1))]
    layout = one_hot(label_map, 3)
    assert layout.shape == (2, 3, *size) and layout.dtype == torch.float32
    for label in range(3):
        assert layout[:, label].bool().equal(label_map == label)
