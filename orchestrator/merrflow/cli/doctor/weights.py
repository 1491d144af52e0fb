"""Weights of the chosen engines, their licences, and the hubs that they are to come from."""

from __future__ import annotations

import os
from collections.abc import Iterator
from urllib.parse import quote

from merrflow.cli.doctor.finding import Finding, Situation, unless
from merrflow_serving import commands
from merrflow_serving.errors import one_line
from merrflow_serving.weights.messages import LISTED, TOKEN_VARIABLES
from merrflow_serving.weights.names import listed
from merrflow_serving.weights.places import Hub, WeightSettings, endpoint
from merrflow_serving.weights.state import State, states

_REFUSED = (401, 403)


def files(situation: Situation) -> Iterator[Finding]:
    """Whether the weights are there, and of the right size."""
    for _, state in _of_this_machine(situation):
        name = state.entry.name
        licence = f"licence: {state.entry.licence}" if state.entry.licence else ""
        if state.word == "present":
            yield Finding(name, "ok", f"{state.folder}; {licence}")
            continue
        what = "; ".join(state.found.damaged) or f"missing: {listed(state.found.missing, LISTED)}"
        yield Finding(name, "missing", f"{state.word} in {state.folder} ({what}); {licence}", "; ".join(state.to_get))
    if situation.containers or any(one.address for one in situation.engines):
        todo = commands.models("list") if commands.in_container() else "docker-compose run --rm weights list"
        yield Finding("weights of containers", "note", "in their own folder, which is not looked at from here", todo)


def licences(situation: Situation) -> Iterator[Finding]:
    """For weights that are still to come from a hub: whether it lets this user have them."""
    for place, state in _to_come(situation):
        repository = state.entry.repositories.get(place.hub)
        if repository is None or not repository.gated:
            continue
        check, variable = f"licence of {state.entry.name}", TOKEN_VARIABLES[place.hub]
        token = os.environ.get(variable, "")
        if not token:
            yield Finding(check, "missing", f"no token is set in {variable}", state.to_get[1])
            continue
        if place.offline or place.hub != "huggingface":
            continue
        path = f"{quote(repository.id)}/resolve/{quote(repository.revision)}/config.json"
        code, problem = _asked(f"{endpoint(place.hub)}/{path}", situation.seconds, token)
        if problem:
            continue  # `hubs` says so
        words = "accepted, and the token may read it" if code not in _REFUSED else f"{place.hub} refuses (HTTP {code})"
        yield unless(code not in _REFUSED, check, words, "; ".join(state.to_get[:2]))


def hubs(situation: Situation) -> Iterator[Finding]:
    """Whether the hubs answer, if something is to come from them."""
    asked: dict[Hub, bool] = {}
    for place, state in _to_come(situation):
        if state.entry.source(place.hub):
            asked[place.hub] = asked.get(place.hub, False) or place.offline
    for hub, offline in asked.items():
        if offline:
            todo = "unset MERRFLOW_OFFLINE and HF_HUB_OFFLINE, or copy the weights into the folder"
            yield Finding(hub, "missing", "weights are to come from it, but the settings say offline", todo)
            continue
        address = endpoint(hub)
        code, problem = _asked(address, situation.seconds)
        yield unless(
            not problem and code < 500,
            hub,
            f"{address} {'answers' if not problem else f'does not answer ({problem})'}",
            "check the network and its proxy (HTTPS_PROXY), name a mirror (HF_ENDPOINT, MODELSCOPE_ENDPOINT), or use "
            "the other hub (MERRFLOW_HUB)",
        )


def _of_this_machine(situation: Situation) -> Iterator[tuple[WeightSettings, State]]:
    if situation.containers:
        return
    for one in situation.engines:
        if one.is_here and one.weights:
            yield from ((one.place, state) for state in states(one.weights, one.place))


def _to_come(situation: Situation) -> Iterator[tuple[WeightSettings, State]]:
    return ((place, state) for place, state in _of_this_machine(situation) if not state.found.whole)


def _asked(address: str, seconds: float, token: str = "") -> tuple[int, str]:
    """The status that a HEAD request gets, and why there is none. The token goes to the address alone: a redirection
    to another host is not followed."""
    import httpx

    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        return httpx.head(address, headers=headers, timeout=seconds).status_code, ""
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        return 0, one_line(error)
