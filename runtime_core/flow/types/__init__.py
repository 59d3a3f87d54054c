"""Static types of a flow's values: read from JSON Schemas, carried through expressions, held against what components take."""
