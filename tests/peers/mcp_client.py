"""A client of `flowspan mcp` made with the published `mcp` package. Run by `mcp_servers.py`.

Arguments: the command of the server. Prints what it saw as one line of JSON.
"""

import asyncio
import json
import sys
import time

from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client


def told(result):
    return {
        "isError": result.is_error,
        "structured": result.structured_content,
        "text": [block.text for block in result.content],
        "run": (result.meta or {}).get("flowspan/runId"),
    }


async def main():
    seen = {}
    parameters = StdioServerParameters(command=sys.argv[1], args=sys.argv[2:])
    async with stdio_client(parameters) as (reading, writing), ClientSession(reading, writing) as session:
        hello = await session.initialize()
        seen["server"] = hello.server_info.name
        listed = (await session.list_tools()).tools
        seen["tools"] = {tool.name: {"input": tool.input_schema, "output": tool.output_schema} for tool in listed}
        progress = []

        async def on_progress(done, total, message):
            progress.append(done)

        seen["greeting"] = told(await session.call_tool("greet", {"name": "Ж"}, progress_callback=on_progress))
        seen["progress"] = progress
        seen["wrong"] = told(await session.call_tool("greet", {"name": 1}))
        seen["number"] = told(await session.call_tool("wait", {"ms": 1}))
        calls = [session.call_tool("wait", {"ms": 200}) for _ in range(20)]
        began = time.monotonic()
        seen["many"] = [told(result)["structured"] for result in await asyncio.gather(*calls)]
        seen["many_took_s"] = time.monotonic() - began
        try:
            await session.call_tool("nowhere", {})
        except Exception as error:
            seen["unknown"] = str(error)
        slow = asyncio.create_task(session.call_tool("wait", {"ms": 60_000}))
        await asyncio.sleep(0.5)
        slow.cancel()
        try:
            await slow
        except asyncio.CancelledError:
            pass
        seen["after_cancel"] = told(await session.call_tool("wait", {"ms": 1}))
        began = time.monotonic()
    seen["end_took_s"] = time.monotonic() - began
    print(json.dumps(seen))


asyncio.run(main())
