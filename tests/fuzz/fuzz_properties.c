// Any bytes as a property block. The first byte chooses where it stands, the rest is the block with its
// length. What decodes must be walked to its end, and encode to bytes that decode and encode to the same
// again.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/mqtt/packet.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
    if (!condition)
        abort();
}

// Walks `block` with each of the three functions; returns the bytes that made sense.
static size_t walk(struct str block)
{
    struct str rest = block;
    struct str encoding;
    struct str name;
    struct str value;
    uint8_t id;
    size_t users = 0;
    size_t walked = 0;
    while (mqtt_property_next(&rest, &id, &encoding)) {
        require(encoding.length >= 2 && (uint8_t)encoding.data[0] == id);
        walked += encoding.length;
        users += id == MQTT_USER_PROPERTY;
    }
    require(walked + rest.length == block.length);
    for (rest = block; mqtt_user_property_next(&rest, &name, &value); users--)
        require(users > 0);
    require(users == 0);
    uint8_t *out = malloc(block.length + 1);
    require(mqtt_properties_forwarded(out, block) <= walked);
    free(out);
    return walked;
}

static uint8_t *encoded(const struct mqtt_properties *properties, size_t *size)
{
    *size = mqtt_properties_encode(NULL, properties);
    require(*size >= 1);
    uint8_t *bytes = malloc(*size);
    require(mqtt_properties_encode(bytes, properties) == *size);
    return bytes;
}

static void roundtrip(const struct mqtt_properties *properties, enum mqtt_context context)
{
    struct mqtt_properties again;
    size_t size;
    size_t size_again;
    size_t used;
    uint8_t *bytes = encoded(properties, &size);
    require(mqtt_properties_decode(bytes, size, context, &again, &used) == MQTT_SUCCESS);
    require(used == size && again.present == properties->present);
    uint8_t *bytes_again = encoded(&again, &size_again);
    require(size_again == size && memcmp(bytes, bytes_again, size) == 0);
    free(bytes_again);
    free(bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    const enum mqtt_context context = (enum mqtt_context)(data[0] % (MQTT_IN_AUTH + 1));
    size_t length = size - 1;
    uint8_t *copy = malloc(length > 0 ? length : 1);
    memcpy(copy, data + 1, length);
    struct mqtt_properties properties;
    size_t used = 0;
    uint8_t reason = mqtt_properties_decode(copy, length, context, &properties, &used);
    require(reason == MQTT_SUCCESS || reason >= 0x80);
    if (reason == MQTT_SUCCESS) {
        require(used <= length && walk(properties.raw) == properties.raw.length);
        roundtrip(&properties, context);
    }
    walk(str_make(copy, length));
    free(copy);
    return 0;
}
