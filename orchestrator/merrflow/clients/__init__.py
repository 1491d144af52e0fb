"""Clients of the four services: one call for each thing a model does, over as many replicas as there are.

`services.py` has the calls; `connection.py` what is tried again; `replicas.py`, `replica.py`, `line.py` which replica
works next; `addresses.py` where they are.
"""

from merrflow.clients.connection import Connection
from merrflow.clients.replica import Identity, identity, limits_of
from merrflow.clients.replicas import ServiceGone
from merrflow.clients.services import Services, send_media

__all__ = ["Connection", "Identity", "ServiceGone", "Services", "identity", "limits_of", "send_media"]
