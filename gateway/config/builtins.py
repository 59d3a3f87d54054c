"""What the built-in components may reach."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr

from gateway.config.plugins import Section

DEFAULT_BASE_URL: Final = "https://api.openai.com/v1"


def _checked_url(url: str) -> str:
    try:
        parts = urlsplit(url)
        is_usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        is_usable = False
    if not is_usable or parts.query or parts.fragment or "@" in parts.netloc or not url.isascii() or any(c <= " " for c in url):
        raise ValueError(f"{url!r} is no base URL; write one like https://api.example.com/v1")
    return url.rstrip("/")


BaseUrl = Annotated[str, AfterValidator(_checked_url)]


class LoadFileSettings(Section):
    """Of `/builtin/load_file`, which reads nothing unless directories are named."""

    directories: tuple[Path, ...] = Field(
        default=(), description="What may be read: files below these, links aside. Relative to the configuration file."
    )


class OpenAiSettings(Section):
    """Of `/builtin/openai`."""

    base_url: BaseUrl = Field(default=DEFAULT_BASE_URL, description="Unless the input names another.")
    api_key: SecretStr | None = Field(default=None, min_length=1, description="Sent to `base_url` and nowhere else.")
    model: str | None = Field(default=None, description="Unless the input names one.")
    allowed_base_urls: tuple[BaseUrl, ...] = Field(
        default=(), description="What inputs may name beside https:// URLs that lead to public addresses."
    )


class BuiltinSettings(Section):
    """What built-ins may reach outside of the gateway."""

    load_file: LoadFileSettings = Field(
        default=LoadFileSettings.of_defaults(), description="Files that `/builtin/load_file` may read."
    )
    openai: OpenAiSettings = Field(default=OpenAiSettings.of_defaults(), description="Endpoints that `/builtin/openai` may ask.")
