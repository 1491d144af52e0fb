"""Makes the work pool with its two queues and registers the deployments. Every worker does so; repeats are harmless."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from prefect import Flow
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
from prefect.deployments.runner import RunnerDeployment
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound
from prefect.types.entrypoint import EntrypointType
from prefect.workers.utilities import get_default_base_job_template_for_infrastructure_type

from merrflow.core.errors import InputError
from merrflow.core.settings import RunSettings
from merrflow.core.settings_file import load_settings
from merrflow.core.version import __version__
from merrflow.flow.annotate import annotate_flow, annotate_shard_flow
from merrflow.flow.names import POOL, RUNS, SHARDS, TAG

# Whole runs at once. Each takes a worker's place while it waits for its shards, so there must be fewer than places.
RUNS_AT_ONCE = 1


async def register(
    pool: str = POOL, kind: str = "process", job_template: Path | None = None, inputs: str = "", out: str = ""
) -> None:
    """Makes or updates the pool, its queues and the deployments.

    kind: Prefect's type of worker. job_template: a base job template as JSON, for `kubernetes`. inputs, out: what the
    form of a new run shows by default. Raises `InputError`.
    """
    async with get_client() as client:
        await _make_pool(client, pool, kind, await _template(kind, job_template))
        await _make_queue(client, pool, RUNS, RUNS_AT_ONCE)
        await _make_queue(client, pool, SHARDS, None)
    first: dict[str, Any] = {"inputs": [inputs]} if inputs else {}
    first |= {"out": out} if out else {}
    for flow, queue, parameters in ((annotate_flow, RUNS, first), (annotate_shard_flow, SHARDS, {})):
        deployment = await flow.ato_deployment(
            name=flow.name,
            work_pool_name=pool,
            work_queue_name=queue,
            parameters=parameters,
            version=__version__,
            entrypoint_type=EntrypointType.MODULE_PATH,
            tags=[TAG],
        )
        deployment = deployment.model_copy(update={"entrypoint": entry_point(flow)})
        if flow is annotate_flow:
            explain(deployment)
        await deployment.aapply()


def entry_point(flow: Flow[..., Any]) -> str:
    """What a worker imports to run the flow. It stays the same, so that workers of several versions share a pool."""
    return f"merrflow.flow.{flow.fn.__name__}"


def explain(deployment: RunnerDeployment) -> None:
    """Adds to every field of the form what it is for, and the value that applies if it is left empty."""
    settings = load_settings()
    properties = deployment._parameter_openapi_schema.properties
    for name, field in properties.items():
        # A field that may be null is shown as a choice of types; a field left empty is not sent at all.
        kinds = [kind for kind in field.pop("anyOf", []) if kind.get("type") != "null"]
        field.update(*kinds)
        if field.get("default", 0) is None:
            del field["default"]
        if name in RunSettings.model_fields:
            purpose = RunSettings.model_fields[name].description or name
            if not purpose.split()[0].endswith(":"):  # a value, which stays as it is typed
                purpose = purpose[0].upper() + purpose[1:]
            field["description"] = f"{purpose}. Empty: {_in_words(getattr(settings, name))}."


def _in_words(value: object) -> str:
    """A setting, for people."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value) or "nothing"


async def _template(kind: str, file: Path | None) -> dict[str, Any]:
    if file:
        try:
            return dict(json.loads(file.read_text()))
        except (OSError, ValueError, TypeError) as error:
            raise InputError(f"{file}: not a base job template in JSON ({error})") from error
    template = await get_default_base_job_template_for_infrastructure_type(kind)
    if template is None:
        raise InputError(
            f"Prefect has no worker type {kind!r} here: use process, or install prefect-kubernetes for kubernetes"
        )
    return template


async def _make_pool(client: PrefectClient, pool: str, kind: str, template: dict[str, Any]) -> None:
    try:
        there = await client.read_work_pool(pool)
    except ObjectNotFound:
        try:
            description = "Workers of merrflow: whole runs, and the shards of large ones."
            new = WorkPoolCreate(name=pool, type=kind, base_job_template=template, description=description)
            await client.create_work_pool(new)
            return
        except ObjectAlreadyExists:  # another worker was first
            there = await client.read_work_pool(pool)
    if there.type != kind:
        raise InputError(f"the work pool {pool!r} has the type {there.type}, not {kind}; choose another with --pool")
    if template != there.base_job_template:
        await client.update_work_pool(pool, WorkPoolUpdate(base_job_template=template))


async def _make_queue(client: PrefectClient, pool: str, name: str, limit: int | None) -> None:
    try:
        queue = await client.read_work_queue_by_name(name, work_pool_name=pool)
    except ObjectNotFound:
        try:
            queue = await client.create_work_queue(name, work_pool_name=pool)
        except ObjectAlreadyExists:
            queue = await client.read_work_queue_by_name(name, work_pool_name=pool)
    if queue.concurrency_limit is None and limit is not None:  # a limit that people have set is kept
        await client.update_work_queue(queue.id, concurrency_limit=limit)
