"""`/builtin/load_file`: what it reads, and that nothing leads out of the configured directories."""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import jsonschema
import pytest

from runtime_core.builtins.catalog import BUILTINS
from tests.built_ins.gateways import call, configured, refused
from tests.e2e.house import House

CONFIG = "builtins: { load_file: { directories: [data, more] } }"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    directory = tmp_path / "data"
    directory.mkdir()
    (tmp_path / "more").mkdir()
    (tmp_path / "secret.txt").write_text("secret")
    return directory


@pytest.fixture
async def h(data: Path) -> AsyncIterator[House]:
    async with configured(data.parent, CONFIG) as house:
        yield house


@pytest.mark.parametrize(
    ("name", "content", "form", "value"),
    [
        ("a.json", b'{\n  "n": 12345678901234567890, "f": 1.0 }\n', "json", b'{"n":12345678901234567890,"f":1.0}'),
        ("a.json", b'[1.10, 0.12345678901234567890, 1E5, "\\u0041"]', "json", b'[1.10,0.12345678901234567890,1E5,"\\u0041"]'),
        ("a.json", b'\xef\xbb\xbf{"a": 1}', "json", b'{"a":1}'),
        ("a.yaml", b"n: 12345678901234567890\nno: no\nf: 1.0\n", "yaml", b'{"n":12345678901234567890,"no":"no","f":1.0}'),
        ("A.YML", b"- 1\n- ~\n", "yaml", b"[1,null]"),
        ("a.txt", "gr\u00fc\u00df\n".encode(), "text", '"gr\u00fc\u00df\\n"'.encode()),
        ("noend", b"[1]", "text", b'"[1]"'),
    ],
)
async def test_the_format_follows_from_the_suffix(
    h: House, data: Path, name: str, content: bytes, form: str, value: bytes
) -> None:
    (data / name).write_bytes(content)
    result = await call(h, "load_file", {"path": name})
    assert result.error is None, result.error
    metadata = {"resolved_path": str(data.resolve() / name), "size_bytes": len(content), "format": form}
    assert result.value["metadata"] == metadata
    assert result.payload.startswith(b'{"data":%b,"metadata":' % value)
    jsonschema.validate(result.value, BUILTINS["/load_file"].output_schema)


async def test_a_named_format_counts_more_than_the_suffix(h: House, data: Path) -> None:
    (data / "a.txt").write_text("[1, 2.0]")
    assert (await call(h, "load_file", {"path": "a.txt", "format": "json"})).value["data"] == [1, 2.0]
    assert (await call(h, "load_file", {"path": "a.txt", "format": None})).value["data"] == "[1, 2.0]"
    assert "format must be one of json, yaml, text, not 'xml'" in await refused(
        h, "load_file", {"path": "a.txt", "format": "xml"}
    )


async def test_directories_are_tried_in_their_order_and_absolute_paths_may_lead_into_them(h: House, data: Path) -> None:
    (data.parent / "more" / "x").mkdir()
    (data.parent / "more" / "x" / "deep.txt").write_text("deep")
    for path in ("x/deep.txt", "./x//deep.txt", str(data.parent / "more" / "x" / "deep.txt")):
        assert (await call(h, "load_file", {"path": path})).value["data"] == "deep"


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("/etc/passwd", "lies outside of the directories"),
        ("/proc/self/environ", "lies outside of the directories"),
        ("../secret.txt", "must not contain .."),
        ("x/../../secret.txt", "must not contain .."),
        ("missing.txt", "there is no file 'missing.txt'"),
        ("", "is no path"),
        ("a\0b", "is no path"),
        ("a" * 5_000, "is no path"),
        ("n" * 300, "cannot be read: File name too long"),
        (".", "is not a regular file"),
        ("link", "through a symbolic link"),
        ("linked/secret.txt", "through a symbolic link"),
        ("pipe", "is not a regular file"),
        ("socket", "cannot be read"),
        ("file.txt/x", "through a symbolic link, or through something that is not a directory"),
    ],
)
async def test_nothing_leads_out(h: House, data: Path, path: str, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (data / "link").symlink_to(data.parent / "secret.txt")
    (data / "linked").symlink_to(data.parent)
    (data / "file.txt").write_text("file")
    os.mkfifo(data / "pipe")
    monkeypatch.chdir(data)  # the path of a socket is short
    listener = socket.socket(socket.AF_UNIX)
    try:
        listener.bind("socket")
        message = await refused(h, "load_file", {"path": path})
    finally:
        listener.close()
    assert says in message
    assert "path" in message
    assert "secret" not in message.replace("secret.txt", "")


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.json", b"{", "'a.json' is not JSON"),
        ("a.json", b'{"a":1,"a":2}', "has the key 'a' twice"),
        ("a.yaml", b"a: &a [*a]", "stands inside its own anchor"),
        ("a.yaml", b"!!python/object/apply:os.system [ls]", "is not allowed"),
        ("a.yaml", b"{", "'a.yaml' is not YAML"),
        ("a.txt", b"\xff", "is not UTF-8, at byte 0"),
    ],
)
async def test_content_that_cannot_be_read_is_refused_with_the_file(
    h: House, data: Path, name: str, content: bytes, says: str
) -> None:
    (data / name).write_bytes(content)
    message = await refused(h, "load_file", {"path": name})
    assert says in message
    assert name in message


async def test_a_file_beyond_the_limit_is_not_read(h: House, data: Path) -> None:
    with (data / "big.txt").open("wb") as file:
        file.truncate((2 << 20) + 1)
    result = await call(h, "load_file", {"path": "big.txt"})
    assert result.error is not None
    assert "has 2097153 bytes; at most 2097152 are read" in result.error.message


async def test_without_directories_the_answer_names_the_setting(tmp_path: Path) -> None:
    async with configured(tmp_path, "") as h:
        message = await refused(h, "load_file", {"path": "flowspan.yml"})
        assert "builtins: {load_file: {directories: [data]}}" in message
