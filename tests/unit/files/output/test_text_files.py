"""Files are replaced at once, private, never through a symbolic link; JSON text is exact and safe on a terminal."""

from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rolecall.files.output.text_files import (
    SymlinkError,
    format_json,
    parse_json_object,
    replace_atomically,
    replace_surrogates,
    write_json,
)
from rolecall.models import Json
from rolecall.text import UNSAFE


def names_in(folder: Path) -> list[str]:
    """Return the names in a folder, hidden files included."""
    return sorted(path.name for path in folder.iterdir())


def test_the_file_takes_its_place_at_the_end(tmp_path: Path) -> None:
    """Until the block ends the old file is there, then the new one, with mode 0600 and no temporary file."""
    path = tmp_path / "report.csv"
    path.write_text("old")
    with replace_atomically(path) as file:
        file.write("nëw\r\n")
        file.flush()
        assert path.read_text() == "old"
    assert path.read_bytes() == "nëw\r\n".encode()
    assert path.stat().st_mode & 0o777 == 0o600
    assert names_in(tmp_path) == ["report.csv"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, OSError])
def test_a_failed_block_leaves_nothing_behind(tmp_path: Path, error: type[BaseException]) -> None:
    """After any exception the old file is unchanged and the temporary file is removed."""
    path = tmp_path / "report.csv"
    path.write_text("old")

    def fail() -> None:
        with replace_atomically(path) as file:
            file.write("new")
            raise error

    with pytest.raises(error):
        fail()
    assert path.read_text() == "old"
    assert names_in(tmp_path) == ["report.csv"]


@pytest.mark.parametrize("there", [True, False])
def test_a_symbolic_link_is_refused(tmp_path: Path, there: bool) -> None:
    """A symbolic link at the path is neither followed nor replaced, also if its target is missing."""
    victim, path = tmp_path / "victim", tmp_path / "report.csv"
    if there:
        victim.write_text("keep")
    path.symlink_to(victim)
    with pytest.raises(SymlinkError, match=r"report\.csv is a symbolic link"), replace_atomically(path):
        pass
    assert victim.exists() is there
    assert names_in(tmp_path) == ["report.csv", "victim"][: 1 + there]


def test_a_link_put_there_while_writing_is_refused(tmp_path: Path) -> None:
    """A symbolic link that appears before the block ends is not replaced either."""
    path = tmp_path / "report.csv"
    with pytest.raises(SymlinkError), replace_atomically(path):
        path.symlink_to(tmp_path / "victim")
    assert names_in(tmp_path) == ["report.csv"]


def test_json_is_indented_and_ends_in_a_line_break(tmp_path: Path) -> None:
    """`write_json` writes indented JSON with a line break at the end, and escapes control characters."""
    write_json(tmp_path / "summary.json", {"removed": 2, "job": "a\x85b"})
    assert (tmp_path / "summary.json").read_bytes() == b'{\n  "removed": 2,\n  "job": "a\\u0085b"\n}\n'


@given(st.text(st.characters(codec="utf-8")), st.booleans())
def test_json_text_is_exact_and_harmless(text: str, indent: bool) -> None:
    """JSON keeps the text exactly, but no character in it acts on a terminal."""
    written = format_json({text: text}, indent=indent)
    assert orjson.loads(written) == {text: text}
    assert set(UNSAFE.findall(written)) <= {"\ufffd", *("\n" * indent)}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b'{"a":[1]}\n', {"a": [1]}),
        ('{"ü":null}', {"ü": None}),
        (b"{}", {}),
        (b"[1]", None),
        (b"null", None),
        (b'{"a":', None),
        (b"\xff", None),
        (b"", None),
    ],
)
def test_only_an_object_is_parsed(text: str | bytes, value: Json) -> None:
    """Other values and text that is not JSON are None."""
    assert parse_json_object(text) == value


def test_lone_surrogates_are_replaced() -> None:
    """Text that JSON cannot represent becomes representable; other text is unchanged."""
    assert replace_surrogates("a\ud800ü") == "a\ufffdü"
    assert replace_surrogates("abc\x1b") == "abc\x1b"
