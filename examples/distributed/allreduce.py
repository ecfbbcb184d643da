"""Sums a tensor over all workers; they find each other by the name of the first pod."""

import datetime
import os
import socket

import torch
import torch.distributed as dist

NUMBERS = 1 << 20

rank = int(socket.gethostname().rsplit("-", 1)[1])
size = int(os.environ["WORLD_SIZE"])
dist.init_process_group(
    "gloo",
    init_method="tcp://worker-0.workers:29500",
    rank=rank,
    world_size=size,
    timeout=datetime.timedelta(seconds=60),
)
tensor = torch.full((NUMBERS,), float(rank + 1))
dist.all_reduce(tensor)
expected = size * (size + 1) / 2
assert torch.all(tensor == expected), f"rank {rank}: {tensor[0]} is not {expected}"
print(f"rank {rank} of {size}: the sum of {NUMBERS} numbers is {tensor[0]:.0f} each", flush=True)
