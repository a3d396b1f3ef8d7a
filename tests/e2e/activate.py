"""What a service manager does for socket activation, and no more: opens sockets and becomes the command.

  activate.py [NAME=HOST:PORT | NAME=/PATH | NAME=datagram]... -- COMMAND

The sockets are the descriptors from 3 on, in this order; the environment says how many there are and how they are
called, as sd_listen_fds(3) has it."""

import os
import socket
import sys

FIRST = 3


def opened(address):
    if address == "datagram":
        return socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    if address.startswith("/"):
        made = socket.socket(socket.AF_UNIX)
        made.bind(address)
    else:
        host, port = address.rsplit(":", 1)
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        made = socket.socket(family)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        made.bind((host.strip("[]"), int(port)))
    made.listen(64)
    return made


def main():
    split = sys.argv.index("--")
    names, addresses = zip(*(argument.split("=", 1) for argument in sys.argv[1:split]))
    sockets = [opened(address) for address in addresses]
    # Out of the way of each other first.
    high = [os.dup2(one.fileno(), 100 + i) for i, one in enumerate(sockets)]
    for i, fd in enumerate(high):
        os.dup2(fd, FIRST + i, inheritable=True)
        os.close(fd)
    os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(sockets)), LISTEN_FDNAMES=":".join(names))
    os.execvp(sys.argv[split + 1], sys.argv[split + 1:])


main()
