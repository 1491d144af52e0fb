"""The engines of the openface-au service. Heavy libraries are imported here only, when an engine loads."""
