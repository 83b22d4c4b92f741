"""Reading ahead and storing behind: order, bounds and errors."""

import threading
import time

import pytest
import torch
from evo2_embed.embed.overlap import HostCopy, Storer, read_ahead


def test_items_come_in_order_and_the_next_is_made_meanwhile():
    made = []

    def items():
        for number in range(5):
            made.append(number)
            yield number

    for number in read_ahead(items()):
        for _ in range(500):
            if len(made) > min(number + 1, 4):
                break
            time.sleep(0.01)
        assert made == list(range(min(number + 2, 5)))


def test_an_error_of_the_reader_is_raised_where_it_is_read():
    def items():
        yield 1
        raise OSError("the disk is gone")

    reader = read_ahead(items())
    assert next(reader) == 1
    with pytest.raises(OSError, match="the disk is gone"):
        next(reader)


def test_calls_are_done_in_order_and_all_are_done_at_the_end():
    done = []
    with Storer() as storer:
        for number in range(50):
            storer.submit(done.append, number)
    assert done == list(range(50))


def test_only_so_many_calls_wait():
    gate, submitted = threading.Event(), []

    def submit(storer):
        for number in range(10):
            storer.submit(gate.wait)
            submitted.append(number)

    with Storer(waiting=3) as storer:
        thread = threading.Thread(target=submit, args=(storer,))
        thread.start()
        thread.join(0.3)
        assert len(submitted) == 3
        gate.set()
        thread.join()
    assert len(submitted) == 10


def fail():
    raise OSError("no space left on the device")


def test_an_error_of_a_call_is_raised_at_the_end():
    with pytest.raises(OSError, match="no space left"), Storer() as storer:
        storer.submit(fail)


def test_an_error_of_a_call_stops_the_loop():
    submitted = []

    def loop():
        with Storer() as storer:
            storer.submit(fail)
            for number in range(10_000):
                submitted.append(number)
                storer.submit(time.sleep, 0.001)

    with pytest.raises(OSError, match="no space left"):
        loop()
    assert len(submitted) < 10_000


def test_what_waits_is_dropped_when_the_loop_fails():
    done = []

    def loop():
        with Storer(waiting=100) as storer:
            storer.submit(time.sleep, 0.2)
            for number in range(20):
                storer.submit(done.append, number)
            raise ValueError("the model")

    with pytest.raises(ValueError, match="the model"):
        loop()
    assert done == []


def test_values_arrive_on_the_host():
    device = "cuda" if torch.cuda.is_available() else "cpu"
    values = torch.arange(6.0, device=device).view(2, 3)
    assert (HostCopy(values * 2).numpy() == [[0, 2, 4], [6, 8, 10]]).all()
