"""A web platform for the rows that need one: says yes to everything after so many milliseconds. Run by the driver:
`backend.py PORT-FILE MILLISECONDS`. GET /count tells how many requests there were."""

import asyncio
import os
import pathlib
import sys

YES = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 11\r\n\r\n{\"ok\":true}"
NO = b"HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nno"
SUPERUSER = b'"user-0"'  # the subscriber of the row http-acl

count = 0


class Platform(asyncio.Protocol):
    """HTTP/1.1 with Content-Length, one request after the other: all that libcurl sends here."""

    delay = 0.0

    def connection_made(self, transport):
        self.transport, self.buffer = transport, b""

    def data_received(self, data):
        self.buffer += data
        while True:
            head, found, rest = self.buffer.partition(b"\r\n\r\n")
            if not found:
                return
            length = 0
            for line in head.split(b"\r\n")[1:]:
                name, _, value = line.partition(b":")
                if name.lower() == b"content-length":
                    length = int(value)
            if len(rest) < length:
                return
            self.buffer = rest[length:]
            self.answer(head.split(b" ", 2)[1], rest[:length])

    def answer(self, path, body):
        global count
        if path == b"/count":
            text = str(count).encode()
            self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(text), text))
            return
        count += 1
        reply = NO if path == b"/superuser" and SUPERUSER not in body else YES
        if self.delay:
            asyncio.get_running_loop().call_later(self.delay, self.transport.write, reply)
        else:
            self.transport.write(reply)


async def main(port_file, milliseconds):
    os.nice(19)  # it shares a processor with the bystander, whose round trips are to show the broker alone
    Platform.delay = milliseconds / 1000
    server = await asyncio.get_running_loop().create_server(Platform, "127.0.0.1", 0, backlog=2048)
    port_file.with_suffix(".new").write_text(str(server.sockets[0].getsockname()[1]))
    port_file.with_suffix(".new").rename(port_file)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(pathlib.Path(sys.argv[1]), float(sys.argv[2])))
