"""`/v1/components`: what components there are, and how their servers are."""

from __future__ import annotations

from typing import Any

import msgspec

from flowspan.errors import NotFoundError, Reason
from gateway.catalog import ComponentDescription, PluginStatus
from gateway.web.limits import MAX_ANSWER_BYTES
from gateway.web.parameters import ComponentParams
from gateway.web.request import Answer, WebRequest

_text = msgspec.json.encode


async def list_components(request: WebRequest) -> Answer:
    """`{"components": [...], "plugins": [...]}`; without schemas where they do not fit."""
    components = await request.faces.catalog.components()
    plugins = [_plugin(plugin) for plugin in request.faces.catalog.plugins()]
    body = _text({"components": [_component(one) for one in components], "plugins": plugins})
    if len(body) > MAX_ANSWER_BYTES:
        bare = [_component(one, with_schemas=False) for one in components]
        body = _text({"components": bare, "plugins": plugins})
    return Answer(body)


async def get(request: WebRequest) -> Answer:
    """`{"component": {...}, "plugin"?: {...}}`"""
    path = "/" + request.parameters(ComponentParams).path.lstrip("/")
    for component in await request.faces.catalog.components():
        if component.path == path:
            answer: dict[str, Any] = {"component": _component(component)}
            for plugin in request.faces.catalog.plugins():
                if plugin.name == component.plugin:
                    answer["plugin"] = _plugin(plugin)
            return Answer(_text(answer))
    raise NotFoundError(
        f"no component server offers {path[:200]!r}; /v1/components lists what there is",
        reason=Reason.COMPONENT_NOT_FOUND,
        component=path[:200],
    )


def _component(component: ComponentDescription, *, with_schemas: bool = True) -> dict[str, Any]:
    members: dict[str, Any] = {"path": component.path, "plugin": component.plugin}
    if component.description is not None:
        members["description"] = component.description
    for name, schema in (("inputSchema", component.input_schema), ("outputSchema", component.output_schema)):
        if with_schemas and schema is not None:
            members[name] = msgspec.Raw(schema)
    return members


def _plugin(plugin: PluginStatus) -> dict[str, Any]:
    head, *tail = plugin.health.name.lower().split("_")
    return {
        "name": plugin.name,
        "type": plugin.type,
        "health": head + "".join(part.capitalize() for part in tail),
        "detail": plugin.detail,
        "restarts": plugin.restarts,
        "capacity": plugin.capacity,
        "inFlight": plugin.in_flight,
        "stderrTail": list(plugin.stderr_tail),
    }
