"""Decoding of untrusted video, sound and images, the same for every service and the orchestrator."""
