// The event loop, and the phases that every scenario is made of.
// One thread.
// Must not know which phases a scenario has.
#ifndef NOCTULE_BENCH_LOOP_H
#define NOCTULE_BENCH_LOOP_H

#include "core/bench/state.h"

/** Does what is due; returns when it wants to be called again at the latest: a time, NEVER, or 0 for at once.
 */
typedef uint64_t loop_tick(struct bench *bench);
typedef bool loop_done(struct bench *bench);

/** Runs until `done`, or until the run has ended. `tick` may be NULL. */
void loop_run(struct bench *bench, loop_tick *tick, loop_done *done);

/** Opens the connections from `first` on, `count` of them, and waits until all are ready or have failed. */
void phase_connect(struct bench *bench, uint32_t first, uint32_t count);

/** Subscribes all subscribers that are connected, and waits for the answers. */
void phase_subscribe(struct bench *bench);

/** The part of phase_subscribe that sends, for a loop of one's own. */
void subscribe_start(struct bench *bench);
uint64_t subscribe_tick(struct bench *bench);
bool subscribe_done(struct bench *bench);

/** Waits. */
void phase_settle(struct bench *bench, double seconds);

/** Sends DISCONNECT everywhere and closes. */
void phase_close(struct bench *bench);

/** The line that tells how far the run is, on a terminal; at most a few times a second. */
void progress_show(struct bench *bench);
void progress_clear(const struct bench *bench);

/** traffic.c: publishes, measures, and waits for what is under way. Limits of the publishers are set. */
void phase_publish(struct bench *bench, bool by_count);

/** Deliveries that are waited for. */
int64_t traffic_outstanding(const struct bench *bench);

#endif
