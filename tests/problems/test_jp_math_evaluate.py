"""The evaluator of jp_math: extraction, language, scoring, feedback."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import pytest

from evolve.evaluation import Evaluation

JAPANESE = [
    "足し算をします。28+16=44。答えは44枚です。",
    "引き算をします。23-11=12。答えは12個です。",
    "答えは12",
    "今日は天気がいいので、公園を散歩しました。",
    "まず、りんごの合計を求めます。3×4=12個です。",
    "それぞれ100、200、300個です。したがって合計は600個である。",
    "ジョンは1日に3マイル走るので、1週間では21マイル走ります。",
]
OTHER = [
    "We add: 28+16=44. The answer is 44 cards.",
    "We subtract: 23-",
    "The cat sat on the mat.",
    "今天天气很好，我们去公园散步。",
    "首先计算苹果的总数：3×4=12个。",
    "我们计算：28+16=44。",
    "오늘은 날씨가 좋습니다.",
    "Zuerst zählen wir die Äpfel.",
    "44",
    "====",
    "",
]


@dataclass
class Sayings:
    """A candidate that gives the same answers whatever it is asked."""

    items: list[dict]
    texts: list[str]
    settings: dict = field(default_factory=dict)
    split: str = "search"
    asked: list = field(default_factory=list)

    def generate(self, prompts, max_new_tokens, stop):
        self.asked.append((prompts, max_new_tokens, stop))
        return self.texts


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("28+16=44。答えは44枚です。", 44),
        ("答えは1,234円です。", 1234),
        ("答えは1,234,567.5円", 1234567.5),
        ("答えは１，２３４円です。", 1234),
        ("100、200、300個です。", 300),
        ("5, 6, 7", 7),
        ("12,34", 34),
        ("1,2345", 2345),
        ("答えは-5です", -5),
        ("答えは−5です", -5),
        ("28-16", 16),
        ("(3+4)-2", 2),
        ("x=-16", -16),
        ("3.50ドル", 3.5),
        (".5", 0.5),
        ("The answer is 44.", 44),
        ("答えは４４。", 44),
        ("007", 7),
        ("なし", None),
        ("", None),
        ("-", None),
    ],
)
def test_the_last_number_is_read_as_people_write_it(evaluator, text, number):
    assert evaluator.last_number(text) == number


@pytest.mark.parametrize(
    ("text", "number"),
    [("答えは1,234円です。", 234), ("答えは-5です", 5), ("3.50ドル", 3.5), ("答えは４４。", 44), ("なし", None)],
)
def test_the_papers_extractor_keeps_its_bugs(evaluator, text, number):
    assert evaluator.last_number_as_in_the_paper(text) == number


@pytest.mark.parametrize("text", JAPANESE)
def test_japanese_is_recognised(evaluator, text):
    assert evaluator.japanese(text) > evaluator.JAPANESE_ABOVE


@pytest.mark.parametrize("text", OTHER)
def test_other_languages_are_not_japanese(evaluator, text):
    assert evaluator.japanese(text) < evaluator.JAPANESE_ABOVE


def test_300_short_answers_are_recognised_within_a_tenth_of_a_second(evaluator):
    texts = [f"足し算をします。{n}+16={n + 16}。答えは{n + 16}枚です。" for n in range(300)]
    evaluator.japanese(texts[0])
    start = time.process_time()
    assert all(evaluator.japanese(text) > 0.9 for text in texts)
    assert time.process_time() - start < 0.1


ITEMS = [
    {"question": "花が3本と4本。何本ですか。", "answer": 7, "kind": "add"},
    {"question": "花が9本、4本売りました。残りは何本ですか。", "answer": 5, "kind": "sub"},
    {"question": "皿が5枚と6枚。何枚ですか。", "answer": 11, "kind": "add"},
    {"question": "皿が8枚、7枚売りました。残りは何枚ですか。", "answer": 1, "kind": "sub"},
]


def test_right_numbers_in_japanese_count_and_each_fault_is_named(evaluator):
    texts = ["答えは7本です。", "The answer is 5 flowers.", "答えは12枚です。", "The answer is 2 plates."]
    candidate = Sayings(ITEMS, texts)
    evaluation = evaluator.evaluate(candidate)
    assert isinstance(evaluation, Evaluation)
    assert evaluation.outcomes == [1.0, 0.0, 0.0, 0.0]
    assert evaluation.score == 0.25
    assert evaluation.metrics == {
        "accuracy": 0.25, "numbers_right": 0.5, "japanese": 0.5, "accuracy_add": 0.5, "accuracy_sub": 0.0,
    }  # fmt: skip
    assert evaluation.features == {"skill_one": 0.5, "skill_two": 0.5}
    faults = ("(not Japanese)", "(wrong number)", "(wrong number, not Japanese)")
    for words in (*faults, "expected 11, got: 答えは12枚です。"):
        assert words in evaluation.feedback
    assert candidate.asked == [([item["question"] + "\n" for item in ITEMS], 24, [])]


def test_settings_choose_prompt_stops_extractor_and_kinds(evaluator):
    items = [{"question": "りんごは？", "answer": 234}, {"question": "なしは？", "answer": 3}]
    settings = {
        "prompt": "ja-alpaca-cot", "max_new_tokens": 1024, "stop": ["Response"], "extractor": "paper",
        "kinds": ["small", "large"], "small_below": 50,
    }  # fmt: skip
    candidate = Sayings(items, ["答えは1,234個です。", "答えは4個です。"], settings)
    evaluation = evaluator.evaluate(candidate)
    assert evaluation.outcomes == [1.0, 0.0]
    assert evaluation.features == {"skill_one": 0.0, "skill_two": 1.0}
    assert evaluation.metrics["accuracy_large"] == 1.0
    (prompts, tokens, stop), *_ = candidate.asked
    assert prompts[0].endswith("### 指示:\nりんごは？\n\n### 応答:")
    assert (tokens, stop) == (1024, ["Response"])
    assert evaluator.evaluate(Sayings(items, candidate.texts, {**settings, "extractor": "exact"})).score == 0.0


def test_feedback_stays_short_and_on_single_lines(evaluator):
    items = [{"question": "長い\n質問" * 100, "answer": 1, "kind": kind} for kind in ("add", "sub") * 20]
    feedback = evaluator.evaluate(Sayings(items, ["とても長い答え\nです。" * 100] * 40)).feedback
    assert len(feedback) <= evaluator.FEEDBACK_CHARACTERS
    assert feedback.count("\n- ") == evaluator.SHOWN_MISTAKES
    assert all(line.startswith(("accuracy", "20 x", "- ")) for line in feedback.splitlines())


def test_a_perfect_candidate_has_no_mistakes_to_show(evaluator):
    evaluation = evaluator.evaluate(Sayings(ITEMS, [f"答えは{item['answer']}です。" for item in ITEMS]))
    assert evaluation.score == 1.0
    assert "\n" not in evaluation.feedback


def test_a_split_without_one_of_the_kinds_is_scored(evaluator):
    assert evaluator.evaluate(Sayings(ITEMS[:1], ["答えは7です。"])).features == {"skill_one": 1.0, "skill_two": 0.0}
