"""The graph of stages, from a clip's file to its record.

This is the only place that lists the stages. The pipeline runs each of them once what it needs is there; everything
else that depends on the stages or their order is derived from the graph.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from typing import Any

from merrflow.core.errors import InputError
from merrflow.formats.precomputed import Precomputed, PrecomputedPeaks
from merrflow.stages import (
    action_units,
    clues,
    coarse,
    foreseen,
    grounding,
    label,
    label_scores,
    peak,
    peak_frame,
    probe,
    reasoning,
    scene,
    shown,
    standing,
    subject,
    subtitle,
    subtitle_en,
    tone,
    transcript,
    words,
)
from merrflow.stages.stage import Stage


class GraphError(InputError):
    """Stages that do not make a graph: two with one name, a need that no stage meets, a circle."""


class Graph:
    """Stages by name, each after those that it builds on."""

    def __init__(self, stages: Iterable[Stage[Any]]) -> None:
        """Raises `GraphError`, which names the stage at fault."""
        by_name: dict[str, Stage[Any]] = {}
        for stage in stages:
            if stage.name in by_name:
                raise GraphError(f"two stages are called {stage.name!r}")
            by_name[stage.name] = stage
        for stage in by_name.values():
            for field in ("needs", "after", "uses"):
                if not isinstance(names := getattr(stage, field), tuple):
                    raise GraphError(f"the stage {stage.name!r} has {field}={names!r}; a tuple of names is wanted")
            for name in (*stage.needs, *stage.after, *stage.uses):
                if name not in by_name:
                    raise GraphError(f"the stage {stage.name!r} needs {name!r}, which is not a stage")
        try:
            TopologicalSorter({name: _builds_on(stage) for name, stage in by_name.items()}).prepare()
        except CycleError as error:
            raise GraphError(f"the stages {' -> '.join(error.args[1])} need each other in a circle") from error
        self._stages: dict[str, Stage[Any]] = {}
        for stage in by_name.values():
            self._add(stage, by_name)
        self._check_lazy()

    def _add(self, stage: Stage[Any], by_name: Mapping[str, Stage[Any]]) -> None:
        """Adds a stage behind what it builds on, and otherwise in the order in which they are listed."""
        if stage.name not in self._stages:
            for name in (*stage.needs, *stage.after, *stage.uses):
                self._add(by_name[name], by_name)
            self._stages[stage.name] = stage

    def _check_lazy(self) -> None:
        """A lazy stage is computed in the middle of one that uses it: by then, what it needs has to be there."""
        before: dict[str, set[str]] = {}  # stage -> all that has a result once it is begun
        for stage in self:
            before[stage.name] = set().union(*({name} | before[name] for name in (*stage.needs, *stage.after)))
            for name in (*stage.needs, *stage.after):
                if self[name].lazy:
                    raise GraphError(f"the stage {stage.name!r} needs the lazy stage {name!r}: name it in `uses`")
            for name in stage.uses:
                if late := sorted(before[name] - before[stage.name]):
                    raise GraphError(
                        f"the stage {stage.name!r} uses {name!r}, which needs {late[0]!r}: name that in `needs` too"
                    )

    def __iter__(self) -> Iterator[Stage[Any]]:
        return iter(self._stages.values())

    def __getitem__(self, name: str) -> Stage[Any]:
        return self._stages[name]

    def with_stages(self, *stages: Stage[Any]) -> Graph:
        """The same with these instead of those of their names."""
        return Graph((self._stages | {stage.name: stage for stage in stages}).values())

    @cached_property
    def eager(self) -> tuple[Stage[Any], ...]:
        """The stages that every clip goes through: all but the lazy ones."""
        return tuple(stage for stage in self if not stage.lazy)

    @cached_property
    def awaited(self) -> Mapping[str, int]:
        """On how many others each of these has to wait."""
        return {stage.name: len({*stage.needs, *stage.after}) for stage in self.eager}

    @cached_property
    def following(self) -> Mapping[str, tuple[Stage[Any], ...]]:
        """Which of these wait for a stage."""
        return {
            one.name: tuple(other for other in self.eager if one.name in {*other.needs, *other.after}) for one in self
        }

    @cached_property
    def services(self) -> tuple[str, ...]:
        """The model services that the stages call, in the order of their first work."""
        return tuple(dict.fromkeys(stage.service for stage in self if stage.service))

    @cached_property
    def settings(self) -> frozenset[str]:
        """The settings of a run that change a record."""
        return frozenset(name for stage in self for name in stage.settings)

    def depend_on(self, name: str) -> frozenset[str]:
        """The stages that build on this one, directly or through others."""
        found: set[str] = set()
        for stage in self:  # in order, so that what is in between was seen before
            if found & _builds_on(stage) or name in _builds_on(stage):
                found.add(stage.name)
        return frozenset(found)

    def services_after(self, service: str) -> frozenset[str]:
        """The other services whose stages build on this one's answers."""
        behind = {name for stage in self if stage.service == service for name in self.depend_on(stage.name)}
        return frozenset(found for name in behind if (found := self[name].service)) - {service}


def _builds_on(stage: Stage[Any]) -> set[str]:
    return {*stage.needs, *stage.after, *stage.uses}


GRAPH = Graph(
    (
        probe.DECODED,
        probe.STAGE,
        action_units.STAGE,
        subject.STAGE,
        subject.CURVES,
        subject.MEASURABLE,
        peak.STAGE,
        shown.STAGE,
        peak_frame.STAGE,
        label.RULES_LABEL,
        subtitle.STAGE,
        words.STAGE,
        scene.STAGE,
        tone.STAGE,
        clues.STAGE,
        *label_scores.SCORES,
        label_scores.STAGE,
        label.STAGE,
        standing.STAGE,
        coarse.STAGE,
        grounding.STAGE,
        reasoning.STAGE,
    )
)


def graph_for(
    labels_from: str = "rules",
    precomputed: Precomputed | None = None,
    *,
    speech: bool = False,
    translate: bool = False,
) -> Graph:
    """The graph of a run. labels_from: as the setting. precomputed: Action Units from files, instead of the service.
    speech: whether speech recognition is asked for clips without a subtitle. translate: whether subtitles that are not
    English are translated."""
    graph = GRAPH.with_stages(transcript.STAGE, words.WITH_SPEECH) if speech else GRAPH
    if translate:
        graph = graph.with_stages(subtitle_en.STAGE, clues.WITH_TRANSLATION, coarse.WITH_TRANSLATION)
    if labels_from == "model":
        graph = graph.with_stages(label.FROM_MODEL)
    if precomputed:
        graph = graph.with_stages(foreseen.DECODED)
    if isinstance(precomputed, PrecomputedPeaks):
        graph = graph.with_stages(*action_units.FROM_PEAKS)
    elif precomputed:
        graph = graph.with_stages(action_units.FROM_CSV)
    return graph
