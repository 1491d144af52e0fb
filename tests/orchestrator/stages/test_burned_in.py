"""Subtitles that are part of the picture are read, and tickers, logos and scenery are not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from merrflow.core.measurements import Clip
from merrflow.stages.burned_in import read_burned_in
from merrflow.stages.subtitle import find_subtitle
from merrflow.stages.text_line_tracks import Sighting, make_tracks
from merrflow.stages.text_samples import Sampler, rules, take_sample
from merrflow_serving.media.ocr import TextReader
from merrflow_serving.media.video import iter_frames
from tests.orchestrator.stages.film import film, logo, subtitle, ticker, width_of, write
from tests.paths import SHARED

CLIPS = SHARED / "clips"


class Counting:
    """A reader that counts what it is asked."""

    def __init__(self, reader: TextReader) -> None:
        self.reader, self.detected, self.recognised = reader, 0, 0

    def detect(self, image):
        self.detected += 1
        return self.reader.detect(image)

    def recognise(self, image):
        self.recognised += 1
        return self.reader.recognise(image)


def test_tickers_and_logos_are_not_subtitles(reader):
    news = "tonight at nine thirty the young doctors are back with a new story of the city and its people " * 2
    draws = [ticker(news), logo("CHANNEL ONE", 560), logo("LIVE", 20, baseline=330)]
    with_line = read_burned_in(film(3.0, [*draws, subtitle("do you really think so")]), reader)
    assert with_line.text == "do you really think so"
    without = read_burned_in(film(3.0, draws), reader)
    assert without.text is None and "ticker, a logo" in without.reason


def test_text_that_scrolls_through_the_middle_is_a_ticker(reader):
    def roll(image, time):
        write(image, "breaking news", 330 - round(50 * time), 345)

    assert read_burned_in(film(1.5, [roll]), reader).text is None


def test_a_centred_text_that_never_goes_is_not_speech(reader):
    caption = subtitle("Beijing Television", baseline=380)
    said = subtitle("where have you been", 2.0, 4.0, baseline=340)
    assert read_burned_in(film(12.0, [caption, said]), reader).text == "where have you been"


def test_each_line_counts_once_in_order_of_time_and_then_from_top_to_bottom(reader):
    draws = [
        subtitle("I have told you", 0, 1.5, baseline=320),
        subtitle("not to come here", 0, 1.5, baseline=352),
        subtitle("now go home", 1.5, 3.0, baseline=352),
    ]
    found = read_burned_in(film(3.0, draws), reader)
    assert found.text == "I have told you not to come here now go home"
    assert "3 lines" in found.reason


def test_chinese_above_english_gives_english_and_keeps_the_other(reader):
    draws = [
        subtitle("这是在你上次在老爷的面前", 0, 1.0, baseline=330),
        subtitle("I organized that plan for you", 0, 1.0, baseline=360),
        subtitle("雄心壮志之后", 1.0, 2.0, baseline=330),
        subtitle("after you showed so much determination", 1.0, 2.0, baseline=360),
    ]
    found = read_burned_in(film(2.0, draws), reader)
    assert (found.text, found.language) == (
        "I organized that plan for you after you showed so much determination",
        "en",
    )
    assert found.also == {"zh": "这是在你上次在老爷的面前 雄心壮志之后"}
    assert "雄心壮志之后" in found.reason


def test_an_english_word_among_chinese_lines_is_no_second_language(reader):
    draws = [
        subtitle("你真的这么想吗", 0, 1.0),
        subtitle("Hello", 1.0, 2.0),
        subtitle("您真这么认为啊", 2.0, 3.0),
    ]
    found = read_burned_in(film(3.0, draws), reader)
    assert found.text == "你真的这么想吗 Hello 您真这么认为啊" and found.language == "zh"


def test_a_line_that_fades_in_is_one_line(reader):
    text = "where do you think you are going"
    left = (720 - width_of(text)) // 2

    def fade(image, time):
        part = text if time >= 0.5 else text[:17]
        write(image, part, left, 345, value=255 if time >= 0.5 else 200)

    found = read_burned_in(film(2.0, [fade]), reader)
    assert found.text == text and "1 line" in found.reason


def test_pictures_that_do_not_change_are_read_once(reader):
    sample = film(0.3, [subtitle("nothing moves here")])[0]
    still = [
        take_sample(np.vstack([np.zeros((sample.top, sample.width, 3), np.uint8), sample.image]), t / 2)
        for t in range(8)
    ]
    counting = Counting(reader)
    assert read_burned_in(still, counting).text == "nothing moves here"
    assert (counting.detected, counting.recognised) == (1, 1)


def noisy(samples):
    """As after compression: no picture is as the one before, and no place in it."""
    drawn = np.random.default_rng(5)
    return [
        replace(one, image=np.clip(one.image + drawn.normal(0, 12, one.image.shape), 0, 255).astype(np.uint8))
        for one in samples
    ]


def test_a_sample_between_two_with_the_same_line_is_not_looked_at(reader):
    counting = Counting(reader)
    found = read_burned_in(noisy(film(3.5, [subtitle("do you really think so")])), counting)
    assert found.text == "do you really think so" and "7 of 7 pictures" in found.reason
    assert (counting.detected, counting.recognised) == (4, 4)


def test_a_short_line_between_two_others_is_read(reader):
    """It stands as long as a subtitle stays at least, 5/6 s; so does a pause, and what is said once more after it."""
    draws = [
        subtitle("go away", 0, 1.0),
        subtitle("tell me why", 1.0, 1.84),
        subtitle("go away", 1.84, 3.0),
    ]
    assert read_burned_in(noisy(film(3.0, draws)), reader).text == "go away tell me why"  # said once more is one line


def test_a_short_line_where_nothing_stands_before_or_after_is_read(reader):
    draws = [logo("LIVE", 20, baseline=330), subtitle("come on", 0.9, 1.74)]
    assert read_burned_in(noisy(film(3.0, draws)), reader).text == "come on"


def test_tickers_and_logos_are_not_even_read(reader):
    news = "tonight at nine thirty the young doctors are back with a new story of the city and its people " * 2
    counting = Counting(reader)
    read_burned_in(film(3.0, [ticker(news), logo("CHANNEL ONE", 560)]), counting)
    assert counting.detected == 6 and counting.recognised == 0


def test_no_samples_and_tiny_frames(reader):
    assert read_burned_in([], reader).text is None
    assert read_burned_in([take_sample(np.zeros((1, 1, 3), np.uint8), 0.0)], reader).text is None


def test_sampler_keeps_two_a_second_thins_out_long_clips_and_bounds_their_size():
    class Frame:
        def __init__(self, time: float) -> None:
            self.timestamp = time
            self.image = np.zeros((1080, 1920, 3), np.uint8)

    sampler = Sampler()
    for index in range(50):
        sampler.add(Frame(index / 25))
    assert [sample.timestamp for sample in sampler.samples] == pytest.approx([0, 0.52, 1.04, 1.56])
    sample = sampler.samples[0]
    assert (sample.width, sample.height, sample.top) == (1280, 720, 504)
    assert sample.image.shape == (216, 1280, 3) and sample.image.base is None

    long = Sampler()
    for index in range(600):
        frame = Frame(index / 2)
        frame.image = np.zeros((40, 60, 3), np.uint8)
        long.add(frame)
    assert len(long.samples) <= 241
    gaps = np.diff([sample.timestamp for sample in long.samples])
    assert gaps.min() >= 0.99 and long.samples[-1].timestamp >= 298


def test_lines_of_the_same_place_with_other_words_are_two():
    rule = rules()["same_line"]
    box = (0.4, 0.85, 0.2, 0.06)
    for one, other in (("不会吧", "不可能"), ("not to come here", "now go home"), ("你真的这么想吗", "您真这么认为啊")):
        pair = [[Sighting(0, 0.0, one, 0.99, box)], [Sighting(1, 0.5, other, 0.99, box)]]
        assert len(make_tracks(pair, rule)) == 2
    again = [[Sighting(0, 0.0, "你你们么看着我吧", 0.97, box)], [], [Sighting(2, 1.0, "你你们这么看着我手", 0.88, box)]]
    assert len(make_tracks(again, rule)) == 1


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("sample_00000338", "糟了我手机钱包都在包里呢"),
        ("sample_00002422", "I organized that plan for you after you showed so much determination"),
        ("sample_00003462", "你们这样一而再再而三地 把我推来推去你信不信"),
        ("sample_00004671", "不会吧 不可能 樊小妹不是这种人"),
        ("samplenew_00051251", "您真这么认为啊"),
    ],
)
def test_real_television_clips(reader, name, text):
    if not CLIPS.is_dir():
        pytest.skip("research clips are not here (../shared/clips)")
    assert real(name, reader).text == text


def test_real_clip_with_white_letters_on_white_is_read_in_part_and_says_so(reader):
    if not CLIPS.is_dir():
        pytest.skip("research clips are not here (../shared/clips)")
    found = real("sample_00000669", reader)
    assert found.text.startswith("你你们这么看着我") and "的" in found.text and "得和我有" in found.text
    assert "第1剧场" not in found.text and "原浆" not in found.text and "荧屏" not in found.text
    assert "unsure" in found.reason


def real(name: str, reader: TextReader):
    sampler, seconds = Sampler(), 0.0
    for frame in iter_frames(CLIPS / f"{name}.mp4"):
        sampler.add(frame)
        seconds = frame.timestamp
    return find_subtitle(Clip("a", CLIPS / f"{name}.mp4", "0" * 64), seconds, sampler.samples, reader)
