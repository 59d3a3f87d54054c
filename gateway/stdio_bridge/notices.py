"""What a server says about executions beside their answers. Members that are unknown here are ignored."""

from __future__ import annotations

import msgspec


class ProgressNotice(msgspec.Struct):
    """`$/progress`. By the id of the request, or by its task token."""

    id: int | str | None = None
    taskToken: str | None = None
    fraction: float = 0.0
    message: str | None = None


class StartedNotice(msgspec.Struct):
    """`$/started`: the code of these runs since about a second. Ids of requests."""

    ids: list[int | str] = []


class DrainNotice(msgspec.Struct):
    """`$/drain`: the process wants to be replaced. `ids`: requests that it has not begun and never will."""

    ids: list[int | str] = []


class CancelNotice(msgspec.Struct):
    """`$/cancelRequest`."""

    id: int | str | None = None


class CancelAnswer(msgspec.Struct):
    """The answer to `$/cancel`: ids of requests."""

    dropped: list[int | str] = []
    running: list[int | str] = []
