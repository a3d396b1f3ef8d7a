"""The wire format of MQTT 3.1, 3.1.1 and 5.0 for tests.

Building is permissive: any field can be given raw, so that malformed packets can be made. Decoding is strict: a
packet from the broker that breaks a rule of the standard raises WireError in whatever test receives it. So every
test of the suite also asserts [v5 MQTT-1.5.4-1, MQTT-1.5.5-1, MQTT-2.1.3-1, MQTT-2.2.2-1, MQTT-3.2.2-1,
MQTT-3.2.2-8, MQTT-3.4.2-1, MQTT-3.5.2-1, MQTT-3.6.2-1, MQTT-3.7.2-1, MQTT-3.9.3-2, MQTT-3.11.3-2, MQTT-3.14.2-1,
MQTT-3.14.2-2, MQTT-3.3.2-8] and [v311 MQTT-1.5.3-1, MQTT-2.2.2-1, MQTT-3.9.3-2].
"""

import struct

V31, V311, V5 = 3, 4, 5
VERSIONS = (V31, V311, V5)

CONNECT, CONNACK, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP = 1, 2, 3, 4, 5, 6, 7
SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK, PINGREQ, PINGRESP, DISCONNECT, AUTH = 8, 9, 10, 11, 12, 13, 14, 15

KIND_NAMES = (
    "RESERVED CONNECT CONNACK PUBLISH PUBACK PUBREC PUBREL PUBCOMP SUBSCRIBE SUBACK UNSUBSCRIBE UNSUBACK "
    "PINGREQ PINGRESP DISCONNECT AUTH"
).split()

# Property identifier: (name, wire type). [v5 section 2.2.2.2]
PROPERTIES = {
    0x01: ("payload_format_indicator", "byte"),
    0x02: ("message_expiry_interval", "u32"),
    0x03: ("content_type", "utf8"),
    0x08: ("response_topic", "utf8"),
    0x09: ("correlation_data", "binary"),
    0x0B: ("subscription_identifier", "varint"),
    0x11: ("session_expiry_interval", "u32"),
    0x12: ("assigned_client_identifier", "utf8"),
    0x13: ("server_keep_alive", "u16"),
    0x15: ("authentication_method", "utf8"),
    0x16: ("authentication_data", "binary"),
    0x17: ("request_problem_information", "byte"),
    0x18: ("will_delay_interval", "u32"),
    0x19: ("request_response_information", "byte"),
    0x1A: ("response_information", "utf8"),
    0x1C: ("server_reference", "utf8"),
    0x1F: ("reason_string", "utf8"),
    0x21: ("receive_maximum", "u16"),
    0x22: ("topic_alias_maximum", "u16"),
    0x23: ("topic_alias", "u16"),
    0x24: ("maximum_qos", "byte"),
    0x25: ("retain_available", "byte"),
    0x26: ("user_property", "pair"),
    0x27: ("maximum_packet_size", "u32"),
    0x28: ("wildcard_subscription_available", "byte"),
    0x29: ("subscription_identifier_available", "byte"),
    0x2A: ("shared_subscription_available", "byte"),
}
PROPERTY_IDS = {name: identifier for identifier, (name, _) in PROPERTIES.items()}

# What a server may put into each packet it sends; a repeated property is legal only where REPEATABLE says so.
SERVER_PROPERTIES = {
    CONNACK: {0x11, 0x12, 0x13, 0x15, 0x16, 0x1A, 0x1C, 0x1F, 0x21, 0x22, 0x24, 0x25, 0x26, 0x27, 0x28, 0x29, 0x2A},
    PUBLISH: {0x01, 0x02, 0x03, 0x08, 0x09, 0x0B, 0x23, 0x26},
    PUBACK: {0x1F, 0x26},
    PUBREC: {0x1F, 0x26},
    PUBREL: {0x1F, 0x26},
    PUBCOMP: {0x1F, 0x26},
    SUBACK: {0x1F, 0x26},
    UNSUBACK: {0x1F, 0x26},
    DISCONNECT: {0x1C, 0x1F, 0x26},
    AUTH: {0x15, 0x16, 0x1F, 0x26},
}
REPEATABLE = {(PUBLISH, 0x0B)} | {(kind, 0x26) for kind in SERVER_PROPERTIES}

