"""Component servers that speak JSON-RPC over HTTP, with answers as JSON or as streams of server-sent events."""
