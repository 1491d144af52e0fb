"""The words of a clip: its subtitle, or else what was recognised from the sound."""

from __future__ import annotations

from merrflow.core.spoken import Subtitle, Transcript
from merrflow.stages.language import language
from merrflow.stages.stage import Stage, Work


def words(found: Subtitle, heard: Transcript | None) -> Subtitle:
    """The subtitle, or one made of the transcript. heard: None if speech recognition was not asked, or failed."""
    if found.text is not None or heard is None:
        return found
    if not heard.text:
        return Subtitle(None, "none", "", f"{found.reason}; speech: {heard.reason}")
    reason = f"{found.reason}; recognised from the sound"
    return Subtitle(heard.text, "speech", heard.language or language(heard.text), reason, heard.confidence)


def _words(work: Work, found: Subtitle) -> Subtitle:
    return found


def _with_speech(work: Work, found: Subtitle, heard: Transcript | None) -> Subtitle:
    return words(found, heard)


STAGE: Stage[Subtitle] = Stage(
    name="words",
    purpose="what is said, from the best source there is",
    compute=_words,
    needs=("subtitle",),
)
WITH_SPEECH: Stage[Subtitle] = Stage(
    name="words",
    purpose=STAGE.purpose,
    compute=_with_speech,
    needs=("subtitle", "transcript"),
)
