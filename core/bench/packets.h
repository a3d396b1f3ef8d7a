// What the generator says to the broker and understands of its answers.
// One thread.
// Must not know sockets.
#ifndef NOCTULE_BENCH_PACKETS_H
#define NOCTULE_BENCH_PACKETS_H

#include "core/bench/state.h"

/** Sends CONNECT. */
void packet_connect(struct bench *bench, struct connection *connection);

/** Sends a packet without a body: MQTT_PINGREQ or MQTT_DISCONNECT. */
void packet_bare(struct bench *bench, struct connection *connection, uint8_t type);

/** Sends SUBSCRIBE packets, a filter each, until so many are unanswered as may be. True: there are more. */
bool packet_subscribe(struct bench *bench, struct subscriber *subscriber);

/**
 * Handles the whole packets at the beginning of `length` bytes; returns how many they took. `*wanted` becomes
 * the size of the packet that follows, 0 while it is not known.
 */
size_t packets_receive(struct bench *bench, struct connection *connection, const uint8_t *data, size_t length,
                       uint32_t *wanted);

#endif
