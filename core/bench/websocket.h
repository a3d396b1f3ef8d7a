// The client's side of a WebSocket: its handshake and frames. [RFC 6455]
// One thread.
// Must not know what the frames carry.
#ifndef NOCTULE_BENCH_WEBSOCKET_H
#define NOCTULE_BENCH_WEBSOCKET_H

#include <sys/types.h>

#include "core/bench/state.h"

enum { WEBSOCKET_HEAD_MAX = 14, WEBSOCKET_CONTROL_MAX = 125 };

/** Where the bytes that came stand in their frames. */
struct websocket {
    uint64_t left; ///< bytes of the current frame still to come
    uint8_t opcode;
    bool in_frame;
    uint8_t head[WEBSOCKET_HEAD_MAX];
    uint8_t head_length;
    uint8_t control[WEBSOCKET_CONTROL_MAX];
    uint8_t control_length;
};

/** Makes the request of the handshake, the same for all connections. */
void bench_websocket_open(struct bench *bench);

/**
 * Looks at the answer to the handshake. Returns its length once it is complete, 0 before; -1 when it is none
 * that goes on, with why in `*problem` (the caller frees it).
 */
ssize_t bench_websocket_upgraded(const struct bench *bench, const uint8_t *data, size_t length,
                                 char **problem);

/** Puts the head of a frame in front of `size` bytes at `data`; returns where it begins. The mask is zero. */
uint8_t *bench_websocket_frame(uint8_t *data, size_t size, uint8_t opcode);

/**
 * Takes the frames off `length` bytes at `data`, in place; answers pings. Returns how many bytes of packets
 * are left at `data`, or -1 when the connection has failed.
 */
ssize_t bench_websocket_unwrap(struct bench *bench, struct connection *connection, uint8_t *data,
                               size_t length);

#endif
