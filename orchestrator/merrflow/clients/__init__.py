"""Clients of the services: one method for each RPC, over as many replicas as there are.

`client.py` is for users (`merrflow.Client`), `services.py` for the pipeline. Under both: `connection.py` decides what
is tried again; `replicas.py`, `replica.py`, `wait_queue.py` which replica works next; `addresses.py` finds them;
`rpc.py` knows the RPCs.
"""

from merrflow.clients.connection import Connection
from merrflow.clients.replica import Identity, identity, limits_of
from merrflow.clients.replicas import ServiceGone
from merrflow.clients.services import Services

__all__ = ["Connection", "Identity", "ServiceGone", "Services", "identity", "limits_of"]
