"""A flow as a picture: what stands in it and what needs what, a layered layout, and the picture as SVG, DOT or Mermaid.
All of it is pure."""
