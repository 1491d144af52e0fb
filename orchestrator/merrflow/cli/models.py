"""`merrflow models`: lists, pulls and verifies the weights of the original models."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from merrflow.cli.command import App
from merrflow.cli.recommend import recommend
from merrflow.cli.terminal import output_console
from merrflow.core.errors import InputError
from merrflow.core.paths import expanded

if TYPE_CHECKING:
    from merrflow_serving.weights.places import Place
    from merrflow_serving.weights.state import State

UNFINISHED = 1  # exit code if weights are absent or damaged
app = App(
    help="Weights of the original models: list, download, verify; and which ones fit this machine.",
    no_args_is_help=True,
)
_NAMES_HELP = (
    r"Entries of `merrflow models list`, `laptop` for small ones that need no card, or repositories as "
    r"organisation/name\[@revision]."
)
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
NamesArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[NAME...]",
        help=_NAMES_HELP,
        show_default=False,
    ),
]
HubOption = Annotated[
    str | None,
    typer.Option(help="huggingface or modelscope (default: MERRFLOW_HUB, or huggingface).", show_default=False),
]
FolderOption = Annotated[
    Path | None,
    typer.Option(
        "--models-dir",
        help="The folder with weights (default: MERRFLOW_MODELS_DIR, or ~/.cache/merrflow/models).",
        show_default=False,
    ),
]
COLOURS = {"present": "green", "absent": "dim", "partial": "yellow", "damaged": "red"}


@app.command("list")
def list_(
    names: NamesArgument = None, hub: HubOption = None, models_dir: FolderOption = None, as_json: JsonOption = False
) -> None:
    """List weights: purpose, licence, size, and where they are or how to get them."""
    found = _states(names, _place(hub, models_dir))
    if as_json:
        output_console().print_json(json.dumps([state.as_json() for state in found]))
        return
    for state in found:
        _show(state)
    output_console().print(
        "Licences of the engines, and what you may do with their outputs: docs/models.md", markup=False
    )


@app.command()
def pull(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="NAME",
            help=_NAMES_HELP,
            show_default=False,
        ),
    ],
    hub: HubOption = None,
    models_dir: FolderOption = None,
    accept_licence: Annotated[
        bool,
        typer.Option("--accept-licence", help="You have read and accept the licences of weights that ask for it."),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Download weights from a hub: only the files that are needed, with their sha256 checked.

    Files that an earlier pull finished are kept. Gated weights need a token in
    HF_TOKEN or MODELSCOPE_API_TOKEN. For weights that are on no hub, the steps to
    get them are printed.

    [bold]Example:[/bold] merrflow models pull qwen2-audio-7b-instruct
    """
    from merrflow_serving import commands
    from merrflow_serving.weights.entries import entry, members
    from merrflow_serving.weights.locate import together
    from merrflow_serving.weights.pull import preflight
    from merrflow_serving.weights.pull import pull as pull_one

    place = _place(hub, models_dir)
    if place.offline:
        raise InputError("MERRFLOW_OFFLINE or HF_HUB_OFFLINE is set, so no hub is asked; unset it to pull")
    with _validated_names():
        wanted = [entry(name) for name in members(names)]  # all of them before the first pull
    for one in wanted:
        if one.asks and not accept_licence:
            raise InputError(
                f"{one.name} is under a licence of its own ({one.licence}; {one.licence_url}): read it and, if you "
                f"accept it, run: {commands.models('pull', one.name, '--accept-licence')}"
            )
    if problems := preflight([(one, place) for one in wanted]):
        raise together(problems)
    for one in wanted:
        folder = pull_one(one, place)
        if not as_json:
            output_console().print(f"{one.name}: {folder}", markup=False, soft_wrap=True)
    if as_json:
        output_console().print_json(json.dumps([state.as_json() for state in _states(names, place)]))


