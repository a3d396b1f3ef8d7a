#include "core/bench/publisher.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/memory.h"
#include "core/base/str.h"
#include "core/bench/connection.h"
#include "core/bench/payload.h"
#include "core/bench/topics.h"
#include "core/mqtt/packet.h"

enum { ID_FREE, ID_PUBLISHED, ID_RELEASED };

// A step that has no divisor in common with `count` visits all of them; one near the golden section leaves
// neighbours far apart.
static uint32_t stride_for(uint32_t count)
{
    if (count == 1)
        return 0;
    uint32_t stride = (uint32_t)((double)count * 0.6180339887);
    for (;; stride++) {
        uint32_t a = count;
        uint32_t b = stride;
        while (b != 0) {
            uint32_t rest = a % b;
            a = b;
            b = rest;
        }
        if (a == 1)
            return stride % count;
    }
}

void publisher_open(struct bench *bench, struct publisher *publisher)
{
    const struct bench_options *options = bench->options;
    char topic[TOPIC_MAX];
    size_t digits = bench_topic_name(bench, publisher->first_stream, topic);
    const struct mqtt_publish publish = {.qos = options->qos,
                                         .retain = bench->retain,
                                         .packet_id = options->qos > 0 ? 1 : 0,
                                         .topic = str_of(topic),
                                         .payload = str_make(bench->payload, options->payload)};
    size_t size = mqtt_encode_publish(NULL, options->version, &publish);
    uint8_t *packet = memory_alloc(size);
    mqtt_encode_publish(packet, options->version, &publish);
    publisher->header_size = (uint32_t)(size - options->payload);
    publisher->header = memory_alloc(publisher->header_size);
    memcpy(publisher->header, packet, publisher->header_size);
    free(packet);
    uint32_t length;
    size_t topic_at = 3U + (size_t)mqtt_varint_read(publisher->header + 1, 4, &length);
    publisher->digits_offset = (uint32_t)(topic_at + digits);
    publisher->id_offset = (uint32_t)(topic_at + publish.topic.length);
    publisher->stride = stride_for(publisher->streams);
    size_t needed = size * bench->batch;
    if (needed > bench->send_size)
        bench->send_size = needed;
}

void publisher_close(struct publisher *publisher)
{
    free(publisher->header);
    free(publisher->free_ids);
    free(publisher->id_states);
    free(publisher->id_stamps);
}

void publisher_open_window(struct bench *bench, struct publisher *publisher, uint16_t receive_maximum)
{
    if (bench->options->qos == 0)
        return;
    uint32_t wanted = bench->options->inflight;
    uint16_t window = wanted < receive_maximum ? (uint16_t)wanted : receive_maximum;
    publisher->window = publisher->free_count = window;
    publisher->free_ids = memory_alloc(window * sizeof *publisher->free_ids);
    publisher->id_states = memory_zalloc(window + 1U);
    publisher->id_stamps = memory_zalloc((window + 1U) * sizeof *publisher->id_stamps);
    for (uint16_t i = 0; i < window; i++)
        publisher->free_ids[i] = (uint16_t)(i + 1);
}

uint32_t publisher_room(const struct bench *bench, const struct publisher *publisher)
{
    uint64_t left = publisher->limit - publisher->sent;
    uint32_t room = left < bench->batch ? (uint32_t)left : bench->batch;
    if (bench->options->qos > 0 && room > publisher->free_count)
        room = publisher->free_count;
    if (bench->options->rate > 0 && room > publisher->due)
        room = (uint32_t)publisher->due;
    return room;
}

void publisher_offer(struct bench *bench, struct publisher *publisher)
{
    if (publisher->queued || publisher->connection->state != CONNECTION_READY || !bench->ready ||
        !bench_connection_is_flushed(publisher->connection))
        return;
    // At full speed with QoS 1 and 2, whole batches only: otherwise single acknowledgements make single
    // messages.
    uint32_t least = 1;
    if (bench->options->rate <= 0 && bench->options->qos > 0) {
        uint64_t left = publisher->limit - publisher->sent;
        least = bench->batch < publisher->window ? bench->batch : publisher->window;
        least = left < least ? (uint32_t)left : least;
    }
    uint32_t room = publisher_room(bench, publisher);
    if (room == 0 || room < least)
        return;
    bench->ready[(bench->ready_first + bench->ready_count++) % bench->publisher_count] = publisher;
    publisher->queued = true;
}

