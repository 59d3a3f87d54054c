"""Ten tasks, the same in every language: docs/sdks.md shows them side by side. With `serve` it is the component server."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from flowspan import Client, ComponentContext, ComponentError, ComponentServer
from flowspan.errors import FlowspanError


# 1. Store a flow
def one_step(component: str) -> dict[str, Any]:
    steps = [{"id": "only", "component": component, "input": {"$input": "$"}}]
    return {"name": component, "steps": steps, "output": {"$step": "only"}}


def store(client: Client) -> str:
    return client.store_flow(one_step("/shop/double"))


# 2. Run it
def run(client: Client, flow_id: str) -> None:
    status = client.run(flow_id, [1, 2, 3], label="first")
    for item in status.results or ():
        print(item.item_index, item.value)


# 3. Follow a run
def follow(client: Client, flow_id: str) -> tuple[str, int]:
    run = client.submit(flow_id, range(10), max_concurrency=5)
    watch = client.watch(run.run_id, order="byIndex")
    for item in watch:
        if item.item_index == 9:
            print("the last is", item.value)
    return run.run_id, watch.cursor


# 4. Go on from a cursor
def resume(client: Client, run_id: str, cursor: int) -> None:
    left = sum(1 for _ in client.watch(run_id, after_seq=cursor))
    print("left:", left)


# 5. Errors have reasons
def look_up(client: Client) -> None:
    try:
        client.get("019f0000-0000-7000-8000-000000000000")
    except FlowspanError as error:
        print(error.reason, "to be repeated" if error.retryable else "for good")


# 6. Wait with a bound, and cancel
def cancel(client: Client) -> None:
    run = client.submit(one_step("/shop/slow"), [None])
    print(client.wait(run.run_id, timeout_s=0.2).status.wire_name)
    client.cancel(run.run_id, "no longer needed")
    print(client.wait(run.run_id).status.wire_name)


# 7. Retry what failed
def retry(client: Client, flow_id: str) -> None:
    status = client.run(flow_id, [1, -1])
    for item in status.results or ():
        if item.error is not None:
            print(item.item_index, item.error.code, item.error.message)
    again = client.retry(status.run_id)
    print("again:", again.items.total)


# 8. Blobs
def blobs(client: Client) -> None:
    blob_id = client.put_blob({"count": 2**60})
    print(client.get_blob(blob_id)["count"])


# 9. Components
server = ComponentServer(capacity=8)


@server.component
async def double(value: int) -> int:
    if value < 0:
        raise ComponentError(f"{value} is negative")
    return 2 * value


@server.component
async def slow(value: None) -> None:
    await asyncio.sleep(60)  # cancelled with its run


# 10. A component that runs a flow
@server.component
async def total(values: list[int], ctx: ComponentContext) -> int:
    flow_id = await ctx.put_blob(one_step("/shop/double"), "flow")
    ctx.report_progress(0.5, "running the others")
    run = await ctx.submit_run(flow_id, values, wait=True)
    return sum(item.value for item in run.results or ())


# end
def main() -> None:
    if sys.argv[1:] == ["serve"]:
        server.run()
        return
    with Client() as client:
        flow_id = store(client)
        run(client, flow_id)
        resume(client, *follow(client, flow_id))
        look_up(client)
        cancel(client)
        retry(client, flow_id)
        blobs(client)
        status = client.run(one_step("/shop/total"), [[1, 2, 3]])
        print("in all:", (status.results or ())[0].value)


if __name__ == "__main__":
    main()
