"""The product: a fitted alarm system for one segmenter. assess, save, load."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from synthcp.comparison.base import Detector
from synthcp.comparison.direct_prediction import DirectPrediction
from synthcp.comparison.long_images import is_long, judged, predicted, windows_of, working_side
from synthcp.comparison.network import ComparisonNetwork
from synthcp.comparison.synthesize_then_compare import SynthesizeThenCompare
from synthcp.data.transforms import short_side
from synthcp.monitor.fitted_comparator import FittedComparator
from synthcp.monitor.in_memory import AnyImage, image_in_memory, require_image
from synthcp.monitor.inputs import input_of, read_input
from synthcp.monitor.networks import build_generator, build_network, build_segmenter
from synthcp.monitor.observed import observed
from synthcp.monitor.regions import anomalous_regions, in_words, largest_region
from synthcp.monitor.settings import MonitorSettings, load_settings, save_settings
from synthcp.nn.finite import require_finite
from synthcp.nn.spatial import resize
from synthcp.records import Assessment, Classes, Detection, Prediction
from synthcp.segmentation.base import Predictor, Segmenter, at_size, in_numbers
from synthcp.segmentation.label_map import label_map_at
from synthcp.segmentation.specs import AnyModel, OpenedModel, refuse_code, reopen_model, replace_model
from synthcp.synthesis.base import Generator
from synthcp.system.files import load_network, save_module
from synthcp.system.hub import fetch, is_on_hub
from synthcp.system.run_folder import GENERATOR, MONITOR_FILES, SEGMENTER, weights_path
from synthcp.system.runtime import Runtime, choose_runtime


class Monitor:
    """M, G and F, fitted to each other.

    Args:
        settings: Everything but the weights.
        predictor: M, a live segmenter or its predictions on disk.
        generator: G; None of a monitor that draws nothing.
        network: F.
        runtime: Where they run.

    Attributes:
        folder: Where it was last read from or written to; None before that.
    """

    folder: Path | None = None

    def __init__(
        self,
        settings: MonitorSettings,
        predictor: Predictor,
        generator: Generator | None,
        network: ComparisonNetwork,
        runtime: Runtime,
    ) -> None:
        self.settings = settings
        self.runtime = runtime
        self.predictor = runtime.place(predictor).eval() if isinstance(predictor, Segmenter) else predictor
        self.generator = None if generator is None else runtime.place(generator).eval()
        self.network = runtime.place(network).eval()

    @property
    def classes(self) -> Classes:
        """The label set."""
        return self.settings.classes

    @property
    def segmenter(self) -> Segmenter | None:
        """M as a live network; None when its predictions are read from disk."""
        return self.predictor if isinstance(self.predictor, Segmenter) else None

    def detector(self) -> Detector:
        """Return the detector of the paper, or direct prediction, made of the parts of this monitor."""
        fitted = FittedComparator(self.network, self.settings.variant, self.settings.learnt)
        comparator = fitted.comparator(self.segmenter, self.settings.t)
        if self.generator is None or not self.settings.compares:
            return DirectPrediction(comparator)
        return SynthesizeThenCompare(self.generator, comparator)

    @torch.no_grad()
    def predict(self, image: Tensor, sample_id: str = "") -> Prediction:
        """Segment images (B, C, *S), in [0, 1], at M's own size, in windows if very long; errors as in `detect`."""
        require_image(image, self.settings)
        if not is_long(image.shape[2:]):
            return self._predicted(image, self.small(image), sample_id)
        with self.runtime.autocast():
            return predicted(self.predictor, sample_id, self.runtime.send(image))

    @torch.no_grad()
    def detect(
        self, image: Tensor, sample_id: str = "", prediction: Prediction | None = None
    ) -> tuple[Prediction, Detection]:
        """Segment images (B, C, *S) and judge them at the working size, a very long one in windows.

        Args:
            image: x, in [0, 1]; predictions on disk are of one image at a time.
            sample_id: By which predictions on disk are found.
            prediction: Of M for x, if it is there already.

        Returns:
            The prediction at M's own size, and what the detector says of it, at the working size.

        Raises:
            DataError: The image is not what the monitor was fitted on, is too small or outside [0, 1], there is no
                prediction for it, or M, G or F, as the message says, gave a value that is NaN or infinite.
        """
        require_image(image, self.settings)
        if is_long(image.shape[2:]):
            prediction = self.predict(image, sample_id) if prediction is None else in_numbers(prediction)
            return prediction, self._judged_in_windows(image, prediction)
        small = self.small(image)
        prediction = self._predicted(image, small, sample_id) if prediction is None else in_numbers(prediction)
        with self.runtime.autocast():
            detection = self.detector()(small, at_size(prediction, small.shape[2:]))
        return prediction, detection

    @torch.no_grad()
    def draw(self, image: Tensor, prediction: Prediction) -> Tensor | None:
        """Return what M believes that images (B, C, *S) show: G's images of y_hat, at the working size.

        A monitor that judges with them has them in its detection; one that judges without may still show them.

        Returns:
            Shape (B, C, *s), in [0, 1]; None of a monitor without G, and of a very long image.
        """
        if self.generator is None or is_long(image.shape[2:]):
            return None
        small = self.small(image)
        with self.runtime.autocast():
            return self.generator.draw(at_size(prediction, small.shape[2:]).label_map, small)

    def _judged_in_windows(self, image: Tensor, prediction: Prediction) -> Detection:
        size, detector = tuple(image.shape[2:]), self.detector()
        whole = short_side(size, working_side(size, self.settings.scale.side) or min(size))

        def detect(window: Tensor, said: Prediction) -> dict[str, Detection]:
            small = self.small(window)
            return {"": detector(small, at_size(said, small.shape[2:]))}

        with self.runtime.autocast():
            return judged(detect, self.runtime.send(image), prediction, self.predictor, whole)[""]

    @torch.no_grad()
    def embed(self, image: Tensor, prediction: Prediction) -> Tensor:
        """Return what tells images apart, shape (B, K); for images (B, C, *S) and M's prediction of them.

        Of a very long image it is the mean over the windows.
        """
        windows = windows_of(image.shape[2:]) if is_long(image.shape[2:]) else []
        parts = [(window.cut(image), Prediction(window.cut(prediction.logits))) for window in windows]
        embedding = torch.stack([self._embedded(*part) for part in parts or [(image, prediction)]]).mean(dim=0)
        require_finite("F", embedding)
        return embedding

    def _embedded(self, image: Tensor, prediction: Prediction) -> Tensor:
        small = self.small(image)
        with self.runtime.autocast():
            return self.network.embed(small, at_size(prediction, small.shape[2:]).logits)

    def small(self, image: Tensor) -> Tensor:
        """Return images (B, C, *S) at the working size, on the device."""
        size = short_side(tuple(image.shape[2:]), self.settings.scale.side or min(image.shape[2:]))
        return self.runtime.send(resize(image.to(self.runtime.device), size, antialias=True))

    def _predicted(self, image: Tensor, small: Tensor, sample_id: str) -> Prediction:
        """What M says; where it sees an image at the working size, the image is there already."""
        shape, segmenter = tuple(image.shape[2:]), self.segmenter
        sees_small = segmenter is not None and segmenter.input_size.seen(shape) == tuple(small.shape[2:])
        with self.runtime.autocast():
            shown = small if sees_small else self.runtime.send(image)
            return in_numbers(self.predictor.predict(sample_id, shown))

    def assess(
        self,
        image: AnyImage | str | os.PathLike[str],
        sample_id: str = "",
        prediction: Prediction | None = None,
        size: Sequence[int] | None = None,
    ) -> Assessment:
        """Judge one image; several threads may do so at once.

        Args:
            image: x, of any size: a tensor (C, *S), an array (C, *S) or (*S, C), or a picture of Pillow, of floats in
                [0, 1], uint8 or uint16; or the file of it. A volume in RAS; its whole numbers are windowed as a file's.
            sample_id: By which predictions on disk are found; by default the file's path without suffix.
            prediction: Of M for x, if it is there already.
            size: Of the maps that come back; by default that of the image, or of the file of a volume.

        Raises:
            DataError: As in `detect`, or the image is of another kind or type, or the file cannot be read.
        """
        if isinstance(image, str | os.PathLike):
            item = input_of(Path(image), self.settings)
            sample_id = sample_id or item.id
            x, grid = read_input(item, self.settings)
            size = size or (None if grid is None else grid.size)
        else:
            x = image_in_memory(image, self.settings)
        prediction, detection = self.detect(x[None], sample_id, prediction)
        return self.assessment(prediction, detection, size or x.shape[1:])

    def observe(self, images: Iterable[AnyImage | str | os.PathLike[str]]) -> None:
        """Learn from a few images without labels what is usual, to alarm beyond it; arguments and errors as `observed`.

        Of a monitor that wraps an M, or was fitted without labels and draws nothing. A calibration does not outlive it.
        """
        self.settings = replace(self.settings, learnt=observed(self, images), calibration=None)

    def assessment(self, prediction: Prediction, detection: Detection, size: Sequence[int]) -> Assessment:
        """Say what was found in one image, without running a network.

        Args:
            prediction: Of M for the image, at M's own size.
            detection: What the detector of this monitor says of it, at the working size.
            size: Of the maps that come back.

        Raises:
            DataError: M, G or F, as the message says, gave a value that is NaN or infinite.
        """
        assessment = self._assessment(prediction, detection, size)
        unknown = self.settings.thresholds.anomaly
        regions = anomalous_regions(assessment.anomaly_map, unknown, assessment.label_map, self.classes)
        assessment = replace(assessment, regions=regions)
        assessment = replace(assessment, alarms=self._alarms(assessment))
        calibration = self.settings.calibration
        return assessment if calibration is None else calibration.judge(assessment)

    def _assessment(self, prediction: Prediction, detection: Detection, size: Sequence[int]) -> Assessment:
        assert detection.error_map is not None and detection.class_quality is not None
        require_finite("M", prediction.logits)
        synthesis = detection.synthesis
        require_finite("G", synthesis)
        require_finite("F", detection.error_map, detection.anomaly_map, detection.class_quality)
        names, anomaly_map = self.classes.names, detection.anomaly_map
        return Assessment(
            label_map=label_map_at(prediction.logits, size)[0].cpu(),
            error_map=resize(detection.error_map[:, None].float(), size)[0, 0].cpu(),
            anomaly_map=None if anomaly_map is None else resize(anomaly_map[:, None].float(), size)[0, 0].cpu(),
            synthesis=None if synthesis is None else resize(synthesis.float().contiguous(), size)[0].cpu(),
            class_quality=dict(zip(names, detection.class_quality[0].tolist(), strict=True)),
            judged=self._judged(at_size(prediction, detection.error_map.shape[1:]).label_map),
            alarms=(),
        )

    def _judged(self, label_map: Tensor) -> tuple[str, ...]:
        """The classes that count for the quality of an image with this y_hat; see Assessment."""
        if self.settings.measure == "Dice":
            return self.classes.structures
        held = {self.classes.names[label] for label in torch.unique(label_map).tolist()}
        return tuple(name for name in self.classes.structures if name in held)

    def _alarms(self, assessment: Assessment) -> tuple[str, ...]:
        usual, measure = self.settings.thresholds, self.settings.measure
        parts = "voxels" if self.settings.spatial_dims == 3 else "pixels"
        alarms = []
        if assessment.error_share > usual.error_share:
            alarms.append(
                f"{assessment.error_share:.0%} of the {parts} are expected to be wrong (usually below "
                f"{usual.error_share:.0%})"
            )
        unknown = assessment.anomaly_share(usual.anomaly)
        if unknown > usual.anomaly_share:
            largest = largest_region(assessment.regions)
            told = "" if largest is None else f"; the largest unknown object {in_words(largest)}"
            alarms.append(f"{unknown:.1%} of the {parts} look unknown (usually below {usual.anomaly_share:.1%}){told}")
        for name, floor in zip(self.classes.names, usual.class_quality, strict=False):
            predicted = round(assessment.class_quality[name], 2)  # as it is told
            if name in assessment.judged and predicted < round(floor, 2):
                alarms.append(f"{name}: predicted {measure} {predicted:.2f} (usually above {floor:.2f})")
        return tuple(alarms)

    def save(self, folder: Path) -> None:
        """Write settings and weights.

        Raises:
            InputError: The folder cannot be written.
        """
        for name, module in self._modules().items():
            save_module(weights_path(folder, name), module)
        save_settings(folder, self.settings)
        self.folder = folder

    @classmethod
    def load(
        cls,
        folder: str | Path,
        device: str = "auto",
        precision: str = "fp32",
        model: AnyModel | None = None,
        *,
        trust_code: bool = False,
    ) -> Monitor:
        """Read a monitor from its folder.

        Args:
            folder: That a fit wrote.
            device: "auto", "cpu", "cuda", ...
            precision: "auto", "fp32" or "bf16".
            model: Another M in place of the stored one: its SPEC (moved, exported, or an M that the monitor has never
                seen), or the model itself. A calibration that speaks of another M than this one is left out.
            trust_code: Whether the stored M may be code that is run, such as file.py:factory; say so only of a folder
                whose maker you trust. A monitor never runs anything else, and never asks the network.

        Raises:
            InputError: The folder holds no finished monitor, its model cannot be opened, has changed, or is code.
            WeightsError: A weights file is missing, damaged or does not fit.
        """
        folder = Path(folder)
        stored = load_settings(folder)
        runtime = choose_runtime(device, precision)
        opened = _opened(stored, folder, model, trust_code)
        settings = replace(stored, model=opened.settings)
        if stored.calibration is not None and not stored.calibration.speaks_of(*opened.settings.identity):
            settings = replace(settings, calibration=None)
        draws, build = settings.variant.draws, partial(build_generator, settings)
        generator = load_network(weights_path(folder, GENERATOR), build) if draws else None
        network = load_network(weights_path(folder, settings.comparator), partial(build_network, settings))
        monitor = cls(settings, opened.predictor, generator, network, runtime)
        monitor.folder = folder
        return monitor

    @classmethod
    def from_pretrained(
        cls, source: str | Path, device: str = "auto", precision: str = "fp32", model: AnyModel | None = None
    ) -> Monitor:
        """Read a monitor from a folder, or from the Hugging Face hub; neither runs code, nor reads a pickle.

        One that comes from the hub lies in no folder of yours: save it before it is calibrated or evaluated.

        Args:
            source: A folder; "hub:OWNER/NAME", with "@REVISION" for a branch, tag or commit; or "OWNER/NAME", if
                OWNER is nothing here.
            device: As in `load`.
            precision: As in `load`.
            model: As in `load`.

        Raises:
            InputError: As in `load`, or the hub does not give it.
            WeightsError: As in `load`.
            MissingExtraError: huggingface_hub is not installed.
        """
        if not is_on_hub(str(source)):
            return cls.load(source, device, precision, model)
        monitor = cls.load(fetch(str(source), MONITOR_FILES), device, precision, model)
        monitor.folder = None  # the cache is not to be written to
        return monitor

    def push_to_hub(self, repo: str, *, private: bool = False, evaluation: str | Path | None = None) -> str:
        """Upload settings, weights and a model card to the Hugging Face hub, and nothing else of the run.

        The settings hold the SPEC of the data, the command of the fit and the ids of its images. An M that somebody
        brought is not uploaded, only its SPEC.

        Args:
            repo: OWNER/NAME; it is made unless it is there.
            private: Whether one that is made can be seen by its owner alone.
            evaluation: Tables that the card shall show: the file that `synthcp eval --markdown` wrote.

        Returns:
            The address.

        Raises:
            InputError: The name is none, the tables cannot be read, or the hub does not take the files.
            MissingExtraError: huggingface_hub is not installed.
        """
        from synthcp.monitor.hub import push

        return push(self, repo, private=private, evaluation=evaluation)

    def _modules(self) -> dict[str, nn.Module]:
        modules: dict[str, nn.Module] = {self.settings.comparator: self.network}
        if self.generator is not None:
            modules[GENERATOR] = self.generator
        if self.settings.model.is_built_in and self.segmenter is not None:
            modules[SEGMENTER] = self.segmenter
        return modules


def _opened(settings: MonitorSettings, folder: Path, model: AnyModel | None, trust_code: bool) -> OpenedModel:
    """The M of a monitor, or another one in its place."""
    if model is not None:
        return replace_model(model, settings.model, settings.classes, settings.channels)
    if settings.model.is_built_in:
        own = load_network(weights_path(folder, SEGMENTER), partial(build_segmenter, settings))
        return OpenedModel(own, settings.model)
    if not trust_code:
        refuse_code(settings.model)
    return reopen_model(settings.model, settings.classes, settings.channels)
