// Any bytes as a stream of packets. The first byte chooses version and direction, the rest is what arrived.
// What decodes must encode, and what was encoded must decode and encode to the same bytes again.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/mqtt_roundtrip.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
    if (!condition)
        abort();
}

// The bytes of `packet`, in a heap buffer of exactly `*size` bytes.
static uint8_t *encoded(const struct packet *packet, size_t *size)
{
    *size = packet_encode(NULL, packet);
    require(*size >= 2);
    uint8_t *bytes = malloc(*size);
    require(packet_encode(bytes, packet) == *size);
    return bytes;
}

static void roundtrip(const struct packet *packet, bool from_client)
{
    size_t size;
    size_t size_again;
    struct packet again;
    struct mqtt_frame frame;
    uint8_t *bytes = encoded(packet, &size);
    require(mqtt_frame_next(bytes, size, UINT32_MAX, &frame) == MQTT_FRAME_READY && frame.size == size);
    require(packet_decode(&frame, packet->version, from_client, &again) == MQTT_SUCCESS);
    uint8_t *bytes_again = encoded(&again, &size_again);
    require(size_again == size && memcmp(bytes, bytes_again, size) == 0);
    packet_release(&again);
    free(bytes_again);
    free(bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    const uint8_t version = (uint8_t)(MQTT_V3_1 + data[0] % 3);
    const bool from_client = (data[0] & 0x80) == 0;
    // A copy without the first byte, so that the sanitizer guards both ends of what arrived.
    size_t left = size - 1;
    uint8_t *copy = malloc(left + 1);
    memcpy(copy, data + 1, left);
    copy = realloc(copy, left > 0 ? left : 1);
    const uint8_t *at = copy;
    struct mqtt_frame frame;
    while (mqtt_frame_next(at, left, 1 << 20, &frame) == MQTT_FRAME_READY) {
        struct packet packet;
        uint8_t reason = packet_decode(&frame, version, from_client, &packet);
        require(reason == MQTT_SUCCESS || reason >= 0x80);
        if (reason == MQTT_SUCCESS)
            roundtrip(&packet, from_client);
        packet_release(&packet);
        at += frame.size;
        left -= frame.size;
    }
    free(copy);
    return 0;
}
