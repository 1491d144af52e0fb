"""From measurements to one or two plain sentences. Words and thresholds: `phrases.yaml`.

Only what was measured is said: no gender, no age, no mood; "left" and "right" are the viewer's.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from merrflow_minigpt_v2.engines.measured.boxes import share_inside
from merrflow_minigpt_v2.engines.measured.light import Light
from merrflow_minigpt_v2.engines.measured.movement import Movement
from merrflow_minigpt_v2.engines.measured.people import Face, People
from merrflow_minigpt_v2.engines.measured.phrases import on_scale, phrases
from merrflow_serving.media.ocr import TextLine

_NUMBERS = ("no", "one", "two", "three", "four", "five", "six")


def describe(size: tuple[int, int], people: People, light: Light, movement: Movement, text: Sequence[TextLine]) -> str:
    """The description of a picture of `size` (width, height) in pixels; at most about 50 words."""
    rules = phrases()
    if min(size) < rules["too_small"]:
        return f"The picture is too small to show a scene ({size[0]} by {size[1]} pixels)."
    if light.lightness < rules["black"] and light.contrast < rules["black"]:
        return "The picture is black."
    first = _people(size, people)
    second = [_light(light), _movement(movement, people.number > 0), _text(text, size)]
    return f"{first} {_sentence('; '.join(part for part in second if part))}"


def _people(size: tuple[int, int], people: People) -> str:
    if not people.faces:
        return _faceless(people)
    main, rules = people.faces[0], phrases()
    shot = on_scale(rules["shot"], main.height / size[1])
    place = on_scale(rules["place"], (main.box[0] + main.box[2] / 2) / size[0])
    details = ", ".join(part for part in (_head(main), _gaze(main), _hands(people)) if part)
    if people.number == 1:
        return _sentence(f"a person is shown in {shot}, {place}, {details}")
    hidden, who = "", "the nearest"
    if people.without_face:
        hidden = f", {_number(people.without_face)} of them without a visible face"
        who = f"the {'one' if len(people.faces) == 1 else 'nearest'} whose face is visible"
    number = _number(people.number)
    return _sentence(f"{number} people are visible{hidden}; {who} is shown in {shot}, {place}, {details}")


def _faceless(people: People) -> str:
    hands = _count(len(people.hands), "hand") if people.hands else ""
    if not people.number:
        return f"No face is visible, but {hands} can be seen." if hands else "No face is visible."
    who = "a person is" if people.number == 1 else f"{_number(people.number)} people are"
    return _sentence(f"{who} visible, but no face{f'; {hands} can be seen' if hands else ''}")


def _number(number: int) -> str:
    return _NUMBERS[number] if number < len(_NUMBERS) else "several"


def _head(face: Face) -> str:
    rule, turns = phrases()["head"], []
    side = "right" if face.yaw > 0 else "left"
    if abs(face.yaw) >= rule["profile"]:
        turns.append(f"in profile to the {side}")
    elif abs(face.yaw) >= rule["turned"]:
        turns.append(f"turned {side}")
    elif abs(face.yaw) >= rule["slightly"]:
        turns.append(f"turned slightly {side}")
    if abs(face.pitch) >= rule["lowered"]:
        turns.append("raised" if face.pitch > 0 else "lowered")
    if abs(face.roll) >= rule["tilted"]:
        turns.append(f"tilted {'right' if face.roll > 0 else 'left'}")
    return f"head {_and(turns)}" if turns else "facing the camera"


def _gaze(face: Face) -> str:
    """Gaze relative to the head. Lids follow a lowered gaze, so lowered and closed eyes look alike."""
    rule = phrases()["gaze"]
    if face.height < rule["min_face"]:
        return ""
    if face.eye_closure >= rule["closed"]:
        return "eyes lowered or closed" if face.gaze_y <= -rule["down"] else "eyes closed"
    ways = []
    if face.gaze_y >= rule["up"]:
        ways.append("up")
    elif face.gaze_y <= -rule["down"]:
        ways.append("down")
    if abs(face.gaze_x) >= rule["sideways"]:
        ways.append("right" if face.gaze_x > 0 else "left")
    return f"eyes {_and(ways)}" if ways else ""


def _hands(people: People) -> str:
    """Hands relative to the nearest face; whose hands they are is not measured."""
    rule, face = phrases()["hands"], people.faces[0]
    chin = face.box[1] + face.box[3]
    near = [hand for hand in people.hands if share_inside(hand, face.box) >= rule["at_face"]]
    raised = [hand for hand in people.hands if hand not in near and hand[1] < chin + rule["raised"] * face.height]
    low = len(people.hands) - len(near) - len(raised)
    parts = []
    if near:
        parts.append(f"{_count(len(near), 'hand')} at the face")
    if raised:
        parts.append(f"{_count(len(raised), 'hand')} raised")
    if low:
        parts.append(f"{_count(low, 'hand')} {'also ' if parts else ''}visible")
    return _and(parts)


def _light(light: Light) -> str:
    rules = phrases()
    low, high, contrast = rules["low_key"], rules["high_key"], rules["contrast"]
    key = ""
    if light.contrast > contrast["soft"]:
        if light.lightness < low["lightness"] and light.dark_share > low["dark_share"]:
            key = "lit in low key"
        elif light.lightness > high["lightness"] and light.dark_share < high["dark_share"]:
            key = "lit in high key"
    words = key or on_scale(rules["light"], light.lightness)
    extras = []
    if light.face_difference is not None and light.face_difference < rules["back_light"]:
        extras.append("a background brighter than the face")
    elif light.contrast < contrast["soft"]:
        extras.append("soft contrast")
    elif light.contrast > contrast["strong"] and not key:
        extras.append("strong contrast")
    extras.append(_colours(light))
    return f"the scene is {words} with {_and(extras)}"


def _colours(light: Light) -> str:
    chroma = phrases()["chroma"]
    if light.chroma < chroma["none"]:
        return "no colour"
    tone = on_scale(phrases()["warmth"], light.warmth)
    if light.chroma < chroma["muted"]:
        return f"muted {tone} colours"
    return f"{'strong' if light.chroma > chroma['strong'] else ''} {tone} colours".strip()


def _movement(movement: Movement, anyone: bool) -> str:
    rules, parts = phrases(), []
    if movement.camera is not None:
        if movement.camera < rules["camera"]["steady"]:
            camera = "the camera is still" if anyone else "nothing moves"
        else:
            slowly = "" if movement.camera > rules["camera"]["moving"] else " slowly"
            camera = f"the camera moves{slowly}"
        parts.append(camera)
    if movement.person is not None:
        if movement.person < rules["person"]["still"]:
            parts.append("the person hardly moves")
        else:
            much = "strongly" if movement.person > rules["person"]["strong"] else "slightly"
            parts.append(f"the person moves {much}")
    return _and(parts)


def _text(lines: Sequence[TextLine], size: tuple[int, int]) -> str:
    rule = phrases()["text"]
    if not lines:
        return ""
    text = lines[0].text
    if len(lines) == 1 and rule["quote_least"] <= len(text) <= rule["quote_most"] and _latin(text):
        return f'the text "{text}" is shown'
    low = all(line.box[1] + line.box[3] / 2 >= rule["bottom"] * size[1] for line in lines)
    return "text is shown at the bottom" if low else "text can be read in the picture"


def _latin(text: str) -> bool:
    letters = [character for character in text if character.isalpha()]
    return bool(letters) and all(unicodedata.name(letter, "").startswith("LATIN") for letter in letters)


def _count(number: int, noun: str) -> str:
    word = _NUMBERS[number] if number < len(_NUMBERS) else str(number)
    return f"{word} {noun}{'' if number == 1 else 's'}"


def _and(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}" if parts else ""


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}." if text else ""
