"""How well the whisper service hears: `python -m benchmarks.speech`.

The reference is the subtitle that is burned into the picture, in the language that was heard, as the stage `subtitle`
reads it; clips without one are left out. The figure is the
character error rate: edits (inserted, left out, changed) by characters of the reference, without case, spaces and
punctuation, in simplified characters; of all clips, and of those whose words are believed. Processor time is this
process's, all threads.
"""

from __future__ import annotations

import argparse
import json
import unicodedata
from collections.abc import Sequence
from pathlib import Path

from benchmarks.support.clip_files import Stopwatch, clips_in
from merrflow.stages.burned_in import read_burned_in
from merrflow.stages.probe import decode
from merrflow.stages.text_reader import SharedReader
from merrflow_whisper import SPEC, SpeechItem, Transcript, WhisperSettings
from merrflow_whisper.engines.speech import converted


def characters(text: str) -> str:
    """What is compared: letters and digits only."""
    plain = unicodedata.normalize("NFKC", converted(text, "t2s")).casefold()
    return "".join(one for one in plain if one.isalnum())


def edits(reference: str, found: str) -> int:
    """The least number of characters inserted, left out or changed (Levenshtein 1966)."""
    row = list(range(len(found) + 1))
    for number, one in enumerate(reference, 1):
        before, row[0] = row[0], number
        for at, other in enumerate(found, 1):
            before, row[at] = row[at], min(row[at] + 1, row[at - 1] + 1, before + (one != other))
    return row[-1]


def rate(pairs: Sequence[tuple[str, str]]) -> float | None:
    """The character error rate of (reference, found) together; None without a reference."""
    length = sum(len(reference) for reference, _ in pairs)
    return round(sum(edits(*pair) for pair in pairs) / length, 3) if length else None


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints a line for each clip, and the figures as one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=Path, help="folder of clips with burned-in subtitles")
    folder = parser.parse_args(arguments).clips
    reader = SharedReader(1)
    engine = SPEC.make_engine(WhisperSettings())
    engine.load()
    watch = Stopwatch()
    heard, believed, seconds = [], [], 0.0
    for path in clips_in(folder):
        decoded = decode(path, max_seconds=600.0, max_pixels=1 << 24)
        written = read_burned_in(decoded.text_samples, reader)
        lines = {written.language: written.text, **written.also} if written.text else {}
        if not lines or decoded.audio is None:
            print(f"{path.name}: without sound, or nothing is written in the picture")
            continue
        item = SpeechItem(decoded.audio)
        with watch.of("speech"):
            (found,) = engine.run([item])
        if not isinstance(found, Transcript):
            raise SystemExit(f"{path.name}: {found}")
        seconds += item.seconds
        reference = characters(lines.get(found.language) or "")
        if not reference:
            print(f"{path.name}: nothing is written in {found.language or 'a language'} but in {', '.join(lines)}")
            continue
        pair = (reference, characters("".join(segment.text for segment in found.segments)))
        heard.append(pair)
        believed += [pair] if found.text else []
        print(f"{path.name}: {rate([pair])} {'' if found.text else 'rejected '}{pair[1]} for {reference}")
    engine.close()
    info = engine.info()
    figures = {
        "engine": info.engine,
        "model": info.model,
        "dtype": info.dtype,
        "clips": len(heard),
        "believed": len(believed),
        "error_rate": rate(heard),
        "error_rate_believed": rate(believed),
        "cpu_seconds_per_second": round(watch.seconds.get("speech", 0.0) / seconds, 2) if seconds else None,
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
