"""One labelled image as an audit sees it: what is given, what M says, and what G makes of either."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from synthcp.comparison.feature_distance import FeatureDistance
from synthcp.data.working_size import require_whole, resized
from synthcp.monitor.monitor import Monitor
from synthcp.nn.spatial import average_pool
from synthcp.records import Prediction, Sample
from synthcp.segmentation.base import at_size
from synthcp.verbs.audit.regions import Region, disputed_regions

_NEIGHBOURS = 7
"""Side of the square over which colours are compared, in pixels: a synthesis has no detail finer than that."""


@dataclass(frozen=True)
class Case:
    """A label map to be judged, everything at the working size and on the device of the monitor.

    Attributes:
        monitor: Whose M and G are asked.
        image: x, shape (1, C, H, W), in [0, 1].
        given: y, the label map to be judged, shape (H, W), int64.
        prediction: Of M for x.
    """

    monitor: Monitor
    image: Tensor
    given: Tensor
    prediction: Prediction

    @cached_property
    def predicted(self) -> Tensor:
        """y_hat, shape (H, W)."""
        return self.prediction.label_map[0]

    @cached_property
    def regions(self) -> list[Region]:
        """Where M disputes the given label."""
        ignore_index = self.monitor.classes.ignore_index
        return disputed_regions(self.given.cpu().numpy(), self.predicted.cpu().numpy(), ignore_index)

    @cached_property
    def disputed(self) -> Tensor:
        """The pixels of all regions, shape (H, W), bool."""
        disputed = torch.zeros(self.given.shape, dtype=torch.bool)
        for region in self.regions:
            disputed[region.window] |= torch.from_numpy(region.mask)
        return disputed.to(self.given.device)

    @cached_property
    def suggested(self) -> Tensor:
        """The other explanation of the image: the given label map, in the disputed regions as M says; (H, W)."""
        return self.given.where(~self.disputed, self.predicted)

    @cached_property
    def synthesis_of_given(self) -> Tensor:
        """G(y), shape (1, C, H, W)."""
        return self._synthesis(self.given)

    @cached_property
    def synthesis_of_suggested(self) -> Tensor:
        """G of the suggested label map, shape (1, C, H, W)."""
        return self._synthesis(self.suggested)

    @cached_property
    def loss(self) -> Tensor:
        """M's cross-entropy of the given label, shape (H, W), at least 0; 0 where there is none."""
        labels = self.given.clamp(0, len(self.monitor.classes) - 1)
        log_probability = self.prediction.logits.float().log_softmax(dim=1)[0].gather(0, labels[None])[0]
        return -log_probability.where(self.given != self.monitor.classes.ignore_index, 0.0)

    @cached_property
    def misfit(self) -> Tensor:
        """How much less the synthesis of the given label looks like the image than that of the suggested, (H, W)."""
        return self._unlikeness(self.synthesis_of_given) - self._unlikeness(self.synthesis_of_suggested)

    @torch.no_grad()
    def _synthesis(self, label_map: Tensor) -> Tensor:
        assert self.monitor.generator is not None  # audit asked for one
        with self.monitor.runtime.autocast():
            synthesis: Tensor = self.monitor.generator.draw(label_map[None], self.image)
        return synthesis.float()

    @torch.no_grad()
    def _unlikeness(self, synthesis: Tensor) -> Tensor:
        """Eq. 9, the mean over M's layers; the distance of the colours when there is no live M to see it."""
        segmenter = self.monitor.segmenter
        if segmenter is None:
            distance = (self.image - synthesis).abs().mean(dim=1, keepdim=True)
            smooth: Tensor = average_pool(2, kernel=_NEIGHBOURS, stride=1, padding=_NEIGHBOURS // 2)(distance)
            return smooth[0, 0]
        with self.monitor.runtime.autocast():
            distances = FeatureDistance(segmenter).feature_distances(self.image, synthesis, self.prediction)
        return distances[0, 1:].float().mean(dim=0)  # the first channel asks for M's own prediction in the synthesis


def case_of(monitor: Monitor, sample: Sample) -> Case:
    """Return the case of a labelled sample; raises DataError when its image is too long to be seen as a whole."""
    require_whole(sample)
    small = resized(sample, monitor.settings.scale.side)
    assert small.label_map is not None  # require_match ran before
    prediction = at_size(monitor.predict(sample.image[None], sample.id), small.image.shape[1:])
    send = monitor.runtime.send
    return Case(monitor, send(small.image[None]), send(small.label_map), prediction)
