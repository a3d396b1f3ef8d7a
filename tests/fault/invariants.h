// What must hold of a broker's structures whenever no worker is in the middle of a turn.
// The thread of the in-process broker.
// Must not know what was done to the broker.
#ifndef NOCTULE_TESTS_INVARIANTS_H
#define NOCTULE_TESTS_INVARIANTS_H

#include "tests/fault/inprocess.h"

/** Called before `require` aborts, to tell what the test was at. May be NULL. */
extern void (*require_failed)(void);

/** Prints `what` and aborts, when `condition` does not hold. */
void require(bool condition, const char *what);

/** Aborts when the broker's structures contradict each other or pass a limit. */
void invariants_check(const struct inprocess *house);

/** The same once everything that can go on has: aborts when somebody waits for nothing. */
void invariants_check_settled(const struct inprocess *house);

/** Aborts unless every connection, session, subscription and post is gone. */
void invariants_check_empty(const struct inprocess *house);

#endif
