"""onnx:FILE, a model that any framework exported, run by ONNX Runtime."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from synthcp.errors import InputError
from synthcp.segmentation.feature_layer import LOGITS
from synthcp.segmentation.loaded import LoadedNetwork, fingerprint_of_files
from synthcp.segmentation.output import Last
from synthcp.system.extras import import_extra
from synthcp.system.spec import choices, path_of

PASSING = ("Resize", "Upsample", "Identity", "Cast", "Transpose", "Reshape", "Slice", "Squeeze", "Unsqueeze")
"""Operations that reshape logits without judging; their first input is what they reshape."""

ARITHMETIC = ("Add", "Sub", "Mul", "Div")
"""Operations that only shift and scale logits when their other input is a constant."""

LINEAR = ("MatMul", "Gemm")
CONVOLUTIONS = ("Conv", "ConvTranspose")
ACTIVATIONS = ("Clip", "HardSigmoid", "Log", "LogSoftmax", "Sigmoid", "Softmax")
"""Operations that may stand behind the logits; their first input is what they change."""

NUMBERS: dict[str, Any] = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(uint8)": np.uint8,
}
"""Types of number that an image may be given as; in whole numbers it is 0 to 255."""


def load_onnx(file: str, features: str = "") -> LoadedNetwork:
    """Open an ONNX file.

    Args:
        file: Its path.
        features: Name of the tensor of the graph that is f_M, or "logits"; the input of the last convolution when
            empty.

    Raises:
        MissingExtraError: onnx or onnxruntime is not installed.
        InputError: The file cannot be opened, or where f_M is must be said.
    """
    onnx, runtime = import_extra("onnx", "export"), import_extra("onnxruntime", "export")
    path = path_of(file)
    if not path.is_file():
        raise InputError(f"onnx:{path}: no such file; check the path after onnx:")
    try:
        references = onnx.load(path, load_external_data=False)
        model = onnx.load(path)
        graph = Graph(model.graph, path)
        name = features or graph.last_input()
        graph.show(name, onnx.helper.make_empty_tensor_value_info)
        session = _session(runtime, model.SerializeToString())
    except InputError:
        raise
    except Exception as error:  # both libraries raise exceptions of their own
        raise InputError(
            f"onnx:{path} cannot be opened: {' '.join(str(error).split())[:300]}; export it again"
        ) from error
    network = OnnxNetwork(session, graph.logits, name, graph.is_channels_last(name))
    fingerprint = fingerprint_of_files([path, *_weights(references, path)])
    return LoadedNetwork(network, features=name, fingerprint=fingerprint, last=graph.last_operation())


class Graph:
    """What is asked of an ONNX graph: which of its tensors are the logits, and which is f_M.

    Args:
        graph: onnx.GraphProto.
        path: Of its file, for messages.
    """

    def __init__(self, graph: Any, path: Path) -> None:
        self.graph = graph
        self.path = path
        self.producers = {name: node for node in graph.node for name in node.output}
        self.constants = {tensor.name for tensor in graph.initializer}
        self.constants |= {node.output[0] for node in graph.node if node.op_type == "Constant"}
        outputs = [output.name for output in graph.output]
        self.logits: str = next((name for name in (LOGITS, "out") if name in outputs), outputs[0])

    def last_input(self) -> str:
        """Return the input of the last convolution or linear layer before the logits.

        Raises:
            InputError: There is none, or several branches meet after it.
        """
        name = self.logits
        while name in self.producers:
            node = self.producers[name]
            data = [other for other in node.input if other and other not in self.constants]
            if node.op_type in CONVOLUTIONS or (node.op_type in LINEAR and len(data) == 1):
                return str(data[0])
            if node.op_type not in (*PASSING, *ARITHMETIC, *ACTIVATIONS) or (
                node.op_type in ARITHMETIC and len(data) != 1
            ):
                raise self._question(f"its logits come out of {node.op_type} ({node.name or name})")
            name = data[0]
        raise self._question("it has no convolution")

    def last_operation(self) -> Last:
        """Return what the logits come out of, leaving aside what only moves or resizes them."""
        node = self.producers.get(self.logits)
        while node is not None and (node.op_type in PASSING or self._adds_constant(node)):
            node = next((self.producers[name] for name in node.input if name in self.producers), None)
        kind = "" if node is None else node.op_type
        return "linear" if kind in (*CONVOLUTIONS, *LINEAR) else "activation" if kind in ACTIVATIONS else ""

    def _adds_constant(self, node: Any) -> bool:
        """Whether this is the bias behind a linear layer."""
        return node.op_type == "Add" and any(name in self.constants for name in node.input)

    def show(self, name: str, value_info: Any) -> None:
        """Make a tensor an output of the graph.

        Raises:
            InputError: There is no such tensor.
        """
        if name == LOGITS or name in {output.name for output in self.graph.output}:
            return
        if name not in self.producers:
            raise InputError(f"onnx:{self.path} has no tensor {name!r}; {choices(name, self._inputs_of_layers())}")
        self.graph.output.append(value_info(name))

    def is_channels_last(self, name: str) -> bool:
        """Whether a tensor goes into a linear layer, so that its last axis is that of the channels."""
        return any(node.op_type in LINEAR and node.input[0] == name for node in self.graph.node)

    def _inputs_of_layers(self) -> Sequence[str]:
        """What goes into the last layers, latest first."""
        layers = [node for node in self.graph.node if node.op_type in (*CONVOLUTIONS, *LINEAR)]
        return [node.input[0] for node in reversed(layers) if node.input[0] in self.producers][:5]

    def _question(self, problem: str) -> InputError:
        known = ", ".join(self._inputs_of_layers())
        return InputError(
            f"onnx:{self.path}: {problem}, so where f_M is must be said: --features TENSOR (such as {known}) or "
            "--features logits"
        )


class OnnxNetwork:
    """A session as a callable; it sees one image at a time where its file has a fixed batch of 1.

    Args:
        session: onnxruntime.InferenceSession.
        logits: Name of the output with the logits.
        features: Name of the output with f_M, or "logits".
        channels_last: Whether f_M has its channels last.
    """

    def __init__(self, session: Any, logits: str, features: str, channels_last: bool) -> None:
        self.session = session
        self.names = [logits] if features == LOGITS else [logits, features]
        self.channels_last = channels_last
        given = session.get_inputs()[0]
        self.input_name: str = given.name
        self.shape = [side if isinstance(side, int) else 0 for side in given.shape]  # 0 where any will do
        if given.type not in NUMBERS:
            kinds = ", ".join(NUMBERS)
            raise InputError(f"the ONNX file wants images as {given.type}; export it with an input of one of {kinds}")
        self.number = NUMBERS[given.type]

    def __call__(self, image: Tensor) -> dict[str, Tensor]:
        """Return the logits, and f_M by its name.

        Raises:
            InputError: The file wants images of another size, number of channels, order of axes, batch or range.
        """
        self._check(image)
        batches = torch.split(image, 1) if self.shape[:1] == [1] else [image]
        parts = [self._run(batch) for batch in batches]
        logits, *features = (torch.cat(maps).to(image.device) for maps in zip(*parts, strict=True))
        return {LOGITS: logits, **dict(zip(self.names[1:], features, strict=True))}

    def _run(self, image: Tensor) -> list[Tensor]:
        if self.number is np.uint8:
            image = _in_bytes(image)
        array = image.detach().cpu().contiguous().numpy().astype(self.number)
        logits, *features = map(torch.from_numpy, self.session.run(self.names, {self.input_name: array}))
        move = self.channels_last and bool(features) and features[0].ndim == image.ndim
        return [logits, *(part.movedim(-1, 1) if move else part for part in features)]

    def _check(self, image: Tensor) -> None:
        if len(self.shape) != image.ndim:
            raise InputError(f"the ONNX file wants {len(self.shape)} axes, an image batch has {image.ndim}")
        if self.shape[0] > 1:
            raise InputError(f"the ONNX file wants batches of {self.shape[0]}; export it with a batch of 1 or any")
        wanted, came = self.shape[1:], image.shape[1:]
        if all(side in (0, given) for side, given in zip(wanted, came, strict=True)):
            return
        if wanted[0] not in (0, came[0]) or wanted[-1] not in (0, came[-1]):
            self._check_order(wanted, came)
        if wanted[0] not in (0, came[0]):
            raise InputError(f"the ONNX file wants {wanted[0]} channels, the image has {came[0]}; convert the images")
        size = _times(side or given for side, given in zip(wanted[1:], came[1:], strict=True))
        given = _times(came[1:])
        raise InputError(f"the ONNX file wants images of {size}, this one is {given}; add ?input=resize:{size}")

    def _check_order(self, wanted: Sequence[int], came: Sequence[int]) -> None:
        """Tell a file that wants its channels last, as TensorFlow has them, from one that wants another size."""
        if wanted[-1] == came[0] and wanted[0] != came[0]:
            shape = _times(side or "any" for side in self.shape)
            raise InputError(
                f"the ONNX file wants its channels last ({shape}), images come with channels first; export it so: "
                f"tf2onnx --inputs-as-nchw {self.input_name} --outputs-as-nchw {self.names[0]}"
            )


def _session(runtime: Any, model: bytes) -> Any:
    options = runtime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # threads that spin slow torch's down
    options.log_severity_level = 3
    here = runtime.get_available_providers()
    providers = [name for name in ("CUDAExecutionProvider", "CPUExecutionProvider") if name in here]
    return runtime.InferenceSession(model, options, providers=providers)


def _weights(model: Any, path: Path) -> list[Path]:
    """The files beside a model in which its weights lie, if they do not lie in itself."""
    entries = (entry for tensor in model.graph.initializer for entry in tensor.external_data)
    return [path.parent / name for name in sorted({entry.value for entry in entries if entry.key == "location"})]


def _in_bytes(image: Tensor) -> Tensor:
    """An image in [0, 1] as whole numbers."""
    if image.min() < 0 or image.max() > 1:
        raise InputError("the ONNX file wants whole numbers (uint8) and normalises by itself; leave mean and std out")
    return (255 * image).round()


def _times(sides: Iterable[object]) -> str:
    return "x".join(map(str, sides))
