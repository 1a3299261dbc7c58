"""Models by SPEC, as on the command line, and as a monitor stores them."""

from __future__ import annotations

import torch
from torch import Tensor

from synthcp.errors import InputError
from synthcp.records import Classes
from synthcp.segmentation.base import Predictor, Segmenter
from synthcp.segmentation.settings import ModelSettings


def open_model(
    model: str | Segmenter, classes: Classes, probe: Tensor, features: str = ""
) -> tuple[Predictor, ModelSettings]:
    """Open the M that somebody brought.

    Args:
        model: Its SPEC, or the segmenter itself.
        classes: The label set that its predictions must have.
        probe: An image of the data, shape (1, C, *S), in [0, 1], by which the model is tried.
        features: Name of the module whose input is f_M; found by itself when empty.

    Raises:
        InputError: The SPEC is unknown, or the model does not do what it should with the probe.
    """
    if isinstance(model, Segmenter):
        layers = len(model.predict("", probe).layers)
        return model, ModelSettings(type(model).__name__, features, layers, tuple(probe.shape[2:]))
    raise InputError(f"model {model!r} is unknown")


def reopen_model(settings: ModelSettings, classes: Classes, channels: int, spec: str | None = None) -> Predictor:
    """Open the M of a monitor again.

    Args:
        settings: What is stored of it.
        classes: Of the monitor.
        channels: Of the images.
        spec: Of another model to take its place.

    Raises:
        InputError: The model cannot be opened, or its weights have changed since the fit.
    """
    probe = torch.full((1, channels, *settings.probe_size), 0.5)
    return open_model(spec or settings.spec, classes, probe, "" if spec else settings.features)[0]
