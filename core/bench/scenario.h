// The scenarios: who publishes what to whom, and what is measured.
// One thread.
// Must not know sockets and packets.
#ifndef NOCTULE_BENCH_SCENARIO_H
#define NOCTULE_BENCH_SCENARIO_H

#include "core/bench/state.h"

/** Looks at the clocks and memory during a scenario; those that one lacks stay zero. */
struct readings {
    struct sample connect_begin;
    struct sample connect_end;
    struct sample subscribe_begin;
    struct sample subscribe_end;
    struct sample fetch_begin; ///< retained messages
    struct sample fetch_end;
    uint64_t rss_start;
    uint64_t rss_connected;
    uint64_t rss_subscribed;
    uint64_t rss_stored;
    uint64_t rss_end;
};

typedef void scenario_run(struct bench *bench, struct readings *readings);

scenario_run scenario_connect;
scenario_run scenario_traffic;
scenario_run scenario_subscriptions;
scenario_run scenario_retained;

/** Removes the messages that scenario_retained left in the broker. */
void retained_remove(struct bench *bench);

/** Makes the connections, publishers and subscribers of a scenario and what they share. */
void cast_make(struct bench *bench, uint32_t connections, uint32_t publishers, uint32_t subscribers);
void cast_free(struct bench *bench);

/** Makes the publishers' packets and the buffers; before anybody connects. */
void cast_ready(struct bench *bench);

#endif
