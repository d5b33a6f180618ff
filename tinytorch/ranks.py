"""Ranks: processes, or threads, that work on one thing together and send each other arrays.

A group has a `rank`, a `size`, `isend(array, dst)` and `recv(array, src)`; all else is made of these. It is found at
its first use: MPI's, where `mpiexec` started this process; inside `run_threads` one of threads; else there is one rank.
"""
import atexit
import functools
import os
import platform
import queue
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

from tinytorch.platforms import require_threads

__all__ = ["Alone", "MPIGroup", "RankError", "ThreadGroup", "World", "run_threads", "started_by_mpi", "world"]

TIMEOUT = 600.0  # seconds that a rank waits for another one, unless `init_process_group` says otherwise
STARTED_BY = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "PMIX_RANK", "MPI_LOCALNRANKS")  # what launchers set
DATA, LEFT = 1, 2  # tags of messages


class RankError(RuntimeError):
    "Raised by a rank that waited for one that left, failed, hangs, or does something else."


class Done:
    "What `isend` returns where the message is on its way at once."
    def wait(self): pass


class Alone:
    "A group of one: nobody to send to."
    rank, size, timeout = 0, 1, TIMEOUT

    def isend(self, array, dst):
        raise RankError(f"isend: there is no rank {dst}: this is the only one; start several with mpiexec -n 2")

    def recv(self, array, src):
        raise RankError(f"recv: there is no rank {src}: this is the only one; start several with mpiexec -n 2")


class ThreadGroup:
    "One rank among threads of this process. boxes: {(from, to): SimpleQueue}, which all of them share."
    def __init__(self, rank, size, boxes, timeout=TIMEOUT):
        self.rank, self.size, self.boxes, self.timeout = rank, size, boxes, timeout

    def isend(self, array, dst):
        "Send a copy of `array` to rank `dst`; return at once."
        self.boxes[self.rank, dst].put(np.array(array))
        return Done()

    def recv(self, array, src):
        "Fill `array` with the next one that rank `src` sends here. Raises: RankError where it does not come."
        try:
            sent = self.boxes[src, self.rank].get(timeout=self.timeout)
        except queue.Empty:
            raise RankError(f"rank {self.rank} of {self.size} waited {self.timeout:g} s for rank {src}") from None
        if sent is None:
            raise RankError(f"rank {self.rank} of {self.size}: another rank has failed")
        fitting(sent.nbytes, array, self.rank, src)
        array[...] = sent.view(array.dtype).reshape(array.shape)

    def abort(self):
        "Wake all that wait, with an error."
        for box in self.boxes.values():
            box.put(None)


def fitting(nbytes, array, rank, src):
    "Raises: RankError where a message of so many bytes is not what this rank expects."
    if nbytes != array.nbytes:
        raise RankError(f"rank {rank} got {nbytes} bytes from rank {src} and expected {array.nbytes}, an array "
                        f"{array.shape} of {array.dtype}: the two ranks are at different places of the program")


