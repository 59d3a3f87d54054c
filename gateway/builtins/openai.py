"""`/builtin/openai`: one chat completion of any OpenAI-compatible endpoint.

Where requests may go: to what the configuration names, whatever that is; to what the input names only over https and only to
public addresses (`public_addresses`). The configured key goes to the configured endpoint alone. Redirects are not followed.
No key is ever part of an error or a log line.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import SplitResult, urlsplit

import msgspec

from flowspan.errors import FlowErrorCode, InvalidArgumentError
from gateway.builtins.http_answers import failed_answer
from gateway.builtins.settings import DEFAULT_BASE_URL, OpenAiSettings
from runtime_core.builtins.inputs import InputReader, whole
from runtime_core.calls import CallAnswer, CallFailure, ComponentCall

if TYPE_CHECKING:
    import httpcore

CONNECT_S: Final = 10.0
SEND_S: Final = 30.0
MAX_BODY_BYTES: Final = 16 << 20
"""Of an answer: far more text than any model writes."""
MAX_CONNECTIONS: Final = 100
_KEY: Final = re.compile(r"[\x21-\x7e]{1,4096}\Z")


class _Input(msgspec.Struct, forbid_unknown_fields=True):
    messages: list[msgspec.Raw]
    model: str | None = None
    max_tokens: int | float | None = None
    temperature: int | float | None = None
    api_key: str | None = None
    base_url: str | None = None


class _Message(msgspec.Struct):
    content: str | None = None


class _Choice(msgspec.Struct):
    message: _Message


class _Completion(msgspec.Struct):
    choices: list[_Choice]


_input: Final = InputReader(_Input)
_completion: Final = msgspec.json.Decoder(_Completion)


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    headers: Sequence[tuple[bytes, bytes]]
    body: bytes


class OpenAi:
    """The component. `aclose` ends its connections; harmless if repeated."""

    def __init__(self, settings: OpenAiSettings) -> None:
        self._settings = settings
        self._own_url = _tidy(settings.base_url)
        self._allowed = {self._own_url, *map(_tidy, settings.allowed_base_urls)}
        self._pools: dict[bool, httpcore.AsyncConnectionPool] = {}

    async def aclose(self) -> None:
        pools, self._pools = list(self._pools.values()), {}
        for pool in pools:
            await pool.aclose()

    async def answer(self, call: ComponentCall) -> CallAnswer:
        """`{response}`: the text of the first choice."""
        given = _input.read(call.input)
        base_url = self._base_url(given.base_url)
        key = self._key(given.api_key, base_url)
        body = self._body(given)
        headers = [("content-type", "application/json"), ("accept", "application/json"), ("user-agent", "flowspan")]
        if key is not None:
            headers.append(("authorization", f"Bearer {key}"))
        url = f"{base_url}/chat/completions"
        answer = await self._ask(url, headers, body, call.template.timeout_s, base_url in self._allowed)
        if isinstance(answer, CallFailure):
            return answer
        if answer.status == 200 and (text := _text_of(answer.body)) is not None:
            return msgspec.json.encode({"response": text})
        # An endpoint may repeat what it was sent.
        said = answer.body if key is None else _without(answer.body, key)
        return failed_answer(_host(url), answer.status, answer.headers, said)

    def _base_url(self, given: str | None) -> str:
        if given is None:
            return self._own_url
        url = _tidy(given)
        if url in self._allowed:
            return url
        parts = _parsed(url)
        if parts.scheme != "https":
            wish = "must begin with https://, or be one of builtins.openai.allowed_base_urls in the configuration"
            raise _refused("base_url", wish)
        if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
            raise _refused("base_url", "must not hold a user, a password, a query or a fragment")
        return url

    def _key(self, given: str | None, base_url: str) -> str | None:
        key = given if given is not None else self._settings.api_key if base_url == self._own_url else None
        if key is None and base_url == DEFAULT_BASE_URL:
            raise _refused("api_key", "is missing; give it in the input, or set builtins.openai.api_key in the configuration")
        if key is not None and _KEY.match(key) is None:
            raise _refused("api_key", "holds characters that no key has")
        return key

    def _body(self, given: _Input) -> bytes:
        model = given.model if given.model is not None else self._settings.model
        if model is None:
            raise _refused("model", "is missing; give it in the input, or set builtins.openai.model in the configuration")
        if not given.messages:
            raise _refused("messages", "must not be empty")
        body: dict[str, Any] = {"model": model, "messages": given.messages}
        if given.max_tokens is not None:
            body["max_tokens"] = whole("max_tokens", given.max_tokens, 1, 2**31 - 1)
        if given.temperature is not None:
            body["temperature"] = given.temperature
        return msgspec.json.encode(body)

    async def _ask(
        self, url: str, headers: list[tuple[str, str]], body: bytes, timeout_s: float, is_configured: bool
    ) -> _Answer | CallFailure:
        # Loaded on first use: few gateways ask models, and none should start later for it.
        import httpcore

        from gateway.builtins.public_addresses import NotPublicError

        limits = {"connect": CONNECT_S, "write": SEND_S, "read": timeout_s, "pool": timeout_s}
        try:
            async with (
                asyncio.timeout(timeout_s),
                self._pool(is_configured).stream(
                    "POST", url, headers=headers, content=body, extensions={"timeout": limits}
                ) as response,
            ):
                parts: list[bytes] = []
                size = 0
                async for part in response.aiter_stream():
                    parts.append(part)
                    size += len(part)
                    if size > MAX_BODY_BYTES:
                        message = f"{_host(url)} answered with more than {MAX_BODY_BYTES} bytes"
                        return CallFailure(FlowErrorCode.COMPONENT_FAILED, message, is_final=True)
                return _Answer(response.status, response.headers, b"".join(parts))
        except NotPublicError as error:
            raise _refused("base_url", f"{error}; if that is meant, list it in builtins.openai.allowed_base_urls") from error
        except (httpcore.TimeoutException, TimeoutError):
            return CallFailure(FlowErrorCode.TIMEOUT, f"no answer from {_host(url)} in time")
        except (httpcore.NetworkError, httpcore.ProtocolError) as error:
            return CallFailure(FlowErrorCode.UNREACHABLE, f"{_host(url)} cannot be reached: {str(error) or type(error).__name__}")

    def _pool(self, is_configured: bool) -> httpcore.AsyncConnectionPool:
        """Connections to what the configuration names, or to what flows name."""
        import httpcore
        import httpx

        from gateway.builtins.public_addresses import PublicAddresses

        pool = self._pools.get(is_configured)
        if pool is None:
            pool = self._pools[is_configured] = httpcore.AsyncConnectionPool(
                ssl_context=httpx.create_ssl_context(),
                max_connections=MAX_CONNECTIONS,
                keepalive_expiry=30.0,
                network_backend=None if is_configured else PublicAddresses(),
            )
        return pool


def _text_of(body: bytes) -> str | None:
    """The text of a chat completion; None if the body holds none."""
    try:
        return _completion.decode(body).choices[0].message.content
    except (msgspec.DecodeError, UnicodeDecodeError, IndexError, RecursionError):
        return None


def _without(body: bytes, key: str) -> bytes:
    """The body with stars for a key, however JSON may spell it."""
    spelled = b"".join(rb"(?:\\?%b|(?i:\\u%04x))" % (re.escape(char).encode(), ord(char)) for char in key)
    return re.sub(spelled, b"***", body)


def _parsed(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        is_whole = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        is_whole = False
    if not is_whole or not url.isascii() or any(char <= " " for char in url):
        raise _refused("base_url", "is not a URL such as https://api.example.com/v1")
    return parts


def _tidy(url: str) -> str:
    return url.rstrip("/")


def _host(url: str) -> str:
    return urlsplit(url).netloc.rpartition("@")[2]


def _refused(field: str, message: str) -> InvalidArgumentError:
    return InvalidArgumentError(f"{field} {message}", field=field)
