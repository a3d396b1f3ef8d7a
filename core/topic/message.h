// A message on its way: immutable, reference counted, its bytes stored once however many subscribers it has.
// message_ref/unref from any thread; a borrowed message only by the thread that made it.
// Must not know sessions, connections or wire packets other than the encoded property block it carries along.
#ifndef NOCTULE_TOPIC_MESSAGE_H
#define NOCTULE_TOPIC_MESSAGE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/str.h"

/**
 * Owned messages live on the heap, their topic, properties and payload behind the structure. A borrowed
 * message (references == 0) lives on its maker's stack and points into somebody's input buffer: whoever keeps
 * it past the call takes message_keep of it, which copies at most once. The topic of an owned message (not of
 * a borrowed one) stands directly behind its length as two bytes, most significant first: topic.data - 2 is
 * where an encoded topic of MQTT begins. [v5 1.5.4]
 */
struct message {
    _Atomic uint32_t references; ///< 0: borrowed
    uint8_t qos;
    bool retain;         ///< as published
    bool from_system;    ///< published by the broker or a plugin, not by a client
    uint8_t origin;      ///< 1 + index of the plugin instance that published it; 0: none
    uint64_t publisher;  ///< session id of the publishing client (No Local); 0: none
    uint64_t expires_ms; ///< monotonic time at which it expires; 0: never
    struct str topic;
    struct str payload;
    struct str properties; ///< encoded properties that travel along, without their length [v5 3.3.2.3]
    struct message *kept;  ///< of a borrowed message: the owned copy once made (holds one reference)
};

/** An owned copy with one reference, or NULL when memory is out. */
struct message *message_new(const struct message *from);

static inline bool message_is_borrowed(const struct message *message)
{
    return atomic_load_explicit(&message->references, memory_order_relaxed) == 0;
}

/** Takes one more reference of an owned message. */
static inline struct message *message_ref(struct message *message)
{
    atomic_fetch_add_explicit(&message->references, 1, memory_order_relaxed);
    return message;
}

/** Gives back one reference; the last one frees. NULL is fine. */
void message_unref(struct message *message);

/** A reference to keep: of an owned message itself, of a borrowed one's copy. NULL when memory is out. */
struct message *message_keep(struct message *message);

/** Room that message_lay_down needs for a copy of `from`, in bytes. */
size_t message_laid_size(const struct message *from);

/**
 * A borrowed copy of a borrowed message, laid down with all its bytes in `room` (aligned as for a pointer).
 * It may go to another thread together with the room, which is then its maker; it ends with message_release,
 * before the room does.
 */
struct message *message_lay_down(const struct message *from, void *room);

/** For the maker of a borrowed message, at the end: drops the copy's first reference, if a copy was made. */
static inline void message_release(struct message *message)
{
    if (message->kept)
        message_unref(message->kept);
}

/** Bytes a message counts for against limits: topic, properties, payload and the structure. */
static inline uint64_t message_weight(const struct message *message)
{
    return sizeof *message + message->topic.length + message->payload.length + message->properties.length;
}

/** Number and bytes of all owned messages alive in this process (for statistics). */
uint64_t message_count_alive(void);
uint64_t message_bytes_alive(void);

#endif
