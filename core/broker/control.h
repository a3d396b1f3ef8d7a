// The control socket: what commands ask a running broker over a unix socket, one JSON object a line each way.
// Main thread, except what says else. Commands are served by a thread of its own; what concerns clients is
// done on their workers, a slice at a time. Must not know who asks: command lines are in core/cli.
#ifndef NOCTULE_BROKER_CONTROL_H
#define NOCTULE_BROKER_CONTROL_H

#include "config/settings.h"
#include "core/base/diagnostics.h"

struct broker;
struct broker_worker;
struct control;
struct reload_report;

/**
 * Makes the socket at `path`, for this user only. One that a process left behind is replaced; where another
 * process listens, or something else than a socket is, it is an error in `diagnostics`, and NULL.
 */
struct control *control_open(const char *path, struct diagnostics *diagnostics);

/** Starts the thread; after the workers. */
void control_start(struct control *control, struct broker *broker);

/** The limits in force, for the thread to compare with. */
void control_set_limits(struct control *control, const struct limit_settings *limits);

/** Whether commands wait for a reload; if so, they will be answered with the next report. */
bool control_wants_reload(struct control *control);

/** Answers the commands that waited for a reload. */
void control_tell_reload(struct control *control, const struct reload_report *report);

/** Ends the thread and removes the socket; before the workers end. */
void control_stop(struct control *control);

/** On a worker, at its end: what commands wait for there does not come any more. */
void control_worker_down(struct broker_worker *here);

/** After the workers have ended, or without them. NULL does nothing. */
void control_free(struct control *control);

#endif
