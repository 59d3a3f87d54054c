"""The components of @NAME@."""

from __future__ import annotations

from flowspan import ComponentContext, ComponentError, ComponentServer

server = ComponentServer()

COUNT = {
    "name": "count",
    "steps": [{"id": "count", "component": "/@NAME@/count", "input": {"$input": "$"}}],
    "output": {"$step": "count"},
}


@server.component
def count(text: str) -> int:
    """The number of words of a text."""
    words = len(text.split())
    if words == 0:
        raise ComponentError("a text without words", code="INVALID_INPUT")
    return words


@server.component
async def total(texts: list[str], ctx: ComponentContext) -> int:
    """The words of many texts: `count` over all of them, as a sub-run."""
    flow_id = await ctx.put_blob(COUNT, "flow")
    run = await ctx.submit_run(flow_id, texts, wait=True)
    run.raise_for_failures()
    return sum(item.value for item in run.results or ())


if __name__ == "__main__":
    server.run()
