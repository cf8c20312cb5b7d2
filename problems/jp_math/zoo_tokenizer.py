"""The zoo's tokenizer: byte-pair encoding with whole numbers as single tokens."""

from __future__ import annotations

import random
from pathlib import Path

import zoo_questions
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

VOCABULARY = 512
SPECIAL = ("<pad>", "<s>", "</s>", "<unk>")
CORPUS_SEED = "tokenizer"
CORPUS_PROBLEMS = 4000
NUMBER_REPEATS = 400


def build() -> PreTrainedTokenizerFast:
    """The tokenizer, the same for every zoo seed.

    Digits are not split: with one token per digit, copying two-digit numbers was not learned in 1,000 steps.
    Punctuation, signs and line ends stand alone, so that a prompt and its answer can be encoded apart.
    """
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Metaspace(prepend_scheme="never"),
            pre_tokenizers.Split(Regex(r"\d+|[^\w▁]|_"), behavior="isolated"),
        ]
    )
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="never")
    trainer = trainers.BpeTrainer(vocab_size=VOCABULARY, special_tokens=list(SPECIAL), show_progress=False)
    tokenizer.train_from_iterator(_corpus(), trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", tokenizer.token_to_id("<s>"))]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        padding_side="left",
        model_max_length=256,
        clean_up_tokenization_spaces=False,
    )


def _corpus() -> list[str]:
    """Problems and answers in both languages, and each number often enough to become a token."""
    rng = random.Random(CORPUS_SEED)
    texts = [f"{number};" for number in range(100) for _ in range(NUMBER_REPEATS)]
    for index in range(CORPUS_PROBLEMS):
        made = zoo_questions.problem(rng, hard=index % 2 == 0)
        for language in ("ja", "en"):
            texts.append(zoo_questions.PROMPT.format(question=made.question(language)) + made.answer(language))
    return texts


def save(folder: Path) -> None:
    """Write the tokenizer's files into ``folder``."""
    build().save_pretrained(folder)
