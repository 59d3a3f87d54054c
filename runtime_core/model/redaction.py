"""Taking secrets out of what people and logs see, by value: wherever the text of a secret turns up, it becomes `***`.

Values of results are never changed; errors, reasons, log lines and stories are.
"""

from __future__ import annotations

import base64
import json
from collections import OrderedDict
from collections.abc import Iterable
from typing import Any, Final
from urllib.parse import quote, quote_plus

import msgspec

MIN_SECRET_CHARS: Final = 4
"""Shorter texts occur everywhere; taking them out would hide everything and protect nothing."""
MASK: Final = "***"
MAX_KNOWN: Final = 4_096
"""Secrets that log lines are searched for; the oldest are forgotten."""


def secret_texts(value: object) -> set[str]:
    """Texts under which a secret value can be told: strings and numbers in it, at any depth."""
    found: set[str] = set()
    stack = [value]
    while stack:
        one = stack.pop()
        if isinstance(one, str):
            found.add(one)
        elif isinstance(one, dict):
            stack += one.values()
        elif isinstance(one, list):
            stack += one
        elif isinstance(one, int | float) and not isinstance(one, bool):
            found.add(msgspec.json.encode(one).decode())
    return {text for text in found if len(text) >= MIN_SECRET_CHARS}


class Redactor:
    """Replaces secrets in texts and in JSON.

    Args:
        texts: the secrets, each at least four characters long.
    """

    __slots__ = ("_forms",)

    def __init__(self, texts: Iterable[str]) -> None:
        forms: set[str] = set()
        for text in texts:
            forms |= _forms(text)
        # The longest first: a secret may be part of another one.
        self._forms = sorted(forms, key=lambda form: (-len(form), form))

    def text(self, text: str) -> str:
        """The text without secrets."""
        for form in self._forms:
            if form in text:
                text = text.replace(form, MASK)
        return text

    def value(self, value: Any) -> Any:
        """A decoded JSON value (or a log line's field) without secrets: in strings, in names and as numbers."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {self.value(name): self.value(member) for name, member in value.items()}
        if isinstance(value, list | tuple):
            return [self.value(member) for member in value]
        if isinstance(value, int | float) and not isinstance(value, bool):
            text = msgspec.json.encode(value).decode()
            return MASK if text in self._forms else value
        return self.text(str(value)) if isinstance(value, bytes | BaseException) else value

    def payload(self, data: bytes) -> bytes:
        """JSON without secrets; untouched if none is in it."""
        text = data.decode("utf-8", "replace")
        if not any(form in text for form in self._forms):
            return data
        try:
            return msgspec.json.encode(self.value(msgspec.json.decode(data)))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return msgspec.json.encode(self.text(text))


class KnownSecrets:
    """The secrets of the runs of this process, for what is not a run's own: log lines, stderr of component servers, spans."""

    def __init__(self) -> None:
        self._texts: OrderedDict[str, Redactor] = OrderedDict()

    def add(self, texts: Iterable[str]) -> None:
        """Know these from now on, also after their run: a component server may speak of them later."""
        for text in texts:
            if text not in self._texts:
                self._texts[text] = Redactor((text,))
            self._texts.move_to_end(text)
        while len(self._texts) > MAX_KNOWN:
            self._texts.popitem(last=False)

    def __bool__(self) -> bool:
        return bool(self._texts)

    def text(self, text: str) -> str:
        """The text without any known secret."""
        for redactor in tuple(self._texts.values()):
            text = redactor.text(text)
        return text

    def value(self, value: Any) -> Any:
        """See `Redactor.value`."""
        for redactor in tuple(self._texts.values()):
            value = redactor.value(value)
        return value


KNOWN_SECRETS: Final = KnownSecrets()
"""Of this process; its log is one, too."""


def _forms(text: str) -> set[str]:
    """How a secret looks once it went through JSON, base64 or a URL."""
    data = text.encode("utf-8", "surrogatepass")
    plain, url_safe = base64.b64encode(data).decode(), base64.urlsafe_b64encode(data).decode()
    forms = {
        text,
        json.dumps(text)[1:-1],
        json.dumps(text, ensure_ascii=False)[1:-1],
        plain,
        url_safe,
        plain.rstrip("="),
        url_safe.rstrip("="),
        quote(text, safe="", errors="replace"),
        quote(text, errors="replace"),
        quote_plus(text, errors="replace"),
    }
    return {form for form in forms if len(form) >= MIN_SECRET_CHARS}
