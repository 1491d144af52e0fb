"""What an expression network makes of the subject's face over a clip."""

from __future__ import annotations

from collections.abc import Mapping

from merrflow.core.records import ActionUnitSeries, Subject


def mean_shares(series: ActionUnitSeries, subject: Subject) -> Mapping[str, float]:
    """Class -> mean share over the frames in which the network judged the subject; empty if it judged none."""
    faces = [series.frames[frame].faces[place] for frame, place in subject.faces]
    judged = [face.expression for face in faces if face.expression]
    names = dict.fromkeys(name for shares in judged for name in shares)
    return {name: sum(shares.get(name, 0.0) for shares in judged) / len(judged) for name in names}
