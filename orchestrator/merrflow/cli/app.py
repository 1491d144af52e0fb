"""`merrflow`: its commands and their help. What they do is elsewhere."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
import threading
from pathlib import Path
from typing import Annotated, Any

import typer

from merrflow.cli import models as model_commands
from merrflow.cli import rules as rule_commands
from merrflow.cli.curate import CurateCommand, curate
from merrflow.cli.evaluate import evaluate
from merrflow.cli.export import ExportCommand, export_run
from merrflow.cli.mine import mine_run
from merrflow.cli.terminal import SafeConsole
from merrflow.core.errors import InputError
from merrflow_serving.catalog import SERVICES
from merrflow_serving.errors import MerrflowError

UNUSABLE = 2  # exit code for unusable arguments
UNFINISHED = 1  # exit code where some clips still need another run
INTERRUPTED = 130
TERMINATED = 143
EXIT_SECONDS = 15.0  # for what Prefect has left to send
_STOPPED = "stopped; the same command goes on from here"

# Where there is no terminal, lines are as long as they need to be.
console = SafeConsole(highlight=False, width=None if sys.stdout.isatty() else 160)
errors = SafeConsole(stderr=True, highlight=False)
app = typer.Typer(
    help="Turns raw video clips into multimodal emotion datasets, the way MERR (Emotion-LLaMA) was built.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
_SERVICE_HELP = f"One of {', '.join(SERVICES)}."
OutOption = Annotated[Path, typer.Option("--out", "-o", help="The folder of a run.", show_default=False)]


@app.command()
def run(
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT...",
            help="Video files, folders of them, or CSV tables with the columns path[,name,sentence,label].",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            "-o",
            help="Where results go. A second run there does only what is missing.",
            show_default=False,
        ),
    ],
    transcripts: Annotated[
        Path | None,
        typer.Option(
            "--transcripts",
            "-t",
            help="What is said in each clip: a CSV with the columns name,sentence, or MERR's JSON.",
        ),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(
            help="Labels that are known already: a CSV with the columns name,label, or MERR's JSON or TXT. They are "
            "checked against the Action Units."
        ),
    ] = None,
    action_units_from: Annotated[
        Path | None,
        typer.Option(
            help="Action Units that are known already: a folder of OpenFace CSVs (versions 1 and 2), or MERR's JSON "
            "with its peaks. openface-au is not needed then."
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option("--config", "-c", help="A YAML file with settings; `merrflow settings` lists them."),
    ] = None,
    rules: Annotated[
        str | None, typer.Option(help="Rule set for labels: default, merr, calibrated, or a YAML file.")
    ] = None,
    labels_from: Annotated[
        str | None, typer.Option(help="Who labels expressive clips: rules (default), or model.")
    ] = None,
    neutral_sample: Annotated[
        float | None, typer.Option(help="Share of neutral clips to keep, 0 to 1 (default 0.1).")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of everything that is drawn (default 0).")] = None,
    shard_size: Annotated[
        int | None, typer.Option(help="Clips in one Prefect task; with --server, in one worker's piece (default 256).")
    ] = None,
    server: Annotated[
        bool,
        typer.Option(
            "--server",
            help="Have the workers of the Prefect server at PREFECT_API_URL (default http://127.0.0.1:4200/api) do it. "
            "All paths are as the workers see them.",
        ),
    ] = False,
    gpu_sharing: Annotated[
        str | None,
        typer.Option(
            help="sequential: with less GPU memory than all models need, start and stop the containers of the compose "
            "project phase by phase. The plan is shown first."
        ),
    ] = None,
    gpu_memory: Annotated[
        str | None, typer.Option(help="Memory of the GPU, such as 24GiB (default: what the containers see).")
    ] = None,
    plan_only: Annotated[bool, typer.Option("--plan-only", help="Show the plan of --gpu-sharing and stop.")] = False,
) -> None:
    """Annotate clips: faces, scene, tone, subtitle, and what they say together about the emotion.

    Uses the services whose addresses are set (MERRFLOW_<SERVICE>_ADDRESS); where none are, it starts the
    embedded ones as local processes and stops them at the end.

    Stopping with Ctrl-C loses nothing: the same command goes on from there.

    Exit code 0: every clip has an outcome. 1: some failed for a reason that may pass; run it again. 2: unusable
    arguments.

    [bold]Example:[/bold] merrflow run clips/ --out out/ --transcripts clips/transcripts.csv
    """
    from merrflow.cli.gpu_plan import gpu_options, look_at_plan
    from merrflow.cli.progress import watch_run
    from merrflow.pipeline.request import Request

    overrides = {"rules": rules, "labels_from": labels_from, "neutral_sample": neutral_sample, "seed": seed}
    overrides["shard_size"] = shard_size
    request = Request(
        tuple(inputs),
        str(out),
        str(transcripts) if transcripts else None,
        str(config) if config else None,
        str(labels) if labels else None,
        str(action_units_from) if action_units_from else None,
        {name: value for name, value in overrides.items() if value is not None},
        **gpu_options(gpu_sharing, gpu_memory, plan_only=plan_only, server=server),
    )
    if plan_only:
        return console.print(asyncio.run(look_at_plan(request)))
    if server:
        from merrflow.cli.server_run import watch_on_server

        raise typer.Exit(0 if asyncio.run(watch_on_server(request, console)).complete else UNFINISHED)
    summary = asyncio.run(watch_run(request, console))
    raise typer.Exit(0 if summary.complete else UNFINISHED)


@app.command()
def serve(
    service: Annotated[str, typer.Argument(help=_SERVICE_HELP, show_default=False)],
    host: Annotated[str | None, typer.Option(help="Address to listen on (default 127.0.0.1).")] = None,
    port: Annotated[int | None, typer.Option(help="gRPC port (default: the service's own; 0: a free one).")] = None,
    engine: Annotated[str | None, typer.Option(help="Engine to load (default: the embedded one).")] = None,
) -> None:
    """Run one model service until Ctrl-C. Other tools can call it by gRPC; see docs/calling-services.md.

    All settings are environment variables MERRFLOW_<SERVICE>_<SETTING>, such as MERRFLOW_LLAMA3_PORT.
    """
    from merrflow_serving.__main__ import main as serve_main

    arguments = [service]
    for name, value in (("--host", host), ("--port", port), ("--engine", engine)):
        if value is not None:
            arguments += [name, str(value)]
    raise typer.Exit(serve_main(arguments))


@app.command()
def worker(
    pool: Annotated[str, typer.Option(help="Prefect work pool; made where it is not there.")] = "merrflow",
    kind: Annotated[
        str, typer.Option("--type", help="How runs are started: process (here), or kubernetes (as jobs).")
    ] = "process",
    limit: Annotated[
        int, typer.Option(help="Flow runs at once on this worker; a run that waits for its shards is one of them.")
    ] = 2,
    register_only: Annotated[
        bool, typer.Option("--register-only", help="Make the pool and register the deployments, and end.")
    ] = False,
    job_template: Annotated[Path | None, typer.Option(help="Base job template in JSON, for --type kubernetes.")] = None,
    inputs: Annotated[str, typer.Option(help="The clips that the form of a new run names at first.")] = "",
    out: Annotated[str, typer.Option(help="The folder for results that the form of a new run names at first.")] = "",
) -> None:
    """Work for a Prefect server: registers the deployment `annotate` and does the runs that are started there.

    The server is that of PREFECT_API_URL (default http://127.0.0.1:4200/api). Start runs from its UI, with `merrflow
    run --server`, or with `prefect deployment run annotate/annotate`. Any number of workers share large runs; one that
    dies loses nothing, another goes on.

    Several workers on several machines need one ledger for all: MERRFLOW_LEDGER_URL, a PostgreSQL database.
    """
    from merrflow.flow.worker import WorkerOptions, work

    options = WorkerOptions(pool, kind, limit, job_template, register_only, inputs, out)
    raise typer.Exit(asyncio.run(work(options, say=lambda text: errors.print(text, markup=False))))


@app.command()
def services(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
    config: Annotated[Path | None, typer.Option("--config", "-c", help="A YAML file with addresses.")] = None,
) -> None:
    """Show health, engine, model and limits of the four services.

    Asks the addresses that are set, and the services' own ports on this machine where none is.
    Exit code 1 unless all four are serving.
    """
    from merrflow.cli.services import look, show

    found = asyncio.run(look(config))
    console.print_json(json.dumps(found)) if as_json else show(found, console)
    raise typer.Exit(0 if all(item["health"] == "SERVING" for item in found) else UNFINISHED)


@app.command()
def call(
    service: Annotated[str, typer.Argument(help=_SERVICE_HELP, show_default=False)],
    file: Annotated[
        Path,
        typer.Argument(
            help="openface-au: a video or image. minigpt-v2: an image. qwen-audio: a sound or video file. "
            'llama3: JSON with "scene", "expressions", "tone", "subtitle", "label", and with "labels", a list, to have '
            "these weighed instead.",
            show_default=False,
        ),
    ],
    config: Annotated[Path | None, typer.Option("--config", "-c", help="A YAML file with addresses.")] = None,
) -> None:
    """Send one request to one service and print its answer as JSON.

    Where the service does not run yet, an embedded one is started for this call.
    """
    from merrflow.cli.services import call_once

    print(asyncio.run(call_once(service, file, config, say=_say)))


@app.command()
def status(out: OutOption, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Show what is done in a folder: outcomes, labels, what failed and why. Works while a run goes on."""
    from merrflow.cli.status import read_status, show_status

    found = read_status(out)
    console.print_json(json.dumps(found)) if as_json else show_status(found, console)


@app.command()
def report(out: OutOption) -> None:
    """Write all output files of a folder again from its ledger, report.html among them. Calls no model."""
    from merrflow.datasets.outputs import write_outputs
    from merrflow.store import existing_ledger

    summary = write_outputs(existing_ledger(out), out)
    console.print(f"{summary.out / 'report.html'}: {summary.coarse} coarse, {summary.fine} fine records")


@app.command()
def settings() -> None:
    """List the settings of a run, for --config FILE or as environment variables."""
    from merrflow.cli.services import show_settings

    show_settings(console)


app.command(cls=CurateCommand)(curate)
app.command("export", cls=ExportCommand)(export_run)
app.command()(evaluate)
app.command("mine")(mine_run)
app.add_typer(rule_commands.app, name="rules")
app.add_typer(model_commands.app, name="models")


def _say(text: str) -> None:
    errors.print(f"[dim]{text} ...[/dim]")


def main() -> Any:
    """The command's entry point: what goes wrong is said in one line."""
    # A dataset is hundreds of thousands of small objects that stay; the usual thresholds walk them over and over.
    gc.set_threshold(50_000, 20, 50)
    try:
        code = app(standalone_mode=False) or 0  # the exit code of a command's typer.Exit
        message = _STOPPED if code == INTERRUPTED else ""  # typer makes an exit code of Ctrl-C
    except InputError as error:
        code, message = UNUSABLE, str(error)
    except MerrflowError as error:
        code, message = UNFINISHED, f"{error} [{error.reason}]"
    except (KeyboardInterrupt, asyncio.CancelledError):
        code, message = INTERRUPTED, _STOPPED
    except BaseException as error:
        if hasattr(error, "format_message"):  # click's own: a wrong option, a missing argument
            code, message = UNUSABLE, error.format_message() or "see merrflow --help"
        elif type(error).__name__ == "TerminationSignal":  # what Prefect makes of SIGTERM
            code, message = TERMINATED, _STOPPED
        else:
            raise
    if message:
        errors.print(f"merrflow: {message}", style="red", markup=False, soft_wrap=True)
    _end_within(EXIT_SECONDS, code)
    sys.exit(code)


def _end_within(seconds: float, code: int) -> None:
    """Ends the process by then, whatever still waits: at an interpreter's end Prefect sends its last events, without a
    limit where its server hangs. All that is merrflow's own is closed by now."""
    sys.stdout.flush()
    last = threading.Timer(seconds, os._exit, (code,))
    last.daemon = True
    last.start()
