"""Training a feature head on what its frozen trunk has seen, which is looked at once and kept on disk."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from synthcp.comparison.evidence import Evidence
from synthcp.comparison.feature_head import CELL, FeatureHead
from synthcp.data.transforms import Window, view
from synthcp.system.runtime import Runtime
from synthcp.training.batches import draw_window, window_size
from synthcp.training.comparator import Batch, ComparatorConfig, ComparatorTraining, ImperfectExamples, batched

LEARNING = ("norm", "heads", "syntheses")
"""Parts of the network that change in training; without labels the last alone does."""
WHITENED = 64
"""Images to which the whitening is fitted, or a few more."""


class FeatureHeadTraining(ComparatorTraining):
    """One step = one batch of random windows of what the trunk has seen of random imperfect predictions.

    Args:
        network: F, with the weights of its trunk.
        examples: What it learns from.
        config: How; nothing is recoloured, for the trunk sees an image once.
        runtime: Where it runs.
        seed: Of the batches.
    """

    network: FeatureHead
    average: FeatureHead

    def __init__(
        self, network: FeatureHead, examples: ImperfectExamples, config: ComparatorConfig, runtime: Runtime, seed: int
    ) -> None:
        super().__init__(network, examples, config, runtime, seed)
        parts = LEARNING if config.loss.teaches else LEARNING[-1:]
        learning = {name: network.get_submodule(name) for name in parts}  # no trunk in a checkpoint
        averages = {f"average {name}": self.average.get_submodule(name) for name in parts}
        self.modules = {**learning, **averages}
        parameters = [parameter for part in learning.values() for parameter in part.parameters()]
        self.optimizers = {"network": torch.optim.AdamW(parameters, lr=config.learning_rate)}
        self._whiten()

    def _whiten(self) -> None:
        """Fit the whitening to images all over the data set."""
        chosen = list(self.examples)[:: max(1, len(list(self.examples)) // WHITENED)]
        looked = (
            self._looked(view, index, batched(self._read(view, index)[0], self.runtime)) for view, index in chosen
        )
        self.network.whitening.fit([self.network.expected(features)[0] for features in looked])
        self.average.whitening.load_state_dict(self.network.whitening.state_dict())

    def _beside(self, batch: Batch) -> dict[str, Tensor]:
        """The syntheses of features, which learn from the true label maps, as G does."""
        assert isinstance(batch.shown, tuple)
        with self.runtime.autocast():
            return {"features": self.network.unlikeliness(batch.shown[1], batch.label_maps).sum()}

    def _votes(self, batch: Batch) -> list[tuple[Tensor, Tensor]]:
        assert isinstance(batch.shown, tuple)
        log_odds, quality = self.network.judge(batch.shown[0], batch.logits)
        return [(vote, quality) for vote in log_odds]  # each head learns by itself, or they would become one

    def _batch(self, generator: torch.Generator) -> Batch:
        parts = [self._windowed(view_name, index, generator) for view_name, index in self._choices(generator)]
        seen, whitened, logits, label_maps = (torch.stack(part) for part in zip(*parts, strict=True))
        send = self.runtime.send
        return Batch((send(seen), send(whitened)), send(logits), label_maps.to(self.runtime.device))

    def _windowed(self, view_name: str, index: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        """A random window of an example: what is seen, the whitened features, M's logits and the label map."""
        evidence, label_map = self._read(view_name, index)
        dataset, whole = self.examples.dataset, tuple(evidence.image.shape[1:])
        window, size = draw_window(dataset, evidence.image, self.config.zoom, generator), window_size(dataset)
        seen, whitened = self._seen(view_name, index, evidence)
        grid, cells = [-(-side // CELL) for side in size], on_grid(window, whole, tuple(seen.shape[1:]))
        return (
            view(seen, cells, grid, "linear"),
            view(whitened, cells, grid, "linear"),
            view(evidence.logits, window, size, "linear"),
            view(label_map, window, size, "nearest"),
        )

    def _seen(self, view_name: str, index: int, evidence: Evidence) -> tuple[Tensor, Tensor]:
        """What the heads see of an example beside its prediction, shape (C, *s), and its whitened features."""
        whole, made_once = batched(evidence, self.runtime), self.examples.predictions.made_once
        features, name = self._looked(view_name, index, whole), f"differences-{self.examples.generator}"
        (differences,) = made_once(name, lambda: [self._differences(whole, features)], view=view_name, index=index)
        send = self.runtime.send
        whitened = self.network.whitened([send(feature) for feature in features]).cpu()
        return self.network.seen(features, differences)[0], whitened[0]

    def _looked(self, view_name: str, index: int, evidence: Evidence) -> list[Tensor]:
        """What the trunk sees of an image, at which it looks once."""
        make = partial(self._features, evidence)
        return self.examples.predictions.made_once("features", make, view=view_name, index=index)

    @torch.no_grad()
    def _features(self, evidence: Evidence) -> list[Tensor]:
        with self.runtime.autocast():
            return [feature.cpu() for feature in self.network.features(evidence.image)]

    @torch.no_grad()
    def _differences(self, evidence: Evidence, features: Sequence[Tensor]) -> Tensor:
        with self.runtime.autocast():
            return self.network.differences(evidence, [self.runtime.send(feature) for feature in features]).cpu()


def on_grid(window: Window, image: Sequence[int], grid: Sequence[int]) -> Window:
    """Return the window of a coarser grid that shows what a window of the image shows, to the cell.

    >>> on_grid(Window((8, 0), (40, 96)), image=(48, 96), grid=(12, 24))
    Window(start=(2, 0), size=(10, 24), flip=False)
    """
    size = [max(1, round(side * cells / whole)) for side, cells, whole in zip(window.size, grid, image, strict=True)]
    start = [round(first * cells / whole) for first, cells, whole in zip(window.start, grid, image, strict=True)]
    inside = [min(first, cells - side) for first, cells, side in zip(start, grid, size, strict=True)]
    return Window(tuple(inside), tuple(size), window.flip)
