#include "core/net/output.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/memory.h"

enum { POOL_BYTES = 4 * 1024 * 1024, POOL_LARGEST = 128 * 1024, FIRST_CAPACITY = 2048 };

struct stream_pool *stream_pool_new(void)
{
    struct stream_pool *pool = memory_zalloc(sizeof *pool);
    pool->scratch = memory_alloc(STREAM_READ_SIZE);
    return pool;
}

static void output_destroy(struct output *output)
{
    free(output->data);
    free(output->blocks);
    free(output);
}

void stream_pool_free(struct stream_pool *pool)
{
    while (pool->free) {
        struct output *output = pool->free;
        pool->free = output->next;
        output_destroy(output);
    }
    free(pool->scratch);
    free(pool);
}

struct output *output_new(struct stream_pool *pool)
{
    struct output *output = pool->free;
    if (output) {
        pool->free = output->next;
        pool->bytes -= output->capacity;
        return output;
    }
    output = memory_try(sizeof *output);
    if (output)
        *output = (struct output){0};
    return output;
}

void output_free(struct stream_pool *pool, struct output *output)
{
    for (size_t i = output->block_first; i < output->block_count; i++)
        output->blocks[i].block.release(output->blocks[i].block.owner);
    if (output->capacity > POOL_LARGEST || pool->bytes + output->capacity > POOL_BYTES) {
        output_destroy(output);
        return;
    }
    output->start = output->end = 0;
    output->block_first = output->block_count = output->block_bytes = 0;
    output->next = pool->free;
    pool->free = output;
    pool->bytes += output->capacity;
}

uint8_t *output_reserve(struct output *output, size_t size)
{
    if (output->capacity - output->end >= size)
        return output->data + output->end;
    // Sent bytes at the front are reclaimed first, unless moving the rest would cost more than it brings.
    size_t kept = output->end - output->start;
    if (output->start >= kept && output->capacity - kept >= size) {
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

bool output_add_block(struct output *output, struct stream_block block)
{
    if (output->block_count == output->block_capacity) {
        size_t capacity = output->block_capacity ? output->block_capacity * 2 : 8;
        struct output_block *blocks = memory_try_resize(output->blocks, capacity * sizeof *blocks);
        if (!blocks)
            return false;
        output->blocks = blocks;
        output->block_capacity = capacity;
    }
    output->blocks[output->block_count++] = (struct output_block){.at = output->end, .block = block};
    output->block_bytes += block.length;
    return true;
}

int output_pieces(const struct output *output, struct iovec *pieces, int limit)
{
    int count = 0;
    size_t at = output->start;
    for (size_t i = output->block_first; i < output->block_count && count + 2 <= limit; i++) {
        const struct output_block *block = &output->blocks[i];
        if (block->at > at) {
            pieces[count++] = (struct iovec){output->data + at, block->at - at};
            at = block->at;
        }
        pieces[count++] = (struct iovec){(uint8_t *)(uintptr_t)block->block.data + block->sent,
                                         block->block.length - block->sent};
        if (i + 1 < output->block_count && count + 2 > limit)
            return count; // what follows the block waits for its turn
    }
    if (count < limit && at < output->end)
        pieces[count++] = (struct iovec){output->data + at, output->end - at};
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
