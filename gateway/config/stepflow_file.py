"""`stepflow-config.yml` read as a configuration of ours, with a note on everything that means something else here."""

from __future__ import annotations

from typing import Any, Final

_CATCH_ALL: Final = "/{*component}"
_MEMORY_TYPES: Final = ("inMemory", "in_memory", "memory")
_STDIO_MEMBERS: Final = ("command", "args", "env")


def translate(document: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The document in our members, and notes for people. What is unknown here is left out and named in a note; mistakes in
    what is taken over are found by the model."""
    notes: list[str] = []
    ours: dict[str, Any] = {}
    for name, value in document.items():
        if name == "plugins" and isinstance(value, dict):
            ours["plugins"] = {plugin: _plugin(plugin, settings, notes) for plugin, settings in value.items()}
        elif name == "routes" and isinstance(value, dict):
            ours["routes"] = {_prefix(path, notes): _targets(path, target, notes) for path, target in value.items()}
        elif name in ("stateStore", "storageConfig", "state_store", "storage_config"):
            _store(name, value, ours, notes)
        else:
            notes.append(f"{name}: is not taken over")
    return ours, notes


def _plugin(name: str, settings: Any, notes: list[str]) -> Any:
    if not isinstance(settings, dict) or settings.get("type") != "stepflow":
        return settings
    if "command" not in settings:
        for member in [member for member in settings if member not in ("type", "url", "transport")]:
            notes.append(f"plugins.{name}.{member}: is not taken over; the server is spoken to over HTTP")
        return {"type": "http", "url": settings.get("url", "")}
    kept = {member: settings[member] for member in _STDIO_MEMBERS if member in settings}
    transport = "http" if settings.get("transport") == "http" else "stdio"
    for member in settings:
        if member not in (*_STDIO_MEMBERS, "type") and settings.get(member) != transport:
            how = "over stdin and stdout" if transport == "stdio" else "over HTTP"
            notes.append(f"plugins.{name}.{member}: is not taken over; the server is spoken to {how}")
    notes.append(f"plugins.{name}: sees only PATH, HOME, LANG, TZ and what its `env` names")
    return {"type": transport, **kept}


def _prefix(path: str, notes: list[str]) -> str:
    if path.endswith(_CATCH_ALL):
        return path.removesuffix(_CATCH_ALL) or "/"
    if "{" in path:
        notes.append(f"routes.{path}: patterns other than a final {_CATCH_ALL} are not taken over")
        return path.partition("/{")[0] or "/"
    return path


def _targets(path: str, target: Any, notes: list[str]) -> Any:
    if not isinstance(target, list):
        return target
    kept: list[Any] = []
    for route in target:
        if isinstance(route, dict):
            for member in [member for member in route if member not in ("plugin", "conditions")]:
                notes.append(f"routes.{path}: {member} is not taken over")
            route = {member: value for member, value in route.items() if member in ("plugin", "conditions")}
        kept.append(route)
    return kept


def _store(name: str, value: Any, ours: dict[str, Any], notes: list[str]) -> None:
    kind = value.get("type") if isinstance(value, dict) else None
    if kind in _MEMORY_TYPES:
        ours["store"] = {"type": "memory"}
    elif kind == "sqlite" and isinstance(url := value.get("databaseUrl", value.get("database_url")), str):
        path = url.removeprefix("sqlite:").removeprefix("//").partition("?")[0]
        ours["store"] = {"type": "sqlite", "path": f"{path}.flowspan"}
        notes.append(f"{name}: runs are kept in the directory {path}.flowspan; the database {path} is not read")
    else:
        notes.append(f"{name}: is not taken over; the default store is used")
