"""The options that several verbs share, and what they do."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

DataSpec = Annotated[str, typer.Option("--data", metavar="SPEC", help="folder:ROOT, camvid:ROOT or scenes:?count=40.")]
MonitorFolder = Annotated[Path, typer.Option("--monitor", metavar="RUN", help="Folder that synthcp fit wrote.")]
Out = Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder to write.")]
Seed = Annotated[int, typer.Option(min=0, metavar="N", help="Of everything random.")]
Device = Annotated[str, typer.Option(metavar="NAME", help="auto, cpu, cuda, ...")]
Precision = Annotated[str, typer.Option(metavar="NAME", help="auto, fp32 or bf16; auto measures which is faster.")]
Threads = Annotated[int | None, typer.Option(min=1, metavar="N", help="Of the CPU; by default one per core.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Show no progress.")]


def use_threads(threads: int | None) -> None:
    """Set the number of threads of the CPU."""
    import torch

    torch.set_num_threads(threads or os.cpu_count() or 1)
