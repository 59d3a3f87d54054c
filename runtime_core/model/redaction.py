"""Taking secrets out of what people and logs see, by value: wherever the text of a secret turns up, it becomes `***`.

Values of results are never changed; errors, reasons, log lines and stories are.
"""

from __future__ import annotations

import base64
import json
import re
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from typing import Any, Final
from urllib.parse import quote, quote_plus
from weakref import WeakValueDictionary

import msgspec

from runtime_core.model.text_search import HEAD_CHARS, TextSearch

MIN_SECRET_CHARS: Final = HEAD_CHARS
"""Shorter texts occur everywhere; taking them out would hide everything and protect nothing."""
MIN_LINE_CHARS: Final = 8
"""A secret of several lines, such as a private key, is told by each of its lines of this length as well: logs show lines."""
MIN_ENCODED_CHARS: Final = 8
"""Of a piece of base64 in the middle of other base64, such as a password in `Authorization: Basic`."""
MASK: Final = "***"
MAX_KNOWN: Final = 16_384
"""Secrets that log lines are searched for; the oldest are forgotten."""
MAX_KNOWN_CHARS: Final = 32 << 20
"""Of their forms, all in all."""


def secret_texts(value: object) -> set[str]:
    """Texts under which a secret value can be told: strings and numbers in it, at any depth."""
    found: set[str] = set()
    stack = [value]
    while stack:
        one = stack.pop()
        if isinstance(one, str):
            found.add(one)
            if "\n" in one:
                found.update(line for part in one.split("\n") if len(line := part.strip()) >= MIN_LINE_CHARS)
        elif isinstance(one, dict):
            stack += one.values()
        elif isinstance(one, list):
            stack += one
        elif isinstance(one, int | float) and not isinstance(one, bool):
            found.add(msgspec.json.encode(one).decode())
    return {text for text in found if len(text) >= MIN_SECRET_CHARS}


class Redactor:
    """Replaces secrets in texts and in JSON. The time it takes does not depend on how many there are.

    Args:
        texts: the secrets, each at least four characters long.
    """

    __slots__ = ("__weakref__", "_search", "_texts")

    def __init__(self, texts: Iterable[str]) -> None:
        self._texts = frozenset(texts)
        forms: set[str] = set()
        for text in self._texts:
            forms |= _forms(text)
        self._search = TextSearch(forms)

    def text(self, text: str) -> str:
        """The text without secrets, also where it was cut in the middle of one."""
        return self._search.replace(text, MASK, may_be_cut=True)

    def value(self, value: Any) -> Any:
        """A decoded JSON value (or a log line's field) without secrets: in strings, in names and as numbers."""
        return _redacted(self._search, value, may_be_cut=True)

    def payload(self, data: bytes) -> bytes:
        """The JSON of an error or a skip without secrets; untouched if none is in it.

        Its own members and its code stay what they are, whatever a secret looks like: it must be an error still.
        """
        # Decoded in any case: JSON may spell a character in many ways, and each text in it may have been cut by a peer.
        try:
            value = msgspec.json.decode(data)
            if isinstance(value, dict):
                clean = {name: member if name == "code" else self.value(member) for name, member in value.items()}
            else:
                clean = self.value(value)
            return data if clean == value else msgspec.json.encode(clean)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return msgspec.json.encode(self.text(data.decode("utf-8", "replace")))


_REDACTORS: Final[WeakValueDictionary[frozenset[str], Redactor]] = WeakValueDictionary()


def redactor_of(texts: Iterable[str]) -> Redactor:
    """The redactor of these secrets; runs with the same ones, such as a tree of sub-runs, share it."""
    key = frozenset(texts)
    known = _REDACTORS.get(key)
    if known is None:
        known = _REDACTORS[key] = Redactor(key)
    return known


