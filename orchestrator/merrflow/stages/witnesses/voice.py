"""The measured voice as a witness. It tells arousal and hardly valence (Juslin & Laukka 2003), so that it can
contradict a label and never bears one out."""

from __future__ import annotations

from merrflow.core.labels import Vote
from merrflow.stages.grounding import arousal_of
from merrflow.stages.witnesses.case import Case, abstains, speaks_against
from merrflow.stages.witnesses.rules import Witnesses

NAME = "voice"


def vote(case: Case, rules: Witnesses) -> Vote:
    """Arousal is the sum of cues of stages/grounding.yaml, -4 to 5."""
    label = case.found.label
    if case.tone is None or case.tone.content != "speech":
        return abstains(NAME, "no speech was measured")
    arousal, cues = arousal_of(case.tone)
    if arousal is None:
        return abstains(NAME, cues)
    described = f"arousal {arousal:+.0f}" + (f" ({cues})" if cues else "")
    most, least = rules.voice.at_most.get(label), rules.voice.at_least.get(label)
    if most is not None and arousal > most:
        return speaks_against(NAME, "", rules.voice.against_weight, f"{described}, at most {most:+d} goes with {label}")
    if least is not None and arousal < least:
        return speaks_against(
            NAME, "", rules.voice.against_weight, f"{described}, at least {least:+d} goes with {label}"
        )
    return abstains(NAME, f"{described} does not contradict {label}")
