#include "core/mqtt/topic_name.h"

#include "core/base/str.h"

uint8_t mqtt_topic_name_check_slow(const uint8_t *name, size_t length)
{
    if (!str_is_utf8(str_make(name, length)))
        return MQTT_MALFORMED_PACKET;
    if (memchr(name, '#', length) != NULL || memchr(name, '+', length) != NULL)
        return MQTT_TOPIC_NAME_INVALID;
    return MQTT_SUCCESS;
}
