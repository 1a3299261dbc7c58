"""The product: a fitted alarm system for one segmenter. assess, save, load."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from synthcp.checkpoint import load_json, load_module, save_json, save_module
from synthcp.config import Scale, Variant, from_dict, to_dict
from synthcp.data.images import read_image
from synthcp.data.transforms import short_side
from synthcp.detection.blend import Blend
from synthcp.detection.failure import FailureComparator
from synthcp.detection.feature_distance import FeatureDistance
from synthcp.detection.siamese import SiameseConfig, SiameseNetwork
from synthcp.detection.synthesize_then_compare import SynthesizeThenCompare
from synthcp.errors import DataError, InputError
from synthcp.nn.spatial import SpatialDims, resize
from synthcp.records import Assessment, Classes, Detection, Prediction
from synthcp.runtime import Runtime, choose_runtime
from synthcp.segmentation.base import Segmenter
from synthcp.segmentation.deeplab import DeepLab, DeepLabConfig
from synthcp.synthesis.base import Generator
from synthcp.synthesis.spade import SpadeConfig, SpadeGenerator
from synthcp.thresholds import Thresholds

SETTINGS = "monitor.json"
SMALLEST_SIDE = 16


@dataclass(frozen=True)
class MonitorSettings:
    """Everything about a monitor but its weights.

    Attributes:
        classes: The label set.
        channels: Of the images.
        spatial_dims: 2 or 3.
        variant: What is computed.
        scale: How big it is.
        blend: The fitted score; None where the variant has none.
        thresholds: Of the alarms.
        t: Threshold of eq. 9's refinement.
        facts: Data, seed, versions and the like, for the report.
        training_ids: Ids of the images it was fitted on.
    """

    classes: Classes
    channels: int
    spatial_dims: SpatialDims
    variant: Variant
    scale: Scale
    blend: Blend | None = None
    thresholds: Thresholds = field(default_factory=Thresholds)
    t: float = 0.999
    facts: dict[str, str] = field(default_factory=dict)
    training_ids: tuple[str, ...] = ()


def build_segmenter(settings: MonitorSettings) -> Segmenter:
    """Return M with fresh weights."""
    scale = settings.scale
    config = DeepLabConfig(
        classes=len(settings.classes),
        in_channels=settings.channels,
        depth=scale.depth,
        width=scale.segmenter_width,
        output_stride=scale.output_stride,
        rates=scale.rates,
    )
    return DeepLab(settings.spatial_dims, config)


def build_generator(settings: MonitorSettings) -> SpadeGenerator:
    """Return G with fresh weights."""
    scale = settings.scale
    config = SpadeConfig(
        len(settings.classes), settings.channels, scale.spade_width, scale.spade_hidden, scale.multipliers
    )
    return SpadeGenerator(settings.spatial_dims, config)


def build_network(settings: MonitorSettings) -> SiameseNetwork:
    """Return F with fresh weights."""
    variant, scale = settings.variant, settings.scale
    config = SiameseConfig(
        classes=len(settings.classes),
        in_channels=settings.channels,
        depth=18,
        width=scale.segmenter_width if variant.starts_from_segmenter else min(64, scale.segmenter_width),
        hidden=scale.fusion,
        shared=variant.shared,
        label_input=variant.label_input,
        uses_doubt=variant.uses_doubt,
    )
    return SiameseNetwork(settings.spatial_dims, config)


class Monitor:
    """M, G and F, fitted to each other.

    Args:
        settings: Everything but the weights.
        segmenter: M.
        generator: G.
        network: F.
        runtime: Where they run.
    """

    def __init__(
        self,
        settings: MonitorSettings,
        segmenter: Segmenter,
        generator: Generator,
        network: SiameseNetwork,
        runtime: Runtime,
    ) -> None:
        self.settings = settings
        self.runtime = runtime
        self.segmenter = runtime.place(segmenter).eval()
        self.generator = runtime.place(generator).eval()
        self.network = runtime.place(network).eval()

    @property
    def classes(self) -> Classes:
        """The label set."""
        return self.settings.classes

    def detector(self) -> SynthesizeThenCompare:
        """Return the detector of the paper, made of the parts of this monitor."""
        return SynthesizeThenCompare(self.generator, failure_comparator(self.settings, self.segmenter, self.network))

    @torch.no_grad()
    def detect(self, image: Tensor) -> tuple[Prediction, Detection]:
        """Segment and judge a batch (B, C, *S) at the working size.

        Raises:
            DataError: The number of channels is not what the monitor was fitted on, or the image is too small.
        """
        self._check(image)
        size = short_side(tuple(image.shape[2:]), self.settings.scale.side or min(image.shape[2:]))
        small = self.runtime.send(resize(image, size))
        with self.runtime.autocast():
            prediction = self.segmenter(small)
            detection = self.detector()(small, prediction)
        return prediction, detection

    def assess(self, image: Tensor | str | Path) -> Assessment:
        """Judge one image.

        Args:
            image: x, shape (C, *S), in [0, 1], of any size, or the file of it; it is resized to the working size and
                the maps back.

        Raises:
            DataError: The number of channels is not what the monitor was fitted on, the image is too small, or the
                file cannot be read.
        """
        if not isinstance(image, Tensor):
            image = read_image(Path(image), self.settings.channels)
        prediction, detection = self.detect(image[None])
        assert detection.error_map is not None and detection.anomaly_map is not None
        assert detection.class_quality is not None and detection.synthesis is not None
        size = image.shape[1:]
        names = self.classes.names
        quality = dict(zip(names, detection.class_quality[0].tolist(), strict=True))
        assessment = Assessment(
            label_map=resize(prediction.logits, size).argmax(dim=1)[0].cpu(),
            error_map=resize(detection.error_map[:, None].float(), size)[0, 0].cpu(),
            anomaly_map=resize(detection.anomaly_map[:, None].float(), size)[0, 0].cpu(),
            synthesis=resize(detection.synthesis.float(), size)[0].cpu(),
            class_quality=quality,
            present=tuple(names[label] for label in torch.unique(prediction.label_map).tolist()),
            alarms=(),
        )
        return replace(assessment, alarms=self._alarms(assessment))

    def _check(self, image: Tensor) -> None:
        if image.shape[1] != self.settings.channels:
            raise DataError(
                f"image has {image.shape[1]} channels; the monitor was fitted on {self.settings.channels}; convert it"
            )
        if min(image.shape[2:]) < SMALLEST_SIDE:
            raise DataError(
                f"image of size {tuple(image.shape[2:])} is too small; the shortest side is {SMALLEST_SIDE}"
            )

    def _alarms(self, assessment: Assessment) -> tuple[str, ...]:
        usual = self.settings.thresholds
        alarms = []
        if assessment.error_share > usual.error_share:
            alarms.append(
                f"{assessment.error_share:.0%} of the pixels are expected to be wrong (usually below "
                f"{usual.error_share:.0%})"
            )
        unknown = float((assessment.anomaly_map > usual.anomaly).float().mean())
        if unknown > usual.anomaly_share:
            alarms.append(f"{unknown:.1%} of the pixels look unknown (usually below {usual.anomaly_share:.1%})")
        for name, floor in zip(self.classes.names, usual.class_quality, strict=False):
            predicted = round(assessment.class_quality[name], 2)  # as it is told
            if name in assessment.present and predicted < round(floor, 2):
                alarms.append(f"{name}: predicted IoU {predicted:.2f} (usually above {floor:.2f})")
        return tuple(alarms)

    def save(self, folder: Path) -> None:
        """Write settings and weights.

        Raises:
            InputError: The folder cannot be written.
        """
        for name, module in self._modules().items():
            save_module(folder / f"{name}.safetensors", module)
        save_json(folder / SETTINGS, to_dict(self.settings))

    @classmethod
    def load(cls, folder: str | Path, device: str = "auto", precision: str = "fp32") -> Monitor:
        """Read a monitor from its folder.

        Raises:
            InputError: The folder holds no finished monitor.
            WeightsError: A weights file is missing, damaged or does not fit.
        """
        folder = Path(folder)
        settings = load_settings(folder)
        runtime = choose_runtime(device, precision)
        monitor = cls(settings, build_segmenter(settings), build_generator(settings), build_network(settings), runtime)
        for name, module in monitor._modules().items():
            load_module(folder / f"{name}.safetensors", module)
        return monitor

    def _modules(self) -> dict[str, nn.Module]:
        return {"segmenter": self.segmenter, "generator": self.generator, "comparator": self.network}


def failure_comparator(settings: MonitorSettings, segmenter: Segmenter, network: SiameseNetwork) -> FailureComparator:
    """Return a comparator with the score that the settings ship."""
    score: Blend | str = settings.variant.score
    if score == "blend":
        assert settings.blend is not None
        score = settings.blend
    return FailureComparator(network, FeatureDistance(segmenter, settings.t), score)


def load_settings(folder: Path) -> MonitorSettings:
    """Read the settings of a monitor.

    Raises:
        InputError: The folder holds no finished monitor.
    """
    if not (folder / SETTINGS).is_file():
        unfinished = (folder / "config.json").is_file()
        remedy = "finish it with synthcp fit --resume" if unfinished else "give a folder written by synthcp fit"
        raise InputError(f"{folder} holds no finished monitor ({SETTINGS} is missing); {remedy}")
    return from_dict(MonitorSettings, load_json(folder / SETTINGS))
