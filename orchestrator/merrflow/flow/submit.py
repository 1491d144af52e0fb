"""`merrflow run --server`: starts a run of the deployment `annotate`, and follows it."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import httpx
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId
from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError

from merrflow.core.errors import InputError
from merrflow.core.proxies import keep_loopback_direct
from merrflow.flow.inert import as_written
from merrflow.flow.names import ANNOTATE
from merrflow.flow.trouble import may_pass, trouble
from merrflow.pipeline.request import Request

DEFAULT_URL = "http://127.0.0.1:4200/api"
POLL_SECONDS = 1.0
PATIENCE_SECONDS = 120.0  # for a server that is away while a run is followed


@dataclass(frozen=True)
class ServerRun:
    """How a run on the server ended."""

    name: str
    page: str  # URL of the run in the UI
    out: str
    state: str  # Completed, Failed, Cancelled, ...
    message: str
    counts: dict[str, int]  # the run's table of outcomes
    problems: tuple[tuple[str, str], ...]  # (clip, reason) of those that failed

    @property
    def complete(self) -> bool:
        """Every clip has a final outcome."""
        left = self.counts.get("to try again", 0) + self.counts.get("unfinished", 0)
        return self.state == "Completed" and not left


async def run_on_server(request: Request, on_state: Callable[[str, float | None, str], None]) -> ServerRun:
    """Starts the run and returns when it has ended. Raises `InputError` if it cannot be started.

    on_state: called with the state's name, the share that is done (0 to 1; None if unknown) and the URL of the run.
    The run continues if this is cancelled.
    """
    keep_loopback_direct()
    url = os.environ.setdefault("PREFECT_API_URL", DEFAULT_URL)
    parameters = _parameters(request)
    async with get_client() as client:
        try:
            deployment = await client.read_deployment_by_name(ANNOTATE)
            run = await client.create_flow_run_from_deployment(deployment.id, parameters=parameters)
        except ObjectNotFound:
            raise InputError(f"{url}: no worker has registered there; start one with `merrflow worker`") from None
        except (httpx.HTTPError, httpx.InvalidURL, RuntimeError) as error:
            if isinstance(error, PrefectHTTPStatusError) and not may_pass(error):
                raise InputError(f"{url} rejects this run: {_detail(error)}") from error
            raise InputError(
                f"no Prefect server answers at {url} ({trouble(error)}): set PREFECT_API_URL to its address"
            ) from error
        shown = os.environ.get("PREFECT_UI_URL") or url.rstrip("/").removesuffix("/api")
        page = f"{shown}/runs/flow-run/{run.id}"
        on_state("Scheduled", None, page)
        return await _follow(client, run, request, page, on_state)


def _parameters(request: Request) -> dict[str, Any]:
    given = {
        "transcripts": request.transcripts,
        "labels": request.labels,
        "action_units": request.action_units,
        "config": request.config,
        **request.overrides,
    }
    chosen = {name: value for name, value in given.items() if value is not None}
    return {"inputs": list(request.inputs), "out": request.out} | chosen


def _detail(error: PrefectHTTPStatusError) -> str:
    try:
        return str(error.response.json().get("detail") or error)
    except ValueError:
        return str(error)


async def _follow(
    client: PrefectClient, run: FlowRun, request: Request, page: str, on_state: Callable[[str, float | None, str], None]
) -> ServerRun:
    away = 0.0
    while True:
        try:
            run = await client.read_flow_run(run.id)
            found = await _artifacts(client, run)
            away = 0.0
        except httpx.HTTPError as error:
            away += POLL_SECONDS
            if away > PATIENCE_SECONDS:
                raise InputError(f"the server does not answer; once it does, the run is at {page}") from error
            found = {}
        progress = found.get("merrflow-progress")
        state = run.state
        on_state((state.name or "") if state else "", float(progress) / 100 if progress is not None else None, page)
        if state and state.is_final() and not state.is_crashed():
            break
        await asyncio.sleep(POLL_SECONDS)
    rows = json.loads(found.get("merrflow-clips") or "[]")
    counts = {row["what"]: row["how many"] for row in json.loads(found.get("merrflow-outcomes") or "[]")}
    problems = tuple((as_written(row["clip"]), as_written(row["reason"])) for row in rows if row["outcome"] == "failed")
    return ServerRun(run.name, page, request.out, state.name or "", state.message or "", counts, problems)


async def _artifacts(client: PrefectClient, run: FlowRun) -> dict[str, Any]:
    """Key -> data of a run's artifacts; if the run was started again, those of the last try."""
    mine = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run.id]))
    found = await client.read_artifacts(artifact_filter=mine)
    keyed = [(one.created, one.key, one.data) for one in found if one.created and one.key]
    return {key: data for _, key, data in sorted(keyed, key=itemgetter(0))}