_ACK_CODES = {0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99}
SERVER_REASONS = {
    CONNACK: {0x00, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8A, 0x8C, 0x90, 0x95, 0x97, 0x99,
              0x9A, 0x9B, 0x9C, 0x9D, 0x9F},
    PUBACK: _ACK_CODES,
    PUBREC: _ACK_CODES,
    PUBREL: {0x00, 0x92},
    PUBCOMP: {0x00, 0x92},
    SUBACK: {0x00, 0x01, 0x02, 0x80, 0x83, 0x87, 0x8F, 0x91, 0x97, 0x9E, 0xA1, 0xA2},
    UNSUBACK: {0x00, 0x11, 0x80, 0x83, 0x87, 0x8F, 0x91},
    DISCONNECT: {0x00, 0x80, 0x81, 0x82, 0x83, 0x87, 0x89, 0x8B, 0x8D, 0x8E, 0x8F, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97,
                 0x98, 0x99, 0x9A, 0x9B, 0x9C, 0x9D, 0x9E, 0x9F, 0xA0, 0xA1, 0xA2},
    AUTH: {0x00, 0x18},
}

FLAGS = {CONNECT: 0, PUBREL: 2, SUBSCRIBE: 2, UNSUBSCRIBE: 2}


class WireError(AssertionError):
    """The broker sent something that the standard forbids."""


def require(condition, message):
    if not condition:
        raise WireError(message)


# ---------------------------------------------------------------------------------------------------- building


def varint(value, length=0):
    """A variable byte integer; `length` pads it to that many bytes, which makes it malformed."""
    out = bytearray()
    while True:
        byte, value = value & 0x7F, value >> 7
        if value or len(out) + 1 < length:
            out.append(byte | 0x80)
        else:
            out.append(byte)
            return bytes(out)


def u16(value):
    return struct.pack(">H", value)


def u32(value):
    return struct.pack(">I", value)


def to_bytes(value):
    return value.encode("utf-8") if isinstance(value, str) else bytes(value)


def string(value):
    """A counted string (or binary data); bytes pass unchecked."""
    data = to_bytes(value)
    return u16(len(data)) + data


def one_property(name, value):
    identifier = PROPERTY_IDS[name] if isinstance(name, str) else name
    kind = PROPERTIES[identifier][1]
    encoders = {"byte": lambda v: bytes([v]), "u16": u16, "u32": u32, "varint": varint, "utf8": string,
                "binary": string, "pair": lambda v: string(v[0]) + string(v[1])}
    return bytes([identifier]) + encoders[kind](value)


def properties(given):
    """Property section with its length. `given`: None, raw bytes (content only), a dict, or a list of pairs. A list
    as a dict's value repeats the property."""
    if given is None:
        content = b""
    elif isinstance(given, (bytes, bytearray)):
        content = bytes(given)
    else:
        content = b""
        for name, value in given.items() if isinstance(given, dict) else given:
            for single in value if isinstance(value, list) else [value]:
                content += one_property(name, single)
    return varint(len(content)) + content


def packet(kind, body=b"", flags=None):
    flags = FLAGS.get(kind, 0) if flags is None else flags
    return bytes([kind << 4 | flags]) + varint(len(body)) + body


class Will:
    def __init__(self, topic, payload=b"", qos=0, retain=False, properties=None):
        self.topic, self.payload, self.qos, self.retain = topic, payload, qos, retain
        self.properties = properties


def make_connect(version=V5, client_id="", clean=True, keep_alive=60, will=None, username=None, password=None,
                 properties_=None, name=None, level=None, connect_flags=None, payload=None, tail=b""):
    """CONNECT. `name`, `level`, `connect_flags` and `payload` replace what the other arguments would give."""
    name = ("MQIsdp" if version == V31 else "MQTT") if name is None else name
    level = version if level is None else level
    flags = 2 if clean else 0
    body = string(client_id)
    if will is not None:
        flags |= 4 | will.qos << 3 | (0x20 if will.retain else 0)
        if version == V5:
            body += properties(will.properties)
        body += string(will.topic) + string(will.payload)
    if username is not None:
        flags |= 0x80
        body += string(username)
    if password is not None:
        flags |= 0x40
        body += string(password)
    flags = flags if connect_flags is None else connect_flags
    head = string(name) + bytes([level, flags]) + u16(keep_alive)
    if version == V5:
        head += properties(properties_)
    return packet(CONNECT, head + (body if payload is None else payload) + tail)


def make_publish(version, topic, payload=b"", qos=0, retain=False, dup=False, packet_id=None, properties_=None):
    body = string(topic)
    if qos:
        body += u16(packet_id)
    if version == V5:
        body += properties(properties_)
    flags = (8 if dup else 0) | qos << 1 | (1 if retain else 0)
    return packet(PUBLISH, body + to_bytes(payload), flags)


