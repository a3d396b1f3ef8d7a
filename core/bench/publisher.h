// A publisher: its packets, packet identifiers and turn.
// One thread.
// Must not know when messages are due.
#ifndef NOCTULE_BENCH_PUBLISHER_H
#define NOCTULE_BENCH_PUBLISHER_H

#include "core/bench/state.h"

struct mqtt_ack;

/** Prepares its packets, once its streams are set. */
void publisher_open(struct bench *bench, struct publisher *publisher);
void publisher_close(struct publisher *publisher);

/** CONNACK has come: so many messages may be unacknowledged. */
void publisher_open_window(struct bench *bench, struct publisher *publisher, uint16_t receive_maximum);

/** Puts it at the end of the ring of those that may send, if it can and is not there. */
void publisher_offer(struct bench *bench, struct publisher *publisher);

/** Takes the first one off the ring, which must not be empty. */
struct publisher *publisher_take(struct bench *bench);

/** How many messages it can send at once, now. */
uint32_t publisher_room(const struct bench *bench, const struct publisher *publisher);

/**
 * Sends `count` messages, at most publisher_room, in one write. `due_ns`, `step_ns`: when the first was due
 * and how far apart they are; 0: now.
 */
void publisher_send(struct bench *bench, struct publisher *publisher, uint32_t count, double due_ns,
                    double step_ns);

/** PUBACK, PUBREC or PUBCOMP has come. True when it is to be answered with PUBREL. */
bool publisher_acknowledged(struct bench *bench, struct publisher *publisher, const struct mqtt_ack *ack);

#endif
