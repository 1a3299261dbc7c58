"""wrap(model): a monitor without a fit. It knows M's own uncertainty, and by a few images what is usual."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from synthcp.comparison.anomaly_fusion import CUES, SMALLEST_DEVIATION, AnomalyFusion
from synthcp.comparison.catalogue import UNCERTAINTY
from synthcp.config.scales import scales
from synthcp.config.values import choose
from synthcp.config.variants import VARIANTS, unlabelled
from synthcp.data.classes import default_colors
from synthcp.monitor.monitor import Monitor
from synthcp.monitor.networks import build_network
from synthcp.monitor.settings import Learnt, MonitorSettings
from synthcp.nn.spatial import SpatialDims
from synthcp.records import Classes
from synthcp.segmentation.base import Segmenter
from synthcp.segmentation.specs import AnyModel, open_model, own_names
from synthcp.synthesis.catalogue import NO_GENERATOR
from synthcp.system.runtime import choose_runtime

PROBES: dict[SpatialDims, tuple[int, ...]] = {2: (96, 128), 3: (32, 32, 32)}
"""Size of the noise by which M is tried."""
NOTHING_FITTED = "nothing was fitted: the error map is M's own uncertainty, no mistake of it was seen"
"""Fact of a monitor that wraps an M."""
_USUAL = {"entropy": 0.2, "energy": 5.0}
"""Cues whose deviation is about known before an image is seen."""


def wrap(
    model: AnyModel,
    classes: Classes | Sequence[str] | None = None,
    *,
    channels: int = 3,
    spatial_dims: SpatialDims = 2,
    features: str = "",
    scale: str = "small",
    device: str = "auto",
    precision: str = "fp32",
) -> Monitor:
    """Return a monitor of any M at once, without images, labels or a fit.

    Its error map is 1 - MSP and the quality of a class what follows from that; its anomaly map weighs M's entropy and
    energy. `observe` on a few images sets thresholds and adds objectness; `calibrate` on labelled ones makes a promise
    of them, once the monitor is saved. `fit` is what learns to find errors, and says what it gained over this.

    Args:
        model: M: its SPEC, a torch.nn.Module or any callable from images (B, C, *S) in [0, 1] to logits.
        classes: What it tells apart, in its order; None takes its own names, or numbers.
        channels: Of the images.
        spatial_dims: 2 for images, 3 for volumes.
        features: Where f_M is, see open_model.
        scale: "tiny", "small" or "full": how large images are judged.
        device: "auto", "cpu", "cuda", ...
        precision: "auto", "fp32" or "bf16".

    Raises:
        InputError: The model cannot be opened, does not tell its classes, or gives another number of them.
        MissingExtraError: A library that the model needs is not installed.
    """
    runtime = choose_runtime(device, precision)
    probe = torch.rand(1, channels, *PROBES[spatial_dims], generator=torch.Generator().manual_seed(0))
    known = _named(own_names(model, probe) if classes is None else classes)
    opened = open_model(model, known, probe, features)
    variant = replace(unlabelled(VARIANTS["ours"]), generator=NO_GENERATOR, comparator=UNCERTAINTY)
    settings = MonitorSettings(
        classes=known,
        channels=channels,
        spatial_dims=spatial_dims,
        variant=variant,
        scale=choose(scales(spatial_dims), scale, "scale"),
        model=opened.settings,
        facts={"model": opened.settings.spec, "variant": "ours", "scale": scale, "labels": NOTHING_FITTED},
        learnt=Learnt(fusion=_unobserved() if isinstance(opened.predictor, Segmenter) else None),
    )
    return Monitor(settings, opened.predictor, None, build_network(settings), runtime)


def _named(classes: Classes | Sequence[str]) -> Classes:
    return classes if isinstance(classes, Classes) else Classes(tuple(classes), default_colors(len(classes)))


def _unobserved() -> AnomalyFusion:
    """Entropy and energy as they are; of the other cues nobody knows yet what is usual, so they count for nothing."""
    deviations = tuple(_USUAL.get(cue, SMALLEST_DEVIATION) for cue in CUES)
    return AnomalyFusion((0.0,) * len(CUES), deviations)
