"""The example without its package's weights: words, rates and decoding."""

import numpy as np
import pytest
import torch

import deltaloom as dl
from deltaloom.examples import g2p


def test_distance_by_hand():
    assert g2p.distance("", "") == 0
    assert g2p.distance("kitten", "sitting") == 3
    assert g2p.distance(["A", "B"], []) == 2
    assert g2p.distance(["AH0"], ["AH1"]) == 1


def test_error_rate():
    given = g2p.Words(["ab", "c"], [["A", "B"], ["C", "D"]])
    assert g2p.error_rate([["A", "B"], ["C", "D"]], given) == 0
    assert g2p.error_rate([["A"], ["C", "E", "D"]], given) == 50


def test_symbols():
    assert len(g2p.LETTERS) == 29
    assert len(g2p.PHONEMES) == 74
    assert g2p.PHONEMES[4] == "AA0"
    assert g2p.PHONEMES[-1] == "ZH"
    (letters,) = g2p.Words(["ad"], [[]]).letters
    assert letters.tolist() == [[3], [6], [2]]


@pytest.fixture(scope="module")
def networks():
    torch.manual_seed(3)
    return g2p.Encoder().eval(), g2p.Decoder().eval()


@pytest.fixture(scope="module")
def given():
    return g2p.Words(["a", "bcd", "xyz"], [["AA0"], ["B"], ["Z"]])


def test_decoding_in_float_is_that_of_torch(networks, given):
    encoder, decoder = (network.double() for network in networks)
    found = g2p.transcribe(g2p.float_transcriber(encoder, decoder), given)
    for letters, phonemes in zip(given.letters, found, strict=True):
        with torch.no_grad():
            h = encoder(torch.from_numpy(letters)[None, :, 0])[None]
            wanted, last = [], g2p.START
            while len(wanted) < g2p.LONGEST:
                output, h = decoder.decoder(decoder.phonemes(torch.tensor([[last]])), h)
                last = int(decoder.head(output).argmax())
                if last == g2p.END:
                    break
                wanted.append(g2p.PHONEMES[last])
        assert phonemes == wanted


def test_the_state_is_carried_in_integers(networks, given):
    """A word decoded step by step is the word decoded in one sequence."""
    encoder, decoder = g2p.calibrated(*networks, given, dl.Recipe(skip="delta"))
    transcriber = g2p.model_transcriber(encoder, decoder)
    found = g2p.transcribe(transcriber, given)
    states = transcriber.encode(given.letters)
    for place, phonemes in enumerate(found):
        steps = [g2p.START, *map(g2p.PHONEMES.index, phonemes)][: g2p.LONGEST]
        run = decoder.run(
            np.array(steps)[None, :, None], {"decoder.0": {"h": states[place : place + 1]}}
        )
        assert [g2p.PHONEMES[int(p)] for p in run.outputs[0, : len(phonemes), 0]] == phonemes
