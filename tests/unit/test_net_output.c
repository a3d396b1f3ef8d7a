// What waits to be written, against a plain string of bytes; and the pool of buffers.
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/memory.h"
#include "core/net/output.h"

// As ck_assert, which is too slow to be called millions of times.
#define CHECK(what)                                                                                          \
    do {                                                                                                     \
        if (!(what))                                                                                         \
            ck_abort_msg("failed: %s", #what);                                                               \
    } while (0)

static struct wheel wheel;
static struct stream_pool *pool;

static void set_up(void)
{
    wheel_init(&wheel, 1000);
    pool = stream_pool_new(&wheel);
}

static void tear_down(void)
{
    stream_pool_free(pool);
}

/* ---- the reference: all bytes ever appended, and how many of them were sent ---- */

struct tape {
    uint8_t *bytes;
    size_t length;
    size_t capacity;
    size_t sent;
    size_t blocks_alive;
};

static struct tape tape;

static uint8_t *tape_append(size_t size)
{
    while (tape.capacity - tape.length < size) {
        tape.capacity = tape.capacity ? tape.capacity * 2 : 4096;
        tape.bytes = memory_resize(tape.bytes, tape.capacity);
    }
    if (size == 0)
        return (uint8_t *)"";
    uint8_t *start = tape.bytes + tape.length;
    for (size_t i = 0; i < size; i++)
        start[i] = (uint8_t)random();
    tape.length += size;
    return start;
}

static void release_block(void *owner)
{
    CHECK(tape.blocks_alive > 0);
    tape.blocks_alive--;
    free(owner);
}

static void append_bytes(struct output *output)
{
    size_t size = (size_t)random() % (random() % 10 ? 300 : 20000);
    size_t used = size - (size ? (size_t)random() % size / 2 : 0); // not all that was reserved
    uint8_t *room = output_reserve(output, size);
    CHECK(room != NULL);
    memset(room, 0xEE, size);
    memcpy(room, tape_append(used), used);
    output->end += used;
}

static void append_block(struct output *output)
{
    size_t size = 1 + (size_t)random() % 5000;
    uint8_t *copy = memory_alloc(size);
    memcpy(copy, tape_append(size), size);
    struct stream_block block = {.data = copy, .length = size, .release = release_block, .owner = copy};
    tape.blocks_alive++;
    CHECK(output_add_block(output, block));
}

// A socket that takes some of what it is given.
static void send_some(struct output *output, size_t most)
{
    struct iovec pieces[64];
    int limit = 2 + (int)random() % 63;
    size_t size;
    int count = output_pieces(output, pieces, limit, &size);
    CHECK(count <= limit);
    CHECK((count > 0) == (output_pending(output) > 0));
    size_t at = tape.sent;
    for (int i = 0; i < count; i++) {
        CHECK(pieces[i].iov_len > 0 && at + pieces[i].iov_len <= tape.length);
        CHECK(memcmp(pieces[i].iov_base, tape.bytes + at, pieces[i].iov_len) == 0);
        at += pieces[i].iov_len;
    }
    CHECK(at - tape.sent == size);
    CHECK(count == limit || count == limit - 1 || size == output_pending(output)); // nothing is held back
    size_t taken = random() % 3 ? size : (size_t)random() % (size + 1);
    taken = taken < most ? taken : most;
    output_sent(output, taken);
    tape.sent += taken;
}

START_TEST(random_sequences)
{
    srandom((unsigned)_i);
    struct output *output = output_new(pool);
    for (int round = 0; round < 30; round++) {
        int bias = (int)random() % 10;
        for (int step = 0; step < 200; step++) {
            if (random() % 10 < bias)
                send_some(output, SIZE_MAX);
            else if (random() % 4)
                append_bytes(output);
            else
                append_block(output);
            CHECK(output_pending(output) == tape.length - tape.sent);
        }
        if (random() % 2)
            while (output_pending(output) > 0)
                send_some(output, SIZE_MAX);
        if (output_pending(output) == 0) {
            CHECK(tape.blocks_alive == 0);
            output_free(pool, output);
            output = output_new(pool);
        }
    }
    output_free(pool, output); // gives up what is left
    ck_assert_uint_eq(tape.blocks_alive, 0);
    free(tape.bytes);
}
END_TEST

// A reader that is always a little behind: what was sent makes room, nothing grows.
START_TEST(never_empty_never_grows)
{
    struct output *output = output_new(pool);
    for (int step = 0; step < 20000; step++) {
        append_block(output);
        memcpy(output_reserve(output, 100), tape_append(100), 100);
        output->end += 100;
        while (output_pending(output) > 20000)
            send_some(output, output_pending(output) - 19000);
        if (tape.sent > 4000000) { // of the reference; what waits is at its end
            memmove(tape.bytes, tape.bytes + tape.sent, tape.length - tape.sent);
            tape.length -= tape.sent;
            tape.sent = 0;
        }
    }
    ck_assert_uint_le(output->capacity, 16384);
    ck_assert_uint_le(output->block_capacity, 256);
    output_free(pool, output);
    free(tape.bytes);
}
END_TEST

START_TEST(block_first)
{
    struct output *output = output_new(pool);
    ck_assert_ptr_nonnull(output_reserve(output, 0));
    append_block(output);
    append_bytes(output);
    while (output_pending(output) > 0)
        send_some(output, SIZE_MAX);
    ck_assert_uint_eq(tape.sent, tape.length);
    output_free(pool, output);
    free(tape.bytes);
}
END_TEST

static void fill(struct output *output, size_t size)
{
    ck_assert_ptr_nonnull(output_reserve(output, size));
    output->end += size;
}

START_TEST(pool_reuses)
{
    struct output *first = output_new(pool);
    fill(first, 5000);
    size_t capacity = first->capacity;
    output_free(pool, first);
    ck_assert_uint_gt(pool->bytes, capacity);
    struct output *second = output_new(pool);
    ck_assert_ptr_eq(second, first);
    ck_assert_uint_eq(second->capacity, capacity);
    ck_assert_uint_eq(output_pending(second), 0);
    ck_assert_uint_eq(pool->bytes, 0);
    fill(second, 10 * 1024 * 1024);
    output_free(pool, second); // too large to keep
    ck_assert_uint_eq(pool->bytes, 0);
}
END_TEST

START_TEST(pool_is_bounded)
{
    enum { MANY = 1000 };
    struct output *outputs[MANY];
    for (int i = 0; i < MANY; i++) {
        outputs[i] = output_new(pool);
        fill(outputs[i], 100000);
    }
    for (int i = 0; i < MANY; i++)
        output_free(pool, outputs[i]);
    ck_assert_uint_gt(pool->bytes, 1024 * 1024);
    ck_assert_uint_le(pool->bytes, 16 * 1024 * 1024);
}
END_TEST

// What is in use again and again stays, the rest goes within seconds; in the end there is no timer.
START_TEST(pool_shrinks)
{
    enum { MANY = 100 };
    struct output *outputs[MANY];
    for (int i = 0; i < MANY; i++) {
        outputs[i] = output_new(pool);
        fill(outputs[i], 100000);
    }
    for (int i = 0; i < MANY; i++)
        output_free(pool, outputs[i]);
    size_t full = pool->bytes;
    uint64_t now = 1000;
    for (int second = 0; second < 60; second++) {
        for (int i = 0; i < 5; i++)
            outputs[i] = output_new(pool);
        for (int i = 0; i < 5; i++)
            output_free(pool, outputs[i]);
        wheel_advance(&wheel, now += 1000, NULL);
    }
    ck_assert_uint_le(pool->bytes, full / MANY * 6);
    ck_assert_uint_ge(pool->bytes, full / MANY * 4);
    wheel_advance(&wheel, now += 60000, NULL);
    ck_assert_uint_eq(pool->bytes, 0);
    ck_assert_ptr_null(pool->free);
    ck_assert(!wheel_is_running(&pool->trim));
    ck_assert_uint_eq(wheel_next(&wheel, now, 10000), 10000);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("net output");
    TCase *tests = tcase_create("output");
    tcase_set_timeout(tests, 120);
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_loop_test(tests, random_sequences, 0, 20);
    tcase_add_test(tests, never_empty_never_grows);
    tcase_add_test(tests, block_first);
    tcase_add_test(tests, pool_reuses);
    tcase_add_test(tests, pool_is_bounded);
    tcase_add_test(tests, pool_shrinks);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
