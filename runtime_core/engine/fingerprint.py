"""Whether two submits are the same request: hashes over their fields, length-prefixed, maps sorted, payloads as given."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import msgspec

from runtime_core.api import SubmitRun
from runtime_core.model.json_value import canonical_json

_NO_VARIABLES: Final = (b"{}", b"null")
"""Of a stored run nobody knows in which way it was given none."""


def _prefixed(fields: Iterable[bytes]) -> bytes:
    return b"".join([b"%d:%b" % (len(field), field) for field in fields])


def inputs_digest(inputs: Sequence[bytes]) -> bytes:
    """SHA-256 over length-prefixed inputs; the same for one batch or many (streamed submits hash on the way)."""
    return hashlib.sha256(_prefixed(inputs)).digest()


def request_fingerprint(command: SubmitRun) -> bytes:
    """Hash of everything that makes a submit what it is (`request_id` and trace context are not part of it)."""
    return _fingerprint(command, command.staged_sha256 or inputs_digest(command.inputs), lambda data: data)


def canonical_fingerprint(command: SubmitRun) -> bytes:
    """The same over canonical forms: white space, key order and the spelling of numbers make no conflict."""
    blobs = command.input_blobs
    if command.variables is not None and canonical_json(command.variables) in _NO_VARIABLES:
        command = msgspec.structs.replace(command, variables=None)
    inputs = [one if index in blobs else canonical_json(one) for index, one in enumerate(command.inputs)]
    return _fingerprint(command, inputs_digest(inputs), canonical_json)


def _fingerprint(command: SubmitRun, inputs: bytes, form: Callable[[bytes], bytes]) -> bytes:
    total = command.staged_total if command.stage_id is not None else len(command.inputs)
    fields = [
        command.flow_id.encode(),
        b"%d" % total,
        inputs,
        repr(sorted(command.input_blobs)).encode(),
        repr(command.max_concurrency).encode(),
        b"" if command.overrides is None else form(command.overrides),
        b"" if command.variables is None else form(command.variables),
        (command.flow_label or "").encode(),
        repr(command.deadline_s).encode(),
        b"1" if command.detached else b"0",
    ]
    fields += [part.encode() for pair in sorted(command.metadata.items()) for part in pair]
    return hashlib.sha256(_prefixed(fields) + b";" + _prefixed([label.encode() for label in command.item_labels])).digest()
