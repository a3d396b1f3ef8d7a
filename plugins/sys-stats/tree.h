/* The $SYS tree: which topic says what, and the averages that some of them need.
 * One thread at a time.
 * Names, units and rules of the topics below $SYS/broker/ are Mosquitto's; docs/sys-stats.md lists them. */
#ifndef SYS_STATS_TREE_H
#define SYS_STATS_TREE_H

#include "readings.h"
#include "topics.h"

enum { TREE_RATES = 9, TREE_SPANS = 3 };

/* Zero-initialised has seen nothing yet. */
struct tree {
    int64_t clients_most;
    uint64_t updated_ms;                  /* monotonic; 0: never */
    struct readings before;               /* of the last update */
    double loads[TREE_RATES][TREE_SPANS]; /* per minute */
};

/* Publishes what `readings` say; takes them. `now_ms` is monotonic, `wall_ms` the wall clock. */
void tree_update(struct tree *tree, struct topics *topics, struct readings *readings, uint64_t now_ms,
                 uint64_t wall_ms);
void tree_clear(struct tree *tree);

#endif
