// The check of a topic name as it arrives: UTF-8 and free of wildcards, in one pass. Internal to core/mqtt.
// Any thread; a pure function over bytes.
// Must not know filters or matching; those live in core/topic.
#ifndef NOCTULE_MQTT_TOPIC_NAME_H
#define NOCTULE_MQTT_TOPIC_NAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "core/mqtt/reason.h"

/** The whole check, byte by byte; mqtt_topic_name_check is the way in. */
uint8_t mqtt_topic_name_check_slow(const uint8_t *name, size_t length);

/** Whether all eight bytes are ASCII and none is NUL, '#' or '+'. */
static inline bool topic_word_is_plain(uint64_t word)
{
    const uint64_t ones = 0x0101010101010101U;
    // Of a byte below 0x80, minus one sets the high bit only when it was zero; a borrow needs a zero byte
    // below.
    uint64_t found = word | (word - ones) | ((word ^ ones * '#') - ones) | ((word ^ ones * '+') - ones);
    return (found & ones * 0x80) == 0;
}

/**
 * MQTT_SUCCESS, MQTT_MALFORMED_PACKET (not UTF-8, or U+0000 in it) or MQTT_TOPIC_NAME_INVALID (a wildcard).
 * An empty name passes: what it means differs between packets. [v5 1.5.4, 4.7.1]
 */
static inline uint8_t mqtt_topic_name_check(const uint8_t *name, size_t length)
{
    uint64_t word = 0;
    if (length >= 8) {
        for (size_t i = 0; i + 8 < length; i += 8) {
            memcpy(&word, name + i, 8);
            if (!topic_word_is_plain(word))
                return mqtt_topic_name_check_slow(name, length);
        }
        memcpy(&word, name + length - 8, 8);
    } else if (length >= 4) {
        uint32_t head;
        uint32_t tail;
        memcpy(&head, name, 4);
        memcpy(&tail, name + length - 4, 4);
        word = (uint64_t)head << 32 | tail;
    } else if (length > 0) {
        uint64_t head = name[0];
        word = head << 56 | head << 48 | head << 40 | head << 32 | head << 24 |
               (uint64_t)name[length / 2] << 16 | (uint64_t)name[length - 1] << 8 | head;
    } else {
        return MQTT_SUCCESS;
    }
    return topic_word_is_plain(word) ? MQTT_SUCCESS : mqtt_topic_name_check_slow(name, length);
}

#endif
