"""A flow built in Python: a flow for each line of an order, a default where a step fails, a branch.

python orders.py          prints the flow, as YAML
python orders.py --run    runs it on the gateway of this machine (`flowspan serve` in this directory)
"""

import sys

from flowspan import Client, FlowBuilder, if_, on_error


def line_flow() -> FlowBuilder:
    """Prices one line; a flow of its own, so that one bad line does not spoil the order."""
    flow = FlowBuilder("line")
    flow.output(flow.add("price", "/python/price", flow.input))
    return flow


def order_flow() -> FlowBuilder:
    flow = FlowBuilder("order", description="Prices an order, and has large ones approved.")
    flow.input_schema({"type": "object", "required": ["customer", "lines"]})
    default_percent = flow.declare_variable("percent", {"type": "integer"}, default=0)

    lines = flow.add(
        "lines",
        "/builtin/map",
        {"workflow": line_flow(), "items": flow.input["lines"], "max_concurrency": 3},
    )
    discount = flow.add(
        "discount",
        "/python/discount",
        flow.input["customer"],
        on_error=on_error.use_default({"percent": None}),
        timeout="2s",
    )
    total = flow.add(
        "total",
        "/python/total",
        {"results": lines["results"], "percent": if_(discount["percent"], discount["percent"], default_percent)},
    )
    # Runs only for large orders: nothing but the branch below needs it.
    approval = flow.add("approval", "/python/approve", total["cents"])
    flow.output(
        {
            "cents": total["cents"],
            "unknown": lines["failed"],
            "approval": if_(total["large"], then=approval, else_="not needed"),
        }
    )

    flow.test_case(
        "a small order",
        {"customer": "Ada", "lines": [{"article": "tea", "count": 2}, {"article": "chalk"}]},
        {"outcome": "success", "value": {"cents": 810, "unknown": 1, "approval": "not needed"}},
    )
    flow.test_case(
        "a large order of a stranger",
        {"customer": "Kay", "lines": [{"article": "samovar"}]},
        {"outcome": "success", "value": {"cents": 89000, "unknown": 0, "approval": "Mrs Hopper looked at 890.00"}},
    )
    return flow


def run() -> None:
    orders = [{"customer": "Grace", "lines": [{"article": "pot"}, {"article": "tea"}]}, {"customer": "Kay"}]
    with Client() as client:
        for item in client.run(order_flow(), orders, variables={"percent": 1}).results or ():
            print(item.item_index, item.value if item.error is None else item.error.message)


if __name__ == "__main__":
    if sys.argv[1:] == ["--run"]:
        run()
    else:
        print(order_flow().to_yaml(), end="")
