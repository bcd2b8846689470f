import numpy as np
import torch

from deltaloom.compiler.frontends.torch_frontend import from_torch
from deltaloom.examples import silero


def sentences():
    rng = np.random.default_rng(3)
    return [rng.normal(0, 0.1, size).astype(np.float32) for size in (4000, 9001)]


def test_recordings_are_sentences_in_noise():
    first, again = (list(silero.recordings(sentences(), 5)) for _ in range(2))
    for one, other, sentence in zip(first, again, sentences(), strict=True):
        np.testing.assert_array_equal(one, other)
        assert len(one) >= len(sentence) + silero.RATE
        assert np.abs(one).max() <= 1
        assert np.all(one[: silero.RATE // 2] != 0)


def test_frames_overlap_by_their_context():
    """Each frame alone gives what it gives among the others."""
    torch.manual_seed(0)
    encoder = silero.Encoder().eval()
    recording = np.random.default_rng(0).normal(size=1300).astype(np.float32)
    frames = silero.encode(encoder, recording)
    assert frames.shape == (3, 128)
    second = recording[silero.CHUNK - silero.CONTEXT : 2 * silero.CHUNK]
    with torch.no_grad():
        want = encoder(torch.from_numpy(second.copy())[None]).numpy()
    np.testing.assert_allclose(frames[1:2], want, atol=1e-5)


def test_the_detector_is_two_layers():
    assert [layer.name for layer in from_torch(silero.Detector()).layers] == ["lstm.0", "head"]
