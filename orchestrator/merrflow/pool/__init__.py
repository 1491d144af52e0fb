"""Runs by the workers of a Prefect work pool: registration, shards for all workers, and the revival of what died."""
