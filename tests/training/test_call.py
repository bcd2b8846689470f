import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_sequence, unpack_sequence

import deltaloom as dl


def test_a_module_of_layers_is_called_as_it_was(classifier, sequences, moved):
    torch.manual_seed(0)
    x = sequences(4, 9, 3)
    prepared = moved(dl.prepare(classifier(), dl.Recipe(skip="delta"), x)).train()
    quantized = dl.quantize(prepared)
    found = prepared(clips=torch.from_numpy(x))
    np.testing.assert_array_equal(quantized(x), found.detach())
    np.testing.assert_array_equal(prepared(torch.from_numpy(x), None).detach(), found.detach())


def test_sequences_of_different_lengths(sequences):
    x = [sequences(length, 3, seed=length) for length in (5, 1, 8, 2)]
    prepared = dl.prepare(nn.LSTM(3, 5), None, x)
    with torch.no_grad():
        for parameter in prepared.parameters():
            parameter *= 0.9  # none saturates
    quantized = dl.quantize(prepared)
    output, (h, c) = prepared([torch.from_numpy(part) for part in x])
    assert h.shape == c.shape == (1, 4, 5)
    for place, (found, wanted) in enumerate(zip(output, quantized(x), strict=True)):
        np.testing.assert_array_equal(found.detach(), wanted)
        np.testing.assert_array_equal(h[0, place].detach(), wanted[-1])
        alone = prepared(torch.from_numpy(x[place]))
        np.testing.assert_array_equal(alone[0].detach(), wanted)
        np.testing.assert_array_equal(alone[1][1].detach(), c[:, place].detach())
    sum(part.sum() for part in output).backward()
    ragged = {name: p.grad.clone() for name, p in prepared.named_parameters()}
    prepared.zero_grad()
    for part in x:
        prepared(torch.from_numpy(part))[0].sum().backward()
    for name, parameter in prepared.named_parameters():
        torch.testing.assert_close(parameter.grad, ragged[name], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("enforce_sorted", [False, True])
def test_packed_sequences(sequences, moved, enforce_sorted):
    lengths = [7, 4, 1] if enforce_sorted else [4, 1, 7]
    x = [torch.from_numpy(sequences(length, 3, seed=length)) for length in lengths]
    prepared = moved(dl.prepare(nn.LSTM(3, 5), None, x))
    packed, (h, c) = prepared(pack_sequence(x, enforce_sorted=enforce_sorted))
    wanted, (wanted_h, wanted_c) = prepared(x)
    assert (packed.sorted_indices is None) is enforce_sorted
    for found, want in zip(unpack_sequence(packed), wanted, strict=True):
        np.testing.assert_array_equal(found.detach(), want.detach())
    np.testing.assert_array_equal(h.detach(), wanted_h.detach())
    np.testing.assert_array_equal(c.detach(), wanted_c.detach())


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
@pytest.mark.parametrize("batch_first", [True, False])
def test_returns_what_torch_returns(sequences, recurrent, batch_first):
    torch.manual_seed(0)
    module = nn.Sequential(recurrent(3, 4, num_layers=2, batch_first=batch_first)).eval()
    x = torch.from_numpy(sequences(2, 9, 3))
    calibration = x if batch_first else x.transpose(0, 1)
    recipe = dl.Recipe(weights="int12", activations="int12", clip="minmax")
    prepared = dl.prepare(module, recipe, calibration)
    output, state = prepared(x)
    wanted, wanted_state = module(x)
    torch.testing.assert_close(output, wanted, rtol=0, atol=0.02)
    torch.testing.assert_close(state, wanted_state, rtol=0, atol=0.02)


@pytest.mark.parametrize(
    ("call", "error", "sentence"),
    [
        (lambda p: p(torch.zeros(2, 3)), dl.DeltaloomError, r"shape \(batch, time, 3\), not"),
        (lambda p: p(torch.zeros(2, 3, 4)), dl.DeltaloomError, r"not \(2, 3, 4\)"),
        (lambda p: p(torch.zeros(2, 0, 3)), dl.DeltaloomError, "must not be empty"),
        (lambda p: p([]), dl.DeltaloomError, "at least one sequence of at least one timestep"),
        (lambda p: p([torch.zeros(2, 2)]), dl.DeltaloomError, "sequence 0 has"),
        (lambda p: p(torch.full((1, 1, 3), torch.nan)), dl.DeltaloomError, "must be finite"),
        (lambda p: p(torch.zeros(1, 1, 3), True), dl.UnsupportedError, "more than its input"),
        (lambda p: p(torch.zeros(1, 1, 3, device="meta")), dl.UnsupportedError, "not on meta"),
        (lambda p: p.to("meta")(torch.zeros(1, 1, 3)), dl.UnsupportedError, "not on meta"),
        (
            lambda p: p(pack_sequence([torch.zeros(1, 3)])),
            dl.UnsupportedError,
            "Packed",
        ),
        (lambda p: p(), TypeError, "must be called with its input, clips"),
        (lambda p: dl.quantize(p, np.zeros((1, 1, 3))), dl.DeltaloomError, "it has its own"),
        (
            lambda p: dl.prepare(p, None, np.zeros((1, 1, 3))),
            dl.DeltaloomError,
            "is prepared already",
        ),
    ],
)
def test_refuses_wrong_calls(classifier, sequences, call, error, sentence):
    prepared = dl.prepare(classifier(), None, sequences(2, 5, 3))
    with pytest.raises(error, match=sentence):
        call(prepared)


def test_refuses_states_and_weights_that_are_not_numbers(sequences):
    prepared = dl.prepare(nn.GRU(3, 4, batch_first=True), None, sequences(2, 5, 3))
    prepared(torch.zeros(1, 2, 3), torch.zeros(1, 1, 4))
    with pytest.raises(dl.UnsupportedError, match="supported is one input, and a start from zeros"):
        prepared(torch.zeros(1, 2, 3), hx=torch.ones(1, 1, 4))
    with torch.no_grad():
        next(prepared.parameters())[0, 0] = torch.nan
    with pytest.raises(dl.DeltaloomError, match=r"Parameter gru\.0\.r\.x must be finite"):
        prepared(torch.zeros(1, 2, 3))


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
def test_two_directions_return_what_torch_returns(sequences, kind, batch_first):
    torch.manual_seed(0)
    x = sequences(4, 9, 3)
    module = kind(3, 5, 2, batch_first=batch_first, bidirectional=True)
    prepared = dl.prepare(module, dl.Recipe(activations="int12", weights="int12"), x)
    given = torch.from_numpy(x if batch_first else x.swapaxes(0, 1))
    with torch.no_grad():
        (output, states), (wanted, final) = prepared(given), module(given)
    assert output.shape == wanted.shape
    pairs = zip(states, final, strict=True) if kind is nn.LSTM else [(states, final)]
    for found, torchs in [(output, wanted), *pairs]:
        assert found.shape == torchs.shape
        torch.testing.assert_close(found, torchs, rtol=0, atol=0.02)
    quantized = dl.quantize(prepared)(x)
    np.testing.assert_array_equal(output if batch_first else output.swapaxes(0, 1), quantized)


def test_axes_of_channels_first(sequences):
    torch.manual_seed(0)
    x = sequences(4, 9, 3)
    module = nn.Sequential(nn.Conv1d(3, 5, 1), nn.ReLU(), nn.Conv1d(5, 2, 1))
    prepared = dl.prepare(module, dl.Recipe(activations="int12", weights="int12"), x)
    given = torch.from_numpy(x.swapaxes(1, 2))
    with torch.no_grad():
        output = prepared(given)
        torch.testing.assert_close(output, module(given), rtol=0, atol=0.02)
    np.testing.assert_array_equal(output.swapaxes(1, 2), dl.quantize(prepared)(x))
    with pytest.raises(dl.DeltaloomError, match=r"shape \(batch, 3, time\), not \(4, 9, 3\)$"):
        prepared(torch.from_numpy(x))


class Video(nn.Module):
    """Two layers on frames, the last one's state as one vector."""

    def __init__(self, batch_first=True):
        super().__init__()
        self.conv = dl.nn.ConvLSTM(2, 3, (3, 4), (3, 2), 2, batch_first=batch_first)

    def forward(self, x):
        return self.conv(x)[0]


@pytest.mark.parametrize("batch_first", [True, False])
def test_frames_come_and_go_as_the_module_has_them(moved, batch_first):
    torch.manual_seed(0)
    module = dl.nn.ConvLSTM(2, 3, (3, 4), (3, 2), 2, batch_first=batch_first, peepholes=True)
    x = torch.randn(5, 6, 2, 3, 4)
    vectors = dl.pixel_vectors(x if batch_first else x.transpose(0, 1))
    prepared = dl.prepare(module, dl.Recipe("int16", "int16"), vectors)
    found, (h, c) = prepared(x)
    wanted, (wanted_h, wanted_c) = module(x)
    for ours, theirs in ((found, wanted), (h, wanted_h), (c, wanted_c)):
        assert ours.shape == theirs.shape
        np.testing.assert_allclose(ours.detach(), theirs.detach(), atol=2e-3)
    golden = dl.frames(dl.quantize(moved(prepared))(vectors), (3, 4))
    found = prepared(x)[0].detach()
    np.testing.assert_array_equal(found if batch_first else found.transpose(0, 1), golden)
    prepared(x)[0].square().sum().backward()


def test_frames_in_lists_and_in_other_modules(moved):
    torch.manual_seed(0)
    x = [torch.randn(length, 2, 3, 4) for length in (4, 1, 7)]
    vectors = [dl.pixel_vectors(part) for part in x]
    prepared = moved(dl.prepare(Video(), None, vectors))
    for part, golden in zip(prepared(x), dl.quantize(prepared)(vectors), strict=True):
        np.testing.assert_array_equal(part.detach(), dl.frames(golden, (3, 4)))


def test_refuses_frames_of_another_grid():
    module = dl.nn.ConvLSTM(1, 2, (3, 4), 3)
    prepared = dl.prepare(module, None, np.ones((2, 5, 12)))
    with pytest.raises(
        dl.DeltaloomError, match=r"frames \(channels, 3, 4\), not \(5, 2, 1, 4, 3\)"
    ):
        prepared(torch.zeros(5, 2, 1, 4, 3))
    with pytest.raises(dl.DeltaloomError, match=r"must have shape \(time, batch, 12\), not"):
        prepared(torch.zeros(5, 2, 2, 3, 4))