def run_threads(size, function, timeout=60.0):
    """Return [function() of each of `size` ranks], each in a thread with a group of its own: see `world`. A rank waits
    at most `timeout` seconds for another one.
    Raises: the error of the first that failed, with a note that says which; the others are woken."""
    require_threads("run_threads")
    boxes = {(a, b): queue.SimpleQueue() for a in range(size) for b in range(size)}
    results, errors = [None] * size, []

    def work(rank):
        world.group = ThreadGroup(rank, size, boxes, timeout)
        try:
            results[rank] = function()
        except BaseException as error:
            errors.append((rank, error))
            world.group.abort()

    threads = [threading.Thread(target=work, args=(rank,)) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        rank, error = errors[0]
        error.add_note(f"rank {rank} of {size} failed first")
        raise error
    return results


class Message:
    "A message of `group` to or from the rank `peer` that is on its way."
    def __init__(self, group, request, peer):
        self.group, self.request, self.peer, self.status = group, request, peer, group.mpi.Status()

    def wait(self):
        """Return when it has arrived, or its array can be used again; leave the processor to others meanwhile.
        Raises: RankError where the peer has left, or does not answer in time."""
        began, looks, gone = time.monotonic(), 0, None
        while not self.request.Test(self.status):
            looks += 1
            time.sleep(0 if looks < 200 else 5e-5 if looks < 20_000 else 1e-3)  # MPI's own wait spins
            if looks % 100 == 0:
                now = time.monotonic()
                gone = gone or self.group.has_left(self.peer) and now
                if gone and now > gone + 1:  # what was sent before is here by now
                    raise RankError(f"{self.group.name} waits for rank {self.peer}, which has ended")
                if now > began + self.group.timeout:
                    raise RankError(f"{self.group.name} waited {self.group.timeout:g} s for rank {self.peer}, which "
                                    "hangs, or computes for longer: see init_process_group(timeout=...)")


class MPIGroup:
    """This process among those that `mpiexec` started, by way of mpi4py's communicator (with any MPI).
    An error on one rank ends all of them; one that ends before the others says so to those that wait for it."""
    def __init__(self, mpi):
        self.mpi, self.comm, self.timeout = mpi, mpi.COMM_WORLD.Dup(), TIMEOUT
        self.rank, self.size = self.comm.Get_rank(), self.comm.Get_size()
        self.name, self.left = f"rank {self.rank} of {self.size}", set()
        self.witness = self.meet_witness()
        sys.excepthook = functools.partial(self.failed, sys.excepthook)
        atexit.register(self.leave)

    def isend(self, array, dst):
        "Begin to send a contiguous `array`; it may change only after `wait()` of what is returned."
        return Message(self, self.comm.Isend([array.reshape(-1).view(np.uint8), self.mpi.BYTE], dst, DATA), dst)

    def recv(self, array, src):
        "Fill a contiguous `array` with the next one that rank `src` sends here. Raises: RankError; see `Message`."
        try:
            message = Message(self, self.comm.Irecv([array.reshape(-1).view(np.uint8), self.mpi.BYTE], src, DATA), src)
            message.wait()
        except self.mpi.Exception as error:
            raise RankError(f"{self.name} got more than it expected from rank {src}, an array {array.shape} of "
                            f"{array.dtype}: the two ranks are at different places of the program") from error
        fitting(message.status.Get_count(self.mpi.BYTE), array, self.rank, src)

    def has_left(self, peer):
        if peer not in self.left and self.comm.Iprobe(peer, LEFT):
            self.comm.Recv([np.empty(0, np.uint8), self.mpi.BYTE], peer, LEFT)
            self.left.add(peer)
        return peer in self.left

    def failed(self, usual, kind, error, traceback):
        "Print the error as usual, say whose it is, and end all ranks: the others would wait for ever."
        if self.rank:
            time.sleep(0.5)  # what all ranks raise is printed by rank 0, and once
        usual(kind, error, traceback)
        print(f"{self.name} (process {os.getpid()}) failed with {kind.__name__}: all ranks end", file=sys.stderr,
              flush=True)
        self.tell_witness("failed")
        self.comm.Abort(1)

    def leave(self):
        "Say goodbye, and wait without spinning until all have: MPI_Finalize would spin."
        goodbyes = [self.comm.Isend([np.empty(0, np.uint8), self.mpi.BYTE], other, LEFT)
                    for other in range(self.size) if other != self.rank]
        while not all([self.has_left(other) for other in range(self.size) if other != self.rank]):
            time.sleep(1e-3)
        self.mpi.Request.Waitall(goodbyes)
        self.tell_witness("left")

    def meet_witness(self):
        "Return a socket to the witness of this machine's ranks (see witness.py), which the first of them starts."
        if not hasattr(socket, "AF_UNIX"):
            return None
        local, connection = self.comm.Split_type(self.mpi.COMM_TYPE_SHARED), socket.socket(socket.AF_UNIX)
        with tempfile.TemporaryDirectory(prefix="ranks-") as folder, socket.socket(socket.AF_UNIX) as listening:
            path = local.bcast(f"{folder}/witness")
            if local.Get_rank() == 0:
                listening.bind(path)
                listening.listen(local.Get_size())
                subprocess.Popen([sys.executable, "-I", "-S", str(Path(__file__).with_name("witness.py")),
                                  str(listening.fileno())], pass_fds=[listening.fileno()], start_new_session=True,
                                 stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
            local.Barrier()
            connection.connect(path)
            local.Barrier()
        connection.sendall(f"{self.name} (process {os.getpid()} on {platform.node()})\n".encode())
        return connection

    def tell_witness(self, word):
        if self.witness:
            self.witness.sendall(f"{word}\n".encode())


def started_by_mpi():
    "Return whether `mpiexec`, or another launcher, has started this process as a rank."
    return "mpi4py.MPI" in sys.modules or any(name in os.environ for name in STARTED_BY)


@functools.cache
def process_group():
    "Return the group of this process, always the same. Raises: ModuleNotFoundError where mpi4py is missing."
    if not started_by_mpi():
        return Alone()
    try:
        from mpi4py import MPI
    except ImportError as error:
        raise ModuleNotFoundError(f"this process was started by mpiexec, but mpi4py does not work here ({error}); "
                                  "pip install mpi4py mpich") from None
    return MPIGroup(MPI) if MPI.COMM_WORLD.Get_size() > 1 else Alone()


class World(threading.local):
    "The group of the running thread; `world` is the only instance."
    def __init__(self):
        self.own = None

    @property
    def group(self): return self.own or process_group()

    @group.setter
    def group(self, group): self.own = group


world = World()
