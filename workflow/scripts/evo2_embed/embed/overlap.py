"""Reading and storing in threads, while the model runs."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import torch

_END = object()


def read_ahead(items: Iterator) -> Iterator:
    """The items of an iterator; a thread computes the next item while one is in use."""
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, items, _END)
        while (item := coming.result()) is not _END:
            coming = pool.submit(next, items, _END)
            yield item


class Storer:
    """Runs calls in order in one thread; at most `waiting` calls wait at a time.

    An error in a call is raised by a later `submit`, or at the end of the `with` block.
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
        """Queue `call(*arguments)`; wait while the queue is full."""
        while self.calls and (self.calls[0].done() or len(self.calls) >= self.waiting):
            self.calls.popleft().result()
        self.calls.append(self.pool.submit(call, *arguments))


class HostCopy:
    """An asynchronous copy of a tensor to host memory.

    A tensor on a GPU is copied to pinned memory, on the stream that computes it.
    """

    def __init__(self, values: torch.Tensor):
        self.copied = None
        if values.is_cuda:
            host = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
            host.copy_(values, non_blocking=True)
            with torch.cuda.device(values.device):
                self.copied = torch.cuda.Event()
                self.copied.record()
            values = host
        self.values = values

    def numpy(self) -> np.ndarray:
        """The values; waits until the copy is complete."""
        if self.copied is not None:
            self.copied.synchronize()
        return self.values.numpy()
