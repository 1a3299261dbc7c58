"""Requests that are meant to do harm: each has its code, none has a traceback, and the service judges on."""
# ruff: noqa: E501

from __future__ import annotations

import json
import socket
import struct
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from asking import BOUNDARY, TOKEN, Asking, Part, form, png
from PIL import Image

FORM = f"multipart/form-data; boundary={BOUNDARY}"
AUTH = f"Authorization: Bearer {TOKEN}\r\n".encode()
HOST = b"Host: x\r\n"
GOOD = png((9, 9, 9))


@dataclass(frozen=True)
class Case:
    """What is sent, and the codes that are right; 0 is a connection that is closed without an answer."""

    name: str
    send: Callable[[Asking], int]
    codes: tuple[int, ...]
    short: bool = False


CASES: list[Case] = []


def add(name: str, send: Callable[[Asking], int], *codes: int, short: bool = False) -> None:
    CASES.append(Case(name, send, codes, short))


def posted(
    name: str, content: bytes, kind: str, *codes: int, path: str = "/v1/assess", short: bool = False, **headers: str
) -> None:
    add(name, lambda ask: told(ask("POST", path, content, kind, **headers)), *codes, short=short)


def parts(
    name: str, *files: Part | bytes, codes: tuple[int, ...], path: str = "/v1/assess", short: bool = False
) -> None:
    posted(name, form(files), FORM, *codes, path=path, short=short)


def raw(name: str, *sent: bytes, codes: tuple[int, ...], short: bool = False) -> None:
    add(name, lambda ask: status(ask.raw(*sent)), *codes, short=short)


def told(reply) -> int:
    """The code of a reply, which is JSON of one line; a batch has that of its first image."""
    text = reply.body.decode()
    assert "Traceback" not in text and "\n" not in text and len(text) < 5000, text
    if reply.code == 200 and "results" in reply.told:
        return int(reply.told["results"][0]["code"])
    assert reply.code == 200 or reply.told["status"] == "error" and reply.told["message"], text
    return int(reply.code)


