from __future__ import annotations

import pytest

from synthcp.verbs.service.limits import Refused
from synthcp.verbs.service.security import Tokens

FIRST, SECOND = "first-token-0123456789", "second-token-0123456789"


@pytest.fixture
def tokens(tmp_path):
    (tmp_path / "tokens").write_text(f"{FIRST}\n\n  {SECOND}  \n")
    return Tokens.read(tmp_path / "tokens")


def test_each_of_the_tokens_opens(tokens):
    for header in (f"Bearer {FIRST}", f"bearer {SECOND}", f"BEARER  {SECOND} "):
        tokens.require(header)


@pytest.mark.parametrize(
    ("header", "told"),
    [
        ("", "there is no token"),
        ("Bearer", "unknown"),
        (f"Bearer {FIRST[:-1]}", "unknown"),
        (f"Bearer {FIRST} {SECOND}", "unknown"),
        (f"Basic {FIRST}", "unknown"),
        (FIRST, "unknown"),
        ("Bearer \udcff", "unknown"),
        ("Bearer " + "x" * 10**6, "unknown"),
    ],
)
def test_anything_else_is_401(tokens, header, told):
    with pytest.raises(Refused, match=told) as refused:
        tokens.require(header)
    assert refused.value.code == 401 and refused.value.headers == {"WWW-Authenticate": "Bearer"}


def test_without_a_file_everybody_may_ask():
    Tokens.read(None).require("")


@pytest.mark.parametrize("content", [b"", b"\n \n", b"short", b"long-enough-0123456789\nshort\n", b"a\0" * 20])
def test_a_file_that_holds_no_tokens_is_refused(tmp_path, content, fails):
    (tmp_path / "tokens").write_bytes(content)
    with fails(f"{tmp_path / 'tokens'} must hold tokens of 16 letters or more, one a line", "openssl rand -hex 32"):
        Tokens.read(tmp_path / "tokens")


@pytest.mark.parametrize("name", ["none", ".", "latin"])
def test_a_file_that_cannot_be_read_is_refused(tmp_path, name, fails):
    (tmp_path / "latin").write_bytes(b"\xe9" * 20)
    with fails("cannot be read as tokens", "write one a line, in ASCII"):
        Tokens.read(tmp_path / name)
