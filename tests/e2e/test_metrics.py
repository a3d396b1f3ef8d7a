"""What the broker counts: each metric is moved by a known amount and read back."""

import re



from plugins import chain

LINE = re.compile(r'metric (\S*)/(\w+) kind (\d) value (-?\d+) total \d+((?: \w+=[^ ."]+)*)\.')


def read(broker, client):
    """All metrics, by name or by name{label=value}."""
    since = broker.log_size()
    client.publish("metrics/print", "", qos=1)
    broker.wait_log("metric .*/verdicts_next", since)
    found = {}
    for instance, name, _, value, labels in LINE.findall(broker.log(since)):
        key = (instance + "/" if instance else "") + name + ("{" + labels.strip() + "}" if labels else "")
        found[key] = int(value)
    return found


def test_all_are_there_and_idle(start_broker, connect):
    broker = start_broker(chain("metrics"))
    metrics = read(broker, connect(to=broker))
    assert metrics["connections"] == metrics["clients_connected"] == metrics["sessions"] == 1
    assert metrics["listener_connections{listener=default}"] == 1
    assert metrics["worker_cpu{worker=0}"] >= 0
    assert metrics["resident_memory_bytes"] > 1000000
    assert metrics["logins{result=allowed}"] == 1
    assert metrics["packets_received{type=publish}"] == metrics["publish_received"] == 1


def test_counters_move(start_broker, connect):
    broker = start_broker(chain("metrics"))
    probe = connect(to=broker)
    before = read(broker, probe)
    one = connect(to=broker)
    two = connect(to=broker)
    one.subscribe("a/#", qos=1)
    two.subscribe("a/b")
    two.publish("a/b", "12345", qos=1)
    one.expect_message("a/b", "12345")
    two.expect_message("a/b", "12345")
    two.publish("kept", "123", qos=1, retain=True)
    after = read(broker, probe)

    def moved(name):
        return after[name] - before[name]

    assert moved("connections") == moved("clients_connected") == moved("sessions") == 2
    assert moved("connections_accepted") == moved("listener_connections_accepted{listener=default}") == 2
    assert moved("subscriptions") == 2
    assert moved("retained_messages") == 1
    assert moved("retained_bytes") > 3
    assert moved("publish_received") == 3  # the one that asks for the metrics included
    assert moved("publish_received_bytes") == 8
    assert moved("publish_sent") == 2
    assert moved("publish_sent_bytes") == 10
    assert moved("packets_received{type=connect}") == moved("packets_sent{type=connack}") == 2
    assert moved("packets_received{type=subscribe}") == moved("packets_sent{type=suback}") == 2
    assert moved("worker_clients{worker=0}") <= 2


def test_denials(start_broker, connect):
    broker = start_broker(chain("metrics"))
    probe = connect(to=broker)
    before = read(broker, probe)
    probe.publish("$SYS/x", "y", qos=1, reason=0x87)
    after = read(broker, probe)
    assert after["denials{access=publish}"] == before["denials{access=publish}"] + 1
