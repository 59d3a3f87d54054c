"""MCP servers as plugins: their tools are components."""
