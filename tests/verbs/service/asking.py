"""A real service in another process, and a client of it."""

from __future__ import annotations

import io
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

BOUNDARY = "0123456789abcdef"
TOKEN = "a-token-of-the-tests-0123456789"
MOODY = f"{Path(__file__).with_name('moody.py')}:load"


class Part(NamedTuple):
    """A file of a form."""

    content: bytes
    name: str = "image.png"
    field: str = "image"
    kind: str = "image/png"


class Reply(NamedTuple):
    code: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def told(self) -> Any:
        return json.loads(self.body)


@dataclass
class Asking:
    """A service that runs.

    Attributes:
        process: It.
        port: Where it listens.
        log: Its stderr.
        headers: Of every request.
    """

    process: subprocess.Popen[str]
    port: int
    log: Path
    headers: dict[str, str] = field(default_factory=dict)

    def __call__(
        self, method: str, path: str, body: bytes = b"", kind: str = "", timeout: float = 60, **headers: str
    ) -> Reply:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        told = self.headers | ({"Content-Type": kind} if kind else {}) | headers
        connection.request(method, path, body or None, told)
        response = connection.getresponse()
        reply = Reply(response.status, {name.lower(): value for name, value in response.getheaders()}, response.read())
        connection.close()
        return reply

    def ready(self) -> Asking:
        """Itself, when it can judge."""
        until = time.monotonic() + 60
        while self("GET", "/readyz").code != 200:
            assert time.monotonic() < until
            time.sleep(0.05)
        return self

    def assess(self, *parts: bytes | Part, path: str = "/v1/assess", **headers: str) -> Reply:
        return self("POST", path, form(parts), f"multipart/form-data; boundary={BOUNDARY}", **headers)

    def raw(self, *sent: bytes, wait: float = 30) -> bytes:
        """What comes back when these bytes, one after the other, are sent."""
        received = b""
        with socket.create_connection(("127.0.0.1", self.port), timeout=wait) as connection:
            with suppress(ConnectionError):
                for part in sent:
                    connection.sendall(part)
                while b"}" not in received and (content := connection.recv(65536)):
                    received += content
        return received


def form(parts: Sequence[bytes | Part]) -> bytes:
    files = [part if isinstance(part, Part) else Part(part) for part in parts]
    heads = [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{part.field}"; filename="{part.name}"\r\n'
        f"Content-Type: {part.kind}\r\n\r\n"
        for part in files
    ]
    bodies = [head.encode() + part.content + b"\r\n" for head, part in zip(heads, files, strict=True)]
    return b"".join(bodies) + f"--{BOUNDARY}--\r\n".encode()


def png(color: tuple[int, ...] | Image.Image, size: tuple[int, int] = (64, 48), kind: str = "PNG") -> bytes:
    content = io.BytesIO()
    (color if isinstance(color, Image.Image) else Image.new("RGB", size, color)).save(content, kind)
    return content.getvalue()


@contextmanager
def serving(run: Path, folder: Path, *options: object, token: str = "") -> Iterator[Asking]:
    """A monitor behind HTTP, on a free port; it is killed at the end, if it still runs."""
    program = [sys.executable, "-m", "synthcp", "serve", "--monitor", run, "--port", 0, "--device", "cpu"]
    if token:
        (folder / "tokens").write_text(f"another-token-0123456789\n{token}\n")
        options = (*options, "--token-file", folder / "tokens")
    log, environment = folder / "log", os.environ | {"SYNTHCP_TEST_RUN": str(run)}
    with log.open("w") as stderr:
        command = [*map(str, program), "--threads", "1", *map(str, options)]
        process = subprocess.Popen(command, stdout=-1, stderr=stderr, text=True, env=environment)
    with process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("listening on http://127.0.0.1:"), log.read_text()
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        try:
            yield Asking(process, int(line.rpartition(":")[2]), log, headers)
        finally:
            process.kill()
