"""Subtitle: what is said, from the most reliable source there is.

Order: the table's sentence, a subtitle file beside the clip, a subtitle track in its file, text that is part of the
picture, none. Every answer names its source, and every source that was tried says why it gave nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from merrflow.core.measurements import Clip, Probe
from merrflow.core.paths import safe_name
from merrflow.core.spoken import Subtitle
from merrflow.formats.subtitle_files import BadSidecar, Cue, find_sidecars, overlapping, read_cues, sidecar_key
from merrflow.formats.subtitle_tracks import SubtitleTrack, read_tracks
from merrflow.stages.burned_in import read_burned_in
from merrflow.stages.language import language
from merrflow.stages.stage import Stage, Work
from merrflow.stages.text_boxes import Reader
from merrflow.stages.text_samples import TextSample, read_samples
from merrflow_serving.errors import MerrflowError

VERSION = "5"


def find_subtitle(
    clip: Clip,
    seconds: float,
    samples: Sequence[TextSample] | Callable[[], Sequence[TextSample]],
    reader: Reader | None,
    encoding: str = "",
    wanted: str = "",
) -> Subtitle:
    """The subtitle of a clip of `seconds`.

    samples: the bottoms of frames, or what reads them if nobody wrote what is said. reader: None if pictures are not to
    be read. encoding: of subtitle files that are not Unicode; empty: the likeliest. wanted: code of the language that
    files and tracks are chosen by; empty: any.
    Never raises for what it finds: a broken file or an OCR that cannot run becomes part of the reason. Raises `OSError`
    if a subtitle file vanishes, and what `samples` raises.
    """
    sentence = " ".join((clip.sentence or "").split())
    if sentence:
        return Subtitle(sentence, "table", language(sentence), "the table's sentence")
    tried = ["the table has no sentence"]
    for found in _written(clip.path, seconds, encoding, wanted):
        if found.text is not None:
            return found
        tried.append(found.reason)
    if reader is None:
        tried.append("the picture was not read")
    else:
        bottoms = samples() if callable(samples) else samples
        try:
            read = read_burned_in(bottoms, reader)
        except MerrflowError as error:
            tried.append(f"the picture could not be read: {error}")
        else:
            if read.text is not None:
                return Subtitle(read.text, "picture", read.language, read.reason, round(read.confidence, 4))
            tried.append(f"picture: {read.reason}")
    return Subtitle(None, "none", "", "; ".join(tried))


def _written(clip: Path, seconds: float, encoding: str, wanted: str) -> Iterator[Subtitle]:
    """What a person wrote: the subtitle files beside a clip, then the tracks in it."""
    for path in find_sidecars(clip, wanted):
        yield _from_sidecar(path, seconds, encoding)
    try:
        tracks = read_tracks(clip, wanted, encoding)
    except MerrflowError as error:
        yield Subtitle(None, "none", "", f"subtitle tracks could not be read: {error}")
        return
    for track in tracks:
        yield _from_track(track, seconds)


def _from_track(track: SubtitleTrack, seconds: float) -> Subtitle:
    if track.fault:
        return Subtitle(None, "none", "", f"{track.name}: {track.fault}")
    return _said("track", track.name, track.cues, seconds, track.language)


def _from_sidecar(path: Path, seconds: float, encoding: str) -> Subtitle:
    try:
        cues = read_cues(path, encoding)
    except BadSidecar as error:
        if isinstance(error.__cause__, OSError) and not isinstance(error.__cause__, PermissionError):
            raise error.__cause__ from None  # it may pass
        return Subtitle(None, "none", "", f"{safe_name(path.name)}: {error}")
    return _said(path.suffix.lower().lstrip("."), safe_name(path.name), cues, seconds)


def _said(source: str, name: str, cues: Sequence[Cue], seconds: float, fallback: str = "") -> Subtitle:
    """fallback: the language if the text does not show it."""
    texts = overlapping(cues, seconds)
    if not texts:
        return Subtitle(None, "none", "", f"{name}: none of its {len(cues)} spoken lines falls within the clip")
    text = " ".join(texts)
    return Subtitle(text, source, language(text) or fallback, f"{name}: {len(texts)} of {len(cues)} lines")


async def _subtitle(work: Work, probe: Probe) -> Subtitle:
    run, clip = work.run, work.clip
    held = run.samples.take(clip.name)

    def samples() -> Sequence[TextSample]:
        if held is not None:
            return held
        return read_samples(clip.path, max_pixels=run.settings.max_pixels, threads=run.decoder_threads)

    how = run.settings.subtitle_encoding, run.settings.subtitle_language
    return await run.in_thread(find_subtitle, clip, probe.seconds, samples, run.reader, *how)


STAGE = Stage(
    name="subtitle",
    purpose="what is said: table, subtitle file or track, or text in the picture",
    compute=_subtitle,
    needs=("probe",),
    after=("rules_label",),
    result=Subtitle,
    version=VERSION,
    key=lambda work, probe: [
        work.clip.sentence,
        sidecar_key(work.clip.path),
        work.run.reader.identity,
        work.run.settings.subtitle_encoding,
        work.run.settings.subtitle_language,
    ],
    settings=("subtitle_encoding", "subtitle_language"),
)
