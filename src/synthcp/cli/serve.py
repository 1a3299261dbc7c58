"""synthcp serve."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from synthcp.cli import options
from synthcp.cli.options import whole
from synthcp.cli.saying import say, warn
from synthcp.system.extras import import_extra

LOOPBACK = ("127.0.0.1", "::1", "localhost")


def serve_verb(
    monitor: options.MonitorFolder,
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Address to listen on; 0.0.0.0 stands for every one.")
    ] = LOOPBACK[0],
    port: Annotated[
        int, typer.Option(parser=whole(0, 65535), metavar="N", help="Port to listen on; 0 takes a free one.")
    ] = 8000,
    token_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Bearer tokens, one a line; without it everybody may ask.")
    ] = None,
    workers: Annotated[
        int,
        typer.Option(
            parser=whole(1, 64), metavar="N", help="Number of processes that judge, each with its own monitor."
        ),
    ] = 1,
    threads: Annotated[
        int | None,
        typer.Option(
            parser=options.CORES, metavar="N", help="Threads of each worker; by default they share the cores."
        ),
    ] = None,
    batch: Annotated[
        int, typer.Option(parser=whole(1, 1024), metavar="N", help="Largest number of images that are judged together.")
    ] = 8,
    queue: Annotated[
        int,
        typer.Option(
            parser=whole(1, 10_000), metavar="N", help="Most images under way; a further one is answered 429."
        ),
    ] = 64,
    seconds: Annotated[
        int,
        typer.Option(parser=whole(1, 3600), metavar="N", help="Longest time of a request; after it the answer is 504."),
    ] = 30,
    mebibytes: Annotated[
        int,
        typer.Option(
            parser=whole(1, 4096), metavar="N", help="Largest size of a request; a larger one is answered 413."
        ),
    ] = 64,
    megapixels: Annotated[
        int,
        typer.Option(parser=whole(1, 500), metavar="N", help="Most megapixels of an image, or megavoxels of a volume."),
    ] = 50,
    aspect: Annotated[
        int, typer.Option(parser=whole(1, 4000), metavar="N", help="Largest ratio of the sides of an image.")
    ] = 32,
    model: options.Model = None,
    predictions: options.Predictions = None,
    trust_code: options.TrustCode = False,
    device: options.Device = "auto",
    precision: options.Precision = "fp32",
) -> None:
    """Serve a monitor over HTTP.

    POST /v1/assess takes an image and answers with its row as score writes it, on request with its maps; see
    docs/deploy.md. SIGTERM ends the service when all that it accepted is answered.
    """
    for library in ("fastapi", "uvicorn", "prometheus_client", "python_multipart"):
        import_extra(library, "serve")
    from synthcp.verbs.service.limits import Limits
    from synthcp.verbs.service.order import Order
    from synthcp.verbs.service.server import serve

    limits = Limits(mebibytes, megapixels, aspect, seconds=seconds, queue=queue, batch=batch)
    order = Order(
        monitor=monitor,
        limits=limits,
        workers=workers,
        threads=threads,
        model=options.other_model(model, predictions),
        device=device,
        precision=precision,
        trust_code=trust_code,
    )
    if token_file is None and host not in ("", *LOOPBACK):
        warn(f"note: {host} is more than this machine, and without --token-file everybody who reaches it may ask")
    serve(order, host=host, port=port, token_file=token_file, begun=_begun)


def _begun(line: str) -> None:
    """Say where it listens, and how it is asked."""
    say(line)
    say(f"next: curl --form image=@IMAGE {line.rpartition(' ')[2]}/v1/assess")
