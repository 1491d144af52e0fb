"""Draws one frame: the photograph pulled to the rig's targets, teeth behind lips, eyes behind lids, a camera.

The picture is warped backward by thin-plate splines (Bookstein, 1989, IEEE PAMI 11(6)): one for the skin
above the mouth's cut, one for the skin below it and one for the upper lids, so that lips and lids part
without stretching each other. Where no layer covers a pixel, teeth and a dark cavity show, or the eye.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from face_landmarks import (
    BROW_EDGES,
    EYES,
    IRISES,
    LOWER_INNER,
    LOWER_OUTER,
    NOSE_BRIDGE,
    UPPER_INNER,
    UPPER_OUTER,
    Expression,
    Floats,
    Points,
)
from face_rig import FaceRig

SCALE = 4  # the photograph is enlarged before it is warped, so that two resamplings do not blur it twice
# where the mouth is cut: landmarks, face units below them
LIP_EDGES = ((UPPER_INNER, 0.6), (LOWER_INNER, 0.6))
STIFFNESS = 0.02  # thin-plate regularisation, in squared face units per unit of bending


@dataclass(frozen=True)
class Camera:
    """A crop of the photograph: centre in its pixels, `zoom` output pixels for each, roll in degrees."""

    size: tuple[int, int]
    centre: tuple[float, float]
    zoom: float
    roll: float = 0.0
    mirror: bool = False

    def photo_points(self, step: int = 1) -> Points:
        """Photograph position of every `step`-th output pixel: (h, w, 2)."""
        width, height = self.size
        x, y = np.meshgrid(np.arange(0, width + step, step) + 0.5, np.arange(0, height + step, step) + 0.5)
        x, y = (x - width / 2) / self.zoom, (y - height / 2) / self.zoom
        if self.mirror:
            x = -x
        c, s = np.cos(np.deg2rad(self.roll)), np.sin(np.deg2rad(self.roll))
        return np.stack([c * x - s * y + self.centre[0], s * x + c * y + self.centre[1]], axis=-1)


@dataclass(frozen=True)
class Look:
    """Light and colour of a clip: RGB gains, gamma above 1 darkens, grain in grey levels."""

    gains: tuple[float, float, float] = (1.0, 1.0, 1.0)
    gamma: float = 1.0
    saturation: float = 1.0
    vignette: float = 0.0
    grain: float = 1.5


def thin_plate(at: Points, values: Points, where: Points, stiffness: float) -> Points:
    """Carries `values` (n, 2) known at `at` (n, 2) to `where` (m, 2) by a regularised thin-plate spline."""
    count = len(at)

    def kernel(a: Points, b: Points) -> Floats:
        squared = (a[:, None, 0] - b[None, :, 0]) ** 2 + (a[:, None, 1] - b[None, :, 1]) ** 2
        return squared * np.log(squared + 1e-9)

    affine = np.column_stack([np.ones(count), at])
    system = np.zeros((count + 3, count + 3))
    system[:count, :count] = kernel(at, at) + stiffness * np.eye(count)
    system[:count, count:], system[count:, :count] = affine, affine.T
    weights = np.linalg.solve(system, np.vstack([values, np.zeros((3, 2))]))
    out = np.empty_like(where)
    for start in range(0, len(where), 8192):
        part = where[start : start + 8192]
        bent = kernel(part.astype(np.float32), at.astype(np.float32)) @ weights[:count].astype(np.float32)
        out[start : start + 8192] = bent + np.column_stack([np.ones(len(part)), part]) @ weights[count:]
    return out


def _cover(value: Floats, softness: float) -> Floats:
    return np.asarray(np.clip(value / softness + 0.5, 0.0, 1.0), np.float32)


class FaceRenderer:
    """Frames of one photograph (h, w, 3 RGB uint8) under a rig."""

    def __init__(self, photo: Floats, rig: FaceRig) -> None:
        self.rig = rig
        self.height, self.width = photo.shape[:2]
        size = (self.width * SCALE, self.height * SCALE)
        large = cv2.resize(photo, size, interpolation=cv2.INTER_CUBIC).astype(np.float32)
        # acutance lost by enlarging
        self.photo = large + 0.35 * (large - cv2.GaussianBlur(large, (0, 0), 4.0))
        x, y = np.meshgrid(np.arange(size[0]), np.arange(size[1]))
        flat = (np.stack([x, y], axis=-1).reshape(-1, 2) + 0.5) / SCALE
        self.u, self.v = (a.reshape(size[::-1]).astype(np.float32) for a in rig.to_face(flat).T)
        self._cut_mouth()
        self._cut_eyes()
        self.smooth = self._without_folds()

    def _line(self, ring: tuple[int, ...], offset: float = 0.0) -> Floats:
        points = self.rig.face[list(ring)]
        return np.asarray(np.interp(self.u, points[:, 0], points[:, 1] + offset), np.float32)

    def _cut_mouth(self) -> None:
        """Coverage of the skin above and below the mouth and of the teeth, all over the photograph."""
        upper, lower = (self._line(ring, offset) for ring, offset in LIP_EDGES)
        left, right = self.rig.face[78][0], self.rig.face[308][0]
        beyond = np.maximum(np.maximum(left - self.u, self.u - right), 0.0)
        # Past the corners the layers agree; the lower one reaches under the upper so that no gap shows.
        lower = lower - 8.0 * np.clip(beyond / 4.0, 0.0, 1.0)
        self.above, self.below = _cover(upper - self.v, 1.6), _cover(self.v - lower, 1.6)
        inside = (self.u > left + 2.5) & (self.u < right - 2.5)
        edge = self._line(LOWER_INNER, -1.3)
        self.teeth = _cover(edge - self.v, 1.5) * inside
        gum = self._line(UPPER_INNER, 2.5)
        # Lips drawn up further than in the photograph would show its upper lip there: repeat the gum's edge.
        self.gum = np.maximum(gum - self.v, 0.0)

    def _cut_eyes(self) -> None:
        """Coverage of the skin around the eyes and of the upper lids; the eyes as they are behind them."""
        self.around = np.ones(self.u.shape, np.float32)
        self.lid = np.zeros(self.u.shape, np.float32)
        self.eyes = self.photo.copy()
        for (upper, lower), iris, brow in zip(EYES, IRISES, BROW_EDGES, strict=True):
            face = self.rig.face
            left, right = face[upper[0]][0], face[upper[-1]][0]
            beyond = np.maximum(np.maximum(left - self.u, self.u - right), 0.0)
            # The lashes belong to the lid; the lower rim of the eye to the cheek.
            top, bottom = self._line(upper, 0.8), self._line(lower, -0.2)
            side = np.clip((self.u - left) * (right - self.u) / 30.0, 0.0, 1.0)
            # The hole reaches up behind the lid, which may rise; lid and brow skin meet short of the brow.
            hole = _cover(bottom - self.v, 1.2) * _cover(self.v - (top - 6.0 * side), 1.2) * (beyond == 0)
            self.around *= 1.0 - hole
            fold = np.maximum(self._line(brow) + 1.0, top - 11.0)
            fade = _cover(3.0 - beyond, 5.0) * _cover(self.v - fold - 2.0, 4.0)
            self.lid = np.maximum(self.lid, _cover(top - self.v, 1.2) * fade)
            self._complete_eye(top + 0.9 * side, bottom - 0.6 * side, beyond, iris)

    def _complete_eye(self, top: Floats, bottom: Floats, beyond: Floats, iris: tuple[int, ...]) -> None:
        """Paints what the lids hide: white, and the rest of the iris's disc."""
        face = self.rig.to_face(self.rig.photo_landmarks[list(iris)])
        centre = face[0]
        radius = np.linalg.norm(face[1:] - centre, axis=1).mean() * 0.98
        inside = (self.v > top) & (self.v < bottom) & (beyond == 0)
        away = np.hypot(self.u - centre[0], self.v - centre[1])
        white = np.percentile(self.photo[inside & (away > radius * 1.25)], 65, axis=0)
        brown = np.median(self.photo[inside & (away < radius * 0.95) & (away > radius * 0.5)], axis=0) * 0.8
        painted = white + _cover(radius - away, 1.6)[..., None] * (brown - white)
        near = (beyond < 4.0) & (np.abs(self.v - centre[1]) < 12.0)
        seen = _cover(self.v - top, 1.5) * _cover(bottom - self.v, 1.5) * (beyond == 0)
        mixed = painted + seen[..., None] * (self.photo - painted)
        self.eyes = np.where(near[..., None], mixed, self.eyes).astype(np.float32)

    def _without_folds(self) -> Floats:
        """The photograph with the smile's nasolabial folds and cheek creases faded, for the relaxed face."""
        photo = self._without_mouth()
        mask = np.zeros(self.u.shape, np.float32)
        for path in ((129, 203, 206, 216, 212), (358, 423, 426, 436, 432)):
            points = (self.rig.landmarks[list(path), :2] * SCALE).astype(np.int32)
            cv2.polylines(mask, [points.reshape(-1, 1, 2)], False, 1.0, int(11 * SCALE * self.rig.unit))
        for ring in (UPPER_OUTER, LOWER_OUTER):
            points = (self.rig.landmarks[list(ring), :2] * SCALE).astype(np.int32)
            cv2.polylines(mask, [points.reshape(-1, 1, 2)], False, 0.0, int(3 * SCALE * self.rig.unit))
        mask = cv2.GaussianBlur(mask, (0, 0), 2.0 * SCALE * self.rig.unit)[..., None]
        wide = cv2.GaussianBlur(photo, (0, 0), 7.0 * SCALE * self.rig.unit)
        fine = photo - cv2.GaussianBlur(photo, (0, 0), 1.2 * SCALE * self.rig.unit)
        # A fold is darker than its surroundings: lift the dark side, leave what is brighter, keep the pores.
        lifted = np.maximum(photo, 0.1 * photo + 0.9 * (wide + 0.5 * fine))
        return photo + mask * (lifted - photo)

    def _without_mouth(self) -> Floats:
        """The photograph with lips where teeth and the dark corners of the open mouth were.

        Lips stretch when they close; what clings to their rims would stretch with them.
        """
        ring = [*UPPER_INNER, *LOWER_INNER[::-1]]
        mask = np.zeros(self.u.shape, np.uint8)
        cv2.fillPoly(mask, [(self.rig.photo_landmarks[ring] * SCALE).astype(np.int32)], 255)
        reach = int(1.3 * SCALE * self.rig.unit) * 2 + 1
        mask = cv2.dilate(mask, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach)))
        corners = (self.rig.photo_landmarks[[61, 291]] * SCALE).astype(int)
        for x, y in corners:
            cv2.circle(mask, (int(x), int(y)), int(1.4 * SCALE * self.rig.unit), 255, -1)
        painted = cv2.inpaint(np.clip(self.photo, 0, 255).astype(np.uint8), mask, 2.0 * SCALE, cv2.INPAINT_TELEA)
        soft = cv2.GaussianBlur(mask.astype(np.float32) / 255.0, (0, 0), 2.0)[..., None]
        photo = self.photo + soft * (painted - self.photo)
        # Closed lips shade the line where they meet.
        left, right = self.rig.face[61][0], self.rig.face[291][0]
        between = _cover(self.u - left - 0.5, 2.0) * _cover(right - 0.5 - self.u, 2.0)
        to_line = [np.abs(self.v - self._line(ring, offset)) for ring, offset in LIP_EDGES]
        rim = np.exp(-((np.minimum(*to_line) / 1.0) ** 2)) * between
        return np.asarray(photo * (1.0 - 0.5 * rim[..., None] * np.array([0.8, 1.0, 1.0], np.float32)))

    def _sample(self, image: Floats, points: Points) -> Floats:
        where = (points * SCALE - 0.5).astype(np.float32)
        shown = cv2.remap(image, where[..., 0], where[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(shown, image.dtype)

    def _pull(self, camera: Camera, at: Points, values: Points, rows: tuple[float, float]) -> Points:
        """Photograph position that each output pixel shows: (h, w, 2); pulled only in `rows`, face units."""
        step = 2
        coarse = camera.photo_points(step)
        flat = coarse.reshape(-1, 2)
        low, high = at.min(axis=0), at.max(axis=0)
        height = self.rig.to_face(flat)[:, 1]
        near = np.all((flat > low) & (flat < high), axis=1) & (height > rows[0]) & (height < rows[1])
        moved = flat.copy()
        units = self.rig.unit
        shift = thin_plate(at / units, (values - at) / units, flat[near] / units, STIFFNESS) * units
        margin = np.minimum(flat[near] - low, high - flat[near]).min(axis=1) / (6.0 * units)
        moved[near] += shift * np.clip(margin, 0.0, 1.0)[:, None]
        field = moved.reshape(coarse.shape)
        x, y = np.meshgrid(np.arange(camera.size[0]) / step, np.arange(camera.size[1]) / step)
        x, y = x.astype(np.float32), y.astype(np.float32)
        return np.asarray(cv2.remap(field.astype(np.float32), x, y, cv2.INTER_LINEAR), np.float32)

    def _cavity(self, camera: Camera, skull: Floats, jaw: Floats, smile: float) -> Floats:
        """Inside of the mouth: dark, the photographed teeth on the skull, tongue and lower row on the jaw."""
        points = camera.photo_points()[: camera.size[1], : camera.size[0]]

        def rest(affine: Floats) -> Points:
            inverse = np.linalg.inv(affine[:, :2])
            return (points - affine[:, 2]) @ inverse.T

        on_skull, on_jaw = rest(skull), rest(jaw)
        face = self.rig.face
        centre, floor = (face[61, 0] + face[291, 0]) / 2.0, face[14, 1]
        u, v = np.moveaxis(self.rig.to_face(on_jaw.reshape(-1, 2)).reshape(points.shape), -1, 0)
        image = np.empty((*u.shape, 3), np.float32)
        image[:] = (46.0, 20.0, 20.0)
        tongue = np.exp(-(((u - centre) / 15.0) ** 2) - ((v - floor + 2.0) / 6.0) ** 2)[..., None]
        image += tongue.astype(np.float32) * np.array([62.0, 26.0, 28.0], np.float32)
        curve = floor - 2.5 + 0.006 * (u - centre) ** 2 * -1.0
        row = _cover(v - curve, 1.6) * _cover(curve + 5.5 - v, 2.0) * _cover(15.0 - np.abs(u - centre), 6.0)
        gaps = 0.86 + 0.14 * np.abs(np.cos((u - centre) * np.pi / 5.2)) ** 0.4
        image += (row * gaps * 0.62)[..., None] * (np.array([168.0, 152.0, 138.0], np.float32) - image)
        shift = self._sample(self.gum, on_skull)[..., None] * self.rig.axes[1] * self.rig.unit
        teeth = self._sample(self.photo, on_skull + shift)
        cover = self._sample(self.teeth, on_skull)[..., None]
        return image + cover * (teeth * (0.80 + 0.20 * smile) - image)

    def _eyes(self, camera: Camera, e: Expression, skull: Floats, skin: Floats, lid_skin: Floats,
              pulls: list[Points]) -> Floats:  # fmt: skip
        """Puts the eyes behind their lids."""
        look = self.rig.axes[1] * self.rig.unit * e.gaze_down * 2.6
        points = camera.photo_points()[: camera.size[1], : camera.size[0]]
        eyeball = self._sample(self.eyes, (points - look - skull[:, 2]) @ np.linalg.inv(skull[:, :2]).T)
        lid = self._sample(self.lid, pulls[2])
        shadow = cv2.GaussianBlur(lid, (0, 0), 1.6 * self.rig.unit * camera.zoom)
        eyeball = eyeball * (1.0 - 0.55 * shadow * (1.0 - 0.5 * e.au06))[..., None]
        out = eyeball + self._sample(self.around, pulls[0])[..., None] * (skin - eyeball)
        return out + lid[..., None] * (lid_skin - out)

    def frame(self, e: Expression, camera: Camera) -> Floats:
        """One picture before grading: (h, w, 3) float32 RGB, 0..255."""
        targets = self.rig.targets(e)
        eyes, lips = self.rig.face[NOSE_BRIDGE, 1], self.rig.face[UPPER_OUTER[5], 1]
        # Each layer is pulled where it is seen; heads here turn by less than the margins.
        held = (
            (targets.upper, (-np.inf, np.inf)),
            (targets.lower, (lips - 15.0, np.inf)),
            (targets.lids, (eyes - 45.0, eyes + 35.0)),
        )
        pulls = [self._pull(camera, targets.moved[k], targets.source[k], rows) for k, rows in held]
        smile = float(np.clip((e.au12 + e.au06) / 2.0, 0.0, 1.0))
        texture = self.smooth + smile * (self.photo - self.smooth)
        above, below = self._sample(self.above, pulls[0]), self._sample(self.below, pulls[1])
        skin = [self._sample(texture, pull) for pull in pulls]
        inside = self._cavity(camera, targets.skull, targets.jaw, smile)
        skin[0] = self._eyes(camera, e, targets.skull, skin[0], skin[2], pulls)
        # Lips keep the light out: the narrower the gap, the darker what lies behind it.
        lit = 1.0 - cv2.GaussianBlur(np.maximum(above, below), (0, 0), 1.1 * self.rig.unit * camera.zoom * 2.0)
        shade = smile + (1.0 - smile) * np.clip(0.5 + 1.5 * lit, 0.0, 1.0)
        inside = inside * shade[..., None]
        out = inside + below[..., None] * (skin[1] - inside)
        return np.asarray(out + above[..., None] * (skin[0] - out))


def grade(frame: Floats, look: Look, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Colour, light, lens and sensor of a clip: float RGB to uint8."""
    x = np.clip(frame / 255.0, 0.0, 1.0) ** look.gamma * np.asarray(look.gains, np.float32)
    grey = x.mean(axis=-1, keepdims=True)
    x = grey + look.saturation * (x - grey)
    height, width = x.shape[:2]
    yy, xx = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    x *= (1.0 - look.vignette * np.clip(xx**2 + yy**2, 0.0, 2.0) / 2.0)[..., None]
    grain = cv2.GaussianBlur(rng.normal(0.0, 1.0, (height, width)).astype(np.float32), (0, 0), 0.7) * 2.4
    return np.asarray(np.clip(x * 255.0 + look.grain * grain[..., None], 0, 255).astype(np.uint8))
