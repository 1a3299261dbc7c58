"""What may be asked of a fit."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, replace
from pathlib import Path
from typing import Literal, get_args

from synthcp.comparison.catalogue import FEATURE_HEAD, SIAMESE, UNCERTAINTY
from synthcp.config.scales import SCALES, Scale, scales
from synthcp.config.values import choose
from synthcp.config.variants import VARIANTS, Variant, unlabelled
from synthcp.errors import InputError
from synthcp.fitting.imperfect_sources import Imperfect, KFold, Unseen
from synthcp.nn.catalogue import check_trunk
from synthcp.nn.spatial import SpatialDims
from synthcp.segmentation.catalogue import SEGMENTERS
from synthcp.segmentation.specs import AnyModel
from synthcp.synthesis.catalogue import GENERATORS, NO_GENERATOR

SEGMENTER = "segmenter"
"""Stands for M's own layers, in place of a trunk, in G's perceptual loss."""
Weights = str | Path | None
Labels = Literal["given", "none"]
FREE = ("resume", "device", "precision")
"""The options that need not be repeated when a fit is resumed: it keeps its precision wherever it runs."""


@dataclass(frozen=True)
class FitConfig:
    """What is asked of a fit.

    Attributes:
        variant: "ours", "paper" or "official", or a Variant.
        scale: "tiny", "small" or "full", or a Scale.
        seed: Of everything random.
        controls: Whether direct prediction and SynthCP with an untrained generator are fitted too.
        resume: Continue a run that was interrupted.
        device: "auto", "cpu", "cuda", ...
        precision: "auto", "fp32" or "bf16".
        generator: Kind of G, a name of synthesis.catalogue.GENERATORS, or "none" for a monitor that draws nothing;
            empty takes the variant's.
        perceptual: By whose features G's syntheses are compared with images: "segmenter" for M's own layers, or a trunk
            by its name, such as "vgg19". Empty takes the comparator's trunk if its weights are given, else M's layers.
        perceptual_weights: Published weights of that trunk: a file (safetensors), or "hub" for the library that
            publishes them.
        model: A built-in name such as "deeplab" or "unet", which is fitted here, or M: its SPEC, a Segmenter, any
            callable from image to logits, or what open_model made of one. Empty fits DeepLab to images, a U-Net to
            volumes.
        features: Where f_M is: the module whose input it is, an entry of M's output, or "logits"; found by itself when
            empty.
        imperfect: Where F's training predictions come from; None takes k folds, for the built-in M.
        labels: "given", or "none" for images without any beside a brought M: G learns from what M says, and the monitor
            finds unknown objects; its error map is M's own uncertainty.
        trunk: Of a built-in M, a name of nn.catalogue.TRUNKS or timm:NAME, as wide as published; empty takes the usual
            one of the scale's size.
        weights: Published weights from which a built-in M starts, and each fold's (see Segmenter.load_weights): a file,
            or "hub" for those of the trunk that is named.
        comparator_trunk: Of F's encoder, likewise; empty takes that of M where the variant starts from it, else a
            ResNet-18 of the scale's size.
        comparator_weights: Published weights from which that trunk starts, likewise; None is from scratch.

    Raises:
        InputError: There is no variant, scale, generator or trunk of this name, weights go with no trunk, a perceptual
            trunk has no weights, the imperfect predictions are none or need an M that is brought, or an option is for
            a model that is fitted here and M is brought, or the other way round.
    """

    variant: str | Variant = "ours"
    scale: str | Scale = "small"
    _: KW_ONLY
    seed: int = 0
    controls: bool = True
    resume: bool = False
    device: str = "auto"
    precision: str = "auto"
    generator: str = ""
    perceptual: str = ""
    perceptual_weights: Weights = None
    model: AnyModel = ""
    features: str = ""
    imperfect: Imperfect | None = None
    labels: Labels = "given"
    trunk: str = ""
    weights: Weights = None
    comparator_trunk: str = ""
    comparator_weights: Weights = None

    def __post_init__(self) -> None:
        for chosen, table, what in ((self.variant, VARIANTS, "variant"), (self.scale, SCALES, "scale")):
            if isinstance(chosen, str):
                choose(table, chosen, what)
        if self.generator:
            choose(dict.fromkeys((*GENERATORS, NO_GENERATOR)), self.generator, "generator")
        if not isinstance(self.imperfect, Imperfect | None):
            raise InputError(
                f"imperfect={self.imperfect!r}; give KFold(), HeldOut(dataset), Unseen(), Folds(folder) or Corrupt()"
            )
        if isinstance(self.imperfect, Unseen) and self.fits_model:
            raise InputError(
                "imperfect predictions 'unseen' need an M that has seen none of the data, but this one is fitted to "
                "them; bring a trained M, or take k folds"
            )
        choose(dict.fromkeys(get_args(Labels)), self.labels, "labels")
        if self.labels == "none":
            self._check_unlabelled()
        if self.weights is not None and not self.fits_model:
            raise InputError("weights are for a model that is fitted here; yours has its own, so leave them out")
        if self.trunk and not self.fits_model:
            raise InputError("a trunk is for a model that is fitted here; yours has its own, so leave it out")
        self._check_trunks()
        if self.features and self.fits_model:
            raise InputError("features say where f_M is in a model that you bring; for the built-in one leave them out")

    def _check_unlabelled(self) -> None:
        if self.fits_model:
            raise InputError("without labels no M can be fitted; bring one that is trained")
        if not isinstance(self.source, Unseen):
            raise InputError(f"without labels F learns nothing from {self.source} predictions; leave --imperfect out")
        if not self._named_variant.uses_uncertainty:
            raise InputError("without labels F has nothing but M's uncertainty, which only the variant 'ours' uses")

    def _check_trunks(self) -> None:
        perceptual_trunk, perceptual_weights = self.perceptual_source
        for trunk in filter(None, (self.trunk, self.comparator_trunk, perceptual_trunk)):
            check_trunk(trunk)
        for what, trunk, weights in (
            ("comparator", self.comparator_trunk, self.comparator_weights),
            ("perceptual", self.perceptual.removeprefix(SEGMENTER), self.perceptual_weights),
        ):
            if weights is not None and not trunk:
                raise InputError(f"{what} weights {str(weights)!r} are those of a trunk; name it, such as resnet18")
        frozen = self.chosen_variant().comparator == FEATURE_HEAD
        if frozen and self.comparator_trunk and self.comparator_weights is None:
            raise InputError(
                f"F is a head on a trunk that is never trained, and {self.comparator_trunk} without weights has seen "
                "nothing; give its comparator weights, or leave the trunk out"
            )
        if perceptual_trunk and perceptual_weights is None:
            raise InputError(f"{self.perceptual} compares images by what it has learnt; give its perceptual weights")

    @property
    def perceptual_source(self) -> tuple[str, Weights]:
        """The trunk by which syntheses are compared with images, and its weights; no name where M's layers do it."""
        if self.perceptual == SEGMENTER:
            return "", None
        if self.perceptual or self.comparator_weights is None:
            return self.perceptual, self.perceptual_weights
        return self.comparator_trunk, self.comparator_weights

    @property
    def has_published_trunk(self) -> bool:
        """Whether F, if it is to stand on a frozen trunk, has one that has learnt from more than these images."""
        return self._named_variant.comparator != FEATURE_HEAD or bool(self.comparator_trunk)

    @property
    def _named_variant(self) -> Variant:
        return choose(VARIANTS, self.variant, "variant") if isinstance(self.variant, str) else self.variant

    @property
    def fits_model(self) -> bool:
        """Whether M is fitted here."""
        return isinstance(self.model, str) and self.model in ("", *SEGMENTERS)

    @property
    def source(self) -> Imperfect:
        """Where F's training predictions come from."""
        if self.imperfect is None:
            return Unseen() if self.labels == "none" else KFold()
        return self.imperfect

    def chosen_variant(self) -> Variant:
        """Return the variant, with the generator, the F and the rule of the folds that go with what was asked for."""
        variant = replace(self._named_variant, generator=self.generator or self._named_variant.generator)
        if not self.has_published_trunk:  # heads on a trunk that knows these images alone are worse than a trained F
            variant = replace(variant, comparator=SIAMESE if self.labels == "given" else UNCERTAINTY)
        if self.labels == "none":
            variant = unlabelled(variant)
        return self.source.ruled(variant) if isinstance(self.source, KFold) else variant

    def chosen_scale(self, spatial_dims: SpatialDims) -> Scale:
        """Return the scale, of images (2) or of volumes (3)."""
        return choose(scales(spatial_dims), self.scale, "scale") if isinstance(self.scale, str) else self.scale
