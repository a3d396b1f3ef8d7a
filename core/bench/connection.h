// Connections to the broker: opening, TLS, WebSocket, reading and writing.
// One thread.
// Must not know scenarios.
#ifndef NOCTULE_BENCH_CONNECTION_H
#define NOCTULE_BENCH_CONNECTION_H

#include <sys/types.h>

#include "core/bench/state.h"

/** Starts to open a connection; `due_ns`: since when its time counts. */
void bench_connection_open(struct bench *bench, struct connection *connection, uint64_t due_ns);

/** Closes it, whatever its state. */
void bench_connection_close(struct bench *bench, struct connection *connection);

/** Closes it because of what `format` says, and counts it; ends the run unless that is tolerated. */
void bench_connection_fail(struct bench *bench, struct connection *connection, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/** Sends packets: `size` bytes at `data`, in front of which SEND_HEADROOM bytes may be overwritten. */
void bench_connection_send(struct bench *bench, struct connection *connection, uint8_t *data, size_t size);

/** Sends bytes as they are, below WebSocket. */
void bench_connection_send_raw(struct bench *bench, struct connection *connection, const uint8_t *data,
                               size_t size);

/** The loop's: the socket takes or has bytes. */
void bench_connection_ready(struct bench *bench, struct connection *connection, uint32_t events);

static inline bool bench_connection_is_flushed(const struct connection *connection)
{
    return connection->pending_start == connection->pending_end;
}

// ---- tls.c ----------------------------------------------------------------------------------------------

/** Makes the context from the options. Fails the run when files are not good. */
void bench_tls_open(struct bench *bench);
void bench_tls_close(struct bench *bench);

/** A TLS client on the connection's socket. */
bool bench_tls_start(struct bench *bench, struct connection *connection);

/** Goes on with the handshake. True when it is done; a failure fails the connection. */
bool bench_tls_handshake(struct bench *bench, struct connection *connection);

/** As recv and send; 0: nothing now, -1: the connection has failed. */
ssize_t bench_tls_read(struct bench *bench, struct connection *connection, uint8_t *data, size_t size);
ssize_t bench_tls_write(struct bench *bench, struct connection *connection, const uint8_t *data, size_t size);

#endif
