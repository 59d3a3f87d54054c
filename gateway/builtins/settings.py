"""What the built-ins that reach out of the gateway may reach."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

DEFAULT_BASE_URL: Final = "https://api.openai.com/v1"


@dataclass(frozen=True, slots=True)
class OpenAiSettings:
    """Of `/builtin/openai`.

    Attributes:
        base_url: where requests go unless the input says otherwise; the only place that is sent `api_key`.
        model: unless the input names one.
        allowed_base_urls: what inputs may name beside public addresses over https.
    """

    base_url: str = DEFAULT_BASE_URL
    api_key: str | None = field(default=None, repr=False)
    model: str | None = None
    allowed_base_urls: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class OutsideSettings:
    """`directories`: absolute; below them `/builtin/load_file` may read."""

    directories: Sequence[Path] = ()
    openai: OpenAiSettings = field(default_factory=OpenAiSettings)
