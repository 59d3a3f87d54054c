"""Lists that come in pages and read like one iterator."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")


class Pages(Generic[T]):
    """An async iterator over all pages; `next_page` for bulk. Each page is asked for when it is needed.

    Args:
        fetch: the page behind a token ("" for the first), and the token of the one after it ("" behind the last).
    """

    def __init__(self, fetch: Callable[[str], Awaitable[tuple[Sequence[T], str]]]) -> None:
        self._fetch = fetch
        self._token: str | None = ""

    async def next_page(self) -> Sequence[T] | None:
        """The next page that is not empty; None behind the last."""
        while self._token is not None:
            page, token = await self._fetch(self._token)
            self._token = token or None
            if page:
                return page
        return None

    async def __aiter__(self) -> AsyncIterator[T]:
        while (page := await self.next_page()) is not None:
            for element in page:
                yield element
