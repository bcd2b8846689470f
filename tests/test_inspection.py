import json
import math

import numpy as np
import pytest
import torch
from torch import nn

import deltaloom as dl
from deltaloom.compiler.signal_noise import signal_to_noise

FAULTS = [
    ({"state_limits": {"lstm.0.c": 0.1}}, "lstm.0 state c"),
    ({"paths": {"lstm.0.g.x": {"weights": "int2"}}}, "lstm.0 weights g.x"),
    ({"paths": {"lstm.0.x": {"activations": "int2"}}}, "input operand x"),
    ({"paths": {"lstm.0.h": {"activations": "int2"}}}, "lstm.0 operand h"),
    ({"skip": "delta", "theta": {"lstm.0": {"x": 100}}}, "lstm.0 threshold x"),
    ({"output": 2}, "lstm.0 output"),
]


@pytest.fixture(scope="module")
def x():
    return np.random.default_rng(0).normal(size=(5, 40, 3)).cumsum(axis=1) * 0.2


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return nn.LSTM(3, 6, batch_first=True)


@pytest.mark.parametrize(("options", "culprit"), FAULTS, ids=[c for _, c in FAULTS])
def test_a_planted_fault_is_named(model, x, options, culprit):
    qmodel = dl.quantize(
        model, x, dl.Recipe("int16", "int16" if "theta" not in options else "int8", **options)
    )
    found = dl.inspect(qmodel, model, x)
    assert str(found.worst_part) == culprit
    clean = dl.inspect(dl.quantize(model, x, dl.Recipe("int16", "int16")), model, x)
    assert found.ratio < clean.ratio - 10
    assert found.parts[0].ratio < clean.parts[0].ratio - 10
    # what one part costs alone is about what all cost together
    assert found.ratio == pytest.approx(found.parts[0].ratio, abs=3)


def test_saturation_shows_at_its_state(model, x):
    found = dl.inspect(dl.quantize(model, x, dl.Recipe(state_limits={"lstm.0.c": 0.1})), model, x)
    cut = [edge for edge in found.edges if edge.saturated]
    assert [edge.kind for edge in cut] == ["state"]
    assert cut[0].saturated > 100


def test_ratio_is_that_of_the_outputs(model, x):
    qmodel = dl.quantize(model, x, dl.Recipe("int4", "int6"))
    found = dl.inspect(qmodel, model, x)
    with torch.no_grad():
        real = model.double()(torch.tensor(x))[0].numpy()
    model.float()
    assert found.ratio == pytest.approx(signal_to_noise(real, qmodel(x)), rel=1e-6)
    assert found.reference == "float model"
    off = np.sqrt(np.mean(np.square(qmodel(x) - real), axis=(0, 2)))
    np.testing.assert_allclose(found.outputs["lstm.0"].errors, off, rtol=1e-6)
    assert found.worst_timestep == off.argmax()


def test_parts_come_worst_first_and_name_every_path(model, x):
    found = dl.inspect(dl.quantize(model, x, dl.Recipe("int4")), model, x)
    ratios = [part.ratio for part in found.parts]
    assert ratios == sorted(ratios)
    weights = {part.part.of for part in found.parts if part.part.what == "weights"}
    assert weights == {f"{gate}.{path}" for gate in "ifgo" for path in "xh"}


def test_without_a_float_model(model, x, tmp_path):
    """A model from a file, alone: its weights are taken as they are, which is said."""
    path = tmp_path / "m.safetensors"
    dl.quantize(model, x, dl.Recipe("int2", state_limits={"lstm.0.c": 0.1})).save(path)
    found = dl.inspect(dl.load(path), None, x)
    assert found.reference == "the model's own weights in float"
    assert str(found.worst_part) == "lstm.0 state c"
    assert not any(part.part.what == "weights" for part in found.parts)


def test_sequences_of_other_lengths_and_one_output(x):
    torch.manual_seed(0)

    class Classifier(nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn = nn.GRU(3, 5, batch_first=True)
            self.head = nn.Linear(5, 4)

        def forward(self, x):
            return self.head(self.rnn(x)[0][:, -1])

    ragged = [sequence[:length] for sequence, length in zip(x, (40, 1, 7, 13, 2), strict=True)]
    module = Classifier()
    qmodel = dl.quantize(module, ragged, dl.Recipe(paths={"head.*": {"weights": "int2"}}))
    found = dl.inspect(qmodel, module, ragged)
    assert found.worst_part.layer == "head"
    assert found.worst_part.what == "weights"
    assert found.worst_timestep == found.outputs["rnn.0"].worst_timestep
    assert math.isfinite(found.ratio)


def test_attention(x):
    torch.manual_seed(0)

    class Attended(nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn = nn.GRU(3, 4, batch_first=True)
            self.attention = dl.nn.Attention(4, 4, batch_first=True)

        def forward(self, x):
            return self.attention(self.rnn(x)[0])

    module = Attended()
    qmodel = dl.quantize(module, x)
    found = dl.inspect(qmodel, module, x)
    assert found.ratio > 20
    assert any(edge.kind == "stream" and edge.name != "input" for edge in found.edges)
    assert dl.inspect(qmodel, None, x).ratio > 20


def test_answers_for_programs_and_people(model, x, tmp_path):
    found = dl.inspect(dl.quantize(model, x), model, x)
    data = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert data["worst"]["part"] == str(found.worst_part)
    assert len(data["edges"]) == len(found.edges)
    assert len(data["errors_by_timestep"]["lstm.0"]) == x.shape[1]
    for rows in (found.part_rows(), found.edge_rows()):
        assert {len(row) for row in rows} == {len(rows[0])}
        assert all(isinstance(text, str) for row in rows for text in row)
    pytest.importorskip("matplotlib")
    assert found.plot(tmp_path / "i.svg").stat().st_size > 10_000


def test_says_what_it_does(model, x):
    said = []
    dl.inspect(dl.quantize(model, x), model, x, progress=said.append)
    assert said[0] == "Edges, 5 of 5 sequences"
    assert said[1].startswith("Part 1 of ")


def test_refuses(model, x):
    qmodel = dl.quantize(model, x)
    with pytest.raises(TypeError, match="Model must be a QuantizedModel, not LSTM"):
        dl.inspect(model, qmodel, x)
    with pytest.raises(dl.DeltaloomError, match=r"must have a parameter lstm.0.i.x of shape"):
        dl.inspect(qmodel, nn.LSTM(3, 5, batch_first=True), x)
    with pytest.raises(dl.DeltaloomError, match="Input must have shape"):
        dl.inspect(qmodel, model, x[0])
    prepared = dl.prepare(model, None, x)
    with pytest.raises(dl.DeltaloomError, match="must be in float, not a module that was prepared"):
        dl.inspect(qmodel, prepared, x)
