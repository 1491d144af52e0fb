"""Runs the graph of stages over the clips of a run: scheduling, stage cache, session, services, GPU phases."""
