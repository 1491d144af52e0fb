"""Voice activity detection: when somebody speaks, by Silero VAD v6.

The package `silero-vad` (MIT) carries the network as ONNX, so nothing is downloaded. The package itself imports
torch; only its file is used here, through onnxruntime, in the form that takes many frames in one call.
"""

from __future__ import annotations

import numpy as np

from merrflow_qwen_audio.arrays import Samples
from merrflow_qwen_audio.engines.acoustics.frames import SAMPLE_RATE, decibels, frame_power
from merrflow_qwen_audio.types import Span
from merrflow_serving.packaged import PackagedFile

MODEL = "silero-vad-6.2.3 (16 kHz, sequence)"
MODEL_FILE = PackagedFile(
    "silero-vad",
    "6.2.3",
    "silero_vad/data/silero_vad_16k_sequence.onnx",
    "9ccdacc4719d8aa7e45a77536bfabec45a03ba1f2fad5e241ab4060b24238a85",
)
CHUNK = 512  # samples of one probability: 32 ms
CONTEXT = 64  # samples before each chunk that the network also sees
CHUNKS_PER_CALL = 512  # about 16 s
# The network finds less in faint recordings (at -26 dB, short cries are lost), so these are amplified to a usual level.
USUAL_DBFS, MOST_GAIN = -20.0, 30.0  # of the loud frames (95th percentile of 25 ms); dB
LEVEL_WINDOW = 400  # samples: 25 ms
HIDDEN = (1, 1, 128)

# The authors' own defaults (silero_vad.utils_vad.get_speech_timestamps): speech starts at 0.5 and holds until the
# probability has stayed below 0.35 for 100 ms; shorter than 250 ms is not speech; 30 ms are added at both ends.
# One rule is ours: if a recording has speech, bursts of 100 ms or more count as speech too ("No!", a cry); in a
# recording without speech they are more often a note of an instrument.
START, HOLD = 0.5, 0.35
SHORTEST_GAP, SHORTEST_SPEECH, SHORTEST_BURST, PADDING = 0.10, 0.25, 0.10, 0.03  # seconds


class SileroVad:
    """The network, loaded. Raises `NotReady` if its file is missing or another one than was measured with."""

    def __init__(self) -> None:
        data = MODEL_FILE.path().read_bytes()
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])

    def probabilities(self, samples: Samples) -> Samples:
        """(chunks,) probability of speech in each 32 ms of (samples,); the last chunk is padded."""
        if samples.size == 0:
            return np.zeros(0, np.float32)
        loud = float(decibels(np.percentile(frame_power(samples, LEVEL_WINDOW), 95)))
        samples = samples * np.float32(10 ** (np.clip(USUAL_DBFS - loud, 0.0, MOST_GAIN) / 20))
        count = -(-samples.size // CHUNK)
        chunks = np.zeros((count, CHUNK), np.float32)
        chunks.reshape(-1)[: samples.size] = samples
        before = np.zeros((count, CONTEXT), np.float32)
        before[1:] = chunks[:-1, -CONTEXT:]
        inputs = np.concatenate((before, chunks), axis=1)
        h, c = np.zeros(HIDDEN, np.float32), np.zeros(HIDDEN, np.float32)
        parts = [np.zeros(0, np.float32)]
        for start in range(0, count, CHUNKS_PER_CALL):
            block = inputs[start : start + CHUNKS_PER_CALL]
            values, h, c = self._session.run(["speech_probs", "hn", "cn"], {"input": block, "h": h, "c": c})
            parts.append(values.reshape(-1))
        return np.concatenate(parts)


def speech_spans(probabilities: Samples, seconds: float) -> tuple[Span, ...]:
    """Stretches of speech in order of time, not overlapping, within `seconds`."""
    step = CHUNK / SAMPLE_RATE
    found: list[tuple[float, float]] = []
    start: float | None = None
    quiet: float | None = None  # since when the probability has been below HOLD
    for index, probability in enumerate(probabilities):
        time = index * step
        if start is None:
            start, quiet = (time, None) if probability >= START else (None, None)
        elif probability >= START:
            quiet = None
        elif probability < HOLD:
            quiet = time if quiet is None else quiet
            if time + step - quiet >= SHORTEST_GAP:
                found.append((start, quiet))
                start = quiet = None
    if start is not None:
        found.append((start, quiet if quiet is not None else seconds))
    least = SHORTEST_BURST if any(end - start >= SHORTEST_SPEECH for start, end in found) else SHORTEST_SPEECH
    long_enough = [(start, end) for start, end in found if end - start >= least]
    padded = [(max(0.0, start - PADDING), min(seconds, end + PADDING)) for start, end in long_enough]
    return tuple(Span(start, end) for start, end in padded)
