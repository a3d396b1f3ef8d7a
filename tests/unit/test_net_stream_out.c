// Writing of streams: gathered output, slow readers, blocks by reference, closing so that nothing is lost.
#include <sys/ioctl.h>

#include "core/base/clock.h"
#include "test_net_support.h"

enum { HIGH = 100000 };

static struct worker *worker;

static void set_up(void)
{
    stream_set_high_mark(HIGH);
    worker = workers_new(1);
    srandom(11);
}

static void tear_down(void)
{
    workers_free(worker);
}

static struct side *attached(struct side *side)
{
    stream_attach(&side->stream, worker);
    return side;
}

/* ---- what was written, as bytes that tell where they stand ---- */

static size_t written;
static size_t blocks_alive;

static void write_bytes(struct side *side, size_t length)
{
    uint8_t *room = stream_reserve(&side->stream, length + 100);
    ck_assert_ptr_nonnull(room);
    fill_bytes(room, written, length);
    stream_commit(&side->stream, length);
    written += length;
}

static void release_block(void *owner)
{
    CHECK(blocks_alive-- > 0);
    free(owner);
}

static struct stream_block make_block(size_t length)
{
    uint8_t *bytes = memory_alloc(length);
    fill_bytes(bytes, written, length);
    blocks_alive++;
    return (struct stream_block){.data = bytes, .length = length, .release = release_block, .owner = bytes};
}

static void write_block(struct side *side, size_t length)
{
    CHECK(stream_write_block(&side->stream, make_block(length)));
    written += length;
}

// Reads at most `most` bytes and checks them; returns how many there were, -1 at the end.
static ssize_t read_and_check(struct side *side, size_t *seen, size_t most)
{
    static uint8_t bytes[1 << 20];
    ssize_t n = peer_read(side, bytes, most < sizeof bytes ? most : sizeof bytes);
    if (n > 0) {
        CHECK(bytes_are(bytes, *seen, (size_t)n));
        *seen += (size_t)n;
    }
    return n;
}

static void drain(struct side *side, size_t *seen)
{
    for (int idle = 0; *seen < written && idle < 5000; worker_turn(worker, false)) {
        if (read_and_check(side, seen, SIZE_MAX) > 0) {
            idle = 0;
        } else if (++idle > 5) {
            usleep(1000); // TCP takes its time to tell that there is room again
        }
    }
    CHECK(*seen == written);
}

START_TEST(random_writes)
{
    srandom((unsigned)_i);
    struct side *side = attached(_i % 2 ? side_new() : side_new_tcp());
    size_t seen = 0;
    for (int step = 0; step < 3000; step++) {
        switch (random() % 6) {
        case 0:
            write_block(side, 1 + (size_t)random() % 60000);
            break;
        case 1:
            worker_turn(worker, false);
            break;
        case 2:
            read_and_check(side, &seen, 1 + (size_t)random() % 100000);
            break;
        default:
            write_bytes(side, (size_t)random() % (random() % 8 ? 500 : 30000));
        }
        if (stream_is_full(&side->stream)) // the tests keep it in bounds as the broker does
            while (side->stream.above) {
                read_and_check(side, &seen, 1 + (size_t)random() % 100000);
                worker_turn(worker, false);
            }
    }
    drain(side, &seen);
    ck_assert_uint_eq(blocks_alive, 0);
    ck_assert_ptr_null(side->stream.output);
    ck_assert_uint_eq(stream_pending(&side->stream), 0);
    side_end(side, worker);
}
END_TEST

// Output leaves at the turn's end, all of it at once.
START_TEST(gathered)
{
    struct side *side = attached(side_new());
    size_t seen = 0;
    for (int i = 0; i < 100; i++)
        write_bytes(side, 50);
    ck_assert_uint_eq(stream_pending(&side->stream), 5000);
    ck_assert_int_eq(read_and_check(side, &seen, SIZE_MAX), 0);
    worker_turn(worker, true); // does not wait: there is something to write
    ck_assert_int_eq(read_and_check(side, &seen, SIZE_MAX), 5000);
    side_end(side, worker);
}
END_TEST

/* ---- slow readers ---- */

