// The first bytes of every payload: when it was due, and which message it is.
// Any thread; values.
// Must not know packets.
#ifndef NOCTULE_BENCH_PAYLOAD_H
#define NOCTULE_BENCH_PAYLOAD_H

#include <string.h>

#include "core/bench/state.h"

struct payload_head {
    uint64_t stamp; ///< monotonic nanoseconds
    uint32_t stream;
    uint32_t number; ///< in its stream
    uint32_t run;
};

/** Writes a head, BENCH_PAYLOAD_LEAST bytes. Its reader is this program: the machine's byte order will do. */
static inline void payload_write(uint8_t *out, const struct payload_head *head)
{
    memcpy(out, &head->stamp, 8);
    memcpy(out + 8, &head->stream, 4);
    memcpy(out + 12, &head->number, 4);
    memcpy(out + 16, &head->run, 4);
}

/** False for a payload that is not of this run. */
static inline bool payload_read(const struct bench *bench, const uint8_t *data, size_t length,
                                struct payload_head *head)
{
    if (length < BENCH_PAYLOAD_LEAST)
        return false;
    memcpy(&head->stamp, data, 8);
    memcpy(&head->stream, data + 8, 4);
    memcpy(&head->number, data + 12, 4);
    memcpy(&head->run, data + 16, 4);
    return head->run == bench->run;
}

#endif
