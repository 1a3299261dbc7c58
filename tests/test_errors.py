import pytest

from synthcp.errors import DataError, InputError, shown


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Straße 7_é.png", "Straße 7_é.png"),
        ("a\nb\r\tc", r"a\nb\r\tc"),
        ("\x1b[2J\x07", r"\x1b[2J\x07"),
        ("\x9b31m", r"\x9b31m"),
        ("gnp.\u202eexe", r"gnp.\u202eexe"),
        ("a\u2028b\u200f", r"a\u2028b\u200f"),
        ("\udcff", r"\udcff"),
        ("\U000e0001", r"\U000e0001"),
    ],
)
def test_what_is_not_printable_is_escaped_as_by_repr(text: str, expected: str) -> None:
    assert shown(text) == expected
    assert shown(text) == repr(text)[1:-1]  # none of the texts holds a quote or a backslash
    assert shown(shown(text)) == shown(text)


@pytest.mark.parametrize("kind", [InputError, DataError])
def test_no_name_in_a_message_is_raw(kind: type[InputError]) -> None:
    assert str(kind("a\n\x1b[31m.png is empty")) == r"a\n\x1b[31m.png is empty"
