"""The task of taskiq_job.py, as its worker imports it. REDIS_URL names the server."""

from __future__ import annotations

import os
from typing import Any

from taskiq_redis import ListQueueBroker, RedisAsyncResultBackend

URL = os.environ["REDIS_URL"]

broker = ListQueueBroker(URL).with_result_backend(RedisAsyncResultBackend(URL))


@broker.task
async def echo(value: Any) -> Any:
    return value
