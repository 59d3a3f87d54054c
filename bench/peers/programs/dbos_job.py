"""DBOS on SQLite, its default without a server.

Usage: dbos_job.py workflows|steps DIRECTORY. `workflows`: one workflow of one step per item, all started, then all waited for.
`steps`: one workflow whose steps are the items, one after the other.
"""

from __future__ import annotations

import sys
from typing import Any

from dbos import DBOS
from exchange import check, payload, serve, tell_ready


@DBOS.step()
def echo(value: Any) -> Any:
    return value


@DBOS.workflow()
def one_item(value: Any) -> Any:
    return echo(value)


@DBOS.workflow()
def all_items(values: list[Any]) -> list[Any]:
    return [echo(value) for value in values]


def main(kind: str, directory: str) -> None:
    url = f"sqlite:///{directory}/dbos.db"
    DBOS(config={"name": "bench", "system_database_url": url, "log_level": "ERROR", "run_admin_server": False})
    DBOS.launch()

    def run(items: int) -> None:
        inputs = [payload(index) for index in range(items)]
        if kind == "steps":
            check(inputs, all_items(inputs))
        else:
            handles = [DBOS.start_workflow(one_item, value) for value in inputs]
            check(inputs, [handle.get_result() for handle in handles])

    tell_ready("dbos")
    serve(run)
    DBOS.destroy()


if __name__ == "__main__":
    main(*sys.argv[1:])
