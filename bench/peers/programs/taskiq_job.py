"""taskiq on Redis: one task per item, all sent, then all waited for. Nothing of it outlives a crash of Redis.

Usage: taskiq_job.py DIRECTORY. Redis is the one on PATH, or beside this interpreter.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from exchange import check, payload, serve_async, tell_ready

START_S = 15.0
WAIT_S = 55.0
POLL_S = 0.005
"""Of the client, for a result: its way to wait; its default is 0.2."""


def start_redis(directory: str) -> subprocess.Popen[bytes]:
    """Raises FileNotFoundError, TimeoutError."""
    beside = os.path.dirname(sys.executable)
    redis = shutil.which("redis-server", path=os.pathsep.join((os.environ["PATH"], beside)))
    if redis is None:
        raise FileNotFoundError("redis-server is not installed")
    socket = Path(directory, "redis.sock")
    command = [redis, "--port", "0", "--unixsocket", str(socket), "--save", "", "--dir", directory]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
    until_s = time.monotonic() + START_S
    while not socket.exists():
        if time.monotonic() > until_s or process.poll() is not None:
            process.kill()
            raise TimeoutError("redis-server did not start")
        time.sleep(0.02)
    os.environ["REDIS_URL"] = f"unix://{socket}"
    return process


async def client() -> None:
    from taskiq_tasks import broker, echo

    await broker.startup()

    async def run(items: int) -> None:
        inputs = [payload(index) for index in range(items)]
        sent = await asyncio.gather(*[echo.kiq(value) for value in inputs])
        results = await asyncio.gather(*[one.wait_result(check_interval=POLL_S, timeout=WAIT_S) for one in sent])
        check(inputs, [result.return_value for result in results])

    await run(1)  # the worker is up
    tell_ready("taskiq", "taskiq-redis")
    await serve_async(run)
    await broker.shutdown()


def main(directory: str) -> None:
    redis = start_redis(directory)
    try:
        command = [sys.executable, "-m", "taskiq", "worker", "taskiq_tasks:broker", "--workers", "1", "--log-level", "ERROR"]
        worker = subprocess.Popen(command, cwd=Path(__file__).parent, stdout=sys.stderr, stdin=subprocess.DEVNULL)
        try:
            asyncio.run(client())
        finally:
            worker.terminate()
            worker.wait()
    finally:
        redis.terminate()
        redis.wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
