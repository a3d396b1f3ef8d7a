"""A raw MQTT client on a blocking socket. Nothing happens behind the test's back: no automatic acknowledgements, no
reconnects, no pings. Every wait has a deadline, so a test fails instead of hanging."""

import os
import socket
import time

import mqtt_codec as wire
from mqtt_codec import V5, KIND_NAMES

# Sanitizer builds are several times slower; their runs raise this factor.
TIME_SCALE = float(os.environ.get("NOCTULE_TEST_TIME_SCALE", "1"))
DEADLINE = 8.0 * TIME_SCALE
# The standard lets a server close without telling why. Ours always tells; the reference broker need not.
ALWAYS_TOLD_WHY = "NOCTULE_REFERENCE" not in os.environ
# How long a test watches for something that must not come.
SILENCE = 0.08


class TimedOut(AssertionError):
    """Nothing arrived in time."""


class ConnectionClosed(AssertionError):
    """The broker closed the connection."""


class Client:
    """One connection, or several one after the other, of one client id."""

    def __init__(self, address, version=V5, client_id=""):
        self.address, self.version, self.client_id = address, version, client_id
        self.socket = None
        self.prologue = b""  # sent before all else, such as the header of a proxy
        self.tls, self.server_name, self.session = None, None, None  # an ssl.SSLContext, and what it is to expect
        self.buffer = bytearray()
        self.pending = []
        self.next_id = 0
        self.connack = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.drop()

    # ------------------------------------------------------------------------------------------- connection

    def open(self):
        """Opens the connection, with TLS if the client has it, and sends no MQTT: TCP to (host, port), or to the path
        of a unix socket."""
        self.drop()
        self.buffer.clear()
        self.pending.clear()
        if isinstance(self.address, str):
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.settimeout(DEADLINE)
            self.socket.connect(self.address)
        else:
            self.socket = socket.create_connection(self.address, timeout=DEADLINE)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.prologue:
            self.socket.sendall(self.prologue)
        if self.tls:
            self.socket = self.tls.wrap_socket(self.socket, server_hostname=self.server_name, session=self.session)
        return self

    def connect(self, reason=0, **options):
        """Opens, sends CONNECT and takes the CONNACK, which must carry `reason`. Options as in make_connect,
        `properties` for the CONNECT properties."""
        self.open()
        self.send_connect(**options)
        self.connack = self.expect(wire.CONNACK)
        assert self.connack.reason == reason, f"{self.connack}, expected reason {reason:#x}"
        assigned = self.connack.properties.get("assigned_client_identifier")
        if assigned:
            self.client_id = assigned
        return self.connack

    def send_connect(self, **options):
        options.setdefault("client_id", self.client_id)
        if "properties" in options:
            options["properties_"] = options.pop("properties")
        self.send(wire.make_connect(self.version, **options))

    def disconnect(self, reason=None, properties=None):
        """Says goodbye in order and waits for the broker's close."""
        self.send(wire.make_disconnect(self.version, reason, properties))
        self.expect_close(ignore_packets=True)
        self.drop()

    def drop(self):
        """Closes the socket without DISCONNECT."""
        if self.socket is not None:
            self.socket.close()
            self.socket = None

    # ------------------------------------------------------------------------------------------- bytes

    def send(self, data):
        self.socket.settimeout(DEADLINE)
        self.socket.sendall(data)

    def _fill(self, deadline):
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimedOut(f"{self.client_id!r}: nothing in time; incomplete: {bytes(self.buffer[:64]).hex()!r}")
        self.socket.settimeout(left)
        try:
            data = self.socket.recv(262144)
        except (socket.timeout, TimeoutError):
            raise TimedOut(f"{self.client_id!r}: nothing in time; incomplete: "
                           f"{bytes(self.buffer[:64]).hex()!r}") from None
        except (ConnectionResetError, BrokenPipeError):
            data = b""
        if not data:
            raise ConnectionClosed(f"{self.client_id!r}: the broker closed the connection"
                                   + (f" inside a packet: {bytes(self.buffer[:64]).hex()}" if self.buffer else ""))
        self.buffer += data

    def _next(self, timeout):
        deadline = time.monotonic() + timeout
        while True:
            decoded = wire.decode(self.buffer, self.version)
            if decoded:
                del self.buffer[:decoded[1]]
                return decoded[0]
            self._fill(deadline)

    # ------------------------------------------------------------------------------------------- packets

    def receive(self, timeout=None):
        """The next packet."""
        if self.pending:
            return self.pending.pop(0)
        return self._next(DEADLINE if timeout is None else timeout)

    def expect(self, kind, timeout=None, **fields):
        """The next packet, which must be of this kind with these field values."""
        try:
            got = self.receive(timeout)
        except (TimedOut, ConnectionClosed) as error:
            raise type(error)(f"expected {KIND_NAMES[kind]} {fields}: {error}") from None
        _check(got, kind, fields)
        return got

    def await_packet(self, kind, timeout=None, **fields):
        """The next packet of this kind and these values; others that arrive before it stay for later reads."""
        deadline = time.monotonic() + (DEADLINE if timeout is None else timeout)
        for index, got in enumerate(self.pending):
            if _matches(got, kind, fields):
                return self.pending.pop(index)
        while True:
            try:
                got = self._next(max(0, deadline - time.monotonic()))
            except (TimedOut, ConnectionClosed) as error:
                raise type(error)(f"awaited {KIND_NAMES[kind]} {fields}, had {self.pending}: {error}") from None
            if _matches(got, kind, fields):
                return got
            self.pending.append(got)

    def expect_nothing(self, seconds=SILENCE):
        """Nothing arrives for a while, and the broker still answers a ping afterwards."""
        try:
            raise AssertionError(f"expected nothing, got {self.receive(seconds)}")
        except TimedOut:
            pass
        self.ping()

    def expect_close(self, timeout=None, ignore_packets=False):
        """The broker closes the connection, without (or with `ignore_packets`: perhaps after) further packets."""
        deadline = time.monotonic() + (DEADLINE if timeout is None else timeout)
        while True:
            try:
                got = self.receive(max(0.001, deadline - time.monotonic()))
            except ConnectionClosed:
                assert not self.buffer, f"closed inside a packet: {bytes(self.buffer[:64]).hex()}"
                return
            assert ignore_packets, f"expected the connection to close, got {got}"

    def expect_disconnect(self, *reasons, timeout=None):
        """5.0: DISCONNECT with one of these reasons, then EOF [v5 MQTT-3.14.4-1, MQTT-3.14.4-2, MQTT-4.13.2-1].
        Before 5.0: EOF alone."""
        got = None
        if self.version == V5:
            try:
                got = self.expect(wire.DISCONNECT, timeout)
            except ConnectionClosed:
                if ALWAYS_TOLD_WHY:
                    raise
                return None
            assert got.reason in reasons, f"{got}, expected {[hex(r) for r in reasons]}"
        self.expect_close(timeout)
        return got

    # ------------------------------------------------------------------------------------------- exchanges

    def new_id(self):
        self.next_id = self.next_id % 65535 + 1
        return self.next_id

    def ping(self):
        self.send(wire.packet(wire.PINGREQ))
        self.expect(wire.PINGRESP)

    def subscribe(self, *filters, qos=0, options=0, properties=None, reasons=None):
        """Subscribes to each filter (a string, or a pair of filter and options byte) and takes the SUBACK, whose
        codes must be `reasons` (default: what was asked for)."""
        pairs = [(f, qos | options) if isinstance(f, (str, bytes)) else f for f in filters]
        packet_id = self.new_id()
        self.send(wire.make_subscribe(self.version, packet_id, pairs, properties))
        suback = self.await_packet(wire.SUBACK, packet_id=packet_id)
        wanted = [o & 3 for _, o in pairs] if reasons is None else reasons
        assert suback.reasons == wanted, f"{suback}, expected {wanted}"
        return suback

    def unsubscribe(self, *filters, reasons=None):
        packet_id = self.new_id()
        self.send(wire.make_unsubscribe(self.version, packet_id, filters))
        unsuback = self.await_packet(wire.UNSUBACK, packet_id=packet_id)
        if self.version == V5:
            wanted = [0] * len(filters) if reasons is None else reasons
            assert unsuback.reasons == wanted, f"{unsuback}, expected {wanted}"
        return unsuback

    def send_publish(self, topic, payload=b"", qos=0, retain=False, dup=False, packet_id=None, properties=None):
        """Sends PUBLISH and returns its packet identifier; waits for nothing."""
        if qos and packet_id is None:
            packet_id = self.new_id()
        self.send(wire.make_publish(self.version, topic, payload, qos, retain, dup, packet_id, properties))
        return packet_id

    def publish(self, topic, payload=b"", qos=0, retain=False, reason=None, **options):
        """Publishes and finishes the exchange of its QoS. Returns the reason code of PUBACK or PUBREC (0x10, no
        matching subscribers, counts as 0) and asserts that it is `reason` (default: success)."""
        packet_id = self.send_publish(topic, payload, qos, retain, **options)
        if qos == 0:
            return 0
        got = self.await_packet(wire.PUBACK if qos == 1 else wire.PUBREC, packet_id=packet_id)
        assert (0 if got.reason == 0x10 else got.reason) == (reason or 0), f"{got}, expected reason {reason or 0:#x}"
        if qos == 2 and got.reason < 0x80:
            self.send_ack(wire.PUBREL, packet_id)
            self.await_packet(wire.PUBCOMP, packet_id=packet_id, reason=0)
        return got.reason

    def send_ack(self, kind, packet_id, reason=None, properties=None):
        self.send(wire.make_ack(self.version, kind, packet_id, reason, properties))

    def acknowledge(self, message):
        """Finishes the receiver's side of the exchange for a PUBLISH."""
        if message.qos == 1:
            self.send_ack(wire.PUBACK, message.packet_id)
        elif message.qos == 2:
            self.send_ack(wire.PUBREC, message.packet_id)
            self.await_packet(wire.PUBREL, packet_id=message.packet_id, reason=0)
            self.send_ack(wire.PUBCOMP, message.packet_id)

    def expect_message(self, topic=None, payload=None, timeout=None, acknowledge=True, **fields):
        """The next packet is this PUBLISH; acknowledged as its QoS demands unless told otherwise."""
        if topic is not None:
            fields["topic"] = topic
        if payload is not None:
            fields["payload"] = wire.to_bytes(payload)
        message = self.expect(wire.PUBLISH, timeout, **fields)
        if acknowledge:
            self.acknowledge(message)
        return message

    def expect_messages(self, count, acknowledge=True):
        """The next `count` PUBLISH packets; other packets that come between stay for later reads."""
        messages = []
        for _ in range(count):
            message = self.await_packet(wire.PUBLISH)
            if acknowledge:
                self.acknowledge(message)
            messages.append(message)
        return messages


def _matches(got, kind, fields):
    return got.kind == kind and all(getattr(got, name, None) == value for name, value in fields.items())


def _check(got, kind, fields):
    assert got.kind == kind, f"expected {KIND_NAMES[kind]} {fields}, got {got}"
    for name, value in fields.items():
        assert getattr(got, name) == value, f"expected {KIND_NAMES[kind]} with {name}={value!r}, got {got}"
