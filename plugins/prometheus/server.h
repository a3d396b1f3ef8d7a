/* The HTTP server: a thread of its own with one listener, that answers scrapes.
 * server_set from any thread, one at a time; server_new and server_free from any, once.
 * Knows what a scrape may ask for; what it gets is exposition.h's. */
#ifndef PROMETHEUS_SERVER_H
#define PROMETHEUS_SERVER_H

#include <noctule/plugin.h>

#include <netinet/in.h>

struct server;

struct server_settings {
    struct sockaddr_storage address;
    int address_length;
    char *bind;  /* the address as it was written */
    char *token; /* NULL: everybody is answered */
};

/* Starts the thread, which listens nowhere yet. NULL when there is no memory or no thread. */
struct server *server_new(const struct noctule_host *host, struct noctule_instance *instance);

/* Ends the thread; connections are closed. */
void server_free(struct server *server);

/* Listens where `settings` say from now on (NULL: nowhere). Copies them, and does not wait: the thread tries
 * until the address is free, and says once in the log when it is not. */
void server_set(struct server *server, const struct server_settings *settings);

#endif
