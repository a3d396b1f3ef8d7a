/* The topics that sys-stats has published, and what each says: a text is published when it has changed.
 * One thread at a time.
 * Knows nothing of what the texts mean. */
#ifndef SYS_STATS_TOPICS_H
#define SYS_STATS_TOPICS_H

#include <noctule/plugin.h>

struct topic {
    char *name; /* below $SYS/broker/ */
    char text[64];
};

struct topics {
    const struct noctule_host *host;
    struct noctule_instance *instance;
    struct topic *list;
    size_t count;
    size_t next; /* where the next one is looked for first: they come in the same order every time */
};

/* Publishes `text` (at most 63 bytes are kept and sent) under $SYS/broker/`name`, unless it stands there. */
void topics_put(struct topics *topics, const char *name, const char *text);
void topics_put_number(struct topics *topics, const char *name, int64_t number);

/* With two decimals. */
void topics_put_decimal(struct topics *topics, const char *name, double number);

/* Removes the retained messages of all of them and forgets them. */
void topics_clear(struct topics *topics);

#endif
