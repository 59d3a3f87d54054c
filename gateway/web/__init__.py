"""The run API over HTTP, for browsers and curl: JSON in the contract's words, server-sent events, Connect and gRPC-Web.

An extra (`flowspan-gateway[web]`): nothing here is imported unless an address is configured (docs/web.md).
"""
