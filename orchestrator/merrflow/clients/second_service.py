"""The client of a second engine (a witness), or of the judge that compares texts: what is wrong with it costs no
record."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from google.protobuf.message import Message

from merrflow.clients.replicas import ReplicasDiffer
from merrflow.clients.services import Services
from merrflow.core.errors import RunStopped, WitnessAway
from merrflow.core.settings import RunSettings
from merrflow_serving.errors import MerrflowError, NotReady

log = logging.getLogger(__name__)


class SecondService(Services):
    """A client of one service. Once the service cannot be had, its calls raise `WitnessAway` at once, so that the clips
    of a run do not wait for it one after the other; the next run asks it again."""

    def __init__(self, title: str, role: str, address: str, settings: RunSettings, given_by: str = "--witness") -> None:
        """title: what messages call it. role: its service in the catalog. given_by: what sets its address."""
        super().__init__({role: address}, settings, given_by)
        self._title = title
        self.connection = self.connections[role]
        self._problem = ""

    async def __aenter__(self) -> SecondService:
        """Raises `ReplicasDiffer` if another service is at the address."""
        try:
            await super().__aenter__()
        except ReplicasDiffer:
            raise
        except MerrflowError as error:
            self.give_up(str(error))
        return self

    async def wait_ready(self, say: Callable[[str], None] = lambda text: None) -> None:
        """Returns once it is warm, or cannot be. Raises `NotReady` only if it would send what must not leave."""
        try:
            if not self._problem:
                await super().wait_ready(say)
        except NotReady as error:
            self._raise_if_kept_here()
            self.give_up(str(error))

    def raise_if_broken(self) -> None:
        """Raises `NotReady` if it would send what must not leave; nothing else of it stops a run."""
        self._raise_if_kept_here()

    def give_up(self, problem: str) -> None:
        """From now on it counts as away."""
        if not self._problem:
            log.warning("%s is not asked in this run: %s", self._title, problem)
            self._problem = problem

    async def _send(self, request: Message, media: bytes | None = None) -> Any:
        if self._problem:
            raise WitnessAway(self._problem)
        try:
            return await super()._send(request, media)
        except (RunStopped, NotReady) as error:
            self.give_up(str(error))
            raise WitnessAway(str(error)) from error
