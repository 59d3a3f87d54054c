"""What an order desk knows: prices, discounts, who approves."""

from dataclasses import dataclass
from typing import Any

from flowspan import ComponentError, ComponentServer

CENTS = {"tea": 450, "pot": 2900, "samovar": 89000}
PERCENT = {"Ada": 10, "Grace": 5}
LARGE_CENTS = 50_000

server = ComponentServer()


@dataclass
class Line:
    article: str
    count: int = 1


@dataclass
class Order:
    results: list[dict[str, Any]]
    percent: int


@server.component
def price(line: Line) -> int:
    """The price of a line, in cents."""
    if line.article not in CENTS:
        raise ComponentError(f"we do not sell {line.article}")
    return CENTS[line.article] * line.count


@server.component
def discount(customer: str) -> dict[str, int]:
    """What a customer gets off."""
    if customer not in PERCENT:
        raise ComponentError(f"{customer} is not in the book")
    return {"percent": PERCENT[customer]}


@server.component
def total(order: Order) -> dict[str, Any]:
    """Adds up the lines that have a price."""
    cents = sum(result["value"] for result in order.results if result["outcome"] == "success")
    cents -= cents * order.percent // 100
    return {"cents": cents, "large": cents >= LARGE_CENTS}


@server.component
def approve(cents: int) -> str:
    """Somebody looks at a large order."""
    return f"Mrs Hopper looked at {cents / 100:.2f}"


if __name__ == "__main__":
    server.run()
