#!/usr/bin/env python3
"""Makes clips like the example clips: a face photograph warped into expressions, with synthesised speech.

Needs, besides what the demo installs, scikit-image (the photograph) and the program espeak-ng (the voice);
see examples/README.md. The finished clips are committed, so the demo does not run this.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import yaml
from face import Face, Floats
from PIL import Image, ImageDraw, ImageFont
from speech import RATE, mouth, track

HERE = Path(__file__).resolve().parent
# lids shut in two frames and open in four, as measured lids do
BLINK = (0.0, 0.45, 1.0, 0.85, 0.4, 0.12, 0.0)


def at(points: list[tuple[float, float]], time: float) -> float:
    """A curve's value: constant before its first and after its last point, smooth steps between."""
    times, values = zip(*points, strict=True)
    k = int(np.searchsorted(times, time, side="right"))
    if k == 0 or k == len(times):
        return float(values[0] if k == 0 else values[-1])
    t = (time - times[k - 1]) / (times[k] - times[k - 1])
    return float(values[k - 1] + (values[k] - values[k - 1]) * t * t * (3.0 - 2.0 * t))


def expression(clip: dict[str, Any], fps: int, opened: float, spread: float, frame: int) -> dict[str, float]:
    """The face at one frame: the clip's curves, the blinks, and the mouth's speech on top."""
    values = defaultdict(float, {name: at(points, frame / fps) for name, points in clip["curves"].items()})
    for start in clip["blinks"]:
        step = frame - round(start * fps)
        if 0 <= step < len(BLINK):
            values["au45"] = max(values["au45"], BLINK[step])
    speech = clip["speech"]
    values["au26"] = max(values["au26"], speech["jaw"] * opened)
    values["au25"] = max(values["au25"], speech["lips"] * min(1.0, 2.0 * opened))
    values["au18"] += speech["round"] * max(0.0, -spread)
    values["au20"] += 0.3 * max(0.0, spread)
    return values


def places(camera: dict[str, Any], time: float, share: float) -> Floats:
    """Which place of the photograph each pixel shows, (h, w, 2): a crop with hand-held sway and a slow push."""
    sway = np.sin(np.array([1.1, 0.9]) * time + (0.4, 1.7)) + 0.3 * np.sin(np.array([2.9, 3.7]) * time + (0.0, 0.5))
    width, height = camera["size"]
    zoom, roll = camera["zoom"] * (1.0 + camera["push"] * share), np.deg2rad(camera.get("roll", 0.0))
    x, y = np.meshgrid(np.arange(width) + 0.5 - width / 2, np.arange(height) + 0.5 - height / 2)
    grid = np.stack([-x if camera.get("mirror") else x, y], axis=-1) / zoom
    turn = np.array([[np.cos(roll), np.sin(roll)], [-np.sin(roll), np.cos(roll)]])
    return np.asarray(grid @ turn + camera["centre"] + sway * camera["drift"])


def grade(picture: Floats, look: dict[str, Any], rng: np.random.Generator) -> Floats:
    """Colour, light, lens and sensor: 0..255 float RGB to uint8."""
    x = np.clip(picture / 255.0, 0.0, 1.0) ** look["gamma"] * np.asarray(look["gains"], np.float32)
    grey = x.mean(axis=-1, keepdims=True)
    x = grey + look["saturation"] * (x - grey)
    height, width = x.shape[:2]
    v, u = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    x *= (1.0 - look["vignette"] * np.clip(u**2 + v**2, 0.0, 2.0) / 2.0)[..., None]
    grain = cv2.GaussianBlur(rng.normal(0.0, 1.0, (height, width)).astype(np.float32), (0, 0), 0.7) * 2.4
    return np.asarray(np.clip(x * 255.0 + look["grain"] * grain[..., None], 0, 255).astype(np.uint8))


