"""What every merrflow model service shares: server life, batching, errors, media, settings, metrics."""

import os

# gRPC's native log would say once more, in its own words, what our errors say. Read when grpc is first imported.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

__version__ = "0.1.0"
