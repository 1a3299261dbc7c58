"""Images without labels: what M says of them takes the place of the truth, for G to learn from."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from synthcp.data.base import Dataset
from synthcp.data.check import check_range
from synthcp.data.derived import Derived
from synthcp.records import Sample
from synthcp.segmentation.base import Segmenter, in_numbers
from synthcp.segmentation.label_map import label_map_at
from synthcp.system.runtime import Runtime


class SelfLabelled(Derived):
    """A data set whose label maps are M's; labels that it has are not looked at.

    Args:
        dataset: Images.
        segmenter: M, which sees them as they are.
        runtime: Where it runs.

    Raises:
        DataError: When a sample is read: an image lies outside [0, 1], or M gives a value that is NaN or infinite.
    """

    def __init__(self, dataset: Dataset, segmenter: Segmenter, runtime: Runtime) -> None:
        super().__init__(dataset)
        self.segmenter = runtime.place(segmenter).eval()
        self.runtime = runtime

    def __getitem__(self, index: int) -> Sample:
        """Return one sample."""
        sample = super().__getitem__(index)
        check_range(sample)
        with torch.no_grad(), self.runtime.autocast():
            prediction = in_numbers(self.segmenter.predict(sample.id, self.runtime.send(sample.image[None])))
        return replace(sample, label_map=label_map_at(prediction.logits, sample.image.shape[1:])[0].cpu())

    def label_map(self, index: int) -> Tensor | None:
        """Return the label map of one sample."""
        return self[index].label_map
