import torch

from tests.emulator.training import parameters, trainer_of


def test_averaged_weights_follow_the_last_ones(values):
    trainer = trainer_of(values)
    trainer.step()
    for a, b in zip(parameters(trainer), trainer.average.network.parameters(), strict=True):
        assert torch.equal(a, b)
    before = [p.clone() for p in parameters(trainer)]
    trainer.step()
    weight = 1 - 0.5**18
    for old, new, average in zip(
        before, parameters(trainer), trainer.average.network.parameters(), strict=True
    ):
        torch.testing.assert_close(average, torch.lerp(old, new, weight))