def make_ack(version, kind, packet_id, reason=None, properties_=None, flags=None):
    """PUBACK, PUBREC, PUBREL or PUBCOMP; without a reason it takes the short form, legal in every version."""
    body = u16(packet_id)
    if version == V5 and (reason is not None or properties_ is not None):
        body += bytes([reason or 0])
        if properties_ is not None:
            body += properties(properties_)
    return packet(kind, body, flags)


def make_subscribe(version, packet_id, filters, properties_=None, flags=None):
    """`filters`: list of (filter, options byte)."""
    body = u16(packet_id) + (properties(properties_) if version == V5 else b"")
    for topic_filter, options in filters:
        body += string(topic_filter) + bytes([options])
    return packet(SUBSCRIBE, body, flags)


def make_unsubscribe(version, packet_id, filters, properties_=None, flags=None):
    body = u16(packet_id) + (properties(properties_) if version == V5 else b"")
    for topic_filter in filters:
        body += string(topic_filter)
    return packet(UNSUBSCRIBE, body, flags)


def make_disconnect(version, reason=None, properties_=None, flags=None):
    body = b""
    if version == V5 and (reason is not None or properties_ is not None):
        body = bytes([reason or 0])
        if properties_ is not None:
            body += properties(properties_)
    return packet(DISCONNECT, body, flags)


def make_auth(reason=0x18, properties_=None, flags=None):
    return packet(AUTH, bytes([reason]) + properties(properties_), flags)


# ---------------------------------------------------------------------------------------------------- decoding


class Reader:
    def __init__(self, data, what):
        self.data, self.at, self.what = data, 0, what

    def left(self):
        return len(self.data) - self.at

    def take(self, count):
        require(self.left() >= count, f"{self.what}: truncated in {self.data.hex()}")
        piece = self.data[self.at:self.at + count]
        self.at += count
        return piece

    def byte(self):
        return self.take(1)[0]

    def u16(self):
        return struct.unpack(">H", self.take(2))[0]

    def u32(self):
        return struct.unpack(">I", self.take(4))[0]

    def varint(self):
        value, used = 0, 0
        while True:
            byte = self.byte()
            value |= (byte & 0x7F) << 7 * used
            used += 1
            if not byte & 0x80:
                break
            require(used < 4, f"{self.what}: variable byte integer of more than 4 bytes")
        require(used == len(varint(value)), f"{self.what}: variable byte integer not in shortest form")
        return value

    def binary(self):
        return self.take(self.u16())

    def utf8(self):
        data = self.binary()
        require(b"\0" not in data, f"{self.what}: U+0000 in a string")
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError as error:
            raise WireError(f"{self.what}: string is not UTF-8: {data.hex()}") from error

    def pair(self):
        return self.utf8(), self.utf8()


class Properties(list):
    """The properties of a packet as (name, value) in wire order."""

    def get(self, name, default=None):
        for key, value in self:
            if key == name:
                return value
        return default

    def all(self, name):
        return [value for key, value in self if key == name]

    def __contains__(self, name):
        return any(key == name for key, _ in self)


def read_properties(reader, kind):
    length = reader.varint()
    inner = Reader(reader.take(length), reader.what + " properties")
    found, seen = Properties(), set()
    while inner.left():
        identifier = inner.varint()
        require(identifier in SERVER_PROPERTIES[kind], f"{reader.what}: property 0x{identifier:02x} not allowed here")
        require(identifier not in seen or (kind, identifier) in REPEATABLE,
                f"{reader.what}: property 0x{identifier:02x} repeated")
        seen.add(identifier)
        name, wire_type = PROPERTIES[identifier]
        value = getattr(inner, wire_type)()
        if name in ("topic_alias", "receive_maximum", "maximum_packet_size", "subscription_identifier"):
            require(value != 0, f"{reader.what}: {name} 0")
        found.append((name, value))
    return found


class Packet:
    """A decoded packet: `kind`, `flags`, `size` (bytes on the wire) and the fields that its kind has."""

    def __init__(self, kind, flags, size):
        self.kind, self.flags, self.size = kind, flags, size
        self.properties = Properties()

    def __repr__(self):
        fields = {k: v for k, v in self.__dict__.items() if k not in ("kind", "size") and (v or k in ("reason", "qos"))}
        text = ", ".join(f"{k}={hex(v) if k == 'reason' else repr(v)[:200]}" for k, v in fields.items())
        return f"{KIND_NAMES[self.kind]}({text})"


