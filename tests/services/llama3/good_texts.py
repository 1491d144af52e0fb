"""Answers as a capable model writes them, by hand, with the clues that they are over: none of them may be refused."""

from __future__ import annotations

from merrflow_llama3.types import Clues

_ = Clues
GOOD: tuple[tuple[Clues, str], ...] = (
    (
        _(
            scene="A woman sits at a kitchen table. She holds a letter in her left hand.",
            expressions=("raised inner brows", "lip corners pulled down"),
            tone="The voice is low-pitched and quiet, with a slow pace; it sounds subdued",
            subtitle="She left without a word. I should have called her.",
            label="sad",
        ),
        "In the video, a woman sits at a kitchen table with a letter in her hand, her inner brows "
        "raised and the corners "
        'of her lips pulled down. Her voice is quiet and slow as she says, "I should have called her." The subdued '
        "delivery and the regret in her words show that she feels sad.",
    ),
    (
        _(
            scene="Two people are visible; the nearest is shown in a medium shot, centred, facing the camera.",
            expressions=("lowered brows", "pressed lips"),
            tone="The voice is high-pitched and loud, with a wide pitch range and a fast pace; it sounds agitated",
            subtitle="Who told you to touch my desk?",
            label="angry",
        ),
        "In the video, the person nearest to the camera glares with lowered brows and lips pressed "
        "together. The voice is "
        'loud and hurried, and the question "Who told you to touch my desk?" is an accusation rather than a request. '
        "Face, voice and words agree: the person is angry.",
    ),
    (
        _(
            scene="A man is shown in a close-up, head turned to the right.",
            expressions=("lip corners pulled up",),
            other_expressions=("lowered brows",),
            tone="The voice is medium-pitched and moderately loud; it sounds animated",
            subtitle="We got it! They said yes!",
            label="happy",
        ),
        "In the video, a man's lip corners are pulled up and his voice is animated. Although his "
        "brows are lowered, which "
        'by itself could mean strain, his exclamation "They said yes!" settles it, and the smile weighs more. He feels '
        "happy about the news.",
    ),
    (
        _(
            scene="A young woman is standing in front of a door.",
            expressions=("widened eyes", "a dropped jaw"),
            tone="The voice is high-pitched, rising at the end; it sounds startled",
            subtitle="你怎么在这里？",
            translation="What are you doing here?",
            label="surprise",
        ),
        "In the video, a young woman stands before a door with widened eyes and her jaw dropped. "
        "Her startled voice rises "
        "as she asks what the other is doing here. Such a reaction to somebody she did not expect shows that she is "
        "surprised.",
    ),
    (
        _(
            scene="A person is shown in a close-up, left of centre.",
            expressions=("lips stretched sideways", "raised inner brows"),
            tone="The voice is trembling and fast; it sounds anxious",
            subtitle="What if they do not come back?",
            label="worried",
        ),
        "In the video, the person's lips are stretched and the inner brows are drawn up, a tense expression. The voice "
        'trembles, again and again, over "What if they do not come back?", a question about an outcome that the person '
        "cannot control. This points to worry.",
    ),
    (
        _(expressions=("raised upper lip", "a wrinkled nose"), tone="her tone sounds negative", label="disgust"),
        "In the video, a woman wrinkles her nose and raises her upper lip, and the negative tone "
        "of her voice fits that "
        "face. Taken together, they indicate that she is disgusted.",
    ),
    (
        _(
            scene="One person with glasses looks down.",
            expressions=("dimpled cheeks",),
            tone="The voice is slow and flat; it sounds bitter",
            subtitle="You are nobody without your father.",
            label="contempt",
        ),
        'In the video, a person with glasses looks down with dimpled cheeks. The line "You are nobody without your '
        'father" is spoken in a slow, bitter voice and belittles whoever it is said to. The person feels contempt.',
    ),
    (
        _(
            scene="A man in a dark suit sits in an office.",
            expressions=("lowered brows", "tightened eyelids"),
            tone="his tone sounds normal",
            subtitle="Are you sure that is true?",
            label="doubt",
        ),
        "In the video, a man in a suit sits in an office with lowered brows and narrowed, "
        "tightened eyelids. His tone is "
        'unremarkable, but "Are you sure that is true?" questions what he was told. The underlying '
        "emotion: he doubts it.",
    ),
    (
        _(
            scene="A child hides behind a chair.",
            expressions=("widened eyes", "lips stretched sideways"),
            tone="The voice is shaky and breathy",
            subtitle="Please don't let it come in!",
            label="fear",
        ),
        "In the video, a child hides behind a chair with widened eyes and stretched lips. The "
        "voice is shaky and breathy, "
        'and the plea "Please don\'t let it come in!" shows what the child wants to keep away. The child is afraid.',
    ),
    (
        _(
            scene="A woman is shown in a medium close-up, facing the camera.",
            expressions=("parted lips",),
            tone="The voice is medium-pitched and moderately loud, with a normal pitch range; it sounds neutral",
            subtitle="The meeting starts at nine in the large room.",
            label="neutral",
        ),
        "In the video, a woman faces the camera with slightly parted lips and no other movement of "
        "the face. Her voice is "
        "even, and she only says when and where a meeting starts. Nothing stands out, so she is calm and neutral.",
    ),
)
