"""Engines of the service, each imported only when the settings name it."""
