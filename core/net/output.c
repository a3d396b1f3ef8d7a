#include "core/net/output.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/memory.h"

enum {
    POOL_BYTES = 16 * 1024 * 1024,
    POOL_LARGEST = 256 * 1024,
    TRIM_MS = 2000,
    TRIM_ALL = 64 * 1024, // what is not worth keeping a timer for
    FIRST_CAPACITY = 512,
    FIRST_BLOCKS = 8,
};

/* ---- the pool ---- */

struct stream_pool *stream_pool_new(struct wheel *wheel)
{
    struct stream_pool *pool = memory_zalloc(sizeof *pool);
    pool->wheel = wheel;
    pool->scratch = memory_alloc(STREAM_READ_SIZE);
    return pool;
}

static size_t footprint(const struct output *output)
{
    return sizeof *output + output->capacity + output->block_capacity * sizeof *output->blocks;
}

static void output_destroy(struct output *output)
{
    free(output->data);
    free(output->blocks);
    free(output);
}

static struct output *pool_take(struct stream_pool *pool)
{
    struct output *output = pool->free;
    pool->free = output->next;
    pool->bytes -= footprint(output);
    if (pool->bytes < pool->least)
        pool->least = pool->bytes;
    return output;
}

// Half of what nobody has needed since the last time goes, so that an idle worker ends with nothing.
static void trim(struct wheel_timer *timer, void *context)
{
    (void)context;
    struct stream_pool *pool = (struct stream_pool *)((char *)timer - offsetof(struct stream_pool, trim));
    size_t goes = pool->least > TRIM_ALL ? pool->least / 2 : pool->least;
    size_t stays = pool->bytes - goes;
    while (pool->bytes > stays)
        output_destroy(pool_take(pool));
    pool->least = pool->bytes;
    if (pool->free)
        wheel_start(pool->wheel, timer, timer->due_ms + TRIM_MS, trim);
}

void stream_pool_free(struct stream_pool *pool)
{
    while (pool->free)
        output_destroy(pool_take(pool));
    wheel_stop(&pool->trim);
    free(pool->scratch);
    free(pool->lower_scratch);
    tls_gate_free(pool->handshakes);
    websocket_reader_free(pool->websocket_reader);
    tls_ciphers_free(pool->ciphers);
    free(pool);
}

struct output *output_new(struct stream_pool *pool)
{
    if (pool->free)
        return pool_take(pool);
    struct output *output = memory_try(sizeof *output);
    if (output)
        *output = (struct output){0};
    return output;
}

void output_free(struct stream_pool *pool, struct output *output)
{
    for (size_t i = output->block_first; i < output->block_count; i++)
        output->blocks[i].block.release(output->blocks[i].block.owner);
    size_t bytes = footprint(output);
    if (bytes > POOL_LARGEST || pool->bytes + bytes > POOL_BYTES) {
        output_destroy(output);
        return;
    }
    output->start = output->end = 0;
    output->block_first = output->block_count = output->block_bytes = 0;
    output->next = pool->free;
    pool->free = output;
    pool->bytes += bytes;
    if (!wheel_is_running(&pool->trim)) {
        pool->least = pool->bytes;
        wheel_start(pool->wheel, &pool->trim, pool->wheel->tick * WHEEL_TICK_MS + TRIM_MS, trim);
    }
}

/* ---- what is to be written ---- */

uint8_t *output_reserve(struct output *output, size_t size)
{
    if (output->data && output->capacity - output->end >= size)
        return output->data + output->end;
    // Sent bytes at the front are reclaimed first, unless moving the rest would cost more than it brings.
    size_t kept = output->end - output->start;
    if (output->start > 0 && output->start >= kept && output->capacity - kept >= size) {
        memmove(output->data, output->data + output->start, kept);
        for (size_t i = output->block_first; i < output->block_count; i++)
            output->blocks[i].at -= output->start;
        output->start = 0;
        output->end = kept;
        return output->data + output->end;
    }
    size_t capacity = output->capacity ? output->capacity : FIRST_CAPACITY;
    while (capacity - output->end < size)
        capacity *= 2;
    uint8_t *data = memory_try_resize(output->data, capacity);
    if (!data)
        return NULL;
    output->data = data;
    output->capacity = capacity;
    return data + output->end;
}

// Room for one more block; those that were sent make room first.
static bool reserve_block(struct output *output)
{
    if (output->block_count < output->block_capacity)
        return true;
    size_t kept = output->block_count - output->block_first;
    if (output->block_first > kept) {
        memmove(output->blocks, output->blocks + output->block_first, kept * sizeof *output->blocks);
        output->block_first = 0;
        output->block_count = kept;
        return true;
    }
    size_t capacity = output->block_capacity ? output->block_capacity * 2 : FIRST_BLOCKS;
    struct output_block *blocks = memory_try_resize(output->blocks, capacity * sizeof *blocks);
    if (!blocks)
        return false;
    output->blocks = blocks;
    output->block_capacity = capacity;
    return true;
}

bool output_add_block(struct output *output, struct stream_block block)
{
    if (!reserve_block(output))
        return false;
    output->blocks[output->block_count++] = (struct output_block){.at = output->end, .block = block};
    output->block_bytes += block.length;
    return true;
}

int output_pieces(const struct output *output, struct iovec *pieces, int limit, size_t *size)
{
    int count = 0;
    size_t at = output->start;
    *size = 0;
    // Pairs of bytes and the block behind them; the last piece is what stands behind all blocks.
    for (size_t i = output->block_first; i < output->block_count; i++) {
        const struct output_block *block = &output->blocks[i];
        if (count + 2 > limit)
            return count;
        if (block->at > at) {
            *size += block->at - at;
            pieces[count++] = (struct iovec){output->data + at, block->at - at};
            at = block->at;
        }
        size_t left = block->block.length - block->sent;
        *size += left;
        pieces[count++] = (struct iovec){(uint8_t *)(uintptr_t)block->block.data + block->sent, left};
    }
    if (count < limit && at < output->end) {
        *size += output->end - at;
        pieces[count++] = (struct iovec){output->data + at, output->end - at};
    }
    return count;
}

void output_sent(struct output *output, size_t size)
{
    while (size > 0 && output->block_first < output->block_count) {
        struct output_block *block = &output->blocks[output->block_first];
        size_t before = block->at - output->start;
        if (size < before) {
            output->start += size;
            return;
        }
        output->start = block->at;
        size -= before;
        size_t left = block->block.length - block->sent;
        size_t taken = size < left ? size : left;
        block->sent += taken;
        output->block_bytes -= taken;
        size -= taken;
        if (taken < left)
            return;
        block->block.release(block->block.owner);
        output->block_first++;
    }
    output->start += size;
    if (output->block_first == output->block_count)
        output->block_first = output->block_count = 0;
    if (output->start == output->end && output->block_count == 0)
        output->start = output->end = 0;
}
