"""A CLIP tokenizer with a small vocabulary: whole words that captions use, and letters for all others."""

import json
import string
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_START, _END = "<|startoftext|>", "<|endoftext|>"
_SUFFIX = "</w>"
_MOST = 5000
LENGTH = 24
"""Tokens of a prompt, start and end among them."""


def word_tokenizer(words: Sequence[str], folder: Path) -> Any:
    """Return a `CLIPTokenizer` that makes one token of each of `words`, and pieces or letters of other words.

    The same words give the same tokens in every process: a text encoder's weights mean nothing under others.

    Args:
        words: lower-case ASCII.
        folder: where the two files that define it are written.
    """
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import CLIPTokenizer

    signs = string.ascii_lowercase + string.digits + string.punctuation
    encoder = Tokenizer(models.BPE(end_of_word_suffix=_SUFFIX))
    encoder.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    # Equally frequent pairs are taken in the order of their numbers, and the trainer numbers the last letters of words
    # in the order of a hash map, another one in each process: all are numbered here, as if they were special.
    letters = [*signs, *(sign + _SUFFIX for sign in signs)]
    trainer = trainers.BpeTrainer(
        vocab_size=_MOST, special_tokens=letters, end_of_word_suffix=_SUFFIX, show_progress=False
    )
    encoder.train_from_iterator(sorted(words), trainer)
    learnt = json.loads(encoder.to_str())["model"]
    names = list(dict.fromkeys([*letters, *learnt["vocab"], _START, _END]))
    folder.mkdir(parents=True, exist_ok=True)
    merges = [" ".join(pair) for pair in learnt["merges"]]
    (folder / "vocab.json").write_text(json.dumps({name: k for k, name in enumerate(names)}), encoding="utf-8")
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]) + "\n", encoding="utf-8")
    return CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=LENGTH)
