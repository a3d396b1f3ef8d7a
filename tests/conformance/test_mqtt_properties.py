"""Sections 2.2.2 and the property sections of every packet: which property may stand where, how often, with which
values. These rules have no numbers. [v5 section 2.2.2.2]"""

import pytest

import mqtt_codec as wire
from mqtt_codec import V5, Will
from support import KEPT, expect_error, expect_refused

# A legal value of every property.
VALUES = {name: {"byte": 1, "u16": 1, "u32": 1, "varint": 1, "utf8": "x", "binary": b"x", "pair": ("n", "v")}[kind]
          for name, kind in wire.PROPERTIES.values()}
MESSAGE = {"payload_format_indicator", "message_expiry_interval", "content_type", "response_topic", "correlation_data",
           "user_property"}
ACK = {"reason_string", "user_property"}
# What a client may put into each packet. [v5 table 2-4]
ALLOWED = {
    "CONNECT": {"session_expiry_interval", "authentication_method", "authentication_data", "request_problem_information",
                "request_response_information", "receive_maximum", "topic_alias_maximum", "user_property",
                "maximum_packet_size"},
    "WILL": MESSAGE | {"will_delay_interval"},
    "PUBLISH": MESSAGE | {"topic_alias"},
    "PUBACK": ACK, "PUBREC": ACK, "PUBREL": ACK, "PUBCOMP": ACK,
    "SUBSCRIBE": {"subscription_identifier", "user_property"},
    "UNSUBSCRIBE": {"user_property"},
    "DISCONNECT": {"session_expiry_interval", "reason_string", "user_property"},
}
BAD_VALUES = {
    "CONNECT": {"request_problem_information": 2, "request_response_information": 2, "receive_maximum": 0,
                "maximum_packet_size": 0},
    "WILL": {"payload_format_indicator": 2},
    "PUBLISH": {"payload_format_indicator": 2, "topic_alias": 0, "response_topic": ""},
    "SUBSCRIBE": {"subscription_identifier": 0},
}


def send_with(packet, properties, client):
    """Sends the packet with these properties; returns the client and whether it was online before."""
    one = client().open()
    if packet in ("CONNECT", "WILL"):
        one.send_connect(**{"properties": properties} if packet == "CONNECT" else
                         {"will": Will("t", "x", properties=properties)})
        return one, False
    one.send_connect(properties=KEPT)
    one.expect(wire.CONNACK, reason=0)
    if packet == "PUBLISH":
        one.send(wire.make_publish(V5, "t", "x", 1, packet_id=1, properties_=properties))
    elif packet == "SUBSCRIBE":
        one.send(wire.make_subscribe(V5, 1, [("t", 0)], properties))
    elif packet == "UNSUBSCRIBE":
        one.send(wire.make_unsubscribe(V5, 1, ["t"], properties))
    elif packet == "DISCONNECT":
        one.send(wire.make_disconnect(V5, 0, properties))
    else:
        one.send(wire.make_ack(V5, wire.KIND_NAMES.index(packet), 1, 0, properties))
    return one, True


def expect_failure(one, online, *codes):
    if online:
        expect_error(one, *codes)
    else:
        expect_refused(one, *codes)


@pytest.mark.parametrize("packet", ALLOWED)
def test_v5_section_2_2_2_2_property_that_does_not_belong_there(client, packet):
    for name in VALUES.keys() - ALLOWED[packet]:
        expect_failure(*send_with(packet, {name: VALUES[name]}, client), 0x81, 0x82)
    for unknown in (b"\x00", b"\x04\x01", b"\x2b\x01", b"\x7f\x01", b"\x80\x01\x01", b"\xff\xff\xff\x7f"):
        expect_failure(*send_with(packet, unknown, client), 0x81, 0x82)


@pytest.mark.parametrize("packet", ALLOWED)
def test_v5_section_2_2_2_2_property_twice(client, packet):
    for name in ALLOWED[packet] - {"user_property", "authentication_data"}:
        expect_failure(*send_with(packet, [(name, VALUES[name])] * 2, client), 0x82)


def test_v5_section_3_1_2_11_10_authentication_data_twice(client):
    properties = [("authentication_method", "x")] + [("authentication_data", b"x")] * 2
    expect_failure(*send_with("CONNECT", properties, client), 0x82)


@pytest.mark.parametrize("packet", BAD_VALUES)
def test_v5_section_2_2_2_2_value_that_is_a_protocol_error(client, packet):
    for name, value in BAD_VALUES[packet].items():
        codes = (0x94, 0x82) if name == "topic_alias" else (0x82, 0x81) if name == "response_topic" else (0x82,)
        expect_failure(*send_with(packet, {name: value}, client), *codes)


@pytest.mark.parametrize("packet", ALLOWED)
def test_v5_section_2_2_2_2_property_that_is_cut_short(client, packet):
    for name in ALLOWED[packet]:
        whole = wire.one_property(name, VALUES[name])
        for length in range(1, len(whole)):
            expect_failure(*send_with(packet, whole[:length], client), 0x81)


@pytest.mark.parametrize("packet", sorted(ALLOWED.keys() - {"CONNECT"}))
def test_v5_section_2_2_2_2_every_property_that_belongs_there(client, packet):
    names = sorted(ALLOWED[packet])
    one, online = send_with(packet, [(name, VALUES[name]) for name in [*names, "user_property", "user_property"]], client)
    answer = {"PUBLISH": wire.PUBACK, "SUBSCRIBE": wire.SUBACK, "UNSUBSCRIBE": wire.UNSUBACK, "PUBREC": wire.PUBREL,
              "PUBREL": wire.PUBCOMP, "WILL": wire.CONNACK}.get(packet)
    if packet == "DISCONNECT":
        one.expect_close()
    elif answer:
        one.expect(answer)
    if packet != "DISCONNECT":
        one.ping()


def test_v5_section_3_1_2_11_every_property_of_connect(client):
    names = ALLOWED["CONNECT"] - {"authentication_method", "authentication_data"}
    values = {**VALUES, "maximum_packet_size": 1000}
    one = client()
    one.connect(properties=[(name, values[name]) for name in [*sorted(names), "user_property"]])
    one.ping()
