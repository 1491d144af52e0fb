"""How often the tone's sentence stays the same if the sound changes in ways that nobody hears.

    python -m benchmarks.tone_stability CLIP_OR_FOLDER...

For each clip: 3 to 24 ms of silence in front, the volume up to 3 dB lower or higher, and another encoding. Prints each
sentence that changed, and at last, as JSON, how many did not. The engine is `prosody`.
"""

from __future__ import annotations

import argparse
import io
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np

from merrflow_qwen_audio import SPEC, ToneItem
from merrflow_serving.media.audio import SAMPLE_RATE, decode_audio, encode_wav

SILENCE = (3, 7, 11, 16, 20, 24)  # ms
GAINS = (-3.0, -1.5, 1.5, 3.0)  # dB
ENCODINGS = {"AAC 128 kb/s": ("aac", "mp4", 44_100), "Opus 128 kb/s": ("libopus", "ogg", 48_000)}


def encoded(samples: np.ndarray, codec: str, container: str, rate: int) -> np.ndarray:
    """(samples,) at 16 kHz, encoded at 128 kb/s and decoded again."""
    buffer = io.BytesIO()
    with av.open(io.BytesIO(encode_wav(samples))) as source, av.open(buffer, "w", format=container) as target:
        track = target.add_stream(codec, rate=rate, layout="mono")
        track.bit_rate = 128_000
        resampler = av.AudioResampler(format="flt" if codec == "libopus" else "fltp", layout="mono", rate=rate)
        frames = [piece for frame in source.decode(audio=0) for piece in resampler.resample(frame)]
        for frame in [*frames, *resampler.resample(None)]:
            frame.pts = None
            target.mux(track.encode(frame))
        target.mux(track.encode(None))
    return decode_audio(buffer.getvalue())


def variants(samples: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Kind of change, and the changed sound."""
    for milliseconds in SILENCE:
        silence = np.zeros(milliseconds * SAMPLE_RATE // 1000, np.float32)
        yield "silence in front", np.concatenate([silence, samples])
    for gain in GAINS:
        yield "volume", (samples * 10 ** (gain / 20)).clip(-1, 1).astype(np.float32)
    for name, how in ENCODINGS.items():
        yield name, encoded(samples, *how)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", nargs="+", type=Path)
    files = [
        path
        for one in parser.parse_args(arguments).clips
        for path in (sorted(one.glob("*.mp4")) if one.is_dir() else [one])
    ]
    engine = SPEC.make_engine(SPEC.settings(engine="prosody"))
    engine.load()
    asked, same = Counter[str](), Counter[str]()
    for path in files:
        samples = decode_audio(path)
        kinds, sounds = zip(*variants(samples), strict=True)
        before, *after = [tone.text for tone in engine.run([ToneItem(sound) for sound in (samples, *sounds)])]
        for kind, text in zip(kinds, after, strict=True):
            asked[kind] += 1
            same[kind] += text == before
            if text != before:
                print(f"{path.name}, {kind}:\n  {before}\n  {text}")
    print(json.dumps({kind: {"same": same[kind], "of": asked[kind]} for kind in asked}))


if __name__ == "__main__":
    main()
