// What the codec costs per packet, in nanoseconds: run it pinned to one core.
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "core/mqtt/packet.h"

enum { PACKETS = 512, ROUNDS = 20000 };

static uint64_t now_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000U + (uint64_t)time.tv_nsec;
}

static uint64_t checksum; // printed, so that nothing is optimised away

// Decodes `stream` of PACKETS packets ROUNDS times.
static void measure_publish(const char *name, uint8_t version, uint8_t qos, struct str topic,
                            const char *properties)
{
    struct mqtt_publish publish = {.qos = qos, .packet_id = qos ? 7 : 0, .topic = topic};
    char payload[64] = {0};
    publish.payload = str_make(payload, sizeof payload);
    publish.properties.content_type = str_of(properties);
    if (properties != NULL)
        mqtt_set(&publish.properties, MQTT_CONTENT_TYPE);
    size_t size = mqtt_encode_publish(NULL, version, &publish);
    uint8_t *stream = malloc(size * PACKETS);
    for (size_t i = 0; i < PACKETS; i++)
        mqtt_encode_publish(stream + i * size, version, &publish);
    uint64_t start = now_ns();
    for (size_t round = 0; round < ROUNDS; round++) {
        const uint8_t *at = stream;
        size_t left = size * PACKETS;
        struct mqtt_frame frame;
        while (mqtt_frame_next(at, left, 1 << 20, &frame) == MQTT_FRAME_READY) {
            if (mqtt_decode_publish(&frame, version, &publish) != MQTT_SUCCESS)
                abort();
            checksum += publish.topic.length + publish.payload.length;
            at += frame.size;
            left -= frame.size;
        }
    }
    printf("%-44s %6.1f ns\n", name, (double)(now_ns() - start) / PACKETS / ROUNDS);
    free(stream);
}

static void measure_ack(const char *name, uint8_t version)
{
    uint8_t stream[4 * PACKETS];
    struct mqtt_ack ack = {.type = MQTT_PUBACK};
    uint64_t start = now_ns();
    for (size_t round = 0; round < ROUNDS; round++)
        for (size_t i = 0; i < PACKETS; i++) {
            ack.packet_id = (uint16_t)(i + 1);
            mqtt_encode_ack(stream + 4 * i, version, &ack);
        }
    uint64_t encoded = now_ns();
    for (size_t round = 0; round < ROUNDS; round++) {
        const uint8_t *at = stream;
        size_t left = sizeof stream;
        struct mqtt_frame frame;
        while (mqtt_frame_next(at, left, 1 << 20, &frame) == MQTT_FRAME_READY) {
            if (mqtt_decode_ack(&frame, version, &ack) != MQTT_SUCCESS)
                abort();
            checksum += ack.packet_id;
            at += frame.size;
            left -= frame.size;
        }
    }
    printf("%-44s %6.1f ns encode, %.1f ns decode\n", name, (double)(encoded - start) / PACKETS / ROUNDS,
           (double)(now_ns() - encoded) / PACKETS / ROUNDS);
}

int main(void)
{
    const struct str topic = STR("sensors/house-12/kitchen/temperature");
    measure_publish("PUBLISH 3.1.1 QoS 0, topic of 36 bytes", MQTT_V3_1_1, 0, topic, NULL);
    measure_publish("PUBLISH 3.1.1 QoS 0, topic of 3 bytes", MQTT_V3_1_1, 0, STR("a/b"), NULL);
    measure_publish("PUBLISH 3.1.1 QoS 1", MQTT_V3_1_1, 1, topic, NULL);
    measure_publish("PUBLISH 5.0 QoS 0", MQTT_V5, 0, topic, NULL);
    measure_publish("PUBLISH 5.0 QoS 1", MQTT_V5, 1, topic, NULL);
    measure_publish("PUBLISH 5.0 QoS 1, one property", MQTT_V5, 1, topic, "text/plain");
    measure_publish("PUBLISH 3.1.1 QoS 0, topic not ASCII", MQTT_V3_1_1, 0,
                    STR("sensors/k\xC3\xBC"
                        "che/temperature"),
                    NULL);
    measure_ack("PUBACK 3.1.1", MQTT_V3_1_1);
    measure_ack("PUBACK 5.0", MQTT_V5);
    return checksum == 0;
}
