import pytest

from coca.commands.shared import check_one_rank, in_parallel, on_interrupt
from coca.errors import ConfigError, FileError, Terminated
from coca.parallel.ranks import OneRank


@pytest.mark.parametrize(
    ("reason", "status", "message"),
    [
        (ConfigError("mesh: found 3"), 2, "error: mesh: found 3"),
        (FileError("table: cannot use"), 2, "error: table: cannot use"),
        (FloatingPointError("positions are not finite"), 2, "error: positions are not finite"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (Terminated("terminated; saved"), 143, "terminated; saved"),
    ],
)
def test_what_stops_a_command_is_one_line(reason, status, message, capsys):
    def work(ranks):
        raise reason

    assert in_parallel(work) == status
    assert capsys.readouterr().err == f"{message}\n"


def test_the_status_is_that_of_the_work():
    assert in_parallel(lambda ranks: 0) == 0
    assert in_parallel(lambda ranks: 7) == 1  # seven members of an ensemble failed


def test_a_fault_of_the_program_has_its_traceback():
    with pytest.raises(ZeroDivisionError):
        in_parallel(lambda ranks: 1 // 0)


def test_commands_without_a_parallel_form_want_one_rank():
    check_one_rank(OneRank(), "fit")
    ranks = OneRank()
    ranks.size = 2
    with pytest.raises(ConfigError, match="ranks: found 2, wanted one for coca fit"):
        check_one_rank(ranks, "fit")


def test_an_interrupt_says_what_it_means():
    with (
        pytest.raises(KeyboardInterrupt, match="nothing was written"),
        on_interrupt("nothing was written"),
    ):
        raise KeyboardInterrupt
