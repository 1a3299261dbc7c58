"""Any network as M: whatever gives logits for an image becomes a Segmenter."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor, nn

from synthcp.errors import DataError, InputError, ShapeError, SynthCPError, in_one_line
from synthcp.nn.spatial import SpatialDims, dims_of
from synthcp.records import Classes, Prediction
from synthcp.segmentation.base import Segmenter, in_numbers
from synthcp.segmentation.class_mapping import ClassMapping, choose_mapping
from synthcp.segmentation.feature_layer import LOGITS, feature_map, find_feature_layer, inputs_of, named_layer
from synthcp.segmentation.input_size import InputSize
from synthcp.segmentation.loaded import LoadedNetwork
from synthcp.segmentation.output import Last, Output, as_logits, is_plain, last_operation, told_output
from synthcp.system.files import require_weights

FEATURES = "features"
"""Entry of a model's output that is f_M, when there is one of this name."""

TURN = threading.RLock()
"""Held while somebody else's network runs: its hooks, and whatever state it has, are for one thread at a time.

One for all, since two monitors may watch one network.
"""

FORMS = "a tensor, an object with .logits, a dict with 'logits' or 'out', or a tuple that begins with one of these"


class AdaptedSegmenter(Segmenter):
    """A network that somebody brought; threads take turns, for f_M is read by a hook that would mix two of them up.

    Args:
        network: From a normalised image (B, C, *S) to an output (see logits_in).
        spatial_dims: 2 or 3.
        mean: To which images are normalised.
        std: Likewise.
        input_size: At which size it sees an image.
    """

    def __init__(
        self,
        network: Callable[[Tensor], object],
        spatial_dims: SpatialDims,
        mean: Sequence[float] = (0.0,),
        std: Sequence[float] = (1.0,),
        input_size: InputSize | None = None,
    ) -> None:
        super().__init__(spatial_dims, mean, std, input_size)
        self.network = network
        self.mapping: ClassMapping | None = None
        self.returns: Output = "logits"
        self.feature_name = LOGITS
        self.has_feature_module = False
        self.fingerprint = ""

    @property
    def feature_module(self) -> nn.Module | None:
        """The part of the network whose input is f_M; looked up, for a part with two names could not be saved."""
        return _module(self.network, self.feature_name) if self.has_feature_module else None

    def forward_with_features(self, image: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the logits of the data's classes, and f_M.

        Raises:
            DataError: The network fails, or what it returns is not finite or of another kind than it was.
            ShapeError: Its logits or features do not fit the image or the classes.
        """
        with TURN, inputs_of(self.feature_module) as inputs:
            output = self.output(image)
        scores = scores_in(output, image)
        _check_finite(scores)
        logits = as_logits(scores, self.returns)
        logits = logits if self.mapping is None else self.mapping.logits(logits)
        if self.feature_name == LOGITS:
            return logits, [logits]
        entry = inputs[-1] if inputs else entries_of(output).get(self.feature_name)
        return logits, [feature_map(entry, self.feature_module, self.feature_name, image)]

    def output(self, image: Tensor) -> object:
        """Call the network on a normalised image.

        Raises:
            DataError: It fails.
        """
        try:
            return self.network(image.to(_number_of(self.network)))
        except SynthCPError:
            raise
        except (Exception, SystemExit) as error:  # somebody else's code may raise anything
            size = "x".join(map(str, image.shape[1:]))
            raise DataError(
                f"the model failed on an image of {size} ({in_one_line(error)}); if it needs other sizes, say which: "
                "?input=resize:HEIGHTxWIDTH, pad:32 or tile:HEIGHTxWIDTH"
            ) from error

    def features(self, image: Tensor) -> list[Tensor]:
        """Return f_M of an image (B, C, *S) in [0, 1], seen at the size at which the network sees images."""
        return list(self.predict("", image).layers)


def adapt(loaded: LoadedNetwork, classes: Classes, probe: Tensor) -> AdaptedSegmenter:
    """Adapt a network to the data, trying it on an image.

    Args:
        loaded: The network, and what is known about it.
        classes: Of the data.
        probe: An image of the data, shape (1, C, *S), in [0, 1].

    Raises:
        InputError: The network does not do what it should with the image, or where f_M is must be said.
        WeightsError: A parameter of it is NaN, infinite or too large.
    """
    with TURN:
        return _adapted(loaded, classes, probe)


def _adapted(loaded: LoadedNetwork, classes: Classes, probe: Tensor) -> AdaptedSegmenter:
    network = loaded.network
    if isinstance(network, nn.Module):
        network.to(probe.device).eval().requires_grad_(False)
        require_weights("the model", dict(network.named_parameters()))
    segmenter = AdaptedSegmenter(network, dims_of(probe), loaded.mean, loaded.std, loaded.input_size)
    _check_channels(probe, mean=loaded.mean, std=loaded.std)
    view = _first_view(segmenter.input_size, probe)
    shown = segmenter.normalize(view)
    output, segmenter.differentiable = _tried(segmenter, shown)
    scores = scores_in(output, shown)
    _check_finite(scores)  # before the feature layer is searched, which compares scores
    segmenter.returns = loaded.output or _told(segmenter, scores.detach(), view, loaded.last or last_operation(scores))
    outputs = max(2, scores.shape[1])  # one channel tells two classes apart
    segmenter.mapping = choose_mapping(outputs, loaded.class_names, classes, loaded.mapping)
    segmenter.feature_name = loaded.features or _found(segmenter, shown, output)
    if segmenter.feature_name != LOGITS and segmenter.feature_name not in entries_of(output):
        _module(network, segmenter.feature_name)  # refused now if there is none
        segmenter.has_feature_module = True
    segmenter.fingerprint = loaded.weights_fingerprint
    with torch.no_grad():
        in_numbers(segmenter.predict("", probe))
    return segmenter


def outputs_of(loaded: LoadedNetwork, probe: Tensor) -> int:
    """Return how many classes a network tells apart, trying it on an image (1, C, *S); errors as adapt."""
    segmenter = AdaptedSegmenter(loaded.network, dims_of(probe), loaded.mean, loaded.std, loaded.input_size)
    with TURN, torch.no_grad():
        view = _first_view(segmenter.input_size, probe)
        return max(2, scores_in(segmenter.output(segmenter.normalize(view)), view).shape[1])


def logits_in(output: object) -> Tensor:
    """Find the logits in what a model returns.

    Raises:
        InputError: There are none.
    """
    if isinstance(output, Tensor):
        return output
    entries = entries_of(output)
    if isinstance(output, tuple | list) and output:
        return logits_in(output[0])
    for name in (LOGITS, "out"):
        if name in entries:
            return entries[name]
    raise InputError(f"the model returns {type(output).__name__}, in which no logits are found; return {FORMS}")


def scores_in(output: object, image: Tensor) -> Tensor:
    """Return what a model says of its classes, shape (B, channels, *s), float32: logits, or what output.py tells.

    Raises:
        InputError: There are no logits in the output.
        ShapeError: They do not lie on the image.
    """
    logits = logits_in(output)
    if logits.ndim != image.ndim or logits.shape[0] != image.shape[0] or not logits.is_floating_point():
        raise ShapeError(
            f"the model gives an output of shape {tuple(logits.shape)} and type {logits.dtype} for an image of shape "
            f"{tuple(image.shape)}; return logits of shape (batch, classes, height, width), before any argmax"
        )
    return logits.float().to(image.device)


def _number_of(network: object) -> torch.dtype:
    """The type of a network's weights, which images must have too."""
    weights = network.parameters() if isinstance(network, nn.Module) else iter(())
    return next((weight.dtype for weight in weights if weight.is_floating_point()), torch.float32)


def entries_of(output: object) -> Mapping[str, Tensor]:
    """Return the tensors that an output holds by name; empty for a tensor or a tuple."""
    if isinstance(output, Tensor | tuple | list):
        return {}
    named: Mapping[Any, Any] = output if isinstance(output, Mapping) else getattr(output, "__dict__", {})
    return {str(name): value for name, value in named.items() if isinstance(value, Tensor)}


def _check_channels(probe: Tensor, **values: Sequence[float]) -> None:
    for name, numbers in values.items():
        if len(numbers) not in (1, probe.shape[1]):
            raise InputError(
                f"{name} has {len(numbers)} numbers, the images {probe.shape[1]} channels; give one for each channel"
            )


def _first_view(input_size: InputSize, image: Tensor) -> Tensor:
    """What a network is shown of an image: all of it, resized or padded, or its first tile."""
    views: list[Tensor] = []

    def spy(view: Tensor) -> Prediction:
        views.append(view)
        return Prediction(view)

    input_size.applied(spy, image)
    return views[0]


def _tried(segmenter: AdaptedSegmenter, image: Tensor) -> tuple[object, bool]:
    """The network's output for an image, and whether gradients reach the image."""
    try:
        # nothing is kept for a backward pass, so that a large network fits where its forward does
        with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(lambda tensor: None, lambda _: image):
            output = segmenter.output(image.clone().requires_grad_())
        return output, logits_in(output).requires_grad
    except DataError:  # NumPy inside, perhaps
        with torch.no_grad():
            return segmenter.output(image), False


def _check_finite(scores: Tensor) -> None:
    if not bool(scores.isfinite().all()):
        raise DataError("the model gives logits that are NaN or infinite; look at its weights, mean and std")


def _told(segmenter: AdaptedSegmenter, scores: Tensor, view: Tensor, last: Last) -> Output:
    """What a network returns, told from its scores of the image that it was shown, and of others where need be."""
    others = [] if is_plain(scores, last) else _other_scores(segmenter, view)
    return told_output([scores, *others], last)


@torch.no_grad()
def _other_scores(segmenter: AdaptedSegmenter, view: Tensor) -> Iterator[Tensor]:
    noise = torch.rand(view.shape, generator=torch.Generator().manual_seed(0)).to(view)
    for other in (1 - view, noise, torch.zeros_like(view), torch.ones_like(view)):
        with suppress(DataError):  # a network that fails on such an image tells nothing by it
            yield scores_in(segmenter.output(segmenter.normalize(other)), view)


def _found(segmenter: AdaptedSegmenter, image: Tensor, output: object) -> str:
    if FEATURES in entries_of(output):
        return FEATURES
    if not isinstance(segmenter.network, nn.Module):
        return LOGITS

    def logits_of(image: Tensor) -> Tensor:
        return logits_in(segmenter.output(image)).float()

    return find_feature_layer(segmenter.network, logits_of, image, logits_in(output).detach().float())


def _module(network: object, name: str) -> nn.Module:
    if isinstance(network, nn.Module):
        return named_layer(network, name)
    raise InputError(f"the model is no torch.nn.Module and has no module {name!r}; leave --features out")