class KnownSecrets:
    """The secrets of the runs of this process, for what is not a run's own: log lines, stderr of component servers, spans.

    Texts may be searched in any thread; secrets are added in one.
    """

    def __init__(self) -> None:
        self._texts: OrderedDict[str, set[str]] = OrderedDict()
        self._chars = 0
        self._search = TextSearch()

    def add(self, texts: Iterable[str]) -> None:
        """Know these from now on, also after their run: a component server may speak of them later."""
        for text in texts:
            if text not in self._texts:
                forms = self._texts[text] = _forms(text)
                self._chars += sum(map(len, forms))
                for form in forms:
                    self._search.add(form)
            self._texts.move_to_end(text)
        while len(self._texts) > MAX_KNOWN or (self._chars > MAX_KNOWN_CHARS and len(self._texts) > 1):
            _, forms = self._texts.popitem(last=False)
            self._chars -= sum(map(len, forms))
            for form in forms:
                self._search.discard(form)

    def __bool__(self) -> bool:
        return bool(self._texts)

    def text(self, text: str) -> str:
        """The text without any known secret, also where it was cut in the middle of one."""
        return self._search.replace(text, MASK, may_be_cut=True)

    def value(self, value: Any) -> Any:
        """See `Redactor.value` and `text`."""
        return _redacted(self._search, value, may_be_cut=True)


KNOWN_SECRETS: Final = KnownSecrets()
"""Of this process; its log is one, too."""


def _redacted(search: TextSearch, value: Any, *, may_be_cut: bool = False) -> Any:
    if isinstance(value, str):
        return search.replace(value, MASK, may_be_cut=may_be_cut)
    if isinstance(value, dict):
        return {_redacted(search, name): _redacted(search, member, may_be_cut=may_be_cut) for name, member in value.items()}
    if isinstance(value, list | tuple):
        return [_redacted(search, member, may_be_cut=may_be_cut) for member in value]
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        return MASK if msgspec.json.encode(value).decode() in search else value
    # A field of a log line that is no JSON: shown as it is only if it says nothing.
    shown = value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else f"{value} {value!r}"
    if not search.finds(shown):
        return value
    return search.replace(shown if isinstance(value, bytes) else str(value), MASK)


def _forms(text: str) -> set[str]:
    """How a secret looks once it went through JSON, base64, a URL or Python's `repr`."""
    data = text.encode("utf-8", "surrogatepass")
    plain, url_safe = base64.b64encode(data).decode(), base64.urlsafe_b64encode(data).decode()
    escaped = json.dumps(text)[1:-1]
    forms = {
        text,
        repr(text)[1:-1],
        escaped,
        # Other writers of JSON escape in capitals, or what is special to HTML and scripts.
        _UNICODE_ESCAPE.sub(lambda found: found.group(1) + found.group(2).upper(), escaped),
        _unsafe_escaped(json.dumps(text, ensure_ascii=False)[1:-1]),
        json.dumps(text, ensure_ascii=False)[1:-1],
        escaped.replace("/", "\\/"),
        json.dumps(text, ensure_ascii=False)[1:-1].replace("/", "\\/"),
        plain,
        url_safe,
        plain.rstrip("="),
        url_safe.rstrip("="),
        *_base64_inside(data),
    }
    for quoted in (
        quote(text, safe="", errors="replace"),
        quote(text, errors="replace"),
        quote_plus(text, errors="replace"),
    ):
        forms |= {quoted, _PERCENT.sub(lambda found: found.group().lower(), quoted)}
    return {form for form in forms if len(form) >= MIN_SECRET_CHARS}


_UNICODE_ESCAPE: Final = re.compile(r"((?:\\\\)*\\u)([0-9a-f]{4})")
_PERCENT: Final = re.compile("%[0-9A-F]{2}")


def _unsafe_escaped(text: str) -> str:
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _base64_inside(data: bytes) -> Iterator[str]:
    """What base64 of a longer text has of `data` in its middle, at each of the three places where it may begin."""
    for before, unsure in ((0, 0), (1, 2), (2, 3)):
        sure = (before + len(data)) * 8 // 6
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            inside = encode(b"\0" * before + data).decode()[unsure:sure]
            if len(inside) >= MIN_ENCODED_CHARS:
                yield inside
