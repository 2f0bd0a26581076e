import pytest
import torch

from coca.emulator.device import choose_device, choose_precision, choose_slabs, sharers
from coca.errors import ConfigError

CPU = torch.device("cpu")


def test_slabs_are_as_few_as_fit(monkeypatch):
    free = 10 * 2**30
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free, free))
    gpu = torch.device("cuda")
    assert choose_slabs(CPU, 8, 100 * free) == 1
    assert choose_slabs(gpu, 64, free // 2) == 1
    assert choose_slabs(gpu, 64, 2 * free) == 4
    with pytest.raises(ConfigError, match="wanted fewer particles or device: cpu"):
        choose_slabs(gpu, 4, 100 * free)


def test_device_is_chosen_or_refused():
    assert choose_device("cpu").type == "cpu"
    assert choose_precision("float32", CPU) == torch.float32
    if not torch.cuda.is_available():
        assert choose_device("auto").type == "cpu"
        with pytest.raises(ConfigError, match="device: found cuda"):
            choose_device("cuda")


def test_ranks_of_a_machine_take_turns_at_its_gpus(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    found = [choose_device("auto", rank) for rank in range(4)]
    assert found == [torch.device("cuda", number) for number in (0, 1, 0, 1)]
    assert choose_device("cpu", 1) == CPU
    assert [sharers(found[0], ranks) for ranks in (1, 2, 3, 8)] == [1, 1, 2, 4]
    assert sharers(CPU, 8) == 1
