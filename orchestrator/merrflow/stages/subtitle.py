"""Subtitle: what is said, from the most reliable source there is.

Order: the table's sentence, a subtitle file beside the clip, text that is part of the picture, none. Every
answer names its source, and every source that was tried says why it gave nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from merrflow.core.paths import safe_name
from merrflow.core.records import Clip, Probe, Subtitle
from merrflow.formats.subtitle_files import BadSidecar, find_sidecars, overlapping, read_cues, sidecar_key
from merrflow.stages.burned_in import read_burned_in
from merrflow.stages.language import language
from merrflow.stages.stage import Stage, Work
from merrflow.stages.text_boxes import Reader
from merrflow.stages.text_samples import TextSample
from merrflow_serving.errors import MerrflowError

VERSION = "3"


def find_subtitle(
    clip: Clip, seconds: float, samples: Sequence[TextSample], reader: Reader | None, encoding: str = ""
) -> Subtitle:
    """The subtitle of a clip of `seconds`.

    samples: the bottoms of frames that the probe collected. reader: None if pictures are not to be read. encoding: of
    subtitle files that are not Unicode; empty: the likeliest.
    Never raises for what it finds: a broken file or an OCR that cannot run becomes part of the reason. Raises `OSError`
    if a subtitle file vanishes.
    """
    sentence = " ".join((clip.sentence or "").split())
    if sentence:
        return Subtitle(sentence, "table", language(sentence), "the table's sentence")
    tried = ["the table has no sentence"]
    for path in find_sidecars(clip.path):
        found = _from_sidecar(path, seconds, encoding)
        if found.text is not None:
            return found
        tried.append(found.reason)
    if reader is None:
        tried.append("the picture was not read")
    else:
        try:
            read = read_burned_in(samples, reader)
        except MerrflowError as error:
            tried.append(f"the picture could not be read: {error}")
        else:
            if read.text is not None:
                return Subtitle(read.text, "picture", read.language, read.reason)
            tried.append(f"picture: {read.reason}")
    return Subtitle(None, "none", "", "; ".join(tried))


def _from_sidecar(path: Path, seconds: float, encoding: str) -> Subtitle:
    try:
        cues = read_cues(path, encoding)
    except BadSidecar as error:
        if isinstance(error.__cause__, OSError) and not isinstance(error.__cause__, PermissionError):
            raise error.__cause__ from None  # it may pass
        return Subtitle(None, "none", "", f"{safe_name(path.name)}: {error}")
    texts = overlapping(cues, seconds)
    if not texts:
        return Subtitle(
            None, "none", "", f"{safe_name(path.name)}: none of its {len(cues)} spoken lines falls within the clip"
        )
    text = " ".join(texts)
    source = path.suffix.lower().lstrip(".")
    return Subtitle(text, source, language(text), f"{safe_name(path.name)}: {len(texts)} of {len(cues)} lines")


async def _subtitle(work: Work, probe: Probe) -> Subtitle:
    samples = () if work.clip.sentence else (await work.use("decoded")).text_samples
    encoding = work.run.settings.subtitle_encoding
    return await work.run.in_thread(find_subtitle, work.clip, probe.seconds, samples, work.run.reader, encoding)


STAGE = Stage(
    name="subtitle",
    purpose="what is said: table, subtitle file, or text in the picture",
    compute=_subtitle,
    needs=("probe",),
    after=("rules_label",),
    uses=("decoded",),
    result=Subtitle,
    version=VERSION,
    key=lambda work, probe: [
        work.clip.sentence,
        sidecar_key(work.clip.path),
        work.run.reader.identity,
        work.run.settings.subtitle_encoding,
    ],
    settings=("subtitle_encoding",),
)
