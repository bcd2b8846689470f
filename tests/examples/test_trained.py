import torch

from deltaloom.examples import trained


def test_waves_are_classes_of_their_own():
    x, labels = trained.waves(200, seed=3)
    assert x.shape == (200, trained.TIMESTEPS, 1)
    assert set(labels.tolist()) == set(range(trained.CLASSES))
    again, _ = trained.waves(200, seed=3)
    torch.testing.assert_close(x, again, rtol=0, atol=0)


def test_training_in_integers_recovers_what_rounding_loses():
    with torch.random.fork_rng(devices=[]):
        in_float, after_training, in_integers = trained.main(epochs=6)
    assert after_training < in_integers
    assert in_integers > in_float - 0.1