START_TEST(full_and_drained)
{
    struct side *side = attached(side_new());
    size_t seen = 0;
    for (unsigned round = 1; round <= 5; round++) {
        // A reader that keeps up is never full, however much is written in one turn.
        while (written - seen < HIGH && !stream_is_full(&side->stream))
            write_bytes(side, 1000);
        drain(side, &seen);
        ck_assert_uint_eq(side->drained, round - 1);
        // One that does not, is, and is told once when it has caught up.
        while (!stream_is_full(&side->stream))
            write_bytes(side, 1000);
        ck_assert_uint_gt(stream_pending(&side->stream), HIGH);
        for (int i = 0; i < 5; i++)
            worker_turn(worker, false);
        ck_assert_uint_eq(side->drained, round - 1);
        while (stream_pending(&side->stream) > HIGH / 4) {
            ck_assert_uint_eq(side->drained, round - 1);
            ck_assert_int_gt(read_and_check(side, &seen, 5000), 0);
            worker_turn(worker, false);
        }
        ck_assert_uint_eq(side->drained, round);
        drain(side, &seen);
        ck_assert_uint_eq(side->drained, round);
    }
    side_end(side, worker);
}
END_TEST

static const struct stream_events refilling_events;
static unsigned refills;

static void refill(struct stream *stream)
{
    if (refills++ > 200)
        return;
    while (!stream_is_full(stream))
        write_bytes((struct side *)stream, 3000);
}

static const struct stream_events refilling_events = {side_received, refill, side_failed, side_closed};

// Who writes again from inside `drained` keeps the stream going.
START_TEST(refilled_when_drained)
{
    struct side *side = attached(side_new());
    side->stream.events = &refilling_events;
    refill(&side->stream);
    size_t seen = 0;
    while (refills <= 200 || seen < written) {
        read_and_check(side, &seen, 70000);
        worker_turn(worker, false);
    }
    ck_assert_uint_eq(seen, written);
    side_end(side, worker);
}
END_TEST

START_TEST(stalled)
{
    struct side *side = attached(side_new());
    ck_assert_uint_eq(stream_stalled_ms(&side->stream), 0);
    while (!stream_is_full(&side->stream))
        write_bytes(side, 10000);
    worker_turn(worker, false);
    clock_advance(5000);
    worker_turn(worker, false);
    ck_assert_uint_ge(stream_stalled_ms(&side->stream), 5000);
    ck_assert_uint_lt(stream_stalled_ms(&side->stream), 10000);
    size_t seen = 0;
    for (size_t pending = stream_pending(&side->stream); stream_pending(&side->stream) == pending;) {
        read_and_check(side, &seen, 20000); // until something has moved
        worker_turn(worker, false);
    }
    ck_assert_uint_lt(stream_stalled_ms(&side->stream), 4000);
    clock_advance(100ULL * 24 * 3600 * 1000); // longer than 32 bits of milliseconds: wraps, but stays small
    worker_turn(worker, false);
    drain(side, &seen);
    ck_assert_uint_eq(stream_stalled_ms(&side->stream), 0);
    side_end(side, worker);
}
END_TEST

/* ---- blocks ---- */

START_TEST(blocks)
{
    struct side *side = attached(side_new());
    size_t seen = 0;
    write_block(side, 100); // small: copied
    ck_assert_uint_eq(blocks_alive, 0);
    drain(side, &seen);
    write_block(side, 40000); // the very first output, by reference
    ck_assert_uint_eq(blocks_alive, 1);
    write_bytes(side, 10);
    write_block(side, 50000);
    write_block(side, 30000);
    write_bytes(side, 10);
    drain(side, &seen);
    ck_assert_uint_eq(blocks_alive, 0);
    // Given up with the stream, and refused by one that is closing: released in any case.
    while (!stream_is_full(&side->stream))
        write_block(side, 50000);
    ck_assert_uint_gt(blocks_alive, 1);
    stream_abort(&side->stream);
    ck_assert(!stream_write_block(&side->stream, make_block(20)));
    ck_assert(!stream_write_block(&side->stream, make_block(20000)));
    worker_turn(worker, false);
    ck_assert_uint_eq(blocks_alive, 0);
    side_end(side, worker);
}
END_TEST

/* ---- closing ---- */

