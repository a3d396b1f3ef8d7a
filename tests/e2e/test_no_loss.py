"""Nothing acknowledged is lost while the process lives, and QoS 2 is exactly once: clients of both sides lose their
connections at random moments and come back."""

import os
import random

import pytest

import mqtt_codec as wire
from broker import base_config
from mqtt_codec import V311, V5
from mqtt_raw import ConnectionClosed, TimedOut

# More seeds find more, and take longer.
SEEDS = int(os.environ.get("NOCTULE_TEST_SEEDS", "3"))

KEPT = {"session_expiry_interval": 600}


class Peer:
    """What both sides have in common: a kept session and a connection that is lost now and then."""

    def __init__(self, client, generator):
        self.client, self.random, self.online = client, generator, False

    def come_back(self):
        options = {"properties": KEPT} if self.client.version == V5 else {}
        self.client.connect(clean=False, **options)
        self.online = True

    def lose_connection(self):
        self.client.drop()
        self.online = False

    def packets(self):
        """What has arrived, without waiting."""
        while True:
            try:
                yield self.client.receive(0.0005)
            except TimedOut:
                return
            except ConnectionClosed:
                self.lose_connection()
                return


class Publisher(Peer):
    """Sends numbers at one QoS; each step of an exchange that was not answered is repeated after coming back."""

    def __init__(self, client, generator, topic, qos, count, window):
        super().__init__(client, generator)
        self.topic, self.qos, self.count, self.window = topic, qos, count, window
        self.sent, self.open = 0, {}  # packet identifier: (number, released)

    def finished(self):
        return self.sent == self.count and not self.open

    def come_back(self):
        super().come_back()
        for packet_id, (number, released) in self.open.items():
            if released:
                self.client.send_ack(wire.PUBREL, packet_id)
            else:
                self.client.send_publish(self.topic, str(number), self.qos, dup=True, packet_id=packet_id)

    def step(self):
        if not self.online:
            self.come_back()
        for got in self.packets():
            if got.kind == wire.PUBREC and got.packet_id in self.open:
                assert got.reason in (0, 0x10, 0x92)
                self.open[got.packet_id] = (self.open[got.packet_id][0], True)
                self.client.send_ack(wire.PUBREL, got.packet_id)
            elif got.kind in (wire.PUBACK, wire.PUBCOMP):
                self.open.pop(got.packet_id, None)
        while self.online and self.sent < self.count and len(self.open) < self.window:
            packet_id = next(i for i in range(self.sent % 50 + 1, 200) if i not in self.open)
            self.open[packet_id] = (self.sent, False)
            self.client.send_publish(self.topic, str(self.sent), self.qos, packet_id=packet_id)
            self.sent += 1
        if self.random.random() < 0.08:
            self.lose_connection()


class Subscriber(Peer):
    """Takes numbers; acknowledges as the QoS demands, sometimes late, sometimes only after coming back."""

    def __init__(self, client, generator, topic, qos):
        super().__init__(client, generator)
        self.topic, self.qos = topic, qos
        self.numbers, self.unreleased = [], set()

    def subscribe(self):
        self.come_back()
        self.client.subscribe(self.topic, qos=self.qos)

    def step(self):
        if not self.online:
            self.come_back()
        for got in self.packets():
            if self.random.random() < 0.02:
                # The packet counts as never read: it was on the way when the connection was lost.
                self.lose_connection()
                return
            if got.kind == wire.PUBLISH and got.qos == 1:
                self.numbers.append(int(got.payload))
                self.client.send_ack(wire.PUBACK, got.packet_id)
            elif got.kind == wire.PUBLISH:
                if got.packet_id not in self.unreleased:
                    self.numbers.append(int(got.payload))
                    self.unreleased.add(got.packet_id)
                self.client.send_ack(wire.PUBREC, got.packet_id)
            elif got.kind == wire.PUBREL:
                self.unreleased.discard(got.packet_id)
                self.client.send_ack(wire.PUBCOMP, got.packet_id)
        if self.random.random() < 0.08:
            self.lose_connection()


@pytest.mark.reference_differs
@pytest.mark.parametrize("qos", (1, 2))
@pytest.mark.parametrize("seed", range(SEEDS))
def test_every_number_arrives(start_broker, client, topic, qos, seed):
    # [v5 MQTT-4.3.2-3, MQTT-4.3.3-3 to 12, MQTT-4.4.0-1, MQTT-4.5.0-1, MQTT-4.6.0-5] [v311 MQTT-4.3.2-1, MQTT-4.3.2-2,
    #  MQTT-4.3.3-1, MQTT-4.3.3-2, MQTT-4.4.0-1, MQTT-4.5.0-1, MQTT-4.6.0-6]
    broker = start_broker(base_config(limits={"queued_messages": 100000}, log={"level": "warn"}), wait=False)
    broker.wait_listening()
    generator = random.Random(seed)
    count, pairs = 500, []
    for i in range(4):
        versions = [generator.choice((V311, V5)) for _ in range(2)]
        subscriber = Subscriber(client(versions[0], to=broker), generator, f"{topic}/{i}", qos)
        subscriber.subscribe()
        pairs.append((Publisher(client(versions[1], to=broker), generator, f"{topic}/{i}", qos, count, 20), subscriber))
    for _ in range(5000):
        for publisher, subscriber in pairs:
            publisher.step()
            subscriber.step()
        if all(p.finished() and len(set(s.numbers)) == count and not s.unreleased for p, s in pairs):
            break
    for publisher, subscriber in pairs:
        assert publisher.finished(), f"{len(publisher.open)} exchanges never ended"
        if qos == 2:
            assert subscriber.numbers == list(range(count))
        else:
            first_seen = list(dict.fromkeys(subscriber.numbers))
            assert first_seen == list(range(count))
