import numpy as np
import torch

from deltaloom.compiler.fixed import Format
from deltaloom.training.rounding import LN2, round_values, straight_weights

FORMAT = Format(3, 1)  # -2 to 1.5 in steps of 0.5


def test_rounds_half_up_and_saturates():
    values = torch.linspace(-3, 3, 97).requires_grad_()
    found = round_values(values, FORMAT, torch.float32)
    integers = FORMAT.quantize(values.detach().numpy())
    np.testing.assert_array_equal(found.detach(), FORMAT.dequantize(integers))
    found.sum().backward()
    inside = (values >= -2.25) & (values < 1.75)
    np.testing.assert_array_equal(values.grad, inside.float())


def test_saturated_weights_get_what_brings_them_back():
    latent = torch.tensor([-2.3, -2.3, -2.2, 0.2, 1.7, 1.8, 1.8], requires_grad=True)
    rounded = torch.from_numpy(FORMAT.dequantize(FORMAT.quantize(latent.detach().numpy())))
    found = straight_weights(latent, rounded.float(), FORMAT)
    np.testing.assert_array_equal(found.detach(), rounded)
    found.backward(torch.tensor([1.0, -1.0, 1.0, 1.0, -1.0, -1.0, 1.0]))
    np.testing.assert_array_equal(latent.grad, [0, -1, 1, 1, -1, 0, 1])


def test_derivative_of_a_step():
    """Rounded minus value inside, rounded where it saturates (Jain et al. 2019)."""
    values = torch.tensor([0.6, 5.0, -0.1])
    rounded = torch.tensor([0.5, 1.5, 0.0])
    wanted = LN2 * (2 * (0.5 - 0.6) + 3 * 1.5 + 4 * 0.1)
    gradient = torch.tensor([2.0, 3.0, 4.0])
    for function in (
        lambda step: round_values(values, FORMAT, torch.float32, step),
        lambda step: straight_weights(values, rounded, FORMAT, step),
    ):
        step = torch.tensor(-1.0, requires_grad=True)
        function(step).backward(gradient)
        torch.testing.assert_close(step.grad, torch.tensor(wanted))
