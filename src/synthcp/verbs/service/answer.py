"""What is said of one image: an assessment, or why there is none."""

from __future__ import annotations

import json
from dataclasses import dataclass

from synthcp.errors import shown


@dataclass(frozen=True)
class Answer:
    """What is said of one image.

    Attributes:
        code: Status of HTTP.
        body: JSON.
        decision: Of the calibrated rule.
    """

    code: int
    body: bytes
    decision: str = ""

    def to_bytes(self) -> bytes:
        """Return it as `from_bytes` reads it."""
        return f"{self.code} {self.decision}\n".encode() + self.body

    @classmethod
    def from_bytes(cls, content: bytes) -> Answer:
        """Read what `to_bytes` wrote."""
        head, _, body = content.partition(b"\n")
        code, _, decision = head.decode().partition(" ")
        return cls(int(code), body, decision)


def error(code: int, message: str, **more: str) -> Answer:
    """Tell why there is no assessment, as the row of an image that failed does."""
    return Answer(code, json.dumps({"status": "error", "code": code, "message": shown(message)} | more).encode())