def status(received: bytes) -> int:
    assert b"Traceback" not in received
    return int(received.split()[1]) if received else 0


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def claiming(width: int, height: int, pixels: bytes = b"") -> bytes:
    """A PNG that claims a size, with so many pixels."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND", b"")


def damaged(seed: int) -> bytes:
    """A picture with bytes replaced."""
    chance = np.random.default_rng(seed)
    content = bytearray(
        png(
            Image.fromarray(chance.integers(0, 256, (48, 64, 3), dtype=np.uint8)),
            kind=["PNG", "JPEG", "TIFF", "WEBP", "BMP"][seed % 5],
        )
    )
    for place in chance.integers(8, len(content), 20):
        content[place] = chance.integers(256)
    return bytes(content)


def dripping(head: bytes, every: float, count: int, body: bytes = b"") -> Callable[[Asking], int]:
    """Send a request byte by byte, until an answer or the end comes."""

    def send(ask: Asking) -> int:
        with socket.create_connection(("127.0.0.1", ask.port), timeout=30) as connection:
            connection.sendall(head)
            for letter in (body or b"x" * count)[:count]:
                try:
                    connection.sendall(bytes([letter]))
                except OSError:
                    break
                connection.settimeout(every)
                try:
                    return status(connection.recv(65536))
                except TimeoutError:
                    continue
            connection.settimeout(30)
            return status(connection.recv(65536))

    return send


def leaving(ask: Asking) -> int:
    """Go before the body is sent, and before the answer comes."""
    for sent in (b"", form([GOOD])[:100], form([GOOD])):
        with socket.create_connection(("127.0.0.1", ask.port)) as connection:
            connection.sendall(head(len(form([GOOD]))) + sent)
    return told(ask.assess(GOOD))


def head(
    length: int | None, kind: str = FORM, more: bytes = b"", path: bytes = b"/v1/assess", auth: bytes = AUTH
) -> bytes:
    told = b"" if length is None else f"Content-Length: {length}\r\n".encode()
    return (
        b"POST " + path + b" HTTP/1.1\r\n" + HOST + auth + told + f"Content-Type: {kind}\r\n".encode() + more + b"\r\n"
    )


LARGE = b"\0" * (1 << 20)
ENTRY = f"--{BOUNDARY}\r\n".encode()
DISPOSITION = b'Content-Disposition: form-data; name="image"; filename="a.png"\r\n'

# bombs
parts("a PNG of 2 x 10^9 pixels", claiming(50_000, 40_000), codes=(422,), short=True)
parts("a PNG of 2^31 pixels a side", claiming(2**31 - 1, 2**31 - 1), codes=(422,))
parts("a PNG of more pixels than it holds", claiming(900, 900, b"\0" * 1000), codes=(422,))
parts(
    "a PNG of 4 million black pixels in 4 KB", png(Image.new("1", (2000, 2000)), kind="PNG"), codes=(422,), short=True
)
parts("a WebP of 16 million pixels", png(Image.new("RGB", (4000, 4000)), kind="WEBP"), codes=(422,))
parts("a TIFF of 9 million pixels, deflated", png(Image.new("1", (3000, 3000)), kind="TIFF"), codes=(422, 413))
parts("a very long image", png((1, 2, 3), (16, 2000)), codes=(422,))
parts("an image that is too small", png((1, 2, 3), (15, 15)), codes=(422,))
parts(
    "a PNG of a zipped text of 100 MB",
    b"\x89PNG\r\n\x1a\n"
    + chunk(b"IHDR", struct.pack(">IIBBBBB", 64, 48, 8, 2, 0, 0, 0))
    + chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(10**8)))
    + chunk(b"IDAT", zlib.compress(bytes(193 * 48)))
    + chunk(b"IEND", b""),
    codes=(200, 422),
    short=True,
)
parts(
    "a batch of bombs",
    *(Part(claiming(40_000, 40_000), f"{n}.png") for n in range(6)),
    codes=(422,),
    path="/v1/assess/batch",
)
posted("a zipped body", zlib.compress(form([GOOD])), FORM, 400, 422, **{"Content-Encoding": "deflate"})
for seed in range(15):
    parts(
        f"a damaged picture, {seed}",
        Part(
            damaged(seed), "a.png", kind=["image/png", "image/jpeg", "image/tiff", "image/webp", "image/bmp"][seed % 5]
        ),
        codes=(200, 422),
        short=seed == 2,
    )

# wrong types
for kind in (
    "text/html",
    "application/json",
    "image/svg+xml",
    "image/gif",
    "application/x-python-pickle",
    "application/pdf",
    "image/png\tx",
    "x" * 3000,
    "",
    "application/x-www-form-urlencoded",
    "application/octet-stream",
    "multipart/mixed; boundary=x",
    "*/*",
):
    posted(f"a body of type {kind[:40]!r}", GOOD, kind, 415, short=kind == "image/svg+xml")
parts("a page as an image", Part(b"<html>", "a.html", kind="text/html"), codes=(415,))
parts("a page that says it is a PNG", b"<html>", codes=(422,), short=True)
parts(
    "a postscript program that says it is a PNG",
    b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\nshowpage\n",
    codes=(422,),
)
parts(
    "a pickle as a prediction",
    GOOD,
    Part(b"cos\nsystem\n(S'touch /tmp/x'\ntR.", "a.npz", "prediction", "application/x-npz"),
    codes=(422,),
)
parts("a volume to a monitor of images", Part(b"\x1f\x8b", "a.nii.gz", kind="application/gzip"), codes=(415,))
parts("an empty file", b"", codes=(422,))
parts("a FIFO's name", Part(b"", "/dev/zero", kind="application/octet-stream"), codes=(415,))

# forms
parts("no image", codes=(400, 422))
parts("two images for one", Part(GOOD, "a.png"), Part(GOOD, "b.png"), codes=(422,))
parts("two images of one name", GOOD, GOOD, path="/v1/assess/batch", codes=(422,))
parts(
    "more images than places",
    *(Part(GOOD, f"{n}.png") for n in range(7)),
    path="/v1/assess/batch",
    codes=(422,),
    short=True,
)
parts("a hundred images", *(Part(GOOD, f"{n}.png") for n in range(100)), path="/v1/assess/batch", codes=(400,))
parts("a part that there is not", Part(GOOD, field="__class__"), codes=(422,))
posted(
    "a text as an image",
    ENTRY + b'Content-Disposition: form-data; name="image"\r\n\r\nx\r\n' + ENTRY[:-2] + b"--\r\n",
    FORM,
    422,
)
posted("a thousand texts", (ENTRY + b'Content-Disposition: form-data; name="a"\r\n\r\nx\r\n') * 1000, FORM, 400)
posted("no boundary", form([GOOD]), "multipart/form-data", 400)
posted("another boundary", form([GOOD]), "multipart/form-data; boundary=other", 400, 422)
posted("a boundary of 10 KB", form([GOOD]), f"multipart/form-data; boundary={'b' * 10_000}", 400, 422)
posted("a form that ends early", form([GOOD])[:-30], FORM, 400, 422, short=True)
posted("a form without an end", form([GOOD])[:80], FORM, 400, 422)
posted(
    "a part without a name", ENTRY + b"Content-Disposition: form-data\r\n\r\nx\r\n" + ENTRY[:-2] + b"--\r\n", FORM, 400
)
posted("a part without headers", ENTRY + b"\r\nx\r\n" + ENTRY[:-2] + b"--\r\n", FORM, 400)
posted(
    "a part of a thousand headers",
    ENTRY + DISPOSITION + b"X-A: b\r\n" * 1000 + b"\r\nx\r\n" + ENTRY[:-2] + b"--\r\n",
    FORM,
    400,
    415,
    422,
)
posted(
    "a part with a header of 100 KB",
    ENTRY + DISPOSITION + b"X-A: " + b"b" * 100_000 + b"\r\n\r\nx\r\n" + ENTRY[:-2] + b"--\r\n",
    FORM,
    400,
    415,
    422,
)
posted("noise as a form", np.random.default_rng(0).bytes(10_000), FORM, 400, 422)
posted("an unknown charset", form([GOOD]), f"{FORM}; charset=\xe9", 200, 400)

# path names
for name in (
    "../../../../etc/passwd",
    "/etc/passwd",
    "..\\\\..\\\\boot.ini",
    "a\\0.png",
    "%2e%2e%2fpasswd",
    "$(touch x).png",
    "'; DROP TABLE images; --.png",
    "\u202egnp.png",
    "a" * 5000 + ".png",
    "",
    ".",
    "CON",
    "\u00e9\U0001f600.png",
):
    parts(f"an image called {name[:30]!r}", Part(GOOD, name), codes=(200, 400, 422), short=name.startswith(".."))
for path in (
    "/v1/../../etc/passwd",
    "/%2e%2e/%2e%2e/etc/passwd",
    "//etc/passwd",
    "/v1/assess/../monitor",
    "/docs/../../x",
    "/" + "a" * 60_000,
    "/v1/assess%00",
    "/static/../x",
    "/\\..\\x",
):
    add(
        f"the path {path[:30]!r}",
        lambda ask, path=path: status(
            ask.raw(b"GET " + path.encode() + b" HTTP/1.1\r\n" + HOST + AUTH + b"Connection: close\r\n\r\n")
        ),
        400,
        404,
        405,
        short="etc" in path,
    )
for maps in ("../../x", "png&maps=exe", "x" * 5000, "PNG", "", "__import__('os')"):
    posted(
        f"maps={maps[:20]}",
        GOOD,
        "image/png",
        422,
        400,
        path=f"/v1/assess?maps={maps.replace(' ', '')}",
        short=maps == "PNG",
    )

# tokens
for token in (
    "",
    "Bearer",
    "Bearer ",
    f"Bearer {TOKEN}x",
    f"Bearer {TOKEN[1:]}",
    f"Basic {TOKEN}",
    f"Bearer {TOKEN} {TOKEN}",
    "Bearer null",
    "Bearer " + "a" * 30_000,
    "Bearer \xff\xfe",
    f"Bearer\t{TOKEN}",
):
    posted(f"the token {token[:25]!r}", GOOD, "image/png", 401, short=token == "Bearer null", Authorization=token)
raw("no token, and a body that is never sent", head(10**6, auth=b""), codes=(401,), short=True)
raw(
    "two tokens, the first of which is wrong",
    head(0, auth=b"Authorization: Bearer wrong\r\n" + AUTH, more=b"Connection: close\r\n"),
    codes=(401,),
)
for path in ("/metrics", "/v1/monitor", "/v1/assess", "/nothing"):
    add(f"{path} without a token", lambda ask, path=path: told(ask("GET", path, Authorization="")), 401)

# heads and bodies
raw("a header of 1 MB", b"GET /healthz HTTP/1.1\r\nX-A: ", b"a" * 10**6, codes=(400, 0), short=True)
raw("ten thousand headers", b"GET /healthz HTTP/1.1\r\n", b"X-A: b\r\n" * 10_000, codes=(400, 0))
raw("no HTTP", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", codes=(400,))
raw(
    "a method that there is not",
    b"PURGE /v1/assess HTTP/1.1\r\n" + HOST + AUTH + b"Connection: close\r\n\r\n",
    codes=(405,),
)
raw("a method of 50 KB", b"A" * 50_000 + b" / HTTP/1.1\r\n\r\n", codes=(400, 401, 404))
raw("a header with a line break in its name", b"GET / HTTP/1.1\r\nX\nA: b\r\n\r\n", codes=(400,))
raw("two lengths", head(5, more=b"Content-Length: 6\r\n"), codes=(400,))
raw("a length and chunks", head(5, more=b"Transfer-Encoding: chunked\r\n") + b"0\r\n\r\n", codes=(400, 422))
raw("a negative length", b"POST /v1/assess HTTP/1.1\r\n" + HOST + AUTH + b"Content-Length: -1\r\n\r\n", codes=(400,))
raw(
    "a length of a thousand digits",
    b"POST /v1/assess HTTP/1.1\r\n" + HOST + AUTH + b"Content-Length: " + b"9" * 1000 + b"\r\n\r\n",
    codes=(400, 413),
)
raw("a length of 10 GB", head(10**10), codes=(413,), short=True)
raw("a length beyond the limit, and the body", head(len(LARGE) + 1, "image/png"), codes=(413,))
raw(
    "chunks beyond the limit",
    head(None, "image/png", b"Transfer-Encoding: chunked\r\n"),
    b"100000\r\n" + LARGE + b"\r\n",
    b"10\r\n" + LARGE[:16] + b"\r\n0\r\n\r\n",
    codes=(413, 0),
)
raw("chunks of no size", head(None, "image/png", b"Transfer-Encoding: chunked\r\n"), b"xyz\r\n", codes=(400, 0))
raw("another transfer encoding", head(None, "image/png", b"Transfer-Encoding: gzip\r\n"), codes=(400, 501, 0))
raw(
    "an upgrade",
    b"GET /v1/monitor HTTP/1.1\r\n" + HOST + AUTH + b"Connection: Upgrade, close\r\nUpgrade: websocket\r\n\r\n",
    codes=(200, 400, 426),
)
raw(
    "a request id of another line",
    head(0, "image/png", b"Connection: close\r\nX-Request-ID: a%0d%0aSet-Cookie: x\r\n"),
    codes=(422,),
)
raw("an empty body", head(0, "image/png", b"Connection: close\r\n"), codes=(422,))
add("a body that drips", dripping(head(10_000, "image/png"), 0.2, 60), 408)
add("a form that drips", dripping(head(10_000), 0.2, 60, form([GOOD])), 408)
add("a body that never comes", lambda ask: status(ask.raw(head(10_000, "image/png"))), 408)
add("a head that drips", dripping(b"GET /healthz HTTP/1.1\r\nX-A: ", 0.5, 60), 0)
add("a head that never comes", lambda ask: status(ask.raw(b"GET /hea")), 0)
add("clients that go", leaving, 200, 429, short=True)


@pytest.mark.parametrize(
    "case", [pytest.param(case, id=case.name, marks=() if case.short else pytest.mark.slow) for case in CASES]
)
def test_a_hostile_request_has_its_code(ask: Asking, case: Case) -> None:
    code = case.send(ask)
    assert code in case.codes, code


def test_the_service_is_as_before_and_its_log_holds_no_traceback_and_no_name(ask: Asking, record_property) -> None:
    begun = time.monotonic()
    while ask.assess(GOOD).code != 200:
        assert time.monotonic() - begun < 30
    log = ask.log.read_text()
    for line in log.splitlines():
        json.loads(line)
    for text in ("Traceback", "passwd", TOKEN, "DROP TABLE", 'File \\"'):
        assert text not in log
    record_property(
        "summary", f"hostile requests: {len(CASES)}, of which {sum(case.short for case in CASES)} are short"
    )
    assert len(CASES) >= 100
