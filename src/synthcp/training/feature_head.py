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
        channels = len(self.network.whitening.mean)
        looked = [self._seen(view, index, self._read(view, index)[0])[:channels] for view, index in chosen]
        self.network.whitening.fit(looked)
        self.average.whitening.load_state_dict(self.network.whitening.state_dict())

    def _beside(self, batch: Batch) -> dict[str, Tensor]:
        """The syntheses of features, which learn from the true label maps, as G does."""
        assert isinstance(batch.shown, Tensor)
        with self.runtime.autocast():
            return {"features": self.network.unlikeliness(batch.shown, batch.label_maps).sum()}

    def _votes(self, batch: Batch) -> list[tuple[Tensor, Tensor]]:
        assert isinstance(batch.shown, Tensor)
        log_odds, quality = self.network.judge(batch.shown, batch.logits)
        return [(vote, quality) for vote in log_odds]  # each head learns by itself, or they would become one

    def _batch(self, generator: torch.Generator) -> Batch:
        parts = [self._windowed(view_name, index, generator) for view_name, index in self._choices(generator)]
        seen, logits, label_maps = (torch.stack(part) for part in zip(*parts, strict=True))
        return Batch(self.runtime.send(seen), self.runtime.send(logits), label_maps.to(self.runtime.device))

    def _windowed(self, view_name: str, index: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        """A random window of an example: what is seen, M's logits and the label map."""
        evidence, label_map = self._read(view_name, index)
        dataset, whole = self.examples.dataset, tuple(evidence.image.shape[1:])
        window, size = draw_window(dataset, evidence.image, self.config.zoom, generator), window_size(dataset)
        seen = self._seen(view_name, index, evidence)
        grid = [-(-side // CELL) for side in size]
        return (
            view(seen, on_grid(window, whole, tuple(seen.shape[1:])), grid, "linear"),
            view(evidence.logits, window, size, "linear"),
            view(label_map, window, size, "nearest"),
        )

    def _seen(self, view_name: str, index: int, evidence: Evidence) -> Tensor:
        """What the heads see of an example beside its prediction, shape (K, *s)."""
        network, examples = self.network, self.examples
        kept = partial(examples.predictions.made_once, view=view_name, index=index)
        whole = batched(evidence, self.runtime)
        features = kept("features", lambda: self._features(whole))
        differences = kept(f"differences-{examples.generator}", lambda: [self._differences(whole, features)])
        return network.seen(features, differences[0])[0]

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