def burn(picture: Floats, text: str) -> Floats:
    """Writes a subtitle into the picture: white, black outline, bottom centre."""
    image = Image.fromarray(picture)
    font = ImageFont.load_default(round(image.height * 0.062))
    place, outline = (image.width / 2, image.height * 0.93), max(2, image.height // 200)
    pen = ImageDraw.Draw(image)
    pen.text(place, text, (250, 250, 250), font, "ms", stroke_width=outline, stroke_fill=(8, 8, 8))
    return np.asarray(image)


def write_video(path: Path, pictures: list[Floats], sound: Floats, fps: int, crf: int) -> None:
    """H.264 and AAC in an mp4 whose index comes first."""
    with av.open(str(path), "w", options={"movflags": "+faststart"}) as container:
        video = container.add_stream("libx264", rate=fps, options={"crf": str(crf), "preset": "slow", "threads": "1"})
        video.height, video.width = pictures[0].shape[:2]
        video.pix_fmt = "yuv420p"
        audio = container.add_stream("aac", rate=RATE, layout="mono")
        audio.bit_rate = 96_000
        for picture in pictures:
            container.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(video.encode(None))
        for start in range(0, len(sound), 1024):
            frame = av.AudioFrame.from_ndarray(sound[None, start : start + 1024], format="fltp", layout="mono")
            frame.sample_rate, frame.pts = RATE, start
            container.mux(audio.encode(frame))
        container.mux(audio.encode(None))


def make(clip: dict[str, Any], face: Face, fps: int, out: Path, rng: np.random.Generator) -> Path:
    """One clip, with its subtitle file if it has one. Raises `RuntimeError` and `ValueError`."""
    voice, frames = clip["voice"], round(clip["seconds"] * fps)
    sound = track(voice, clip["seconds"], rng)
    pictures = []
    for frame, (opened, spread) in enumerate(zip(*mouth(sound, fps, frames), strict=True)):
        where = places(clip["camera"], frame / fps, frame / frames)
        picture = grade(face.frame(expression(clip, fps, opened, spread, frame), where), clip["look"], rng)
        pictures.append(burn(picture, voice["text"]) if clip["subtitle"] == "burned" else picture)
    path = out / f"{clip['name']}.mp4"
    write_video(path, pictures, sound, fps, clip["crf"])
    if clip["subtitle"] == "sidecar":
        start, end = (f"00:00:{time:06.3f}".replace(".", ",") for time in (voice["start"], clip["seconds"] - 0.1))
        path.with_suffix(".srt").write_text(f"1\n{start} --> {end}\n{voice['text']}\n", encoding="utf-8")
    return path


def main() -> int:
    """Command line; 0 when every clip is written, 2 when something it needs is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for the clips")
    parser.add_argument("--only", action="append", metavar="NAME", help="make this clip only; may be given again")
    parser.add_argument("--clips", type=Path, default=HERE / "clips.yaml", help="what they show (default: %(default)s)")
    options = parser.parse_args()
    cv2.setNumThreads(1)  # the same order of sums everywhere
    given = yaml.safe_load(options.clips.read_text(encoding="utf-8"))
    options.out.mkdir(parents=True, exist_ok=True)
    try:
        from skimage import data  # type: ignore[import-not-found]  # only who makes clips installs it

        # NASA's portrait of Eileen Collins, public domain, (512, 512, 3) RGB uint8
        face = Face(np.ascontiguousarray(data.astronaut()), given["face"])
        for number, clip in enumerate(given["clips"]):
            if options.only and clip["name"] not in options.only:
                continue
            print(make(clip, face, given["fps"], options.out, np.random.default_rng([given["seed"], number])))
    except (ImportError, RuntimeError, ValueError) as error:
        print(f"make_clips: {error}; see examples/README.md", file=sys.stderr)
        return 2
    with (options.out / "transcripts.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["name", "sentence"])
        rows.writerows([clip["name"], clip["voice"]["text"]] for clip in given["clips"] if clip["subtitle"] == "table")
    return 0


if __name__ == "__main__":
    sys.exit(main())
