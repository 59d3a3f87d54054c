"""The other way round: stored flows as tools of an MCP server (`flowspan mcp`)."""
