"""Each model of the system at one shape, through its engine's own code."""
