"""ComponentService: what components there are, and how their servers are."""

from __future__ import annotations

from typing import Final

from google.protobuf.descriptor import ServiceDescriptor

from flowspan.errors import NotFoundError, Reason
from flowspan.protobuf.convert import JsonValue
from flowspan.v1 import component_service_pb2 as pb
from gateway.catalog import ComponentCatalog, ComponentDescription, PluginHealth, PluginStatus
from gateway.grpc_server.call import Call
from gateway.grpc_server.limits import MAX_SEND_BYTES

_HEALTH: Final[dict[PluginHealth, pb.PluginHealth.ValueType]] = {
    PluginHealth.STARTING: pb.PLUGIN_HEALTH_STARTING,
    PluginHealth.UP: pb.PLUGIN_HEALTH_UP,
    PluginHealth.BACKING_OFF: pb.PLUGIN_HEALTH_BACKING_OFF,
    PluginHealth.CIRCUIT_OPEN: pb.PLUGIN_HEALTH_CIRCUIT_OPEN,
    PluginHealth.BROKEN: pb.PLUGIN_HEALTH_BROKEN,
}


def component_to_message(component: ComponentDescription, *, with_schemas: bool = True) -> pb.Component:
    return pb.Component(
        path=component.path,
        plugin=component.plugin,
        description=component.description,
        input_schema=_schema(component.input_schema) if with_schemas else None,
        output_schema=_schema(component.output_schema) if with_schemas else None,
    )


def _schema(schema: bytes | None) -> JsonValue | None:
    return None if schema is None else JsonValue(json=schema)


def plugin_to_message(plugin: PluginStatus) -> pb.Plugin:
    return pb.Plugin(
        name=plugin.name,
        type=plugin.type,
        health=_HEALTH[plugin.health],
        detail=plugin.detail,
        restarts=plugin.restarts,
        capacity=plugin.capacity,
        in_flight=plugin.in_flight,
        stderr_tail=plugin.stderr_tail,
    )


class ComponentService:
    """The methods of `flowspan.v1.ComponentService`, over the catalogue."""

    descriptor: Final[ServiceDescriptor] = pb.DESCRIPTOR.services_by_name["ComponentService"]

    def __init__(self, catalog: ComponentCatalog) -> None:
        self._catalog: Final = catalog

    async def ListComponents(self, _request: pb.ListComponentsRequest, _call: Call) -> pb.ListComponentsResponse:
        components = await self._catalog.components()
        plugins = [plugin_to_message(plugin) for plugin in self._catalog.plugins()]
        answer = pb.ListComponentsResponse(
            components=[component_to_message(component) for component in components], plugins=plugins
        )
        if answer.ByteSize() > MAX_SEND_BYTES:
            # GetComponent tells the schemas one by one.
            del answer.components[:]
            answer.components.extend(component_to_message(component, with_schemas=False) for component in components)
        return answer

    async def GetComponent(self, request: pb.GetComponentRequest, _call: Call) -> pb.GetComponentResponse:
        for component in await self._catalog.components():
            if component.path == request.path:
                plugins = [plugin for plugin in self._catalog.plugins() if plugin.name == component.plugin]
                return pb.GetComponentResponse(
                    component=component_to_message(component), plugin=plugin_to_message(plugins[0]) if plugins else None
                )
        raise NotFoundError(
            f"no component server offers {request.path[:200]!r}; `flowspan components` lists what there is",
            reason=Reason.COMPONENT_NOT_FOUND,
            component=request.path[:200],
        )
