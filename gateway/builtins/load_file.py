"""`/builtin/load_file`: a file below the configured directories, as a value."""

from __future__ import annotations

import asyncio
from codecs import BOM_UTF8
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from flowspan.errors import FlowspanError, InvalidArgumentError
from gateway.builtins.confined_file import read_confined
from runtime_core.builtins.inputs import InputReader, one_of
from runtime_core.calls import ComponentCall
from runtime_core.flow.yaml_loader import load_yaml
from runtime_core.model.json_value import decode_json, encode_json

FORMATS: Final = ("json", "yaml", "text")
_BY_SUFFIX: Final = {".json": "json", ".yaml": "yaml", ".yml": "yaml"}


class _Input(msgspec.Struct, forbid_unknown_fields=True):
    path: str
    format: str | None = None


_input: Final = InputReader(_Input)


class LoadFile:
    """The component. `directories`: absolute; `max_bytes`: of a file, which must fit into a result."""

    def __init__(self, directories: Sequence[Path], max_bytes: int) -> None:
        self._directories = tuple(directories)
        self._max_bytes = max_bytes

    async def answer(self, call: ComponentCall) -> bytes:
        """`{data, metadata: {resolved_path, size_bytes, format}}`."""
        given = _input.read(call.input)
        if given.format is not None:
            one_of("format", given.format, FORMATS)
        if not self._directories:
            raise InvalidArgumentError(
                "path: no file may be read here; name directories in the configuration: "
                "`builtins: {load_file: {directories: [data]}}`",
                field="path",
            )
        # Disks may be slow and documents large: not in the loop's thread.
        return await asyncio.to_thread(self._load, given.path, given.format)

    def _load(self, path: str, wanted_format: str | None) -> bytes:
        resolved, data = read_confined(self._directories, path, self._max_bytes)
        form = wanted_format or _BY_SUFFIX.get(resolved.suffix.lower(), "text")
        metadata = {"resolved_path": str(resolved), "size_bytes": len(data), "format": form}
        return b'{"data":%b,"metadata":%b}' % (_value(path, data, form), msgspec.json.encode(metadata))


def _value(path: str, data: bytes, form: str) -> bytes:
    """The file's content as compact JSON, numbers exact."""
    try:
        if form == "json":
            data = data.removeprefix(BOM_UTF8)  # as YAML's readers do (RFC 8259, 8.1 allows it)
            decode_json(data, what=repr(path))
            return msgspec.json.format(data, indent=-1)  # as it stands there: floats keep their digits
        if form == "yaml":
            return encode_json(load_yaml(data))
        return encode_json(data.decode())
    except FlowspanError as error:
        message = error.message.replace("the flow", repr(path), 1)
        message = message if repr(path) in message else f"{path!r}: {message}"
        raise InvalidArgumentError(f"path: {message}", field="path", **error.details) from error
    except UnicodeDecodeError as error:
        raise InvalidArgumentError(f"path: {path!r} is not UTF-8, at byte {error.start}", field="path") from error
