"""Opening job files: formats detected by content, names, digests, and files that are refused."""

import gzip
import hashlib
import io
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from rolecall.files.input.job import open_job
from rolecall.files.input.open_source import safe_name
from rolecall.files.input.source import JobFileError
from rolecall.models import JobRow, Row
from tests.support.job_files import extra_columns

PAIRS = [("GENERAL", "rocket.cat"), ("Zk3PdVx7RmLq2WcTn", "aXb7Qm2KpLd9VtRcS")]
CSV = "roomId,userId\nGENERAL,rocket.cat\nZk3PdVx7RmLq2WcTn,aXb7Qm2KpLd9VtRcS\n"
OBJECT_LINES = [f'{{"roomId": "{room}", "userId": "{user}"}}' for room, user in PAIRS]
PAIR_LINES = [f'["{room}", "{user}"]' for room, user in PAIRS]

FORMATS = {
    "comma": CSV.encode(),
    "semicolon": CSV.replace(",", ";").encode(),
    "tab": CSV.replace(",", "\t").encode(),
    "pipe": CSV.replace(",", "|").encode(),
    "quoted header": CSV.replace("roomId,userId", '"roomId","userId"').encode(),
    "CRLF": CSV.replace("\n", "\r\n").encode(),
    "CR": CSV.replace("\n", "\r").encode(),
    "no last line break": CSV.strip().encode(),
    "blank lines before the header": b"\n  \n,,\n" + CSV.encode(),
    "UTF-8 with BOM": CSV.encode("utf-8-sig"),
    "UTF-16 LE": b"\xff\xfe" + CSV.encode("utf-16-le"),
    "UTF-16 BE": b"\xfe\xff" + CSV.encode("utf-16-be"),
    "JSON objects": f"[{','.join(OBJECT_LINES)}]".encode(),
    "JSON pairs": f"[{','.join(PAIR_LINES)}]".encode(),
    "JSON mixed": f"\n [{OBJECT_LINES[0]},\n{PAIR_LINES[1]}]\n".encode(),
    "JSON with BOM": b"\xef\xbb\xbf" + f"[{','.join(OBJECT_LINES)}]".encode(),
    "JSON UTF-16": f"[{','.join(OBJECT_LINES)}]".encode("utf-16"),
    "JSONL objects": "\n".join(OBJECT_LINES).encode(),
    "JSONL pairs": "\n".join(PAIR_LINES).encode(),
    "JSONL mixed": f"\n{PAIR_LINES[0]}\r\n\r\n{OBJECT_LINES[1]}\r\n".encode(),
    "JSONL UTF-16": "\n".join(OBJECT_LINES).encode("utf-16"),
}


def pairs_of(rows: list[JobRow]) -> list[tuple[str, str]]:
    """Return the ids of rows that must all be usable."""
    assert all(isinstance(row, Row) for row in rows), rows
    return [(row.room_id, row.user_id) for row in rows]


@pytest.mark.parametrize("content", FORMATS.values(), ids=FORMATS.keys())
@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
@pytest.mark.parametrize("name", ["job.csv", "job.json", "job"])
def test_format_is_detected_by_content(
    read: Callable[..., list[JobRow]], content: bytes, pack: Callable[[bytes], bytes], name: str
) -> None:
    """Each format gives the same pairs, packed or not, with any file name."""
    assert pairs_of(read(pack(content), name)) == PAIRS


def test_gzip_of_several_members_is_read_whole(read: Callable[..., list[JobRow]]) -> None:
    """Gzip files appended to each other are read as one text."""
    assert pairs_of(read(gzip.compress(CSV[:30].encode()) + gzip.compress(CSV[30:].encode()))) == PAIRS


def test_one_object_alone_is_one_row(read: Callable[..., list[JobRow]]) -> None:
    """A single JSON object works, also when it is written over several lines."""
    assert read('\n\r\n{\n "roomId": "GENERAL",\n "userId": "rocket.cat"\n}\n') == [Row(3, "GENERAL", "rocket.cat", {})]


@pytest.mark.parametrize("content", [CSV.encode(), gzip.compress(CSV.encode())], ids=["plain", "gzip"])
def test_stdin_is_read_like_a_file(content: bytes) -> None:
    """`-` reads stdin; it has a digest and can be read twice."""
    with open_job("-", io.BytesIO(content)) as job:
        assert job.name == "stdin"
        assert job.digest == hashlib.sha256(content).hexdigest()
        assert pairs_of(list(job.rows())) == PAIRS
        assert pairs_of(list(job.rows())) == PAIRS