struct publisher *publisher_take(struct bench *bench)
{
    struct publisher *publisher = bench->ready[bench->ready_first];
    bench->ready_first = (bench->ready_first + 1) % bench->publisher_count;
    bench->ready_count--;
    publisher->queued = false;
    return publisher;
}

static void take_id(struct publisher *publisher, uint8_t *packet, uint64_t stamp)
{
    uint16_t id = publisher->free_ids[publisher->free_first];
    publisher->free_first = (uint16_t)((publisher->free_first + 1) % publisher->window);
    publisher->free_count--;
    publisher->id_states[id] = ID_PUBLISHED;
    publisher->id_stamps[id] = stamp;
    packet[publisher->id_offset] = (uint8_t)(id >> 8);
    packet[publisher->id_offset + 1] = (uint8_t)id;
}

// Takes the next stream, and the number of the message in it.
static void next_stream(struct publisher *publisher, struct payload_head *head)
{
    head->stream = publisher->first_stream + publisher->cursor;
    head->number = publisher->round;
    publisher->cursor += publisher->stride;
    if (publisher->cursor >= publisher->streams)
        publisher->cursor -= publisher->streams;
    if (++publisher->in_round == publisher->streams) {
        publisher->in_round = 0;
        publisher->round++;
    }
}

void publisher_send(struct bench *bench, struct publisher *publisher, uint32_t count, double due_ns,
                    double step_ns)
{
    const size_t payload = bench->options->payload;
    uint8_t *data = bench->send + SEND_HEADROOM;
    uint8_t *at = data;
    struct payload_head head = {.run = bench->run, .stamp = clock_monotonic_ns()};
    uint64_t now_ns = head.stamp;
    for (uint32_t i = 0; i < count; i++) {
        if (due_ns > 0) {
            head.stamp = (uint64_t)(due_ns + i * step_ns);
            if (head.stamp >= bench->measure_from_ns)
                histogram_add(&bench->lateness, now_ns > head.stamp ? now_ns - head.stamp : 0, 1);
        }
        memcpy(at, publisher->header, publisher->header_size);
        if (bench->options->qos > 0)
            take_id(publisher, at, head.stamp);
        next_stream(publisher, &head);
        if (publisher->streams > 1)
            bench_topic_digits(&bench->topics, head.stream, at + publisher->digits_offset);
        at += publisher->header_size;
        memcpy(at, bench->payload, payload);
        payload_write(at, &head);
        at += payload;
    }
    publisher->sent += count;
    publisher->due -= due_ns > 0 ? count : 0;
    bench->sent += count;
    bench_connection_send(bench, publisher->connection, data, (size_t)(at - data));
}

static void release_id(struct bench *bench, struct publisher *publisher, uint16_t id)
{
    uint32_t end = (uint32_t)publisher->free_first + publisher->free_count;
    publisher->free_ids[end % publisher->window] = id;
    publisher->free_count++;
    publisher->id_states[id] = ID_FREE;
    bench->acknowledged++;
    uint64_t stamp = publisher->id_stamps[id];
    if (stamp >= bench->measure_from_ns)
        histogram_add(&bench->acknowledging, bench->now_ns > stamp ? bench->now_ns - stamp : 0, 1);
}

bool publisher_acknowledged(struct bench *bench, struct publisher *publisher, const struct mqtt_ack *ack)
{
    uint16_t id = ack->packet_id;
    // What the identifier must be waiting for: PUBACK ends QoS 1, PUBREC goes before PUBCOMP.
    uint8_t expected = ack->type == MQTT_PUBCOMP ? ID_RELEASED : ID_PUBLISHED;
    bool of_qos = (ack->type == MQTT_PUBACK) == (bench->options->qos == 1);
    if (id > publisher->window || !of_qos || publisher->id_states[id] != expected) {
        bench->wrong_acks++;
        return false;
    }
    if (ack->type == MQTT_PUBREC && ack->reason < MQTT_UNSPECIFIED_ERROR) {
        publisher->id_states[id] = ID_RELEASED;
        return true;
    }
    bench->refused += ack->reason >= MQTT_UNSPECIFIED_ERROR;
    release_id(bench, publisher, id);
    return false;
}
