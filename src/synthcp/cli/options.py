"""The options that several verbs share, and what they do."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from synthcp.errors import InputError
from synthcp.system.spec import PREDICTIONS

DataSpec = Annotated[
    str, typer.Option("--data", metavar="SPEC", help="folder:ROOT, scenes:?count=40 and others: see docs/data.md.")
]
MonitorFolder = Annotated[Path, typer.Option("--monitor", metavar="RUN", help="Folder that synthcp fit wrote.")]
Model = Annotated[
    str | None,
    typer.Option(
        "--model",
        metavar="SPEC",
        help="M: hf:DIR, onnx:FILE, preds:DIR, tv:NAME, smp:NAME, file.py:factory or pkg.mod:factory.",
    ),
]
Predictions = Annotated[
    Path | None,
    typer.Option("--predictions", metavar="DIR", help="M's predictions of the images: --model preds:DIR."),
]
Out = Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder to write.")]
Seed = Annotated[int, typer.Option(min=0, metavar="N", help="Of everything random.")]
Device = Annotated[str, typer.Option(metavar="NAME", help="auto, cpu, cuda, ...")]
Precision = Annotated[str, typer.Option(metavar="NAME", help="auto, fp32 or bf16; auto measures which is faster.")]
Threads = Annotated[int | None, typer.Option(min=1, metavar="N", help="Of the CPU; by default one per usable core.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Show no progress.")]


def other_model(model: str | None, predictions: Path | None) -> str | None:
    """The SPEC of the M that takes the place of the monitor's own; None for its own.

    Raises:
        InputError: There are two.
    """
    if model is not None and predictions is not None:
        raise InputError("--model and --predictions both name M; give one of them")
    return model if predictions is None else f"{PREDICTIONS}:{predictions}"


def use_threads(threads: int | None) -> None:
    """Set the number of threads of the CPU."""
    import torch

    from synthcp.system.runtime import usable_cores

    torch.set_num_threads(threads or usable_cores())
