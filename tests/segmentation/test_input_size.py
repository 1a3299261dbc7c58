from __future__ import annotations

import pytest
import torch

from synthcp.records import Prediction
from synthcp.segmentation.input_size import InputSize


@pytest.mark.parametrize(
    ("rule", "shape", "expected"),
    [
        ("keep", (37, 50), (37, 50)),
        ("short:24", (37, 50), (24, 32)),
        ("short:24", (50, 37), (32, 24)),
        ("resize:20x30", (37, 50), (20, 30)),
        ("pad:16", (37, 50), (37, 50)),
        ("tile:16x16", (37, 50), (37, 50)),
    ],
)
def test_the_size_that_is_told_is_that_of_the_prediction(rule, shape, expected) -> None:
    size = InputSize.parse(rule)
    prediction = size.applied(lambda image: Prediction(image), torch.rand(1, 3, *shape))
    assert size.seen(shape) == expected == tuple(prediction.logits.shape[2:])
