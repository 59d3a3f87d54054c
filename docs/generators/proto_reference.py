"""protocol/grpc.md: services, messages and enums of `flowspan.v1`, from the files in proto/ and their comments."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from google.protobuf import descriptor_pb2 as pb

from .constants import cell

PROTO = Path(__file__).parents[2] / "proto"
PACKAGE = "flowspan.v1"
_BUF_S = 60

_SCALARS = {number: name.removeprefix("TYPE_").lower() for name, number in pb.FieldDescriptorProto.Type.items()}
_WELL_KNOWN = "https://protobuf.dev/reference/protobuf/google.protobuf/"
# Of source info: the numbers of the members of descriptors.
_MESSAGE, _ENUM, _SERVICE = 4, 5, 6
_FIELD, _NESTED, _NESTED_ENUM = 2, 3, 4

Comments = dict[tuple[int, ...], str]


def reference() -> str:
    files = [file for file in _image().file if file.package == PACKAGE]
    files.sort(key=lambda file: (not file.service, file.name))
    parts: list[str] = []
    for file in files:
        comments = _comments(file)
        for index, service in enumerate(file.service):
            parts += _service(service, (_SERVICE, index), comments)
    for file in files:
        comments = _comments(file)
        parts += ["", f"## {file.name}", "", _first(comments.get((2,), ""))]
        for index, message in enumerate(file.message_type):
            parts += _message(message, message.name, (_MESSAGE, index), comments)
        for index, enum in enumerate(file.enum_type):
            parts += _enum(enum, enum.name, (_ENUM, index), comments)
    return "\n".join(parts).strip()


def _image() -> pb.FileDescriptorSet:
    """All files with their comments, as buf reads them.

    Raises:
        FileNotFoundError: buf, which is one of the development tools, is not installed.
    """
    beside = Path(sys.executable).with_name("buf")
    buf = str(beside) if beside.exists() else shutil.which("buf")
    if buf is None:
        raise FileNotFoundError("buf is not installed; run make setup")
    done = subprocess.run([buf, "build", str(PROTO), "-o", "-"], capture_output=True, check=True, timeout=_BUF_S)
    return pb.FileDescriptorSet.FromString(done.stdout)


def _comments(file: pb.FileDescriptorProto) -> Comments:
    return {
        tuple(place.path): _prose(place.leading_comments) for place in file.source_code_info.location if place.leading_comments
    }


def _prose(comment: str) -> str:
    lines = [line.strip() for line in comment.splitlines()]
    return "\n".join(line for line in lines if not line.startswith("buf:lint:")).strip()


def _first(text: str) -> str:
    return "\n\n".join(" ".join(part.split("\n")) for part in text.split("\n\n"))


def _service(service: pb.ServiceDescriptorProto, path: tuple[int, ...], comments: Comments) -> Iterator[str]:
    yield from ("", f"## {service.name}", "", _first(comments[path]), "", "| Call | Request | Response | |", "|---|---|---|---|")
    for index, method in enumerate(service.method):
        asked = ("stream of " if method.client_streaming else "") + _link(method.input_type)
        told = ("stream of " if method.server_streaming else "") + _link(method.output_type)
        yield f"| `{method.name}` | {asked} | {told} | {cell(comments[(*path, 2, index)])} |"


def _message(message: pb.DescriptorProto, name: str, path: tuple[int, ...], comments: Comments) -> Iterator[str]:
    yield from ("", f"### {name}", "", _first(comments[path]))
    if message.field:
        yield from ("", "| Field | Type | |", "|---|---|---|")
    entries = {nested.name: nested for nested in message.nested_type if nested.options.map_entry}
    for index, field in enumerate(message.field):
        said = cell(comments[(*path, _FIELD, index)])
        yield f"| `{field.name}` = {field.number} | {_type(field, entries)} | {said} |"
    for index, nested in enumerate(message.nested_type):
        if nested.name not in entries:
            yield from _message(nested, f"{name}.{nested.name}", (*path, _NESTED, index), comments)
    for index, enum in enumerate(message.enum_type):
        yield from _enum(enum, f"{name}.{enum.name}", (*path, _NESTED_ENUM, index), comments)


def _enum(enum: pb.EnumDescriptorProto, name: str, path: tuple[int, ...], comments: Comments) -> Iterator[str]:
    yield from ("", f"### {name}", "", _first(comments[path]), "", "| Value | |", "|---|---|")
    for index, value in enumerate(enum.value):
        yield f"| `{value.name}` = {value.number} | {cell(comments[(*path, 2, index)])} |"


def _type(field: pb.FieldDescriptorProto, entries: dict[str, pb.DescriptorProto]) -> str:
    entry = entries.get(field.type_name.rpartition(".")[2])
    if entry is not None:
        return f"map of {_type(entry.field[0], {})} to {_type(entry.field[1], {})}"
    told = _link(field.type_name) if field.type_name else _SCALARS[field.type]
    if field.label == pb.FieldDescriptorProto.LABEL_REPEATED:
        return f"repeated {told}"
    return f"optional {told}" if field.proto3_optional else told


def _link(type_name: str) -> str:
    name = type_name.removeprefix(".")
    if name.startswith(PACKAGE + "."):
        local = name.removeprefix(PACKAGE + ".")
        return f"[{local}](#{local.replace('.', '').lower()})"
    return f"[{name}]({_WELL_KNOWN})"


SECTIONS = {"reference": reference}