def test_named_pipe_is_spooled(tmp_path: Path) -> None:
    """A pipe given as a path, as the shell's <(...) is, works like stdin."""
    pipe = tmp_path / "pipe.csv"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_text, args=(CSV,))
    writer.start()
    with open_job(str(pipe)) as job:
        assert (job.name, pairs_of(list(job.rows()))) == ("pipe", PAIRS)
    writer.join()


def test_digest_is_of_the_bytes_as_given(tmp_path: Path) -> None:
    """The digest covers the packed bytes, as `sha256sum` does."""
    path = tmp_path / "job.csv.gz"
    path.write_bytes(gzip.compress(CSV.encode()))
    with open_job(str(path)) as job:
        assert job.digest == hashlib.sha256(path.read_bytes()).hexdigest()
        assert job.name == "job"


def test_rows_can_be_read_twice_at_once(tmp_path: Path) -> None:
    """Two iterators over one job do not disturb each other."""
    path = tmp_path / "job.csv"
    path.write_text(CSV)
    with open_job(str(path)) as job:
        assert [first == second for first, second in zip(job.rows(), job.rows(), strict=True)] == [True, True]


def test_extra_columns_are_in_the_order_of_the_file(tmp_path: Path) -> None:
    """After reading, the job has the extra columns of all its rows."""
    path = tmp_path / "job.jsonl"
    path.write_text('{"rid":"r","b":1,"uid":"u"}\n{"a":[1,null],"rid":"r","uid":"u"}\n["r","u"]\n')
    with open_job(str(path)) as job:
        assert [dict(row.extra) for row in job.rows()] == [{"b": 1}, {"a": [1, None]}, {}]
        assert extra_columns(job.rows()) == ("b", "a")


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("lists/Leaders May.csv.gz", "Leaders-May"),
        ("a.b.JSONL", "a.b"),
        ("..csv", "job"),
        ("../../etc/passwd", "passwd"),
        ("\x1b[31m.csv", "31m"),
        ("Büro.json", "Büro"),
        ("x" * 300, "x" * 60),
        ("a/..", "job"),
    ],
)
def test_name_is_a_safe_path_component(path: str, name: str) -> None:
    """The job's name can be used as the name of a folder."""
    assert safe_name(path) == name


REFUSED = {
    "empty": (b"", "the file is empty"),
    "blank": (b" \n\n", "the file is blank"),
    "header only": (b"roomId,userId\n\n,\n", "there are no rows"),
    "no columns": (b"a,b\n1,2\n", "no roomId column and no userId column; the columns found are 'a', 'b'"),
    "one column missing": (b"roomId,x\n1,2\n", "there is no userId column"),
    "near miss": (b"roomm_id,user_idd\n1,2\n", "'roomm_id' looks like roomId; 'user_idd' looks like userId;"),
    "two room columns": (b"roomId,userId,rid\n1,2,3\n", "two columns name the roomId: 'roomId', 'rid'"),
    "too many columns": (
        ("rid,uid," + ",".join(f"c{n}" for n in range(201)) + "\n1,2\n").encode(),
        "201 further columns; at most 200",
    ),
    "NUL": (b"roomId,userId\na,b\nc,\0d\n", "line 3, column 3: a NUL byte"),
    "no encoding": (b"roomId,userId\na,b\nB\x81ro,d\n", "line 3, column 2: bytes that are not text"),
    "UTF-16 without BOM": (CSV.encode("utf-16-le"), "line 1, column 2: a NUL byte"),
    "UTF-16 cut": (CSV.encode("utf-16")[:-1], "bytes that are not text"),
    "Excel": (
        b"PK\x03\x04rest",
        "a damaged or encrypted Excel workbook or zip file",
    ),
    "gzip cut off": (gzip.compress(CSV.encode())[:-9], "the gzip file is cut off"),
    "gzip corrupt": (gzip.compress(os.urandom(999))[:200] + b"x" * 900, "the gzip file is corrupt"),
    "gzip of nothing": (gzip.compress(b""), "the file is empty"),
    "open quote": (b'roomId,userId\na,"b\nc,d\n', "line 2: a quote that opens in this row is never closed"),
    "open quote in a long file": (b'roomId,userId\na,"b\n' + b"c,d\n" * 99_999, "line 2: a cell that starts here"),
    "long cell": (b"roomId,userId\na," + b"b" * 140_000, "line 2: a cell that starts here is longer than 128 KiB"),
    "long row": (b"roomId,userId\na" + b',"\n"' * 600_000, "line 2: the row is longer than 1 MiB"),
    "empty array": (b" [ ]", "there are no rows"),
    "array of text": (b'[\n"a","b"]', "element 1: this is neither an object nor a pair"),
    "array of numbers": (b"[1,2,3]", "line 1: this is neither an object nor a pair"),
    "array of other objects": (b'[{"a":1}]', "element 1: there is no roomId column and no userId column"),
    "array cut off": (b'[["a","b"],["c"', "after element 1: line 1, column 16: the JSON text is cut off"),
    "array with a slip": (
        b'[["a","b"],]',
        "after element 1: line 1, column 11: a comma before ']'",
    ),
    "array then more": (b'[["a","b"]]x', "after element 1: line 1, column 12: not JSON (Expecting value)"),
    "array of bad text": (b'[["a","b"],["\xff","c"]]', "bytes that are not text"),
    "huge number": (b'[["a","b"],[1e99999999999999999999,1]]', "a number that is far too large"),
    "number of 5,000 digits": (b'[["a","b"],[' + b"9" * 5_000 + b",1]]", "a number that is far too large"),
    "deep array": (b"[" * 1_000_000, "element 1: nested deeper than 100"),
    "deep objects": (b'[{"a":' + b'{"a":' * 100_000, "element 1: nested deeper than 100"),
    "endless element": (b'[["a","' + b"b" * 1_200_000 + b'"]]', "after element 0: the next one is longer than 1 MiB"),
    "wrapped, without rows": (b'{"count": 2, "things": ["a","b"]}', "line 1: there is no roomId column"),
    "first line no JSON": (b'{"roomId": "a"\n{"roomId": "b"}\n', "line 1, column "),
    "deep line": (b'{"a":' * 100_000, "element 1: nested deeper than 100"),
    "long line": (b'["a","b"]\n["' + b"c" * 1_100_000 + b'","d"]', "line 2: the row is longer than 1 MiB"),
    "too many keys": (
        b"\n".join(b'{"rid":"a","uid":"b","k%d":1}' % n for n in range(201)),
        "more than 200 different further columns",
    ),
}


