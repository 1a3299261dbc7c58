"""What a user may choose of a fit."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from synthcp.config.scales import SCALES, Scale
from synthcp.config.values import choose
from synthcp.config.variants import VARIANTS, Variant
from synthcp.errors import InputError
from synthcp.fitting.imperfect import Imperfect
from synthcp.segmentation.catalogue import SEGMENTERS
from synthcp.segmentation.specs import AnyModel


@dataclass(frozen=True)
class FitOptions:
    """What a user may choose.

    Attributes:
        variant: "ours", "paper" or "official", or a Variant.
        scale: "tiny", "small" or "full", or a Scale.
        seed: Of everything random.
        controls: Whether direct prediction and SynthCP with an untrained generator are fitted too.
        resume: Continue a run that was interrupted.
        device: "auto", "cpu", "cuda", ...
        precision: "auto", "fp32" or "bf16".
        vgg19: File of VGG-19's weights for G's perceptual loss; None takes M's own layers.
        model: A built-in name such as "deeplab" or "unet", which is fitted here, or M: its SPEC, a Segmenter, any
            callable from image to logits, or what open_model made of one. Empty fits DeepLab to images, a U-Net to
            volumes.
        features: Where f_M is: the module whose input it is, an entry of M's output, or "logits"; found by itself when
            empty.
        imperfect: Where F's training predictions come from; None takes k folds, for the built-in M.
        weights: File of public weights from which a built-in M starts, and each fold's (see Segmenter.load_weights).

    Raises:
        InputError: There is no variant or scale of this name, or weights are for a model that is not built in.
    """

    variant: str | Variant = "ours"
    scale: str | Scale = "small"
    seed: int = 0
    controls: bool = True
    resume: bool = False
    device: str = "auto"
    precision: str = "auto"
    vgg19: Path | None = None
    model: AnyModel = ""
    features: str = ""
    imperfect: Imperfect | None = None
    weights: Path | None = None

    def __post_init__(self) -> None:
        for chosen, table, what in ((self.variant, VARIANTS, "variant"), (self.scale, SCALES, "scale")):
            if isinstance(chosen, str):
                choose(table, chosen, what)
        if self.weights is not None and not self.fits_model:
            raise InputError("weights are for a model that is fitted here; yours has its own, so leave them out")

    @property
    def fits_model(self) -> bool:
        """Whether M is fitted here."""
        return isinstance(self.model, str) and self.model in ("", *SEGMENTERS)
