"""New parts of a YAML text, written by ruamel.yaml and read back before they are used."""

from __future__ import annotations

import re
from io import StringIO
from typing import Any, Final

import msgspec
from ruamel.yaml import YAML
from ruamel.yaml.representer import RoundTripRepresenter

from flowspan.errors import FlowspanError
from gateway.authoring.flow_tests.exact_values import ExactValue, FloatLiteral, encode_exact
from runtime_core.flow.yaml_loader import load_yaml
from runtime_core.model.json_value import canonical_json, canonical_of_value

_ENDLESS: Final = 1 << 24
"""Columns of a line for the writer: it folds nothing."""
_UNSAFE: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
"""Characters that YAML's readers refuse unless they are escaped, or take for line ends."""
_LITERAL: Final = re.compile(r"[^\s](?:[^\n]*[^\s]|)(?:\n+[^\n]*[^\s])*\n?\Z")
"""Text of several lines that reads as it is meant in a block scalar: begins with a character, no line ends with a space, at
most one line end at the end."""


_OLD_BOOLEANS: Final = frozenset(("y", "n", "yes", "no", "on", "off"))
"""Text to us, truth values to readers of YAML 1.1."""


class YamlWriter:
    """Writes values in the layout of one file.

    Args:
        unit: columns that a mapping stands behind its key.
        offset: columns that a dash stands behind the key of its sequence.
    """

    def __init__(self, unit: int, offset: int) -> None:
        self.unit: Final = unit
        self._block: Final = _dumper(flow=False)
        self._block.indent(mapping=unit, sequence=offset + 2, offset=offset)
        self._flow: Final = _dumper(flow=True)

    def as_value(self, value: ExactValue) -> list[str]:
        """Lines of a block mapping's value: what stands behind the colon (empty: nothing), then lines relative to the key."""
        text = _dumped(self._block, {"k": value})
        if text is None:
            return [_as_json(value)]
        first, *rest = text.split("\n")
        return [first.removeprefix("k:").removeprefix(" "), *rest]

    def as_item(self, value: ExactValue) -> list[str]:
        """Lines of a block sequence's item: what stands behind the dash, then lines relative to that."""
        text = _dumped(self._block, [value])
        if text is None:
            return [_as_json(value)]
        lines = text.split("\n")
        behind_dash = len(lines[0]) - len(lines[0].lstrip(" ")) + 2
        return [line[behind_dash:] for line in lines]

    def in_flow(self, value: ExactValue) -> str:
        """The value on one line, as it may stand in braces and brackets."""
        # Not in a sequence: one that holds a mapping of one member loses its braces.
        text = _dumped(self._flow, {"k": value})
        is_usable = text is not None and "\n" not in text and text.startswith("{k: ")
        return text[len("{k: ") : -len("}")] if is_usable and text is not None else _as_json(value)


class _Representer(RoundTripRepresenter):
    """Numbers as JSON writes them, null as a word, text of many lines as a block."""


def _text(representer: Any, text: str) -> Any:
    style = None
    if "\n" in text:
        style = "|" if _LITERAL.match(text) and not _UNSAFE.search(text) and "\t" not in text else '"'
    elif _UNSAFE.search(text):
        style = '"'
    elif text.lower() in _OLD_BOOLEANS:
        style = "'"
    return representer.represent_scalar("tag:yaml.org,2002:str", text, style=style)


def _float(representer: Any, number: FloatLiteral) -> Any:
    return representer.represent_scalar("tag:yaml.org,2002:float", number.text)


def _null(representer: Any, _: None) -> Any:
    return representer.represent_scalar("tag:yaml.org,2002:null", "null")


_Representer.add_representer(str, _text)
_Representer.add_representer(FloatLiteral, _float)
_Representer.add_representer(type(None), _null)


def _dumper(*, flow: bool) -> YAML:
    dumper = YAML()
    dumper.Representer = _Representer
    dumper.default_flow_style = flow
    dumper.width = _ENDLESS
    dumper.allow_unicode = True
    return dumper


def _dumped(dumper: YAML, value: ExactValue) -> str | None:
    """The text without its last line end; None if the loader would read something else."""
    stream = StringIO()
    dumper.dump(value, stream)
    text = stream.getvalue()
    try:
        is_same = canonical_of_value(load_yaml(text.encode())) == canonical_json(encode_exact(value))
    except (FlowspanError, UnicodeEncodeError):
        return None
    return text.removesuffix("\n") if is_same else None


def _as_json(value: ExactValue) -> str:
    """JSON on one line is YAML too, once the characters are escaped that only JSON takes as they are."""
    text = msgspec.json.format(encode_exact(value), indent=0).decode()
    return _UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
