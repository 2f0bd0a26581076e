import pytest
import torch

from coca.emulator import device
from coca.emulator.device import choose_device, choose_precision, choose_slabs, sharers
from coca.errors import ConfigError


def test_slabs_are_as_few_as_fit(monkeypatch):
    free = 10 * 2**30
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free, free))
    assert choose_slabs("cpu", 8, 100 * free) == 1
    assert choose_slabs("cuda:0", 64, free // 2) == 1
    assert choose_slabs("cuda:0", 64, 2 * free) == 4
    with pytest.raises(ConfigError, match="wanted fewer particles or device: cpu"):
        choose_slabs("cuda:0", 4, 100 * free)


def test_device_is_chosen_or_refused():
    assert choose_device("cpu") == "cpu"
    assert choose_precision("float32", "cpu") == "float32"
    if not torch.cuda.is_available():
        assert choose_device("auto") == "cpu"
        with pytest.raises(ConfigError, match="device: found cuda"):
            choose_device("cuda")


def test_a_gpu_of_torch_has_a_driver():
    """Where there is none, torch is not asked."""
    assert device.has_driver() or not torch.cuda.is_available()


def test_precision_of_a_processor_is_what_torch_says_of_it():
    fast = torch.cpu._is_avx512_bf16_supported()
    assert choose_precision("auto", "cpu") == ("bfloat16" if fast else "float32")


def test_ranks_of_a_machine_take_turns_at_its_gpus(monkeypatch):
    monkeypatch.setattr(device, "has_driver", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert [choose_device("auto", rank) for rank in range(4)] == ["cuda:0", "cuda:1"] * 2
    assert choose_device("cpu", 1) == "cpu"
    assert [sharers("cuda:0", ranks) for ranks in (1, 2, 3, 8)] == [1, 1, 2, 4]
    assert sharers("cpu", 8) == 1
