"""The rule-based engine `measured`: measures a frame and puts the measurements in words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

from merrflow_minigpt_v2.engines.measured.light import Light, measure_light
from merrflow_minigpt_v2.engines.measured.movement import Movement, measure_movement
from merrflow_minigpt_v2.engines.measured.people import HAND_LANDMARKER, People, PeopleFinder
from merrflow_minigpt_v2.engines.measured.persons import PERSON_DETECTOR
from merrflow_minigpt_v2.engines.measured.phrases import phrases, phrases_version
from merrflow_minigpt_v2.engines.measured.wording import describe
from merrflow_minigpt_v2.frames import check_frame, shrunk
from merrflow_minigpt_v2.types import Measurement, Scene, SceneItem
from merrflow_serving.engine import EngineInfo, Limits, Wanted, always
from merrflow_serving.errors import Abandoned, MerrflowError, NotReady
from merrflow_serving.media import ocr
from merrflow_serving.media.ocr import TextLine
from merrflow_serving.one_by_one import one_by_one
from merrflow_serving.packaged import FACE_LANDMARKER

if TYPE_CHECKING:
    from merrflow_minigpt_v2.settings import MiniGptSettings

Image = npt.NDArray[np.uint8]  # (height, width, 3) RGB

MAX_SIDE = 1920  # pixels; larger frames are shrunk before anything is measured
NOTE = (
    "measurements in words, not a vision-language model: persons, faces, hands, light, colour, movement and text; "
    "objects, clothes, gender and age are not described; a person in a mirror, on a poster or a statue counts"
)
FACES_ONLY = "persons without a visible face are not counted"


class MeasuredEngine:
    """Engine "measured" (see `merrflow_serving.engine.Engine`)."""

    stops_early = True

    def __init__(self, settings: MiniGptSettings) -> None:
        self._max_pixels = settings.max_pixels
        self._faces_only = _why_faces_only()
        self._people: PeopleFinder | None = None
        self._reader: ocr.TextReader | None = None

    def load(self) -> None:
        """Loads the models but those for text, which are checked; the first picture loads them. Raises `NotReady`."""
        ocr.revision()
        cv2.setNumThreads(1)
        self._people = PeopleFinder(persons=not self._faces_only)
        self._reader = ocr.TextReader()

    def close(self) -> None:
        if self._people is not None:
            self._people.close()
        self._people = self._reader = None

    def info(self) -> EngineInfo:
        """Models, their revisions, and version and hash of the phrases."""
        try:
            text = ocr.revision()
        except NotReady:  # `load` reports it, with what to do
            text = "missing"
        persons = "none" if self._faces_only else PERSON_DETECTOR.revision[:23]
        return EngineInfo(
            engine="measured",
            model=f"MediaPipe FaceLandmarker + HandLandmarker, SSDLite MobileNetV2, {ocr.MODEL}",
            revision=f"face {FACE_LANDMARKER.revision[:23]}, hand {HAND_LANDMARKER.revision[:23]}, "
            f"person {persons}, text {text}",
            prompt_version=phrases_version(),
            licence="Apache-2.0 and MIT",
            note=f"{NOTE}; {self._faces_only}" if self._faces_only else NOTE,
            limits=Limits(max_batch_size=4, max_pixels=self._max_pixels),
        )

    def run(self, batch: Sequence[SceneItem], wanted: Wanted = always) -> list[Scene | MerrflowError]:
        """Describes each item; see `Engine.run`."""
        return one_by_one(batch, self._measure, wanted, problem="the frame could not be measured")

    def _measure(self, item: SceneItem, is_wanted: Callable[[], bool]) -> Scene:
        """Describes one frame. Raises `Abandoned`, `NotReady`, `InvalidInput` or `TooLarge`."""
        if not is_wanted():
            raise Abandoned
        if self._people is None or self._reader is None:
            raise NotReady("the engine is not loaded")
        check_frame(item.image, self._max_pixels)
        image = shrunk(item.image, MAX_SIDE)
        height, width = image.shape[:2]
        no_text: tuple[TextLine, ...] = ()
        if min(height, width) < phrases()["too_small"]:
            people, text = People((), ()), no_text
        else:
            people = self._people.find(image)
            sure = phrases()["text"]["confidence"]
            text = tuple(line for line in self._reader.read(image) if line.confidence >= sure)
        face = people.faces[0].box if people.faces else None
        light = measure_light(image, face)
        share = (face[0] / width, face[1] / height, face[2] / width, face[3] / height) if face else None
        movement = measure_movement(self._frames(item, image), share)
        return Scene(
            text=describe((width, height), people, light, movement, text),
            measurements=_measurements((width, height), people, light, movement, len(text)),
            on_screen_text=tuple(line.text for line in text),
        )

    def _frames(self, item: SceneItem, image: Image) -> list[tuple[float, Image]]:
        """The frame among its neighbours, in order of time; a neighbour at offset 0 is a copy and left out."""
        around = []
        for frame in item.context:
            check_frame(frame.image, self._max_pixels)
            if frame.offset_seconds != 0:
                around.append((frame.offset_seconds, frame.image))
        return sorted([*around, (0.0, image)], key=lambda one: one[0]) if around else []


def _why_faces_only() -> str:
    """Why persons without a visible face cannot be counted, or nothing. `load` refuses a file that was changed."""
    try:
        PERSON_DETECTOR.find()
    except NotReady as problem:
        return f"{FACES_ONLY}: {problem}"
    return ""


def _measurements(
    size: tuple[int, int], people: People, light: Light, movement: Movement, lines: int
) -> tuple[Measurement, ...]:
    """All measured values by name; what could not be measured is absent, never zero."""
    values: list[tuple[str, float | None, str]] = [("faces", len(people.faces), "1"), ("hands", len(people.hands), "1")]
    if people.without_face is not None:
        values.append(("people", people.number, "1"))
    if people.faces:
        face = people.faces[0]
        values += [
            ("face_height", face.height / size[1], "picture heights"),
            ("face_x", (face.box[0] + face.box[2] / 2) / size[0], "picture widths"),
            ("face_y", (face.box[1] + face.box[3] / 2) / size[1], "picture heights"),
            ("head_pitch", face.pitch, "degrees"),
            ("head_yaw", face.yaw, "degrees"),
            ("head_roll", face.roll, "degrees"),
            ("gaze_horizontal", face.gaze_x, "1"),
            ("gaze_vertical", face.gaze_y, "1"),
            ("eye_closure", face.eye_closure, "1"),
        ]
    values += [
        ("lightness", light.lightness, "L*"),
        ("contrast", light.contrast, "L*"),
        ("dark_share", light.dark_share, "1"),
        ("face_lightness_difference", light.face_difference, "L*"),
        ("warmth", light.warmth, "b*"),
        ("green_red", light.green_red, "a*"),
        ("chroma", light.chroma, "C*"),
        ("sharpness", light.sharpness, "L*^2"),
        ("camera_speed", movement.camera, "picture widths/s"),
        ("person_speed", movement.person, "face heights/s"),
        ("text_lines", lines, "1"),
    ]
    return tuple(Measurement(name, round(float(value), 4), unit) for name, value, unit in values if value is not None)
