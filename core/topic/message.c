#include "core/topic/message.h"

#include <assert.h>
#include <stdalign.h>
#include <stddef.h>
#include <stdlib.h>

#include "core/base/memory.h"

// What is alive is counted per thread, so that workers do not fight over one cache line, and summed when
// asked for. A thread may free what another one made: single counters wrap around, their sum does not.
// Threads past the last private counter share it.
enum { COUNTERS = 64, COUNTER_SHARED = COUNTERS - 1 };

struct counter {
    alignas(64) _Atomic uint64_t bytes;
    _Atomic uint64_t messages;
};

static struct counter counters[COUNTERS];
static _Atomic uint32_t threads_counted;
static _Thread_local uint32_t counter_of_thread; ///< 1 + index, 0: none yet

static struct counter *own_counter(void)
{
    if (counter_of_thread == 0) {
        uint32_t thread = atomic_fetch_add_explicit(&threads_counted, 1, memory_order_relaxed);
        counter_of_thread = 1 + (thread < COUNTER_SHARED ? thread : COUNTER_SHARED);
    }
    return &counters[counter_of_thread - 1];
}

static void alive_add(uint64_t messages, uint64_t bytes)
{
    struct counter *own = own_counter();
    if (own == &counters[COUNTER_SHARED]) {
        atomic_fetch_add_explicit(&own->messages, messages, memory_order_relaxed);
        atomic_fetch_add_explicit(&own->bytes, bytes, memory_order_relaxed);
        return;
    }
    atomic_store_explicit(&own->messages,
                          atomic_load_explicit(&own->messages, memory_order_relaxed) + messages,
                          memory_order_relaxed);
    atomic_store_explicit(&own->bytes, atomic_load_explicit(&own->bytes, memory_order_relaxed) + bytes,
                          memory_order_relaxed);
}

uint64_t message_count_alive(void)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < COUNTERS; i++)
        sum += atomic_load_explicit(&counters[i].messages, memory_order_relaxed);
    return sum;
}

uint64_t message_bytes_alive(void)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < COUNTERS; i++)
        sum += atomic_load_explicit(&counters[i].bytes, memory_order_relaxed);
    return sum;
}

static struct str append(char **end, struct str bytes)
{
    char *start = *end;
    if (bytes.length > 0)
        memcpy(start, bytes.data, bytes.length);
    *end = start + bytes.length;
    return str_make(start, bytes.length);
}

// Of everything that does not point anywhere.
static void copy_facts(struct message *message, const struct message *from)
{
    message->qos = from->qos;
    message->retain = from->retain;
    message->from_system = from->from_system;
    message->origin = from->origin;
    message->publisher = from->publisher;
    message->expires_ms = from->expires_ms;
    message->kept = NULL;
}

size_t message_laid_size(const struct message *from)
{
    return sizeof *from + from->topic.length + from->properties.length + from->payload.length;
}

struct message *message_lay_down(const struct message *from, void *room)
{
    struct message *message = room;
    atomic_init(&message->references, 0);
    copy_facts(message, from);
    char *end = (char *)(message + 1);
    message->topic = append(&end, from->topic);
    message->properties = append(&end, from->properties);
    message->payload = append(&end, from->payload);
    return message;
}

struct message *message_new(const struct message *from)
{
    assert(from->topic.length <= UINT16_MAX);
    struct message *message = memory_try(message_laid_size(from) + 2);
    if (!message)
        return NULL;
    copy_facts(message, from);
    char *end = (char *)(message + 1);
    *end++ = (char)(from->topic.length >> 8);
    *end++ = (char)(from->topic.length & 0xFF);
    message->topic = append(&end, from->topic);
    message->properties = append(&end, from->properties);
    message->payload = append(&end, from->payload);
    atomic_init(&message->references, 1);
    alive_add(1, message_weight(message));
    return message;
}

static void message_free(struct message *message)
{
    alive_add(0 - UINT64_C(1), 0 - message_weight(message));
    free(message);
}

void message_unref(struct message *message)
{
    if (!message)
        return;
    // The only holder needs no locked instruction: nobody else can take a reference any more.
    uint32_t references = atomic_load_explicit(&message->references, memory_order_acquire);
    assert(references != 0);
    if (references == 1 || atomic_fetch_sub_explicit(&message->references, 1, memory_order_acq_rel) == 1)
        message_free(message);
}

struct message *message_keep(struct message *message)
{
    if (!message_is_borrowed(message))
        return message_ref(message);
    if (!message->kept)
        message->kept = message_new(message);
    return message->kept ? message_ref(message->kept) : NULL;
}
