"""Where each facial landmark goes when a face makes an expression.

The rig starts from one photograph of a smiling face and the 478 landmarks that MediaPipe FaceLandmarker
finds in it. An `Expression` (Action Units, lids, head rotation) gives every control point a target; the
renderer then pulls the picture along. The photograph itself is the apex of the smile, so AU6 = AU12 = 1
moves nothing, and a relaxed face is reached by undoing the smile: corners in and down, lips closed, cheeks
down.

Lengths are in face units: percent of the
distance between the outer eye corners, about 0.9 mm on an adult face. Axes: u to the image's right, v down.
"""

from __future__ import annotations

import numpy as np
from face_landmarks import (
    BROWS,
    EYES,
    LANDMARKS,
    LIP_BODY,
    LOWER_INNER,
    LOWER_OUTER,
    NOSE_BRIDGE,
    OUTER_CORNERS,
    UPPER_INNER,
    UPPER_OUTER,
    Expression,
    Floats,
    Points,
    Targets,
)

JAW_DROP = 22.0  # face units at AU26 = 1
DEEPEST = 37.0  # face units; a flat picture cannot show what turns into view behind the cheek
MINIMUM_GAP = 2.2  # face units between controls, so that no two pull a pixel two ways


def _bump(distance: Floats, width: float) -> Floats:
    return np.asarray(np.exp(-0.5 * (distance / width) ** 2))


def _ramp(value: Floats, start: float | Floats, end: float | Floats) -> Floats:
    t = np.clip((value - start) / (end - start), 0.0, 1.0)
    return np.asarray(t * t * (3.0 - 2.0 * t))