@pytest.mark.parametrize(("content", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_unusable_file_is_refused_with_one_clear_line(
    read: Callable[..., list[JobRow]], content: bytes, message: str
) -> None:
    """An unusable file raises `JobFileError`, which names the file, the place and the problem."""
    with pytest.raises(JobFileError) as caught:
        read(content)
    assert message in str(caught.value)
    assert "job.csv: " in str(caught.value)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("content", "at_once"),
    [(b"", True), (b"a,b\n1,2", True), (b"roomId,userId\n", True), (b"[[1,2,3]]", True), (b'[["a","b"],', False)],
)
def test_a_problem_at_the_start_is_found_on_opening(tmp_path: Path, content: bytes, at_once: bool) -> None:
    """`open_job` refuses a file whose first row is not a row; other problems are found on reading."""
    path = tmp_path / "job"
    path.write_bytes(content)
    if at_once:
        with pytest.raises(JobFileError):
            open_job(str(path))
    else:
        with open_job(str(path)) as job, pytest.raises(JobFileError):
            list(job.rows())


def test_path_that_is_not_a_file_is_refused(tmp_path: Path) -> None:
    """A missing file, a folder, a device and an impossible name each have their own message."""
    for path, message in [
        (str(tmp_path / "none.csv"), "there is no such file"),
        (str(tmp_path), "this is a folder"),
        ("/dev/null", "this is a device"),
        ("a\0b", "cannot be opened"),
    ]:
        with pytest.raises(JobFileError, match=message):
            open_job(path)


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("jb.csv", r"no such file; did you mean .*/job\.csv\?$"),
        ("zzz", "no such file$"),
        ("no/job.csv", "no such file$"),
    ],
)
def test_a_file_with_a_similar_name_is_suggested(tmp_path: Path, typed: str, message: str) -> None:
    """For a misspelt name, the message names the file that was probably meant, if there is one."""
    (tmp_path / "job.csv").write_text(CSV)
    (tmp_path / "jb.csv.d").mkdir()
    with pytest.raises(JobFileError, match=message):
        open_job(str(tmp_path / typed))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_file_without_permission_is_refused(tmp_path: Path) -> None:
    """A file without read permission has its own message."""
    path = tmp_path / "job.csv"
    path.write_text(CSV)
    path.chmod(0)
    with pytest.raises(JobFileError, match="no permission"):
        open_job(str(path))


def test_a_closed_job_cannot_be_read(tmp_path: Path) -> None:
    """After the job is closed, its descriptor may belong to another file, so reading is an error."""
    path = tmp_path / "job.csv"
    path.write_text(CSV)
    with open_job(str(path)) as job:
        pass
    with pytest.raises(ValueError, match="closed"):
        next(job.rows())
