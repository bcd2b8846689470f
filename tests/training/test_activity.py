import pytest
import torch
from torch import nn

import deltaloom as dl
from deltaloom.compiler.cells import Linear
from deltaloom.compiler.network import Network


def test_a_penalty_on_deltas_slows_signals_down(sequences):
    torch.manual_seed(0)
    x = torch.from_numpy(sequences(8, 20, 3))
    prepared = dl.prepare(nn.GRU(3, 8, batch_first=True), dl.Recipe(skip="delta"), x)
    optimizer = torch.optim.Adam(prepared.parameters(), lr=0.02)
    activities = []
    for _ in range(15):
        optimizer.zero_grad()
        prepared(x)
        activity = prepared.delta_activity()
        activity.backward()
        optimizer.step()
        activities.append(activity.item())
    assert activities[-1] < 0.8 * activities[0]


def test_delta_activity_by_hand(random_layer):
    """One feature that rises by one unit a timestep, into a linear layer of two rows."""
    network = Network((random_layer("y", Linear(1, 2)),))
    x = torch.arange(-4, 4)[None, :, None] / 4
    prepared = dl.prepare(network, dl.Recipe(activations="int3", skip="delta", clip="minmax"), x)
    prepared(x)
    assert prepared.delta_activity().item() == pytest.approx((4 + 7) / 8 / 8)


def test_delta_activity_of_sequences_of_different_lengths(sequences):
    """That of each, weighted with its timesteps."""
    x = [torch.from_numpy(sequences(length, 3, seed=length)) for length in (6, 1, 3)]
    prepared = dl.prepare(nn.GRU(3, 4, 2), dl.Recipe(skip="delta"), x)
    prepared(x)
    together = prepared.delta_activity().item()
    total = 0.0
    for part in x:
        prepared([part])
        total += len(part) * prepared.delta_activity().item()
    assert together == pytest.approx(total / 10)


def test_delta_activity_has_to_be_asked_for(sequences, random_layer):
    network = Network((random_layer("y", Linear(2, 2)),))
    x = sequences(2, 3, 2)
    with pytest.raises(dl.DeltaloomError, match="skip must be 'delta' for a delta activity, not"):
        dl.prepare(network, None, x).delta_activity()
    prepared = dl.prepare(network, dl.Recipe(skip="delta"), x)
    with torch.no_grad():
        prepared(torch.from_numpy(x))
    with pytest.raises(dl.DeltaloomError, match="must follow a forward pass with gradients"):
        prepared.delta_activity()