class FaceRig:
    """Targets of one photograph's landmarks for any expression.

    `landmarks` is (478, 3): x, y in pixels and z on the same scale, smaller nearer the camera. `hair` (n, 2)
    are points that turn with the head, `anchors` (n, 2) points that never move (collar, background).
    """

    def __init__(self, landmarks: Floats, hair: Points, anchors: Points) -> None:
        points = landmarks[:, :2]
        left, right = (points[i] for i in OUTER_CORNERS)
        self.unit = float(np.linalg.norm(right - left)) / 100.0
        across = (right - left) / np.linalg.norm(right - left)
        self.axes = np.stack([across, [-across[1], across[0]]])  # rows: u, v
        self.origin = points[NOSE_BRIDGE]
        self.photo_landmarks = points
        self.landmarks = np.column_stack([points, np.minimum(landmarks[:, 2], DEEPEST * self.unit)])
        self.hair, self.anchors = hair, anchors
        self.face = self.to_face(points)
        self.kept = self._thin()
        self.relaxed = self._relaxed()

    def to_face(self, points: Points) -> Points:
        """Photograph pixels to face units."""
        return np.asarray((points - self.origin) @ self.axes.T / self.unit)

    def to_photo(self, points: Points) -> Points:
        """Face units to photograph pixels."""
        return np.asarray(points @ self.axes * self.unit + self.origin)

    def _thin(self) -> Floats:
        """Landmarks that hold the warp: contours first, then any far enough from those already taken."""
        contours = [*UPPER_OUTER, *LOWER_OUTER, *UPPER_INNER, *LOWER_INNER]
        contours += [i for eye in EYES for lid in eye for i in lid] + [i for brow in BROWS for i in brow]
        kept = list(dict.fromkeys(contours))
        for index in range(LANDMARKS):
            if index in LIP_BODY or index in kept:
                continue
            if np.linalg.norm(self.face[kept] - self.face[index], axis=1).min() >= MINIMUM_GAP:
                kept.append(index)
        return np.array(kept)

    def _relaxed(self) -> Points:
        """The smile undone: (478, 2) in face units."""
        face, out = self.face, self.face.copy()
        left, right = face[61], face[291]
        centre = (left[0] + right[0]) / 2.0
        # An upper incisor's edge shows about 2 mm below a relaxed upper lip; closed lips meet just above it.
        seam = face[14][1] - 3.4
        corner = np.array([[centre - 27.5, seam - 0.3], [centre + 27.5, seam - 0.3]])
        cheeks = ((left, corner[0] - left), (right, corner[1] - right))
        for point, move in cheeks:
            # The cheek follows the mouth's corner, less and less up to the lid, not at all past the jaw.
            weight = _bump(np.hypot(face[:, 0] - point[0], (face[:, 1] - point[1]) * 0.8), 22.0)
            out += weight[:, None] * move * 0.9
        for side in (-1, 1):
            cheek = np.array([centre + side * 45.0, face[50][1]])
            out[:, 1] += 2.2 * _bump(np.linalg.norm(face - cheek, axis=1), 16.0)
        nose = np.array([centre, face[2][1]])
        # AU12 widens it
        out[:, 0] -= 0.04 * (face[:, 0] - centre) * _bump(np.linalg.norm(face - nose, axis=1), 18.0)
        chin = _ramp(face[:, 1], seam + 8.0, seam + 22.0) * _bump(face[:, 0] - centre, 40.0)
        out[:, 1] += chin * -0.8
        for contours, thick, bow in (
            ((UPPER_OUTER, UPPER_INNER), -7.2, 1.1),
            ((LOWER_OUTER, LOWER_INNER), 9.4, 0.0),
        ):
            outer, inner = contours
            for ring, height in ((outer, thick), (inner, 0.0)):
                s = self._along(ring)
                x = corner[0, 0] + (corner[1, 0] - corner[0, 0]) * (0.5 + (s - 0.5) * (0.93 if height == 0 else 1.0))
                arch = np.sin(np.pi * s) ** (0.8 if thick < 0 else 0.75)
                line = seam - 0.3 + 0.9 * np.sin(np.pi * s) ** 2  # the closed mouth's slight bow
                dip = bow * _bump(s - 0.5, 0.06) if height else 0.0  # Cupid's bow
                out[list(ring)] = np.stack([x, line + height * arch + dip], axis=1)
        below = face[:, 1] - face[17, 1]
        follow = np.where(below > 0, _bump(below, 9.0), 0.0) * _bump(face[:, 0] - centre, 20.0)
        out[:, 1] += follow * (out[17, 1] - face[17, 1])  # the skin under the lower lip comes up with it
        for upper, lower in EYES:  # AU6 narrows the eyes; without it they open a little
            out[list(upper[2:-2]), 1] -= 0.5
            out[list(lower[2:-2]), 1] += 0.9
        return out

    def _along(self, ring: tuple[int, ...]) -> Floats:
        """Place of each contour point between the corners, 0..1."""
        x = self.face[list(ring), 0]
        return np.asarray((x - x[0]) / (x[-1] - x[0]))

    def targets(self, e: Expression) -> Targets:
        """Where the controls go for one expression."""
        face = self._expressed(e)
        flat = self.to_photo(face)
        moved = self._turned(np.column_stack([flat, self.landmarks[:, 2]]), e)
        depth = np.full(len(self.hair), DEEPEST * self.unit)
        hair = self._turned(np.column_stack([self.hair, depth]), e)
        source = np.vstack([self.landmarks[self.kept, :2], self.hair, self.anchors])
        everything = np.vstack([moved[self.kept], hair, self.anchors])
        extra = np.arange(len(self.kept), len(source))
        corner = {61, 291}
        above = {*UPPER_OUTER, *UPPER_INNER} - corner
        below = {*LOWER_OUTER, *LOWER_INNER} - corner
        centre = (self.face[61, 0] + self.face[291, 0]) / 2.0
        near = np.abs(self.face[:, 0] - centre) < 28.0
        beneath = {i for i in range(LANDMARKS) if near[i] and self.face[i, 1] > self.face[14, 1]} - above - corner
        over = {i for i in range(LANDMARKS) if near[i] and self.face[i, 1] < self.face[0, 1]} - below - corner
        names = self.kept.tolist()
        lid, under = self._eye_skin()
        upper = [k for k, i in enumerate(names) if i not in below and i not in beneath and i not in lid]
        lower = [k for k, i in enumerate(names) if i not in above and i not in over and i not in lid]
        lids = [k for k, i in enumerate(names) if i not in below and i not in beneath and i not in under]
        core = [1, 4, 6, 197, 129, 358, 98, 327, 2, 164, 50, 280]
        rest = np.column_stack([self.landmarks[core, :2], np.ones(len(core))])
        rigid = self._turned(self.landmarks[core], e)
        skull = np.linalg.lstsq(rest, rigid, rcond=None)[0].T
        jaw = skull.copy()
        jaw[:, 2] += self.axes[1] * self.unit * self._drop(e)
        return Targets(source, everything, np.r_[upper, extra], np.r_[lower, extra], np.r_[lids, extra], skull, jaw)

    def _eye_skin(self) -> tuple[set[int], set[int]]:
        """Landmarks of the upper lids and the fold above, and of the lower lids and the skin under them."""
        lid, under = set(), set()
        brows = {i for brow in BROWS for i in brow}
        for upper, lower in EYES:
            corners = {upper[0], upper[-1]}
            middle = (self.face[upper[0]] + self.face[upper[-1]]) / 2.0
            width = abs(self.face[upper[-1], 0] - self.face[upper[0], 0])
            inside = np.abs(self.face[:, 0] - middle[0]) < 0.45 * width
            lid |= {*upper} - corners
            under |= {*lower} - corners
            for i in np.flatnonzero(inside).tolist():
                height = middle[1] - self.face[i, 1]
                if 0 < height < 17.0 and i not in brows and i not in under:
                    lid.add(i)
                elif -14.0 < height < 0 and i not in lid:
                    under.add(i)
        return lid, under

    @staticmethod
    def _drop(e: Expression) -> float:
        return JAW_DROP * e.au26

    def _expressed(self, e: Expression) -> Points:
        """Expression without head motion: (478, 2) in face units."""
        face, out = self.face, self.relaxed.copy()
        lips = sorted({*UPPER_OUTER, *UPPER_INNER, *LOWER_OUTER, *LOWER_INNER})
        smile, cheek = e.au12, e.au06
        # AU12 governs what lies below the nose, AU6 the lids and upper cheeks.
        share = _ramp(face[:, 1], face[50][1] - 6.0, face[50][1] + 10.0)[:, None]
        share[lips] = 1.0
        out += (share * smile + (1.0 - share) * cheek) * (face - self.relaxed)
        out += self._brow_moves(e)
        self._mouth_moves(e, out, lips)
        self._lid_moves(e, out)
        return out

    def _brow_moves(self, e: Expression) -> Points:
        face, move = self.face, np.zeros_like(self.face)
        for side, (inner, middle, outer) in ((-1, (107, 105, 70)), (1, (336, 334, 300))):
            forehead = _ramp(-face[:, 1], -8.0, 4.0)  # nothing below the upper lid's crease
            at = {
                name: np.linalg.norm((face - face[i]) * (1.0, 0.8), axis=1)
                for name, i in (("inner", inner), ("middle", middle), ("outer", outer))
            }
            move[:, 1] -= forehead * 7.0 * e.au01 * _bump(at["inner"], 12.0)
            move[:, 1] -= forehead * e.au02 * (6.5 * _bump(at["middle"], 11.0) + 4.5 * _bump(at["outer"], 9.0))
            lowered = _bump(at["inner"], 13.0) + 0.5 * _bump(at["middle"], 10.0)
            move[:, 1] += forehead * 4.2 * e.au04 * lowered
            move[:, 0] -= forehead * side * 3.6 * e.au04 * _bump(at["inner"], 13.0)
        return move

    def _mouth_moves(self, e: Expression, out: Points, lips: list[int]) -> None:
        base = self.relaxed
        left, right = base[61], base[291]
        centre, seam, half = (left[0] + right[0]) / 2.0, left[1], (right[0] - left[0]) / 2.0
        drop, before = self._drop(e), out.copy()
        # The jaw hangs from the ears: the chin drops fully, the skin beside the mouth part of the way.
        side = np.abs(base[:, 0] - centre)
        start = seam - 12.0 * _ramp(side, 10.0, 26.0)
        skin = _ramp(base[:, 1] - start, 0.0, seam + 16.0 - start) * (1.0 - 0.85 * _ramp(side, 22.0, 66.0))
        skin[lips] = 0.0
        out[:, 1] += skin * drop
        hollow = _bump(np.hypot(side - half * 1.5, base[:, 1] - seam), 14.0)  # cheeks are drawn in
        hollow[lips] = 0.0
        out[:, 0] -= np.sign(base[:, 0] - centre) * hollow * drop * 0.10
        for outer, inner, part in ((UPPER_OUTER, UPPER_INNER, -1), (LOWER_OUTER, LOWER_INNER, 1)):
            for ring, lip in ((outer, 0.75), (inner, 1.0)):
                # both rings end in the corners: move them once
                start, end = (1, -1) if part > 0 else (None, None)
                ids, s = list(ring[start:end]), self._along(ring)[start:end]
                profile = np.sin(np.pi * s) ** (0.85 if part < 0 else 0.8)
                corner = 1.0 - profile
                x = out[ids, 0] - centre
                out[ids, 0] -= x * (0.010 * drop + 0.30 * e.au18 - 0.10 * e.au20)
                if part > 0:
                    out[ids, 1] += drop * (0.93 * profile + 0.36 * corner)
                    out[ids, 1] += e.au25 * 5.0 * profile * lip
                    out[ids, 1] -= e.au17 * 2.6 * profile
                else:
                    out[ids, 1] += drop * (0.36 * corner - 0.03 * profile)
                    out[ids, 1] -= e.au25 * 1.6 * profile * lip
                    out[ids, 1] -= e.au17 * 1.6 * profile
        for point, index in ((left, 61), (right, 291)):  # the skin by a corner goes in and out with it
            near = _bump(np.linalg.norm(base - point, axis=1), 9.0)
            near[lips] = 0.0
            out[:, 0] += near * (out[index, 0] - before[index, 0])
        chin = _bump(np.hypot(base[:, 0] - centre, base[:, 1] - (seam + 24.0)), 14.0)
        chin[lips] = 0.0
        out[:, 1] -= e.au17 * 3.4 * chin
        for side_sign, point in ((-1, left), (1, right)):  # AU15 pulls the corners down, AU20 back
            weight = _bump(np.linalg.norm(base - point, axis=1), 11.0)
            out[:, 1] += e.au15 * 7.0 * weight
            out[:, 0] += side_sign * (e.au15 * 1.2 + e.au20 * 3.0) * weight

    def _lid_moves(self, e: Expression, out: Points) -> None:
        face = self.face
        for upper, lower in EYES:
            up, low = list(upper), list(lower)
            s = (face[up, 0] - face[up[0], 0]) / (face[up[-1], 0] - face[up[0], 0])
            arch = np.sin(np.pi * np.clip(s, 0, 1))
            out[up, 1] -= e.au05 * 2.4 * arch
            out[low, 1] -= e.au07 * 2.0 * arch
            closed = float(np.clip(e.au45 + 0.30 * e.gaze_down, 0.0, 1.0))
            # Closed lids meet below the middle of the eye, on a line that hangs a little.
            meeting = np.interp(out[up, 0], out[low, 0], out[low, 1]) - 0.4 * arch
            before = out[up, 1].copy()
            out[up, 1] += closed * (meeting - before)
            # The lid's skin comes along whole; the fold above it follows less the higher it lies.
            gap = before.mean() - out[:, 1]
            share = np.where(gap > 0, 1.0 - _ramp(gap, 4.5, 13.0), 0.0)
            share[up + low + [i for brow in BROWS for i in brow]] = 0.0
            order = np.argsort(out[up, 0])
            moved = np.interp(out[:, 0], out[up, 0][order], (out[up, 1] - before)[order], left=0.0, right=0.0)
            out[:, 1] += share * 0.92 * (moved - e.au05 * 1.8 * (moved != 0))

    def _turned(self, points: Floats, e: Expression) -> Points:
        """Head rotation about the neck, seen by a distant camera: (n, 3) to (n, 2)."""
        pitch, yaw, roll = np.deg2rad([e.pitch, e.yaw, e.roll])
        pivot = np.array([*self.to_photo(np.array([0.0, 140.0])), 45.0 * self.unit])
        q = points - pivot
        cx, sx, cy, sy, cz, sz = (
            np.cos(pitch),
            np.sin(pitch),
            np.cos(yaw),
            np.sin(yaw),
            np.cos(roll),
            np.sin(roll),
        )
        # z grows away from the camera; the nod turns about the ears, not the neck's foot.
        ear = np.array([0.0, -115.0 * self.unit, 0.0])
        q = q - ear
        y, z = q[:, 1] * cx - q[:, 2] * sx, q[:, 1] * sx + q[:, 2] * cx
        q = np.column_stack([q[:, 0], y, z]) + ear
        x = q[:, 0] * cy - q[:, 2] * sy
        x, y = x * cz - q[:, 1] * sz, x * sz + q[:, 1] * cz
        return np.asarray(np.column_stack([x, y - e.rise * self.unit]) + pivot[:2])
