"""The client without asyncio: the same surface, driven on an event loop in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from functools import partial, wraps
from types import TracebackType
from typing import Any, Concatenate, Final, Generic, ParamSpec, TypeVar, Unpack

from flowspan.client.async_client import AsyncClient
from flowspan.client.channel import BlockingStubs
from flowspan.client.pages import Pages
from flowspan.client.retry import RetryPolicy
from flowspan.client.submission import FlowDocument, Inputs, SubmitOptions
from flowspan.client.tree_watch import TreeNews, TreeWatch
from flowspan.client.watch import Watch
from flowspan.errors import RequestCancelledError
from flowspan.view.status import ItemResult, ResultOrder, RunStatus

P = ParamSpec("P")
T = TypeVar("T")

_JOIN_TIMEOUT_S: Final = 5.0
"""Closing waits so long for the thread; it is a daemon, so a process that ends does not wait for it at all."""


SETTLE_S: Final = 0.01
"""What the last calls of a channel leave behind is taken by its loop in this time. All loops of a process share grpc's poller:
another one that found it later would log that this loop is closed."""


class _LoopThread:
    """An event loop in a thread."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="flowspan-client", daemon=True)
        self._thread.start()

    def call(self, make: Callable[[], Awaitable[T]]) -> T:
        """Await what `make` gives, over there; interrupting the caller cancels it."""
        if self._loop.is_closed():
            raise RequestCancelledError("the client is closed")

        async def main() -> T:
            return await make()

        future = asyncio.run_coroutine_threadsafe(main(), self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def close(self) -> None:
        if self._loop.is_closed():
            return
        asyncio.run_coroutine_threadsafe(asyncio.sleep(SETTLE_S), self._loop).result(_JOIN_TIMEOUT_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_JOIN_TIMEOUT_S)
        if not self._thread.is_alive():
            self._loop.close()


def _blocking(
    method: Callable[Concatenate[AsyncClient, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[Client, P], T]:
    @wraps(method)
    def call(self: Client, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._thread.call(lambda: method(self._client, *args, **kwargs))

    return call


def _iterating(method: Callable[Concatenate[AsyncClient, P], Pages[T]]) -> Callable[Concatenate[Client, P], SyncPages[T]]:
    @wraps(method)
    def call(self: Client, /, *args: P.args, **kwargs: P.kwargs) -> SyncPages[T]:
        return SyncPages(self._thread, method(self._client, *args, **kwargs))

    return call


class SyncPages(Generic[T]):
    """As `Pages`, an iterator."""

    def __init__(self, thread: _LoopThread, pages: Pages[T]) -> None:
        self._thread = thread
        self._pages = pages

    def next_page(self) -> Sequence[T] | None:
        """The next page that is not empty; None behind the last."""
        return self._thread.call(self._pages.next_page)

    def __iter__(self) -> Iterator[T]:
        while (page := self.next_page()) is not None:
            yield from page


class SyncWatch:
    """As `Watch`, an iterator of `ItemResult`."""

    def __init__(self, thread: _LoopThread, watch: Watch) -> None:
        self._thread = thread
        self._watch = watch

    @property
    def run_id(self) -> str | None:
        """See `Watch.run_id`."""
        return self._watch.run_id

    @property
    def status(self) -> RunStatus | None:
        """See `Watch.status`."""
        return self._watch.status

    @property
    def cursor(self) -> int:
        """See `Watch.cursor`."""
        return self._watch.cursor

    @property
    def is_over(self) -> bool:
        """See `Watch.is_over`."""
        return self._watch.is_over

    def next_batch(self) -> Sequence[ItemResult]:
        """See `Watch.next_batch`."""
        return self._thread.call(self._watch.next_batch)

    def batches(self) -> Iterator[Sequence[ItemResult]]:
        """See `Watch.batches`."""
        while batch := self.next_batch():
            yield batch

    def __iter__(self) -> SyncWatch:
        return self

    def __next__(self) -> ItemResult:
        watch = self._watch
        while not watch.has_ready:  # the thread is entered once per message, not per item
            if watch.is_over:
                raise StopIteration
            self._thread.call(watch.fill)
        return watch.take()

    def __enter__(self) -> SyncWatch:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """See `Watch.aclose`."""
        self._thread.call(self._watch.aclose)


class SyncTreeWatch:
    """As `TreeWatch`, an iterator of `TreeNews`."""

    def __init__(self, thread: _LoopThread, watch: TreeWatch) -> None:
        self._thread = thread
        self._watch = watch

    @property
    def run_id(self) -> str:
        """See `TreeWatch.run_id`."""
        return self._watch.run_id

    @property
    def statuses(self) -> Mapping[str, RunStatus]:
        """See `TreeWatch.statuses`."""
        return self._watch.statuses

    def next_news(self) -> TreeNews | None:
        """See `TreeWatch.next_news`."""
        return self._thread.call(self._watch.next_news)

    def __iter__(self) -> SyncTreeWatch:
        return self

    def __next__(self) -> TreeNews:
        news = self.next_news()
        if news is None:
            raise StopIteration
        return news

    def __enter__(self) -> SyncTreeWatch:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """See `TreeWatch.aclose`."""
        self._thread.call(self._watch.aclose)


class Client:
    """As `AsyncClient`, for code without an event loop. Arguments and methods are the same; `with` or `close` ends it."""

    def __init__(
        self,
        target: str | None = None,
        *,
        token: str | None = None,
        tls: bool | bytes = False,
        timeout_s: float = 10.0,
        retry: RetryPolicy | None = None,
    ) -> None:
        self._client = AsyncClient(target, token=token, tls=tls, timeout_s=timeout_s, retry=retry)
        self._thread = _LoopThread()

    @property
    def target(self) -> str:
        return self._client.target

    @property
    def raw(self) -> BlockingStubs:
        """See `AsyncClient.raw`."""
        return self._client.blocking_raw

    def close(self) -> None:
        """End all calls and watches, and the thread. Harmless if repeated."""
        if not self._client.is_closed:
            self._thread.call(self._client.aclose)
        self._thread.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()

    def watch(
        self, run_id: str, after_seq: int = 0, order: ResultOrder | str | None = None, *, task_token: str = ""
    ) -> SyncWatch:
        """See `AsyncClient.watch`."""
        return SyncWatch(self._thread, self._client.watch(run_id, after_seq, order, task_token=task_token))

    def watch_tree(self, run_id: str) -> SyncTreeWatch:
        """See `AsyncClient.watch_tree`."""
        return SyncTreeWatch(self._thread, self._client.watch_tree(run_id))

    def submit_and_watch(
        self,
        flow: FlowDocument,
        inputs: Inputs,
        *,
        order: ResultOrder | str | None = None,
        wait_token: str = "",
        **options: Unpack[SubmitOptions],
    ) -> SyncWatch:
        """See `AsyncClient.submit_and_watch`."""
        submitting = partial(self._client.submit_and_watch, flow, inputs, order=order, wait_token=wait_token, **options)
        return SyncWatch(self._thread, self._thread.call(submitting))

    store_flow = _blocking(AsyncClient.store_flow)
    check_flow = _blocking(AsyncClient.check_flow)
    get_flow = _blocking(AsyncClient.get_flow)
    list_flows = _iterating(AsyncClient.list_flows)
    submit = _blocking(AsyncClient.submit)
    run = _blocking(AsyncClient.run)
    wait = _blocking(AsyncClient.wait)
    get = _blocking(AsyncClient.get)
    items = _iterating(AsyncClient.items)
    list = _iterating(AsyncClient.list)
    cancel = _blocking(AsyncClient.cancel)
    retry = _blocking(AsyncClient.retry)
    delete = _blocking(AsyncClient.delete)
    put_blob = _blocking(AsyncClient.put_blob)
    get_blob = _blocking(AsyncClient.get_blob)
    get_blob_bytes = _blocking(AsyncClient.get_blob_bytes)
    read_blob = _blocking(AsyncClient.read_blob)
    components = _blocking(AsyncClient.components)
    health = _blocking(AsyncClient.health)
