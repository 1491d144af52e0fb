"""Who compares the texts of second engines with those of the main ones: rules, or the reasoning model in a service of
its own, because the one that scores labels is set to another prompt."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from merrflow.clients import Identity, identity
from merrflow.clients.second_service import SecondService
from merrflow.core.errors import InputError, WitnessAway
from merrflow.core.labels import LabelScores
from merrflow.core.settings import RunSettings
from merrflow.core.texts import Clues
from merrflow.pipeline.embedded_engines import embedded_engine
from merrflow.pipeline.local_services import Local
from merrflow.pipeline.witness_engines import started_here
from merrflow.stages.claims.judge import Judge
from merrflow.stages.claims.model import PROMPT, ModelJudge
from merrflow.stages.claims.rules import RuleJudge
from merrflow.stages.stage import Reply
from merrflow.stages.text_agreement import JUDGE
from merrflow_serving.catalog import SERVICES
from merrflow_serving.errors import MerrflowError

_ROLE = "llama3"
_LOCAL = Local(_ROLE, environment={f"{SERVICES[_ROLE].env_prefix}SCORE_PROMPT": PROMPT})
_TITLE = "the judge of witnesses' texts"


@dataclass(frozen=True)
class TextJudge:
    """Found before it is known whether there is anything to judge."""

    identity: Identity | None  # None: the rules judge
    connected: SecondService | None  # None: to be started here

    @classmethod
    async def find(cls, stack: AsyncExitStack, settings: RunSettings) -> TextJudge:
        """As the setting `witness_judge` says. Raises `InputError` for one that cannot be had."""
        wanted = settings.witness_judge
        if wanted == "rules" or not settings.second_engines:
            return cls(None, None)
        try:
            if wanted == "model":
                found = cls(identity(embedded_engine(_ROLE, score_prompt=PROMPT)), None)
            else:
                service = SecondService(_TITLE, _ROLE, wanted, settings, "MERRFLOW_WITNESS_JUDGE")
                await stack.enter_async_context(service)
                if not (engine := service.connection.info.engine).engine:
                    raise InputError(f"witness_judge: no llama3 service answers at {wanted}")
                found = cls(identity(engine), service)
        except MerrflowError as error:
            raise InputError(f"witness_judge: {error}") from error
        found.judge(None)  # raises if it has another prompt
        return found

    @property
    def is_model(self) -> bool:
        """Whether a service judges."""
        return self.identity is not None

    async def start(self, stack: AsyncExitStack, settings: RunSettings, logs: Path) -> SecondService | None:
        """Its service, started or connected; None if it needs none."""
        if self.identity is None or self.connected:
            return self.connected
        return await started_here(stack, settings, logs, None, JUDGE, _LOCAL, _TITLE)

    def judge(self, service: SecondService | None) -> Judge:
        """The judge, who asks this service. Only his version is known without it."""
        return RuleJudge() if self.identity is None else ModelJudge(service or _NotStarted(), self.identity)


class _NotStarted:
    async def score(self, clip: str, clues: Clues, labels: Sequence[str]) -> Reply[LabelScores]:
        raise WitnessAway(f"{_TITLE} is not started")
