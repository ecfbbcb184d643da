"""Sums over all processes of an MPI job, and passes a token around them."""

from array import array

from mpi4py import MPI

NUMBERS = 1 << 20

world = MPI.COMM_WORLD
rank, size = world.Get_rank(), world.Get_size()
own, total = array("d", [rank + 1.0]) * NUMBERS, array("d", [0.0]) * NUMBERS
world.Allreduce([own, MPI.DOUBLE], [total, MPI.DOUBLE], op=MPI.SUM)
expected = size * (size + 1) / 2
assert all(number == expected for number in total), f"rank {rank}: {total[0]} is not {expected}"

token = world.sendrecv(rank, dest=(rank + 1) % size, source=(rank - 1) % size)
assert token == (rank - 1) % size, token
names = world.gather(MPI.Get_processor_name(), root=0)
if rank == 0:
    print(f"{size} processes on {' '.join(sorted(names))}: the sum is {total[0]:.0f} each", flush=True)
