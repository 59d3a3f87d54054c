"""A layered drawing of a graph without cycles (after Sugiyama): rows by longest path, an order with few crossings, places,
and lines. Knows nothing of flows; the same graph gives the same drawing, to the last digit."""
