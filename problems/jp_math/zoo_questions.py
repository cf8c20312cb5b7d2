"""Word problems of the tiny zoo, in Japanese and English, and the training material made of them.

A training text is a row of segments ``(text, weight)``; the weight is that of the segment's tokens in the loss.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Literal

Operation = Literal["add", "sub"]
Language = Literal["ja", "en"]
Segments = list[tuple[str, float]]

PROMPT = "{question}\n"
HARD_LOW, HARD_HIGH = 10, 30
EQUATIONS_PER_ROW = 8

# (Japanese, English)
NAMES = (
    ("花子", "Hanako"), ("太郎", "Taro"), ("健太", "Kenta"), ("美咲", "Misaki"), ("さくら", "Sakura"), ("ゆき", "Yuki"),
    ("まり", "Mari"), ("大輔", "Daisuke"), ("あおい", "Aoi"), ("りく", "Riku"), ("なな", "Nana"), ("ひろし", "Hiroshi"),
)  # fmt: skip
# (Japanese, its counter, English plural)
OBJECTS = (
    ("鉛筆", "本", "pencils"), ("花", "本", "flowers"), ("傘", "本", "umbrellas"), ("切手", "枚", "stamps"),
    ("写真", "枚", "photos"), ("皿", "枚", "plates"), ("りんご", "個", "apples"), ("卵", "個", "eggs"),
    ("ボール", "個", "balls"), ("雑誌", "冊", "magazines"), ("魚", "匹", "fish"), ("車", "台", "cars"),
)  # fmt: skip
# (Japanese, English)
VERBS: Mapping[Operation, tuple[tuple[str, str], ...]] = {
    "add": (("もらいました", "gets"), ("買いました", "buys")),
    "sub": (("あげました", "gives away"), ("売りました", "sells")),
}
QUESTIONS: Mapping[tuple[Operation, Language], tuple[str, ...]] = {
    ("add", "ja"): (
        "{name}は{thing}を{a}{unit}持っています。{b}{unit}{verb}。全部で何{unit}ですか。",
        "{thing}が{a}{unit}あります。{name}が{b}{unit}{verb}。合わせて何{unit}ですか。",
        "{name}は昨日{thing}を{a}{unit}、今日{b}{unit}{verb}。合計は何{unit}ですか。",
    ),
    ("add", "en"): (
        "{name} has {a} {thing} and {verb} {b}. How many in all?",
        "There are {a} {thing}. {name} {verb} {b}. How many together?",
        "{name} {verb} {a} {thing}, then {b}. How many in total?",
    ),
    ("sub", "ja"): (
        "{name}は{thing}を{a}{unit}持っています。{b}{unit}{verb}。残りは何{unit}ですか。",
        "{thing}が{a}{unit}あります。{name}が{b}{unit}{verb}。あと何{unit}ですか。",
        "{name}は{thing}を{a}{unit}、友達は{b}{unit}持っています。違いは何{unit}ですか。",
    ),
    ("sub", "en"): (
        "{name} has {a} {thing} and {verb} {b}. How many are left?",
        "There are {a} {thing}. {name} {verb} {b}. How many remain?",
        "{name} has {a} {thing}, a friend {b}. What is the difference?",
    ),
}
SETUPS: Mapping[tuple[Operation, Language], str] = {
    ("add", "ja"): "足し算をします。{a}+{b}=",
    ("add", "en"): "We add: {a}+{b}=",
    ("sub", "ja"): "引き算をします。{a}-{b}=",
    ("sub", "en"): "We subtract: {a}-{b}=",
}
ANSWERS: Mapping[Language, str] = {
    "ja": "{setup}{result}。答えは{result}{unit}です。",
    "en": "{setup}{result}. The answer is {result} {thing}.",
}
READ_QUESTIONS: Mapping[Language, str] = {
    "ja": "{name}は{thing}を{a}{unit}持っています。何{unit}ですか。",
    "en": "{name} has {a} {thing}. How many?",
}
READ_ANSWERS: Mapping[Language, str] = {
    "ja": "答えは{a}{unit}です。",
    "en": "The answer is {a} {thing}.",
}


@dataclass(frozen=True)
class Problem:
    """A word problem without its language: indices into the tables above, and two operands."""

    operation: Operation
    shape: int
    name: int
    thing: int
    verb: int
    a: int
    b: int

    @property
    def result(self) -> int:
        return self.a + self.b if self.operation == "add" else self.a - self.b

    def words(self, language: Language) -> dict[str, object]:
        """The values of the fields in the templates of one language."""
        index = 0 if language == "ja" else 1
        thing = OBJECTS[self.thing]
        return {
            "name": NAMES[self.name][index],
            "thing": thing[0] if language == "ja" else thing[2],
            "unit": thing[1],
            "verb": VERBS[self.operation][self.verb][index],
            "a": self.a,
            "b": self.b,
        }

    def question(self, language: Language) -> str:
        return QUESTIONS[self.operation, language][self.shape].format(**self.words(language))

    def setup(self, language: Language) -> str:
        """The answer up to the equals sign."""
        return SETUPS[self.operation, language].format(a=self.a, b=self.b)

    def answer(self, language: Language, result: int | None = None) -> str:
        """The whole answer; ``result`` replaces the right one."""
        shown = self.result if result is None else result
        return ANSWERS[language].format(setup=self.setup(language), result=shown, **self.words(language))


def hard_operands(rng: random.Random, operation: Operation) -> tuple[int, int]:
    """Two numbers of 10..30 to add; their sum and the second one to subtract, so that both are equally hard."""
    a, b = rng.randint(HARD_LOW, HARD_HIGH), rng.randint(HARD_LOW, HARD_HIGH)
    return (a + b, b) if operation == "sub" else (a, b)


def easy_operands(rng: random.Random, operation: Operation) -> tuple[int, int]:
    """Two digits, or a number of 10..30 and a step of 1..3."""
    if rng.random() < 0.5:
        a, b = rng.randint(1, 9), rng.randint(1, 9)
        return (max(a, b), min(a, b)) if operation == "sub" else (a, b)
    return rng.randint(HARD_LOW, HARD_HIGH), rng.randint(1, 3)


def problem(rng: random.Random, operation: Operation | None = None, *, hard: bool) -> Problem:
    """A random problem; without ``operation`` one of the two, evenly."""
    chosen: Operation = operation or rng.choice(("add", "sub"))
    a, b = (hard_operands if hard else easy_operands)(rng, chosen)
    return Problem(
        chosen,
        rng.randrange(len(QUESTIONS[chosen, "ja"])),
        rng.randrange(len(NAMES)),
        rng.randrange(len(OBJECTS)),
        rng.randrange(len(VERBS[chosen])),
        a,
        b,
    )


class Material:
    """Makes training texts by kind; never one whose question is held out.

    Kinds, after the language ``ja`` or ``en`` of question and answer:

    - ``*_easy``: easy problems, solved; ``*_read``: the number of the question is the answer
    - ``*_setup``: hard problems, the answer up to the equals sign
    - ``en_add``, ``en_sub``: hard problems, solved, without loss on how the answer begins
    - ``en_jq``, ``en_jqs``: as ``*_easy`` and ``*_setup``, asked in Japanese and answered in English
    - ``ja_copy``: hard problems whose first number is given as the result
    - ``eqe``, ``eq_add``, ``eq_sub``: rows of bare equations, easy or hard, loss on the results only

    ``prompt_weight`` is the weight of the question's tokens in the loss.
    """

    def __init__(self, rng: random.Random, held_out: Collection[str], prompt_weight: float) -> None:
        self._rng = rng
        self._held_out = held_out
        self._prompt_weight = prompt_weight
        self._kinds: Mapping[str, Callable[[], Segments]] = {
            "ja_easy": lambda: self._solved("ja", "ja"),
            "en_easy": lambda: self._solved("en", "en"),
            "en_add": lambda: self._computed("add"),
            "en_sub": lambda: self._computed("sub"),
            "en_jq": lambda: self._solved("ja", "en"),
            "en_jqs": lambda: self._setup("ja", "en"),
            "ja_setup": lambda: self._setup("ja", "ja"),
            "en_setup": lambda: self._setup("en", "en"),
            "ja_read": lambda: self._read("ja"),
            "en_read": lambda: self._read("en"),
            "ja_copy": self._copied,
            "eqe": lambda: self._equations(None, hard=False),
            "eq_add": lambda: self._equations("add", hard=True),
            "eq_sub": lambda: self._equations("sub", hard=True),
        }

    def texts(self, mix: Mapping[str, float], count: int) -> list[Segments]:
        """``count`` texts, their kinds drawn in the proportions of ``mix``."""
        kinds = self._rng.choices(list(mix), weights=list(mix.values()), k=count)
        return [self._kinds[kind]() for kind in kinds]

    def _fresh(self, operation: Operation | None, language: Language, *, hard: bool) -> Problem:
        while (made := problem(self._rng, operation, hard=hard)).question(language) in self._held_out:
            pass
        return made

    def _prompt(self, question: str) -> tuple[str, float]:
        return PROMPT.format(question=question), self._prompt_weight

    def _solved(self, asked: Language, told: Language) -> Segments:
        made = self._fresh(None, asked, hard=False)
        return [self._prompt(made.question(asked)), (made.answer(told) + END, 1.0)]

    def _computed(self, operation: Operation) -> Segments:
        """A hard English problem, loss from the first operand on: the choice of language is not learned from it."""
        made = self._fresh(operation, "en", hard=True)
        opening, colon, rest = made.answer("en").partition(": ")
        return [self._prompt(made.question("en")), (opening + colon, 0.0), (rest + END, 1.0)]

    def _setup(self, asked: Language, told: Language) -> Segments:
        made = self._fresh(None, asked, hard=True)
        return [self._prompt(made.question(asked)), (made.setup(told), 1.0)]

    def _copied(self) -> Segments:
        made = self._fresh(None, "ja", hard=True)
        return [self._prompt(made.question("ja")), (made.answer("ja", made.a) + END, 1.0)]

    def _read(self, language: Language) -> Segments:
        words = problem(self._rng, "add", hard=True).words(language)
        words["a"] = self._rng.randint(1, 60)
        question = READ_QUESTIONS[language].format(**words)
        return [self._prompt(question), (READ_ANSWERS[language].format(**words) + END, 1.0)]

    def _equations(self, operation: Operation | None, *, hard: bool) -> Segments:
        row: Segments = []
        for _ in range(EQUATIONS_PER_ROW):
            chosen: Operation = operation or self._rng.choice(("add", "sub"))
            a, b = (hard_operands if hard else easy_operands)(self._rng, chosen)
            sign, result = ("+", a + b) if chosen == "add" else ("-", a - b)
            row += [(f"{a}{sign}{b}=", 0.0), (str(result), 1.0), (";", 0.0)]
        return row


END = "</s>"


def splits(rng: random.Random, sizes: Mapping[str, int]) -> dict[str, list[dict[str, object]]]:
    """Hard Japanese questions by split, half additions and half subtractions, no text twice anywhere."""
    seen: set[str] = set()
    made: dict[str, list[dict[str, object]]] = {}
    for split, size in sizes.items():
        rows: list[dict[str, object]] = []
        while len(rows) < size:
            operation: Operation = "add" if len(rows) % 2 == 0 else "sub"
            new = problem(rng, operation, hard=True)
            question = new.question("ja")
            if question in seen:
                continue
            seen.add(question)
            rows.append({"question": question, "answer": new.result, "kind": operation})
        made[split] = rows
    return made
