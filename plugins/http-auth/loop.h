// libcurl on a worker's event loop: its sockets are watched, and its timers run, by the broker.
// That worker's thread.
// Must not know what is transferred.
#ifndef HTTP_AUTH_LOOP_H
#define HTTP_AUTH_LOOP_H

#include "pace.h"

#include <curl/curl.h>
#include <stdbool.h>

struct loop;

/** Told of each transfer that has ended; it is off the loop already. */
typedef void loop_done_fn(void *argument, CURL *easy, CURLcode code);

/** NULL: out of memory. `pace` says how much is done in one turn; it must outlive the loop. */
struct loop *loop_new(const struct noctule_host *host, struct noctule_instance *instance,
                      struct noctule_worker *worker, struct pace *pace, loop_done_fn *done, void *argument);

/** Closes all connections. No transfer may be on the loop any more. */
void loop_free(struct loop *loop);

/** How many connections are kept open for later. */
void loop_limit(struct loop *loop, long connections);

/** Puts a transfer on the loop; it begins with loop_run. False: out of memory. */
bool loop_add(struct loop *loop, CURL *easy);

/** Takes one off before its end. */
void loop_remove(struct loop *loop, CURL *easy);

/** Begins what was added, and tells what has ended. Nothing inside of `done`: what is added there runs too.
 */
void loop_run(struct loop *loop);

/** To be called when a new turn has begun, for what the turns before have left. */
void loop_go_on(struct loop *loop);

#endif