@app.command()
def add(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE", help="Files of weights that are on no hub.", show_default=False)
    ],
    models_dir: FolderOption = None,
    stdin: Annotated[
        bool, typer.Option("--stdin", help="Read the file from standard input; FILE gives its name alone.")
    ] = False,
) -> None:
    """Copy files that you downloaded yourself to where their engine looks for them.

    For weights that are on no hub; `list` says where to get them. A file is known by its name.

    [bold]Example:[/bold] merrflow models add eva_vit_g.pth minigptv2_checkpoint.pth
    """
    from merrflow_serving.weights.add import add as add_one

    place = _place(None, models_dir)
    if stdin and len(files) > 1:
        raise InputError("--stdin: only one file can come from standard input")
    source = sys.stdin.buffer if stdin else None
    with _validated_names():
        for file in files:
            output_console().print(f"{file.name}: {add_one(file, place, source)}", markup=False, soft_wrap=True)


@app.command()
def verify(names: NamesArgument = None, models_dir: FolderOption = None, as_json: JsonOption = False) -> None:
    """Read the files again and compare their sizes and sha256.

    Without names, all weights in the folder are verified. Exit code 1 if a file
    is missing or damaged.
    """
    place = _place(None, models_dir)
    asked = names or [state.entry.name for state in _states(None, place) if state.word != "absent"]
    found = _states(asked, place, deep=True) if asked else []
    if as_json:
        output_console().print_json(json.dumps([state.as_json() for state in found]))
    else:
        for state in found:
            _show(state)
        if not found:
            output_console().print(f"no weights in {place.models_dir}", markup=False, soft_wrap=True)
    raise typer.Exit(0 if all(state.found.whole for state in found) else UNFINISHED)


app.command()(recommend)


def _states(names: list[str] | None, place: Place, *, deep: bool = False) -> list[State]:
    from merrflow_serving.weights.entries import members
    from merrflow_serving.weights.state import states

    with _validated_names():
        return states(members(names or []), place, deep=deep)


@contextmanager
def _validated_names() -> Iterator[None]:
    """Within it, an unknown name raises `InputError`."""
    from merrflow_serving.errors import InvalidInput

    try:
        yield
    except InvalidInput as error:
        raise InputError(str(error)) from error


def _place(hub: str | None, models_dir: Path | None) -> Place:
    from merrflow_serving.weights.places import HUBS, Place

    place = Place()
    asked = place.hub if hub is None else hub
    chosen = next((one for one in HUBS if one == asked), None)
    if chosen is None:
        raise InputError(f"there is no hub {asked!r}; there are: {', '.join(HUBS)}")
    return replace(place, hub=chosen, models_dir=expanded(models_dir or place.models_dir).absolute())


def _show(state: State) -> None:
    one = state.entry
    size = _size(one.bytes) if one.bytes else "size unknown"
    output_console().print(
        f"[bold]{escape(one.name)}[/bold]  [{COLOURS[state.word]}]{state.word}[/]  {size}", soft_wrap=True
    )
    lines = [one.purpose if not one.service else f"{one.purpose} ({one.service}: {', '.join(one.engines)})"]
    lines.append(f"licence: {one.licence}" + (f"; outputs: {one.outputs}" if one.outputs else ""))
    if state.word == "present":
        lines.append(f"{state.folder} ({state.revision})")
    lines += [f"damaged: {text}" for text in state.found.damaged]
    lines += [f"cannot be read: {text}" for text in state.found.unreadable]
    if state.word == "partial":
        lines.append(f"missing: {', '.join(state.found.missing)}")
    if state.to_get:
        lines += [f"to get it: {step}" for step in state.to_get]
    for line in lines:
        output_console().print(f"    {line}", markup=False, soft_wrap=True)


def _size(count: int) -> str:
    """Of bytes: gigabytes, or megabytes if there are few."""
    return f"{count / 1e9:.1f} GB" if count >= 1e8 else f"{count / 1e6:.1f} MB"
