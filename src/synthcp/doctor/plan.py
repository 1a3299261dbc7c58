"""What a fit would do, before it does it: what is fitted, to what, and what of it the trial of its cost leaves out."""

from __future__ import annotations

from synthcp.doctor.base import Scope
from synthcp.fitting.config import FitConfig
from synthcp.fitting.imperfect_sources import KFold

UNTRIED = {
    "generator": "--generator",
    "trunk": "--trunk",
    "comparator_trunk": "--comparator-trunk",
    "perceptual": "--perceptual",
    "weights": "--weights",
}
"""Options of a fit, by their names, that the trial does without: what they choose may be slower or faster."""


def in_words(asked: FitConfig, scope: Scope) -> str:
    """Say in one line what would be fitted, to what, and where it would go."""
    variant, images = asked.chosen_variant(), f"{len(scope.dataset)} images of {scope.data}"
    model = f"M ({scope.model})" if asked.fits_model else ""
    drawing = f"G ({variant.generator})" if variant.draws else ""
    controls = "the controls" if asked.controls else ""
    parts = ", ".join(filter(None, (model, drawing, f"F ({variant.comparator})", controls)))
    kind = f"variant {_named(asked.variant)}, scale {_named(asked.scale)}, seed {asked.seed}"
    return f"would fit {parts} to {images}; {kind}; F learns from {asked.source} predictions; folder: {scope.out}"


def untried(asked: FitConfig, scope: Scope) -> str:
    """Say in one line what the trial does otherwise than the fit; empty where it does nothing otherwise."""
    plain = FitConfig()
    names = [option for field, option in UNTRIED.items() if getattr(asked, field) != getattr(plain, field)]
    if not scope.brings_model and asked.source != KFold():  # a model that is brought is tried with images held out
        names.append("--imperfect")
    if not asked.controls:
        names.append("--no-controls")
    return f"reckoned without {', '.join(names)}, so the fit may take longer or shorter" if names else ""


def _named(chosen: object) -> str:
    return chosen if isinstance(chosen, str) else "of --config"
