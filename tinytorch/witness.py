"""A process beside the ranks of a machine, which says who of them was killed: `kill -9` leaves nobody else to say it.

    python witness.py FD    # FD: a listening socket, to which each rank connects

A rank sends its name, and at its end "left" or "failed". A connection that ends without either is that of a rank that
was killed; the kernel closes it before MPI hears of the death and kills the others, so that the first is the right one.
"""
import selectors
import socket
import sys


def watch(listening):
    "Return the name of the rank that was killed; None where all left, or one has failed and said so itself."
    names, waiting = {}, selectors.DefaultSelector()
    waiting.register(listening, selectors.EVENT_READ)
    while True:
        for key, _ in waiting.select():
            rank = key.fileobj
            if rank is listening:
                connection = rank.accept()[0]
                names[connection] = b""
                waiting.register(connection, selectors.EVENT_READ)
                continue
            said = rank.recv(1000)
            names[rank] += said
            if b"failed\n" in names[rank]:
                return None
            if not said:
                waiting.unregister(rank)
                name = names.pop(rank)
                if not name.endswith(b"left\n"):
                    return name.decode().strip()
                if not names:
                    return None


if __name__ == "__main__":
    killed = watch(socket.socket(fileno=int(sys.argv[1])))
    if killed:
        print(f"\n{killed} was killed: all ranks end", file=sys.stderr, flush=True)
