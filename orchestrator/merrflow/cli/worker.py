"""`merrflow worker` and `merrflow prefect`: runs that are started in Prefect's pages."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from merrflow.cli.terminal import error_console


def worker(
    pool: Annotated[str, typer.Option(help="Prefect work pool; created if it does not exist.")] = "merrflow",
    kind: Annotated[
        str, typer.Option("--type", help="How runs are executed: process (here) or kubernetes (as jobs).")
    ] = "process",
    limit: Annotated[
        int, typer.Option(help="Flow runs at once on this worker; a run that waits for its shards counts.")
    ] = 2,
    register_only: Annotated[
        bool, typer.Option("--register-only", help="Create the pool, register the deployments, and exit.")
    ] = False,
    job_template: Annotated[Path | None, typer.Option(help="Base job template in JSON, for --type kubernetes.")] = None,
    inputs: Annotated[str, typer.Option(help="Default clips in the UI's form for a new run.")] = "",
    out: Annotated[
        str, typer.Option(help="Default output folder in that form. The worker ends if it cannot be written to.")
    ] = "",
    reports_port: Annotated[
        int,
        typer.Option(
            min=0, max=65535, help="Port at which reports can be opened in a browser; 0: they are not served."
        ),
    ] = 4220,
    reports_host: Annotated[
        str, typer.Option(help="Address to serve them at. Beyond this machine it needs TLS and a token.")
    ] = "127.0.0.1",
    reports_tls_cert: Annotated[Path | None, typer.Option(help="Certificate (PEM), for other machines.")] = None,
    reports_tls_key: Annotated[Path | None, typer.Option(help="Its private key (PEM).")] = None,
    reports_token_file: Annotated[
        Path | None, typer.Option(help="File with tokens, one per line; a report is opened with ?token=TOKEN.")
    ] = None,
) -> None:
    """Run a Prefect worker: register the deployment `annotate` and execute its runs.

    The server is at PREFECT_API_URL (default http://127.0.0.1:4200/api; merrflow
    prefect starts one). Start runs in its pages, with `merrflow run --server`, or
    with `prefect deployment run annotate/annotate`. Any number of workers share
    large runs. If one dies, another continues its work.

    Workers on several machines need a shared ledger: set MERRFLOW_LEDGER_URL to
    a PostgreSQL database. Each run in Prefect has a link to its report, at
    MERRFLOW_REPORTS_URL (default: --reports-port on this machine).
    """
    from merrflow.flow.report_server import ReportServer
    from merrflow.flow.worker import WorkerOptions, work

    served = reports_port and kind == "process"  # other kinds of workers may not see the output folders
    reports = ReportServer(reports_host, reports_port, reports_tls_cert, reports_tls_key, reports_token_file)
    options = WorkerOptions(pool, kind, limit, job_template, register_only, inputs, out, reports if served else None)
    raise typer.Exit(asyncio.run(work(options, say=lambda text: error_console().print(text, markup=False))))


def prefect(
    host: Annotated[str, typer.Option(help="Address to listen on. Prefect asks nobody for a password.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 4200,
    keep_days: Annotated[
        int, typer.Option(min=0, help="Delete runs from Prefect's history this many days after they end; 0: keep all.")
    ] = 90,
) -> None:
    """Serve Prefect's API and pages, until Ctrl-C. The first page leads to the form for a run.

    The same as `prefect server start`, and its settings (PREFECT_...) apply. But
    its pages open at the deployment `annotate`, nothing is sent to an analytics
    host, and old runs are deleted from its history. Datasets and their ledgers
    are never touched.
    """
    from merrflow.flow.prefect_server import serve

    serve(host, port, keep_days)
