"""Engines of the scene service. Heavy libraries are imported only here, and only when an engine loads."""
