"""Clients that do anything at any time, while the configuration is reloaded; a bystander notices nothing."""

import os
import random
import signal

import pytest

import mqtt_codec as wire
from broker import base_config, passwords
from mqtt_codec import V311, V5, VERSIONS, Will
from mqtt_raw import ConnectionClosed, TimedOut, Client

# More seeds find more, and take longer.
SEEDS = int(os.environ.get("NOCTULE_TEST_SEEDS", "4"))

CHAIN = [{"name": "file-auth", "config": {"password_file": "users.passwd"}},
         {"name": "acl-file", "config": {"acl_file": "users.acl"}}]
FILES = {"users.passwd": passwords(iterations=1, ann="a", bob="b"),
         "users.acl": "user ann\ntopic readwrite #\nuser bob\ntopic deny x/secret/#\ntopic readwrite x/#\npattern read in/%c/#\n"}


class Monkey:
    """One of few client ids, so that takeovers are frequent."""

    def __init__(self, broker, generator):
        self.broker, self.random, self.client = broker, generator, None

    def topic(self):
        return "x/" + "/".join(self.random.choice(("a", "b", "secret")) for _ in range(self.random.randint(1, 3)))

    def filter(self):
        levels = self.topic().split("/")
        if self.random.random() < 0.5:
            levels[self.random.randrange(len(levels))] = "+"
        if self.random.random() < 0.3:
            levels[-1] = "#"
        share = f"$share/g{self.random.randint(1, 2)}/" if self.random.random() < 0.3 else ""
        return share + "/".join(levels)

    def connect(self):
        pick = self.random
        one = Client(self.broker.address, pick.choice(VERSIONS), f"monkey{pick.randint(1, 8)}")
        options = {"clean": pick.random() < 0.3, "keep_alive": pick.choice((0, 1, 60)), "username": pick.choice(("ann", "bob"))}
        # The file of passwords changes under way, and with it which of bob's is right.
        options["password"] = "a" if options["username"] == "ann" else pick.choice("bc")
        if pick.random() < 0.5:
            delay = {"will_delay_interval": pick.randint(0, 1)} if one.version == V5 else None
            options["will"] = Will(self.topic(), "will", pick.randint(0, 2), pick.random() < 0.3, delay)
        if one.version == V5:
            options["properties"] = {"session_expiry_interval": pick.choice((0, 1, 100)),
                                     "receive_maximum": pick.randint(1, 20), "topic_alias_maximum": pick.randint(0, 3),
                                     "maximum_packet_size": pick.choice((60, 5000, 1000000))}
        one.open()
        one.send_connect(**options)
        self.client = one

    def act(self):
        if self.client is None:
            self.connect()
            return
        one, pick = self.client, self.random
        choice = pick.random()
        if choice < 0.35:
            expiry = {"message_expiry_interval": 1} if one.version == V5 and pick.random() < 0.2 else None
            one.send_publish(self.topic(), b"p" * pick.choice((0, 5, 300, 3000)), pick.randint(0, 2), pick.random() < 0.2,
                             packet_id=pick.randint(1, 30), properties=expiry)
        elif choice < 0.55:
            options = pick.randint(0, 2) | (pick.randint(0, 2) << 4 if one.version == V5 else 0)
            one.send(wire.make_subscribe(one.version, pick.randint(1, 99), [(self.filter(), options)]))
        elif choice < 0.65:
            one.send(wire.make_unsubscribe(one.version, pick.randint(1, 99), [self.filter()]))
        elif choice < 0.85:
            self.answer()
        elif choice < 0.92:
            one.send_ack(pick.choice((wire.PUBACK, wire.PUBREC, wire.PUBREL, wire.PUBCOMP)), pick.randint(1, 40))
        elif choice < 0.95:
            one.send(wire.make_disconnect(one.version))
            self.leave()
        elif choice < 0.96:
            one.send(pick.choice((b"\x00\x00", b"\x36\x02\x00", b"\x82\x01\x00", b"\x10\x00")))
        else:
            self.leave()

    def answer(self):
        try:
            while True:
                got = self.client.receive(0.0005)
                if got.kind == wire.PUBLISH and got.qos and self.random.random() < 0.8:
                    self.client.send_ack(wire.PUBACK if got.qos == 1 else wire.PUBREC, got.packet_id)
                elif got.kind == wire.PUBREC:
                    self.client.send_ack(wire.PUBREL, got.packet_id)
                elif got.kind == wire.PUBREL:
                    self.client.send_ack(wire.PUBCOMP, got.packet_id)
        except TimedOut:
            pass
        except ConnectionClosed:
            self.leave()

    def leave(self):
        self.client.drop()
        self.client = None


@pytest.mark.reference_differs
@pytest.mark.parametrize("seed", range(SEEDS))
def test_anything_at_any_time(start_broker, connect, topic, seed):
    # Every packet that arrives is decoded strictly, so this asserts the form of whatever the broker sends, too.
    generator = random.Random(seed)
    config = base_config(allow_anonymous=False, plugins=CHAIN, log={"level": "info"},
                         limits={"queued_messages": 50, "inflight": 10, "retained_messages": 10, "subscriptions": 20})
    broker = start_broker(config, FILES)
    bystander = connect(V311, to=broker, username="ann", password="a")
    bystander.subscribe(topic, qos=2)
    monkeys = [Monkey(broker, generator) for _ in range(12)]
    for turn in range(2500):
        monkey = generator.choice(monkeys)
        try:
            monkey.act()
        except OSError:
            monkey.leave()
        if turn % 100 == 0:
            bystander.publish(topic, str(turn), qos=turn // 100 % 3)
            bystander.acknowledge(bystander.await_packet(wire.PUBLISH, topic=topic, payload=str(turn).encode()))
        if turn % 400 == 399:
            entry = {"ann": "a", "bob": generator.choice("bc")}
            broker.write("users.passwd", passwords(iterations=1, **entry))
            broker.process.send_signal(signal.SIGHUP)
    for monkey in monkeys:
        if monkey.client:
            monkey.leave()
    bystander.ping()
