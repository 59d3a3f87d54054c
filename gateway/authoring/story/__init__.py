"""An item's way through a flow, told step by step. Pure: recorded calls in, the story out."""
