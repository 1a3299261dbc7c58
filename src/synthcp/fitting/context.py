"""What every stage of a fit works on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from synthcp.comparison.network import ComparisonNetwork
from synthcp.data.base import Dataset
from synthcp.data.working_size import Prepared
from synthcp.errors import WeightsError
from synthcp.fitting.config import FitConfig, Weights
from synthcp.monitor.networks import build_segmenter
from synthcp.monitor.settings import MonitorSettings
from synthcp.nn.published import published_trunk, published_weights
from synthcp.nn.trunk import Trunk, TrunkShape
from synthcp.segmentation.base import Segmenter
from synthcp.system.progress import Progress
from synthcp.system.runtime import Runtime
from synthcp.training.loop import Stage


@dataclass(frozen=True)
class Context:
    """One run of fit.

    Attributes:
        settings: Of the monitor to be.
        original: The labelled images as they are, which a brought M sees.
        dataset: The same at the working size, which the built-in M, G and F see.
        out: Folder of the run.
        runtime: Where the networks run.
        config: What was asked of the fit.
        progress: Called after every step of every stage.
    """

    settings: MonitorSettings
    original: Dataset
    dataset: Prepared
    out: Path
    runtime: Runtime
    config: FitConfig
    progress: Progress

    @property
    def seed(self) -> int:
        """Of everything random."""
        return self.config.seed

    def stage(self, name: str, seed: int | None = None) -> Stage:
        """Return one training of the run, from random numbers of its own or those of the run."""
        return Stage(self.out, name, self.seed if seed is None else seed, self.progress)

    def new_segmenter(self) -> Segmenter:
        """The built-in M before its training; errors as start_segmenter."""
        return start_segmenter(self.settings, self.config.weights)


def start_segmenter(settings: MonitorSettings, weights: Weights) -> Segmenter:
    """Build the built-in M, from published weights where there are any.

    Raises:
        WeightsError: The weights are missing, no safetensors file, or for another network.
    """
    segmenter = build_segmenter(settings)
    if weights is not None:
        tensors = published_weights(weights, settings.model.trunk)
        try:
            segmenter.load_weights(tensors)
        except WeightsError as error:
            raise WeightsError(f"{weights}: {error}") from error
    return segmenter


def start_encoder(network: ComparisonNetwork, trunk: str, weights: Weights) -> None:
    """Let F's encoder start from the published weights of a trunk, where there are any; errors as start_segmenter."""
    if weights is None:
        return
    tensors = published_weights(weights, trunk)
    try:
        network.load_encoder(tensors)
    except WeightsError as error:
        raise WeightsError(f"{weights}: {error}") from error


def perceptual_trunk(settings: MonitorSettings, config: FitConfig) -> Trunk:
    """Build the trunk by which G's syntheses are compared with images; errors as published_trunk."""
    trunk, weights = config.perceptual_source
    assert weights is not None  # FitConfig asks for them
    shape = TrunkShape(settings.spatial_dims, settings.channels)
    return published_trunk(trunk, shape, weights)


def at_working_size(dataset: Dataset, settings: MonitorSettings, progress: Progress) -> Prepared:
    """Read a data set at the working size."""
    scale = settings.scale
    return Prepared(dataset, scale.side, lambda step, steps: progress("read", step, steps, {}), scale.patch)
