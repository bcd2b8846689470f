"""Silero's own ONNX file, from its LSTM's input on."""

import numpy as np
import onnx
import onnxruntime
import pytest

from deltaloom.bench import onnx_import
from deltaloom.bench.data import silero_onnx
from deltaloom.compiler.errors import DeltaloomError, UnsupportedError
from deltaloom.compiler.evaluate import evaluate
from deltaloom.compiler.frontends.onnx_frontend import from_onnx


@pytest.fixture(scope="module")
def path():
    try:
        return silero_onnx()
    except DeltaloomError as error:
        pytest.skip(str(error))


def test_equals_onnxruntime(path):
    model = onnx.load(path)
    model.graph.output.append(onnx.helper.make_empty_tensor_value_info(onnx_import.INPUT))
    session = onnxruntime.InferenceSession(model.SerializeToString())
    samples = np.random.default_rng(0).normal(size=(40, 576)).astype(np.float32) * 0.1
    zeros = np.zeros((1, 1, 128), np.float32)
    wanted, features = session.run(
        [onnx_import.OUTPUT, onnx_import.INPUT], {"input": samples, "h": zeros, "c": zeros}
    )
    network = from_onnx(path, onnx_import.OUTPUT, input=onnx_import.INPUT)
    found = evaluate(network, features.swapaxes(0, 1))
    np.testing.assert_allclose(found[0, :, 0], wanted, rtol=0, atol=2e-6)  # float32 sums of 256


def test_what_no_layer_computes_is_refused_by_name(path):
    with pytest.raises(UnsupportedError, match=r"^Node /stft/padding/Concat \(Concat\) is not"):
        from_onnx(path, onnx_import.OUTPUT)
    with pytest.raises(
        UnsupportedError,
        match=r"^Output must be one of speech_probs, hn, cn, of which one is supported: name it",
    ):
        from_onnx(path)
    with pytest.raises(
        UnsupportedError, match="^Output hn must depend on input output.weight, which it does not$"
    ):
        from_onnx(path, "hn", input="output.weight")


def test_measures(path):
    result = onnx_import.measure(lambda _: None)
    assert result["layers"] == ["recurrent.LSTM", "output.Conv"]
    (row,) = onnx_import.figures(result)
    assert row.reach == "under 5 s"
