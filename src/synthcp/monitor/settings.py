"""Everything about a monitor but its weights, in memory and on disk."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from synthcp.comparison.anomaly_fusion import AnomalyFusion
from synthcp.comparison.blend import Blend
from synthcp.config.scales import Scale
from synthcp.config.values import load_record, save_record
from synthcp.config.variants import Variant
from synthcp.data.volume_preparation import VolumePreparation
from synthcp.errors import InputError
from synthcp.monitor.calibration import Calibration
from synthcp.monitor.thresholds import LARGEST_DISTANCE, LARGEST_FUSED, Thresholds
from synthcp.nn.spatial import SpatialDims
from synthcp.ranges import SHARE, check_ranges
from synthcp.records import Classes, Measure, measure_of
from synthcp.segmentation.settings import ModelSettings
from synthcp.system.run_folder import COMPARATOR, CONFIG, DIRECT_COMPARATOR, SETTINGS


@dataclass(frozen=True)
class Learnt:
    """What was learnt with F beside its weights.

    Attributes:
        blend: The fitted score; None where the variant has none.
        fusion: The fitted anomaly score; None where the variant has none, or nothing to fit it on.
        thresholds: Of the alarms.
        direct: Whether F judges without the drawing, which helped it no more than the choice of images might.
    """

    blend: Blend | None = None
    fusion: AnomalyFusion | None = None
    thresholds: Thresholds = field(default_factory=Thresholds)
    direct: bool = False


@dataclass(frozen=True)
class MonitorSettings:
    """Everything about a monitor but its weights.

    Attributes:
        classes: The label set.
        channels: Of the images.
        spatial_dims: 2 or 3.
        variant: What is computed.
        scale: How big it is.
        t: Threshold of eq. 9's refinement.
        encoder: Trunk of F's encoder, by its name; empty takes that of M where F starts from it, else a ResNet-18.
        model: Which M; of a loaded monitor the one that it watches, of a stored one that of the fit.
        facts: Data, seed, versions and the like, for the report.
        training_ids: Ids of the images it was fitted on.
        preparation: How files become volumes; None of images, and of volumes that came from no files.
        learnt: What was learnt with F; before that, nothing.
        calibration: What it promises; None when nothing is.

    Raises:
        InputError: A number is outside its range, or parts do not fit each other.
    """

    classes: Classes
    channels: int
    spatial_dims: SpatialDims
    variant: Variant
    scale: Scale
    t: float = 0.999
    encoder: str = ""
    model: ModelSettings = field(default_factory=ModelSettings)
    facts: dict[str, str] = field(default_factory=dict)
    training_ids: tuple[str, ...] = ()
    preparation: VolumePreparation | None = None
    learnt: Learnt = field(default_factory=Learnt)
    calibration: Calibration | None = None

    def __post_init__(self) -> None:
        check_ranges(self, channels=(1, 1024), t=SHARE)
        if 0 <= self.classes.ignore_index < len(self.classes):
            last = len(self.classes) - 1
            raise InputError(f"ignore index {self.classes.ignore_index} is a class (0 to {last}); choose one outside")
        floors, patch = len(self.learnt.thresholds.class_quality), len(self.scale.patch)
        if floors not in (0, len(self.classes)):
            raise InputError(f"{floors} thresholds of class quality, {len(self.classes)} classes; each class has one")
        if patch not in (0, self.spatial_dims):
            raise InputError(f"patch {self.scale.patch} has {patch} sides, an image {self.spatial_dims}; match them")
        if self.calibration is not None and set(self.calibration.intervals.radii) != set(self.classes.names):
            raise InputError("the intervals of the calibration are not of the monitor's classes; calibrate it again")

    @property
    def measure(self) -> Measure:
        """How the quality of a class is measured."""
        return measure_of(self.spatial_dims)

    @property
    def compares(self) -> bool:
        """Whether F is shown a synthesis beside the image."""
        return self.variant.draws and not self.learnt.direct

    @property
    def comparator(self) -> str:
        """Name of the weights of F."""
        return DIRECT_COMPARATOR if self.learnt.direct else COMPARATOR

    @property
    def scored(self) -> str:
        """What the monitor scores: "images" or "volumes"."""
        return "volumes" if self.spatial_dims == 3 else "images"

    @property
    def thresholds(self) -> Thresholds:
        """The thresholds in force: a calibrated anomaly threshold takes the place of the fitted one."""
        rule, fitted = None if self.calibration is None else self.calibration.anomaly, self.learnt.thresholds
        return fitted if rule is None else replace(fitted, anomaly=rule.threshold, anomaly_share=rule.usual_share)

    @property
    def anomaly_range(self) -> float:
        """The largest anomaly score there is."""
        return LARGEST_DISTANCE if self.learnt.fusion is None else LARGEST_FUSED


def save_settings(folder: Path, settings: MonitorSettings) -> None:
    """Write the settings of a monitor, whole or not at all.

    Raises:
        InputError: The folder cannot be written.
    """
    save_record(folder / SETTINGS, settings)


def load_settings(folder: Path) -> MonitorSettings:
    """Read the settings of a monitor.

    Raises:
        InputError: The folder holds no finished monitor, or its settings are damaged.
    """
    if not (folder / SETTINGS).is_file():
        unfinished = (folder / CONFIG).is_file()
        remedy = "finish it with synthcp fit --resume" if unfinished else "give a folder written by synthcp fit"
        raise InputError(f"{folder} holds no finished monitor ({SETTINGS} is missing); {remedy}")
    settings = load_record(folder / SETTINGS, MonitorSettings)
    if settings.variant.score == "blend" and settings.learnt.blend is None:
        raise InputError(f"{folder / SETTINGS} holds no learnt blend, which its score needs; restore it or fit again")
    return settings
