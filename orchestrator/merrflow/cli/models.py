"""`merrflow models`: the weights of the real models. Which there are, get them, check them."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from merrflow.cli.terminal import SafeConsole
from merrflow.core.errors import InputError

if TYPE_CHECKING:
    from merrflow_serving.weights.look import State
    from merrflow_serving.weights.places import Place

UNFINISHED = 1  # exit code where weights are absent or damaged
console = SafeConsole(highlight=False, width=None if sys.stdout.isatty() else 160)
app = typer.Typer(
    help="Weights of the real models: list them, get them from a hub, check the files.",
    no_args_is_help=True,
)
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
NamesArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[NAME...]",
        help="Entries of `merrflow models list`, or repositories as organisation/name[@revision].",
        show_default=False,
    ),
]
HubOption = Annotated[
    str | None, typer.Option(help="huggingface (default) or modelscope. [env: MERRFLOW_HUB]", show_default=False)
]
FolderOption = Annotated[
    Path | None,
    typer.Option(
        "--models-dir",
        help="Where weights are kept (default ~/.cache/merrflow/models). [env: MERRFLOW_MODELS_DIR]",
        show_default=False,
    ),
]
COLOURS = {"present": "green", "absent": "dim", "partial": "yellow", "damaged": "red"}


@app.command("list")
def list_(
    names: NamesArgument = None, hub: HubOption = None, models_dir: FolderOption = None, as_json: JsonOption = False
) -> None:
    """List weights: what for, licence, size, and where they are or how to get them."""
    found = _look(names, _place(hub, models_dir))
    if as_json:
        console.print_json(json.dumps([state.as_json() for state in found]))
        return
    for state in found:
        _show(state)
    console.print("Licences of engines and what may be done with outputs: docs/models.md", markup=False)


@app.command()
def pull(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="NAME...",
            help="Entries of `merrflow models list`, or repositories as organisation/name[@revision].",
            show_default=False,
        ),
    ],
    hub: HubOption = None,
    models_dir: FolderOption = None,
    as_json: JsonOption = False,
) -> None:
    """Get weights from a hub: only the files that are needed, checked, going on where an earlier pull stopped.

    Gated weights need a token in HF_TOKEN or MODELSCOPE_API_TOKEN. Those that no hub has are told with the steps to
    get them.

    [bold]Example:[/bold] merrflow models pull qwen2-audio-7b-instruct
    """
    from merrflow_serving.weights.entries import entry
    from merrflow_serving.weights.pull import pull as pull_one

    place = _place(hub, models_dir)
    if place.offline:
        raise InputError("MERRFLOW_OFFLINE or HF_HUB_OFFLINE is set, so no hub is asked; unset it to pull")
    wanted = [_named(lambda name=name: entry(name)) for name in names]  # all names are known before the first pull
    for one in wanted:
        folder = pull_one(one, place)
        if not as_json:
            console.print(f"{one.name}: {folder}", markup=False, soft_wrap=True)
    if as_json:
        console.print_json(json.dumps([state.as_json() for state in _look(names, place)]))


@app.command()
def verify(names: NamesArgument = None, models_dir: FolderOption = None, as_json: JsonOption = False) -> None:
    """Read the files again and hold them against size and sha256. Without names: all that are there.

    Exit code 1 where something lacks or is damaged.
    """
    place = _place(None, models_dir)
    asked = names or [state.entry.name for state in _look(None, place) if state.word != "absent"]
    found = _look(asked, place, deep=True) if asked else []
    if as_json:
        console.print_json(json.dumps([state.as_json() for state in found]))
    else:
        for state in found:
            _show(state)
        if not found:
            console.print(f"no weights in {place.models_dir}", markup=False, soft_wrap=True)
    raise typer.Exit(0 if all(state.found.whole for state in found) else UNFINISHED)


def _look(names: list[str] | None, place: Place, *, deep: bool = False) -> list[State]:
    from merrflow_serving.weights.look import look

    return _named(lambda: look(names or [], place, deep=deep))


def _named(call):  # type: ignore[no-untyped-def]
    """What `call` gives; a name that is none is an unusable argument."""
    from merrflow_serving.errors import InvalidInput

    try:
        return call()
    except InvalidInput as error:
        raise InputError(str(error)) from error


def _place(hub: str | None, models_dir: Path | None) -> Place:
    from dataclasses import replace

    from merrflow_serving.weights.places import HUBS, Place

    place = Place()
    if models_dir is not None:
        place = replace(place, models_dir=models_dir.expanduser().absolute())
    if hub is not None:
        place = replace(place, hub=hub)  # type: ignore[arg-type]
    if place.hub not in HUBS:
        raise InputError(f"there is no hub {place.hub!r}; there are: {', '.join(HUBS)}")
    return place


def _show(state: State) -> None:
    one = state.entry
    size = f"{one.bytes / 1e9:.1f} GB" if one.bytes else "size unknown"
    console.print(f"[bold]{escape(one.name)}[/bold]  [{COLOURS[state.word]}]{state.word}[/]  {size}", soft_wrap=True)
    lines = [one.purpose if not one.service else f"{one.purpose} ({one.service}: {', '.join(one.engines)})"]
    lines.append(f"licence: {one.licence}" + (f"; outputs: {one.outputs}" if one.outputs else ""))
    if state.word == "present":
        lines.append(f"{state.folder} ({state.revision})")
    lines += [f"damaged: {text}" for text in state.found.damaged]
    if state.word == "partial":
        lines.append(f"missing: {', '.join(state.found.missing)}")
    if state.to_get:
        lines += [f"to get it: {step}" for step in state.to_get]
    for line in lines:
        console.print(f"    {line}", markup=False, soft_wrap=True)
