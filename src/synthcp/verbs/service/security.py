"""Bearer tokens: who may ask."""

from __future__ import annotations

import hmac
from hashlib import sha256
from pathlib import Path

from synthcp.errors import InputError
from synthcp.system.regular import MEBIBYTE, require_file
from synthcp.verbs.service.limits import Refused

SHORTEST = 16


class Tokens:
    """The tokens of those who may ask; without any, everybody may."""

    def __init__(self, tokens: tuple[str, ...] = ()) -> None:
        self._digests = [sha256(token.encode()).digest() for token in tokens]

    @classmethod
    def read(cls, path: Path | None) -> Tokens:
        """Read a file of one token a line.

        Raises:
            InputError: It cannot be read, holds none, or one that is too short or that no header can hold.
        """
        if path is None:
            return cls()
        try:
            require_file(path, MEBIBYTE)
            lines = path.read_text("ascii").split("\n")
        except (OSError, ValueError) as error:
            problem = " ".join(str(error).split())
            raise InputError(f"{path} cannot be read as tokens ({problem}); write one a line, in ASCII") from error
        tokens = tuple(line.strip() for line in lines if line.strip())
        if not tokens or min(map(len, tokens)) < SHORTEST or not "".join(tokens).isprintable():
            remedy = "openssl rand -hex 32 makes one"
            raise InputError(f"{path} must hold tokens of {SHORTEST} letters or more, one a line; {remedy}")
        return cls(tokens)

    def require(self, authorization: str) -> None:
        """Refuse (401) a header that holds none of the tokens; how long that takes tells nothing of them."""
        scheme, _, token = authorization.partition(" ")
        given = sha256(token.strip().encode("utf-8", "surrogatepass")).digest()
        known = [hmac.compare_digest(given, digest) for digest in self._digests]
        if known and not (any(known) and scheme.lower() == "bearer"):
            came = "the token is unknown" if authorization else "there is no token"
            told = f"{came}; send a header Authorization: Bearer TOKEN, with one of the service's --token-file"
            raise Refused(401, told, {"WWW-Authenticate": "Bearer"})
