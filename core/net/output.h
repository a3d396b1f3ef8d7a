// What a stream has yet to write: bytes copied into one contiguous buffer, and large blocks by reference
// between them. Only the stream's worker. Must not know the socket.
#ifndef NOCTULE_NET_OUTPUT_H
#define NOCTULE_NET_OUTPUT_H

#include <sys/uio.h>

#include "core/net/stream.h"

struct tls_gate;
struct tls_ciphers;
/** Of tls_gate.c and tls_records.c. NULL does nothing. */
void tls_gate_free(struct tls_gate *gate);
void tls_ciphers_free(struct tls_ciphers *ciphers);

struct websocket_reader;
/** Of websocket_in.c. NULL does nothing. */
void websocket_reader_free(struct websocket_reader *reader);

struct output_block {
    size_t at; ///< offset in `data` before which it goes
    size_t sent;
    struct stream_block block;
};

struct output {
    struct output *next; ///< in the pool
    uint8_t *data;
    size_t start; ///< sent up to here
    size_t end;
    size_t capacity;
    struct output_block *blocks;
    size_t block_first;
    size_t block_count;
    size_t block_capacity;
    size_t block_bytes; ///< of blocks, not yet sent
    uint32_t moved_ms;  ///< lower bits of the time when the socket last took something, while it is full
};

/** Outputs that have no stream at the moment. Those that nobody has needed for a while are freed. */
struct stream_pool {
    struct output *free;
    size_t bytes; ///< memory of all in `free`
    size_t least; ///< of `bytes`, since the last time some were freed
    struct wheel *wheel;
    struct wheel_timer trim;     ///< runs while there are any
    uint8_t *scratch;            ///< STREAM_READ_SIZE bytes into which sockets are read
    uint8_t *lower_scratch;      ///< as many, for a layer that reads from below; NULL until one needs it
    struct tls_gate *handshakes; ///< how many are under way; NULL until there is one
    struct websocket_reader *websocket_reader; ///< for the next frame that comes in; NULL: none has come yet
    struct tls_ciphers *ciphers;               ///< NULL until one is needed
};

/** An empty output from the pool, or a new one; NULL when memory is out. */
struct output *output_new(struct stream_pool *pool);

/** Gives an output back, releasing blocks that were not sent. */
void output_free(struct stream_pool *pool, struct output *output);

/** Room for `size` bytes at the end, or NULL. */
uint8_t *output_reserve(struct output *output, size_t size);

/** Appends a block; false when memory is out, and then it is still the caller's. */
bool output_add_block(struct output *output, struct stream_block block);

static inline size_t output_pending(const struct output *output)
{
    return output->end - output->start + output->block_bytes;
}

/** Describes up to `limit` (at least 2) pieces to write next; returns their number, and their bytes in
 * `*size`. */
int output_pieces(const struct output *output, struct iovec *pieces, int limit, size_t *size);

/** `size` bytes of them have been written. */
void output_sent(struct output *output, size_t size);

#endif
