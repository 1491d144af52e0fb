"""Clients of the services: one method for each RPC, over as many replicas as there are.

`client.py` and `async_client.py` are for users (`merrflow.Client`), `services.py` for the pipeline. Under both,
`connection.py` decides what is tried again, and `replicas.py`, `replica.py` and `wait_queue.py` which replica works
next. `identity.py` compares their engines, `addresses.py` finds them, `credentials.py` opens channels to them, `rpc.py`
knows the RPCs.
"""

from merrflow.clients.connection import Connection
from merrflow.clients.identity import Identity, identity, limits_of
from merrflow.clients.replicas import ServiceGone
from merrflow.clients.services import Services

__all__ = ["Connection", "Identity", "ServiceGone", "Services", "identity", "limits_of"]