def _decode_connack(out, reader, version):
    acknowledge = reader.byte()
    require(acknowledge in (0, 1), f"CONNACK flags {acknowledge:#x}")
    out.session_present = bool(acknowledge)
    out.reason = reader.byte()
    if version == V5:
        require(out.reason in SERVER_REASONS[CONNACK], f"CONNACK reason {out.reason:#x}")
        out.properties = read_properties(reader, CONNACK)
    else:
        require(out.reason <= 5, f"CONNACK return code {out.reason:#x}")
    require(out.reason == 0 or not out.session_present, "Session Present 1 in a refusal")


def _decode_publish(out, reader, version):
    out.dup, out.qos, out.retain = bool(out.flags & 8), out.flags >> 1 & 3, bool(out.flags & 1)
    require(out.qos != 3, "PUBLISH with QoS 3")
    require(out.qos or not out.dup, "PUBLISH with QoS 0 and DUP 1")
    out.topic = reader.utf8()
    require("#" not in out.topic and "+" not in out.topic, f"wildcard in topic {out.topic}")
    out.packet_id = reader.u16() if out.qos else None
    require(out.packet_id != 0, "PUBLISH with packet identifier 0")
    if version == V5:
        out.properties = read_properties(reader, PUBLISH)
    require(out.topic or "topic_alias" in out.properties, "PUBLISH without topic and without alias")
    out.payload = reader.take(reader.left())


def _decode_ack(out, reader, version):
    out.packet_id = reader.u16()
    out.reason = 0
    require(out.packet_id != 0, "acknowledgement of packet identifier 0")
    if version == V5 and reader.left():
        out.reason = reader.byte()
        require(out.reason in SERVER_REASONS[out.kind], f"{KIND_NAMES[out.kind]} reason {out.reason:#x}")
        if reader.left():
            out.properties = read_properties(reader, out.kind)


def _decode_suback(out, reader, version):
    out.packet_id = reader.u16()
    if version == V5:
        out.properties = read_properties(reader, out.kind)
    out.reasons = list(reader.take(reader.left()))
    legal = SERVER_REASONS[out.kind] if version == V5 else ({0, 1, 2, 0x80} if out.kind == SUBACK else set())
    require(all(code in legal for code in out.reasons), f"{KIND_NAMES[out.kind]} reasons {out.reasons}")


def _decode_disconnect(out, reader, version):
    require(version == V5, f"{KIND_NAMES[out.kind]} from a server before 5.0")
    out.reason = 0
    if reader.left():
        out.reason = reader.byte()
        require(out.reason in SERVER_REASONS[out.kind], f"{KIND_NAMES[out.kind]} reason {out.reason:#x}")
        if reader.left():
            out.properties = read_properties(reader, out.kind)


_DECODERS = {CONNACK: _decode_connack, PUBLISH: _decode_publish, PUBACK: _decode_ack, PUBREC: _decode_ack,
             PUBREL: _decode_ack, PUBCOMP: _decode_ack, SUBACK: _decode_suback, UNSUBACK: _decode_suback,
             PINGRESP: lambda out, reader, version: None, DISCONNECT: _decode_disconnect, AUTH: _decode_disconnect}


def decode(data, version):
    """Takes one packet off the front of `data`: (Packet, bytes used), or None while it is incomplete."""
    if len(data) < 2:
        return None
    length, used = 0, 0
    while True:
        if len(data) < 2 + used:
            return None
        byte = data[1 + used]
        length |= (byte & 0x7F) << 7 * used
        used += 1
        if not byte & 0x80:
            break
        require(used < 4, "Remaining Length of more than 4 bytes")
    require(used == len(varint(length)), "Remaining Length not in shortest form")
    total = 1 + used + length
    if len(data) < total:
        return None
    kind, flags = data[0] >> 4, data[0] & 0x0F
    require(kind in _DECODERS, f"a server never sends packet type {kind}")
    if kind != PUBLISH:
        require(flags == FLAGS.get(kind, 0), f"{KIND_NAMES[kind]} with flags {flags:#x}")
    out = Packet(kind, flags, total)
    reader = Reader(bytes(data[1 + used:total]), KIND_NAMES[kind])
    _DECODERS[kind](out, reader, version)
    require(reader.left() == 0, f"{KIND_NAMES[kind]}: {reader.left()} bytes too many")
    return out, total
