"""`merrflow`: its commands and their help. What they do is elsewhere."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Annotated

import typer

from merrflow.cli import models as model_commands
from merrflow.cli import rules as rule_commands
from merrflow.cli.command import App
from merrflow.cli.compare import compare
from merrflow.cli.curate import CurateCommand, curate
from merrflow.cli.doctor.command import doctor
from merrflow.cli.evaluate import evaluate
from merrflow.cli.export import ExportCommand, export_run
from merrflow.cli.import_verdicts import import_verdicts
from merrflow.cli.mine import mine_run
from merrflow.cli.review import audit, review
from merrflow.cli.score import score
from merrflow.cli.status import report, status
from merrflow.cli.terminal import error_console, output_console
from merrflow.cli.worker import prefect, worker
from merrflow_serving.catalog import SERVICES

UNFINISHED = 1  # exit code if some clips still need another run

app = App(
    help="Turns raw video clips into multimodal emotion datasets, the way MERR (Emotion-LLaMA) was built.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
AllowRemote = Annotated[
    bool | None,
    typer.Option(
        "--allow-remote",
        help="Let services send pictures, sound and texts of the clips to endpoints beyond this machine and its "
        "private network (docs/remote-models.md).",
        show_default=False,
    ),
]
_SERVICE_HELP = f"One of {', '.join(SERVICES)}."


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"merrflow {version('merrflow')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None: ...


@app.command()
def run(
    inputs: Annotated[
        list[Path],
        typer.Argument(
            metavar="INPUT",
            help="Video files, folders of them, or CSV tables with the columns path[,name,sentence,label].",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            "-o",
            help="The output folder. A second run into it does only what is missing.",
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
            help="Known labels: a CSV with the columns name,label, or MERR's JSON or TXT. They are checked against "
            "the Action Units."
        ),
    ] = None,
    layout: Annotated[
        str | None,
        typer.Option(
            help="Whose tables --transcripts, --labels and lists of clips are, if they have other columns: meld, "
            "mer2023, mer2024, iemocap, cmu-mosei, dfew (docs/inputs.md)."
        ),
    ] = None,
    table_encoding: Annotated[
        str | None, typer.Option(help="Encoding of these tables, such as gb18030 (default: found, or refused).")
    ] = None,
    action_units_from: Annotated[
        Path | None,
        typer.Option(
            help="Precomputed Action Units: a folder of OpenFace CSVs (versions 1 and 2), or MERR's JSON with its "
            "peaks. The service openface-au is then not needed."
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
        str | None, typer.Option(help="What labels expressive clips: rules (default) or model.")
    ] = None,
    witnesses: Annotated[
        str | None, typer.Option(help="A YAML file with the witnesses that a label's standing is judged by.")
    ] = None,
    witness: Annotated[
        list[str] | None,
        typer.Option(
            help="Second engines, which answer beside the main one: ROLE=ENGINE[,...] or ROLE=HOST:PORT, such as "
            "qwen-audio=qwen2_audio,openai. May be repeated (docs/witnesses.md)."
        ),
    ] = None,
    translate: Annotated[
        str | None, typer.Option(help="en: translate subtitles that are not English (default off).")
    ] = None,
    neutral_sample: Annotated[
        float | None, typer.Option(help="Share of neutral clips to keep, 0 to 1 (default 0.1).")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of all random choices (default 0).")] = None,
    shard_size: Annotated[
        int | None, typer.Option(help="Clips per Prefect task; with --server, per flow run (default 256).")
    ] = None,
    server: Annotated[
        bool,
        typer.Option(
            "--server",
            help="Run on the workers of the Prefect server at PREFECT_API_URL (default http://127.0.0.1:4200/api). "
            "Give all paths as the workers see them.",
        ),
    ] = False,
    allow_remote: AllowRemote = None,
    gpu_sharing: Annotated[
        str | None,
        typer.Option(
            help="sequential: if the GPU cannot hold all models at once, start and stop the containers of the Compose "
            "project phase by phase. The plan is shown first."
        ),
    ] = None,
    gpu_memory: Annotated[
        str | None, typer.Option(help="Memory of the GPU, such as 24GiB (default: as the containers report it).")
    ] = None,
    plan_only: Annotated[bool, typer.Option("--plan-only", help="Show the plan of --gpu-sharing and exit.")] = False,
) -> None:
    """Annotate clips: faces, scene, tone, subtitle, and the emotion they point to.

    Calls the services at MERRFLOW_<SERVICE>_ADDRESS. If no address is set, it
    starts the embedded services as local processes and stops them at the end.

    Ctrl-C loses nothing: run the same command again to continue.

    Exit code 0: every clip has an outcome. 1: some clips failed for a reason
    that may pass, or something stopped the run: run again. 2: unusable arguments.

    [bold]Example:[/bold] merrflow run clips/ --out out/ --transcripts clips/transcripts.csv
    """
    from merrflow.cli.gpu_plan import gpu_options, look_at_plan
    from merrflow.cli.progress import watch_run
    from merrflow.pipeline.request import Request

    overrides: dict[str, str | float | None] = {"rules": rules, "labels_from": labels_from, "seed": seed}
    overrides |= {"witnesses": witnesses, "witness": " ".join(witness) if witness else None}
    overrides |= {"neutral_sample": neutral_sample, "translate": translate, "shard_size": shard_size}
    overrides |= {"layout": layout, "table_encoding": table_encoding, "allow_remote": allow_remote}
    request = Request(
        tuple(map(str, inputs)),
        str(out),
        str(transcripts) if transcripts else None,
        str(config) if config else None,
        str(labels) if labels else None,
        str(action_units_from) if action_units_from else None,
        {name: value for name, value in overrides.items() if value is not None},
        **gpu_options(gpu_sharing, gpu_memory, plan_only=plan_only, server=server),
    )
    if plan_only:
        return output_console().print(asyncio.run(look_at_plan(request)))
    if server:
        from merrflow.cli.server_run import watch_on_server

        raise typer.Exit(0 if asyncio.run(watch_on_server(request, output_console())).complete else UNFINISHED)
    summary = asyncio.run(watch_run(request, output_console()))
    raise typer.Exit(0 if summary.complete else UNFINISHED)


@app.command()
def serve(
    service: Annotated[str, typer.Argument(help=_SERVICE_HELP, show_default=False)],
    host: Annotated[str | None, typer.Option(help="Address to listen on (default 127.0.0.1).")] = None,
    port: Annotated[int | None, typer.Option(help="gRPC port (default: the service's own; 0: any free one).")] = None,
    engine: Annotated[str | None, typer.Option(help="Engine to load (default: the embedded one).")] = None,
) -> None:
    """Run one model service until Ctrl-C, for any gRPC client (docs/calling-services.md).

    Settings are environment variables MERRFLOW_<SERVICE>_<SETTING>, such as
    MERRFLOW_LLAMA3_PORT.
    """
    from merrflow_serving.__main__ import main as serve_main

    arguments = [service]
    for name, value in (("--host", host), ("--port", port), ("--engine", engine)):
        if value is not None:
            arguments += [name, str(value)]
    raise typer.Exit(serve_main(arguments))


@app.command()
def services(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
    config: Annotated[Path | None, typer.Option("--config", "-c", help="A YAML file with addresses.")] = None,
) -> None:
    """Show health, engine, model and limits of the services.

    Asks the addresses that are set; without one, the service's default port on
    this machine. Exit code 1 if a service is not serving; optional ones may be off.
    """
    from merrflow.cli.services import look, show

    found = asyncio.run(look(config))
    console = output_console()
    console.print_json(json.dumps(found)) if as_json else show(found, console)
    raise typer.Exit(0 if all(item["health"] in ("SERVING", "OFF") for item in found) else UNFINISHED)


@app.command()
def call(
    service: Annotated[str, typer.Argument(help=_SERVICE_HELP, show_default=False)],
    file: Annotated[
        Path,
        typer.Argument(
            help="openface-au: a video or image. minigpt-v2: an image. qwen-audio, whisper: a sound or video file. "
            'llama3: JSON with "scene", "expressions", "tone", "subtitle" and "label"; or with a list "labels" instead '
            'of "label", to score each of them.',
            show_default=False,
        ),
    ],
    config: Annotated[Path | None, typer.Option("--config", "-c", help="A YAML file with addresses.")] = None,
    allow_remote: AllowRemote = None,
) -> None:
    """Send one request to one service and print its answer as JSON.

    If the service is not running, an embedded one is started for this call.
    """
    from merrflow.cli.services import call_once

    console = error_console()

    def say(text: str) -> None:
        console.print(f"{text} ...", style="dim", markup=False)

    print(asyncio.run(call_once(service, file, config, say=say, allow_remote=allow_remote)))


@app.command()
def settings() -> None:
    """List the settings of a run, for --config FILE or environment variables."""
    from merrflow.cli.services import show_settings

    show_settings(output_console())


for command in (worker, prefect, status, report, evaluate, score, review, audit, compare, doctor):
    app.command()(command)
app.command(cls=CurateCommand)(curate)
app.command("export", cls=ExportCommand)(export_run)
app.command("import")(import_verdicts)
app.command("mine")(mine_run)
app.add_typer(rule_commands.app, name="rules")
app.add_typer(model_commands.app, name="models")
