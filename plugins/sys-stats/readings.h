/* What sys-stats reads of the broker's metrics, in the form its topics need.
 * One thread at a time.
 * Knows the names of metrics, nothing of topics. */
#ifndef SYS_STATS_READINGS_H
#define SYS_STATS_READINGS_H

#include <noctule/plugin.h>

#include <stdbool.h>

/* What stands in one number; of metrics with labels, the sum over those that count. */
enum reading {
    READ_CLIENTS,
    READ_SESSIONS,
    READ_EXPIRED,
    READ_CONNECTIONS,
    READ_ACCEPTED,
    READ_CONNECTS,
    READ_PACKETS_RECEIVED,
    READ_PACKETS_SENT,
    READ_BYTES_RECEIVED,
    READ_BYTES_SENT,
    READ_PUBLISH_RECEIVED,
    READ_PUBLISH_SENT,
    READ_PUBLISH_DROPPED,
    READ_PUBLISH_BYTES_RECEIVED,
    READ_PUBLISH_BYTES_SENT,
    READ_STORED,
    READ_STORED_BYTES,
    READ_RETAINED,
    READ_SUBSCRIPTIONS,
    READ_SHARED,
    READ_MEMORY,
    READ_MEMORY_MOST,
    READ_START,
    READINGS,
};

enum { INSTANCE_NAME_MAX = 64 };

struct instance_reading {
    char name[INSTANCE_NAME_MAX + 1];
    int64_t allowed;
    int64_t denied;
    int64_t errors;
    int64_t pending;
    int64_t decisions;
    uint64_t decision_us; /* sum of how long they took */
};

struct worker_reading {
    int64_t clients;
    int64_t cpu_us;
};

struct readings {
    int64_t values[READINGS];
    char version[32];
    struct instance_reading *instances;
    size_t instance_count;
    struct worker_reading *workers;
    size_t worker_count;
    bool failed; /* memory was out: there may be more */
};

/* Reads all metrics. Free with readings_clear. */
void readings_take(struct readings *readings, const struct noctule_host *host);
void readings_clear(struct readings *readings);

#endif
