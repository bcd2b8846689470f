"""Modules of our own against each cell's equations in float64, and torch's conventions."""

import numpy as np
import pytest
import torch

import deltaloom as dl
from deltaloom.compiler import cells
from deltaloom.compiler.nn import (
    SRU,
    CoupledLSTM,
    LayerNormLSTM,
    LiGRU,
    PeepholeLSTM,
    ResetBeforeGRU,
)

KINDS = (CoupledLSTM, LayerNormLSTM, LiGRU, PeepholeLSTM, ResetBeforeGRU, SRU)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def normal(p, name, v):
    normalised = (v - v.mean()) / np.sqrt(v.var() + 1e-5)
    return normalised * p[f"{name}.weight"] + p.get(f"{name}.bias", 0)


def reference(module, x):
    """Output of one layer for ``(time, features)``, one gate at a time."""
    size = module.hidden_size
    p = {name: values.double().numpy() for name, values in module.state_dict().items()}
    rows = {gate: slice(k * size, (k + 1) * size) for k, gate in enumerate(module.gates)}
    h = c = np.zeros(size)
    outputs = []
    for value in x:
        u = p["weight_ih_l0"] @ value
        if isinstance(module, LayerNormLSTM):
            u = normal(p, "norm_x_l0", u) + normal(p, "norm_h_l0", p["weight_hh_l0"] @ h)
            i, f, g, o = (u[rows[gate]] for gate in "ifgo")
            c = normal(p, "norm_c_l0", sigmoid(f) * c + sigmoid(i) * np.tanh(g))
            h = sigmoid(o) * np.tanh(c)
            outputs.append(h)
            continue
        if isinstance(module, SRU):
            v_f, v_r = p["weight_c_l0"]
            b_f, b_r = p.get("bias_l0", np.zeros(2 * size)).reshape(2, size)
            f = sigmoid(u[rows["f"]] + v_f * c + b_f)
            r = sigmoid(u[rows["r"]] + v_r * c + b_r)
            c = f * c + (1 - f) * u[rows["u"]]
            outputs.append(r * c + (1 - r) * (u[3 * size :] if len(u) > 3 * size else value))
            continue
        b = p.get("bias_hh_l0", np.zeros(len(u)))
        if isinstance(module, LiGRU):
            scale = p["norm_l0.weight"] / np.sqrt(p["norm_l0.running_var"] + module.norm_l0.eps)
            u = (u - p["norm_l0.running_mean"]) * scale + p.get("norm_l0.bias", 0)
        u = u + p.get("bias_ih_l0", 0)
        a = {g: u[k] + p["weight_hh_l0"][k] @ h + b[k] for g, k in rows.items()}
        match module:
            case CoupledLSTM():
                f = sigmoid(a["f"])
                c = f * c + (1 - f) * np.tanh(a["g"])
                h = sigmoid(a["o"]) * np.tanh(c)
            case PeepholeLSTM():
                p_i, p_o, p_f = p["weight_ph_l0"]
                c_new = sigmoid(a["f"] + p_f * c) * c + sigmoid(a["i"] + p_i * c) * np.tanh(a["g"])
                c = c_new
                h = sigmoid(a["o"] + p_o * c) * np.tanh(c)
            case LiGRU():
                z = sigmoid(a["z"])
                h = z * h + (1 - z) * np.maximum(a["n"], 0)
            case ResetBeforeGRU():
                r, z, k = sigmoid(a["r"]), sigmoid(a["z"]), rows["n"]
                n = np.tanh(u[k] + p["weight_hh_l0"][k] @ (r * h) + b[k])
                h = (1 - z) * n + z * h
        outputs.append(h)
    return np.array(outputs)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("inputs", "hidden", "bias"), [(1, 1, True), (3, 7, True), (5, 2, False)])
def test_a_layer_computes_its_equations(kind, inputs, hidden, bias):
    torch.manual_seed(1)
    module = kind(inputs, hidden, bias=bias).double()
    module(torch.randn(11, 3, inputs).double())  # moves the running statistics
    module.eval()
    x = torch.randn(13, inputs).double()
    with torch.no_grad():
        got, _ = module(x)
    # a few dozen roundings of 2**-53, none amplified by more than these small weights
    np.testing.assert_allclose(got.numpy(), reference(module, x.numpy()), rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_layers_directions_and_axes_are_those_of_torch(kind):
    torch.manual_seed(2)
    module = kind(3, 5, 2, bidirectional=True, batch_first=True).eval()
    x = torch.randn(2, 7, 3)
    output, state = module(x)
    h = state[0] if isinstance(state, tuple) else state
    if kind is SRU:  # whose state is not its output
        h = torch.cat([state[:2], output[:, -1, :5][None], output[:, 0, 5:][None]])
    assert output.shape == (2, 7, 10)
    assert h.shape == (4, 2, 5)
    torch.testing.assert_close(h[2], output[:, -1, :5])
    torch.testing.assert_close(h[3], output[:, 0, 5:])
    module.batch_first = False
    torch.testing.assert_close(module(x.transpose(0, 1))[0].transpose(0, 1), output)


@pytest.mark.parametrize("kind", KINDS)
def test_a_sequence_may_be_cut_and_every_parameter_learns(kind):
    torch.manual_seed(3)
    module = kind(2, 3, 2).eval()
    x = torch.randn(9, 2, 2)
    whole, _ = module(x)
    first, state = module(x[:4])
    torch.testing.assert_close(torch.cat([first, module(x[4:], state)[0]]), whole)
    whole.sum().backward()
    assert all(parameter.grad is not None for parameter in module.parameters())
    again = kind(2, 3, 2).eval()
    again.load_state_dict(module.state_dict())
    torch.testing.assert_close(again(x)[0], whole)


def test_the_package_offers_them():
    assert dl.nn.LiGRU is LiGRU
    assert repr(LiGRU(3, 5, 2)).startswith("LiGRU(\n  3, 5, num_layers=2")
    with pytest.raises(AttributeError, match="has no attribute 'mm'"):
        dl.mm  # noqa: B018


def test_refusals():
    with pytest.raises(ValueError, match="^hidden_size must be positive, not 0$"):
        LiGRU(3, 0)
    with pytest.raises(ValueError, match="^dropout must be between 0 and 1, not 2$"):
        LiGRU(3, 1, dropout=2)
    with pytest.raises(ValueError, match="^Input must have 2 or 3 axes and 3 features, not shape"):
        LiGRU(3, 1)(torch.zeros(2, 4))
    with pytest.raises(ValueError, match="^State must be 1 of shape"):
        LiGRU(3, 1)(torch.zeros(2, 4, 3), torch.zeros(1, 1, 1))


def test_cells_of_the_same_name_exist():
    for kind in KINDS:
        assert hasattr(cells, kind.__name__)
