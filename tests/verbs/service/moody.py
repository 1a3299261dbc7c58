"""An M that is the monitor's own, but for images of one colour, of which each makes it fail in a way of its own."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import replace

import torch
from torch import Tensor, nn

from synthcp.monitor.monitor import Monitor
from synthcp.records import Prediction

DIES, HANGS, SLEEPS, RAISES, IS_NAN, EXITS = (
    (255, 0, 0),
    (0, 255, 0),
    (0, 0, 255),
    (255, 255, 0),
    (255, 0, 255),
    (0, 255, 255),
)
"""Colours."""
SLEEP = 0.6
SECRET = "what the model alone knows"


def load() -> nn.Module:
    segmenter = Monitor.load(os.environ["SYNTHCP_TEST_RUN"], "cpu").segmenter
    assert segmenter is not None
    segmenter.register_forward_pre_hook(before)
    segmenter.register_forward_hook(after)
    return segmenter


def colors(images: Tensor) -> set[tuple[int, ...]]:
    """Of the images (B, C, *S) that are of one colour."""
    flat = (255 * images).round().int().flatten(2)
    return {tuple(image[:, 0].tolist()) for image in flat if (image == image[:, :1]).all()}


def before(module: nn.Module, inputs: tuple[Tensor]) -> None:
    seen = colors(inputs[0])
    if DIES in seen:
        os.kill(os.getpid(), signal.SIGKILL)
    if HANGS in seen:
        time.sleep(3600)
    if SLEEPS in seen:
        time.sleep(SLEEP)
    if RAISES in seen:
        raise RuntimeError(SECRET)
    if EXITS in seen:
        raise SystemExit(7)


def after(module: nn.Module, inputs: tuple[Tensor], prediction: Prediction) -> Prediction:
    if IS_NAN not in colors(inputs[0]):
        return prediction
    return replace(prediction, logits=torch.full_like(prediction.logits, torch.nan))
