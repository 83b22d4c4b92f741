"""Work beside the model's: what comes next is read, and what is done is stored, in threads."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import torch

_END = object()


def read_ahead(items: Iterator) -> Iterator:
    """The items of an iterator; while one is in use, a thread makes the next."""
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, items, _END)
        while (item := coming.result()) is not _END:
            coming = pool.submit(next, items, _END)
            yield item


class Storer:
    """Calls done in order by one thread; at most `waiting` of them wait at a time.

    An error of a call is raised by a later `submit`, or at the end of the `with` block.
    """

    def __init__(self, waiting: int = 4):
        self.waiting = waiting
        self.pool = ThreadPoolExecutor(1)
        self.calls: deque[Future] = deque()

    def __enter__(self) -> "Storer":
        return self

    def __exit__(self, kind, *error) -> None:
        self.pool.shutdown(cancel_futures=kind is not None)
        while kind is None and self.calls:
            self.calls.popleft().result()

    def submit(self, call: Callable, *arguments: Any) -> None:
        """Have `call(*arguments)` done soon; wait while too many calls do."""
        while self.calls and (self.calls[0].done() or len(self.calls) >= self.waiting):
            self.calls.popleft().result()
        self.calls.append(self.pool.submit(call, *arguments))


class HostCopy:
    """A tensor on its way to the host, without waiting for the device.

    From a GPU it goes to pinned memory, on the stream that computes it.
    """

    def __init__(self, values: torch.Tensor):
        self.arrived = None
        if values.is_cuda:
            host = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
            host.copy_(values, non_blocking=True)
            with torch.cuda.device(values.device):
                self.arrived = torch.cuda.Event()
                self.arrived.record()
            values = host
        self.values = values

    def numpy(self):
        """The values, once they have arrived."""
        if self.arrived is not None:
            self.arrived.synchronize()
        return self.values.numpy()