// Everything written before stream_close arrives, however slow the reader and whatever it still sends.
START_TEST(close_loses_nothing)
{
    struct side *side = attached(_i % 2 ? side_new() : side_new_tcp());
    size_t seen = 0;
    for (int i = 0; i < 100; i++) {
        write_bytes(side, 5000);
        write_block(side, 20000);
    }
    stream_close(&side->stream, 10000);
    stream_close(&side->stream, 10000);
    ck_assert_ptr_null(stream_reserve(&side->stream, 1));
    ck_assert(!stream_write(&side->stream, "x", 1));
    ssize_t n;
    for (int turn = 0; (n = read_and_check(side, &seen, 3000)) >= 0; turn++) {
        char noise[2000] = "";
        ck_assert_int_ge(send(side->peer, noise, sizeof noise, MSG_NOSIGNAL | MSG_DONTWAIT), -1);
        worker_turn(worker, false);
        CHECK(turn < 100000);
    }
    ck_assert_int_eq(errno, 0); // the end, not a reset
    ck_assert_uint_eq(seen, written);
    ck_assert_uint_eq(blocks_alive, 0);
    ck_assert_uint_eq(side->closed + side->calls, 0);
    close(side->peer);
    side->peer = -1;
    for (int i = 0; i < 100 && !side->closed; i++)
        worker_turn(worker, false);
    ck_assert_uint_eq(side->closed, 1);
    ck_assert(side->error == 0 || side->error == ECONNRESET);
    side_free(side);
}
END_TEST

// A peer that never closes, with and without reading what it was sent, does not hold the stream for ever.
START_TEST(close_waits_not_for_ever)
{
    struct side *side = attached(side_new());
    size_t seen = 0;
    while (_i && !stream_is_full(&side->stream))
        write_bytes(side, 5000);
    stream_close(&side->stream, 3000);
    worker_turn(worker, false);
    ck_assert_uint_eq(side->closed, 0);
    clock_advance(2000);
    worker_turn(worker, false);
    ck_assert_uint_eq(side->closed, 0);
    clock_advance(1100);
    worker_turn(worker, false);
    ck_assert_uint_eq(side->closed, 1);
    ck_assert_int_eq(side->error, ETIMEDOUT);
    while (read_and_check(side, &seen, SIZE_MAX) > 0)
        ;
    side_free(side);
}
END_TEST

// A peer that has nothing more to say still hears the last word, though the socket has no room for it yet.
START_TEST(half_closed_peer_hears_the_end)
{
    struct side *side = attached(_i % 2 ? side_new() : side_new_tcp());
    size_t seen = 0;
    while (_i / 2 && !stream_is_full(&side->stream))
        write_bytes(side, 5000);
    write_bytes(side, 500);
    shutdown(side->peer, SHUT_WR);
    stream_close(&side->stream, 10000);
    for (int i = 0; i < 5; i++)
        worker_turn(worker, false);
    ssize_t n;
    for (int turn = 0; (n = read_and_check(side, &seen, 30000)) >= 0 && turn < 10000; turn++) {
        if (n == 0)
            usleep(1000);
        worker_turn(worker, false);
    }
    ck_assert_uint_eq(seen, written);
    ck_assert_int_eq(side->error, 0);
    side_end(side, worker);
}
END_TEST

START_TEST(close_while_paused)
{
    struct side *side = attached(side_new());
    stream_pause(&side->stream);
    worker_turn(worker, false);
    stream_close(&side->stream, 3000);
    worker_turn(worker, false);
    close(side->peer);
    side->peer = -1;
    worker_turn(worker, true);
    ck_assert_uint_eq(side->closed, 1);
    side_free(side);
}
END_TEST

START_TEST(abort_tells_at_the_end)
{
    struct side *side = attached(side_new());
    write_bytes(side, 1000);
    stream_abort(&side->stream);
    stream_abort(&side->stream);
    stream_close(&side->stream, 1000);
    stream_resume(&side->stream);
    ck_assert_uint_eq(side->closed, 0);
    worker_turn(worker, false);
    ck_assert_uint_eq(side->closed, 1);
    ck_assert_int_eq(side->error, 0);
    side_free(side);
    side = attached(side_new()); // while it lingers
    stream_close(&side->stream, 1000);
    worker_turn(worker, false);
    stream_abort(&side->stream);
    side_end(side, worker);
}
END_TEST

