from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest
import torch
from torch import Tensor

from synthcp.errors import DataError
from synthcp.nn.finite import is_finite, require_finite

Fails = Callable[..., AbstractContextManager[None]]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_one_bad_value_is_found_wherever_it_is(dtype: torch.dtype, value: float) -> None:
    for layout in (torch.contiguous_format, torch.channels_last):
        for place in ((0, 0, 0, 0), (1, 2, 3, 4), (0, 1, 2, 0)):
            values = torch.rand(2, 3, 4, 5, generator=torch.Generator().manual_seed(0)).to(dtype)
            values = values.contiguous(memory_format=layout)  # type: ignore[call-overload]
            assert is_finite(values)
            values[place] = value
            assert not is_finite(values)


@pytest.mark.parametrize("values", [torch.empty(0), torch.full((2,), torch.finfo().max), torch.tensor([255, 0])])
def test_large_is_not_infinite_and_nothing_is_finite(values: Tensor) -> None:
    assert is_finite(values)


def test_it_is_said_who_gave_how_many(fails: Fails) -> None:
    require_finite("G", None, torch.zeros(3))
    with fails("G gave 2 of 6 values", "NaN or infinite", "finite numbers", "restore its weights", error=DataError):
        require_finite("G", torch.zeros(2), None, torch.tensor([[0, math.nan, 1], [2, -math.inf, 3]]))
