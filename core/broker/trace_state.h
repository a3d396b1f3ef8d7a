// What the files of traces share.
// A trace's queue is under its lock; its filter never changes; a worker's list of traces is its own.
// Only trace*.c include this.
#ifndef NOCTULE_BROKER_TRACE_STATE_H
#define NOCTULE_BROKER_TRACE_STATE_H

#include "core/broker/trace.h"

struct trace {
    _Atomic unsigned references;
    struct trace_filter filter; ///< owns its names
    void (*wake)(void *argument);
    void *argument;
    pthread_mutex_t lock;
    struct trace_line *first;
    struct trace_line **last;
    size_t waiting; ///< bytes
    uint64_t dropped;
};

/** On the connection's worker: a line for every trace that the connection concerns; `content` (may be NULL)
 * is only for those that want to see payloads. Takes both. */
void trace_emit(struct connection *connection, json_t *event, json_t *content);

#endif