START_TEST(owner_freed_when_closed)
{
    for (int i = 0; i < 20; i++) {
        struct side *side = attached(side_new());
        side->keep_closed = false;
        side->stream.paused = false;
        peer_send(side, worker, "abc", 3);
        if (i % 4 == 0)
            stream_abort(&side->stream);
        if (i % 4 == 1)
            stream_close(&side->stream, 100);
        if (i % 4 == 2)
            shutdown(side->peer, SHUT_RDWR);
        if (i % 4 == 3) {
            write_bytes(side, 100);
            shutdown(side->peer, SHUT_RDWR);
        }
        worker_turn(worker, false);
        worker_turn(worker, false);
        if (i % 4 == 1) {
            clock_advance(200);
            worker_turn(worker, false);
        }
    }
    written = 0;
}
END_TEST

START_TEST(peer_is_gone)
{
    struct side *side = attached(side_new());
    stream_pause(&side->stream); // so that the end is not read first
    worker_turn(worker, false);
    close(side->peer);
    side->peer = -1;
    write_bytes(side, 100);
    if (_i)
        stream_close(&side->stream, 1000);
    worker_turn(worker, false);
    ck_assert_uint_eq(side->closed, 1);
    ck_assert_int_eq(side->error, EPIPE);
    side_free(side);
}
END_TEST

// Many streams that end in one turn by their writing: none has to be searched for among the others.
START_TEST(many_end_at_once)
{
    enum { MANY = 3000 };
    static struct side *sides[MANY];
    for (int i = 0; i < MANY; i++) {
        sides[i] = attached(side_new());
        stream_pause(&sides[i]->stream);
        close(sides[i]->peer);
        sides[i]->peer = -1;
        CHECK(stream_write(&sides[i]->stream, "x", 1));
    }
    uint64_t start = clock_monotonic_ms();
    worker_turn(worker, false);
    ck_assert_uint_lt(clock_monotonic_ms() - start, 2000);
    for (int i = 0; i < MANY; i++) {
        CHECK(sides[i]->closed == 1);
        side_free(sides[i]);
    }
}
END_TEST

// A stream at rest holds no buffer, nor does its worker after a while.
START_TEST(rest)
{
    struct side *sides[50];
    for (int i = 0; i < 50; i++) {
        sides[i] = attached(side_new());
        written = 0;
        write_bytes(sides[i], 60000);
        peer_send(sides[i], worker, "abc", 3);
    }
    worker_turn(worker, false);
    for (int i = 0; i < 50; i++) {
        size_t seen = 0;
        written = 60000;
        drain(sides[i], &seen);
        ck_assert(!sides[i]->stream.output && !sides[i]->stream.input);
    }
    ck_assert_uint_gt(worker->streams->bytes, 50 * 60000);
    for (int i = 0; i < 60; i++) {
        clock_advance(1000);
        worker_turn(worker, false);
    }
    ck_assert_uint_eq(worker->streams->bytes, 0);
    for (int i = 0; i < 50; i++)
        side_end(sides[i], worker);
    ck_assert_uint_le(sizeof(struct stream), 200);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("net stream, writing");
    TCase *tests = tcase_create("writing");
    tcase_set_timeout(tests, 120);
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_loop_test(tests, random_writes, 0, 6);
    tcase_add_test(tests, gathered);
    tcase_add_test(tests, full_and_drained);
    tcase_add_test(tests, refilled_when_drained);
    tcase_add_test(tests, stalled);
    tcase_add_test(tests, blocks);
    tcase_add_loop_test(tests, close_loses_nothing, 0, 2);
    tcase_add_loop_test(tests, close_waits_not_for_ever, 0, 2);
    tcase_add_loop_test(tests, half_closed_peer_hears_the_end, 0, 4);
    tcase_add_test(tests, close_while_paused);
    tcase_add_test(tests, abort_tells_at_the_end);
    tcase_add_test(tests, owner_freed_when_closed);
    tcase_add_loop_test(tests, peer_is_gone, 0, 2);
    tcase_add_test(tests, many_end_at_once);
    tcase_add_test(tests, rest);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
