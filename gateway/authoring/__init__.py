"""Tools around a flow: its picture, its tests, the story of an item. What they show is decided here, without a terminal."""
