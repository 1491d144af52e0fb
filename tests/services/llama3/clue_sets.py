"""Clues in the words of the project's own services and of captioning models; all invented."""

from __future__ import annotations

from merrflow_llama3.types import Clues

SAD = Clues(
    scene="A person is shown in a close-up, left of centre, head lowered, eyes down. The scene is dimly lit with "
    "muted warm colours; the camera is still and the person hardly moves.",
    expressions=("raised inner brows", "lip corners pulled down"),
    tone="The voice is low-pitched and quiet, with a narrow pitch range, a slow pace and long pauses; it "
    "sounds subdued.",
    subtitle="She left without a word. I should have called her.",
    label="sad",
)
ANGRY = Clues(
    scene="Two people are visible; the nearest is shown in a medium shot, centred, facing the camera.",
    expressions=("Brow Lowerer", "Lid Tightener", "Press the lips together"),
    tone="The voice is high-pitched and loud, with a wide pitch range and a fast pace; it sounds agitated or excited.",
    subtitle="Who told you to touch my desk?",
    label="angry",
)
CHINESE = Clues(
    scene="a young woman sitting on a bench in a park",
    expressions=("Toothy smile", "Cheek Raiser"),
    tone="and her tone sounds cheerful.",
    subtitle="太好了，我们终于可以回家了！",
    label="happy",
)
UNLABELLED = Clues(
    expressions=("widened eyes", "a dropped jaw"),
    tone="There is no speech; music plays quietly.",
)
ALL = (SAD, ANGRY, CHINESE, UNLABELLED)
