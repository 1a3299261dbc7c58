"""Numbers that are none: NaN and infinity are refused where a network gives them, and named after who gave them."""

from __future__ import annotations

import torch
from torch import Tensor

from synthcp.errors import DataError


def is_finite(values: Tensor) -> bool:
    """Whether no value is NaN or infinite; one pass without a copy, for both extremes carry a NaN along."""
    return not values.numel() or bool(torch.stack(torch.aminmax(values.detach())).isfinite().all())


def require_finite(giver: str, *values: Tensor | None) -> None:
    """Refuse what a network gave for an image, if a value of it is NaN or infinite.

    Args:
        giver: Who gave it: M, G, F or the name of a detector.
        values: Of any shape; None, which was not given, is passed over.

    Raises:
        DataError: A value is NaN or infinite.
    """
    for given in values:
        if given is not None and not is_finite(given):
            wrong = given.numel() - int(given.isfinite().sum())
            raise DataError(
                f"{giver} gave {wrong} of {given.numel()} values that are NaN or infinite; an assessment is made of "
                "finite numbers; restore its weights or fit again, or look at this image if others pass"
            )
