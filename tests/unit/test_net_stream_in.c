// Reading of streams: packets however they are cut, pausing, moving between workers, what is kept.
#include "test_net_support.h"

static struct worker *worker;

static void set_up(void)
{
    worker = workers_new(2);
    srandom(11);
}

static void tear_down(void)
{
    workers_free(worker);
}

/* ---- packets: four bytes of length, then that many ---- */

static size_t packet_length(const uint8_t *data)
{
    return (size_t)data[0] << 24 | (size_t)data[1] << 16 | (size_t)data[2] << 8 | data[3];
}

/** How packets are taken, and whether in between the stream is paused. */
struct packets {
    unsigned count;
    unsigned pause_after; ///< 0: never
    bool hint;            ///< say how much is wanted
};

static size_t take_packets(struct side *side, const uint8_t *data, size_t length, size_t *wanted)
{
    struct packets *packets = side->argument;
    size_t used = 0;
    while (!side->stream.paused) {
        size_t left = length - used;
        size_t need = left < 4 ? 4 : 4 + packet_length(data + used);
        if (left < need) {
            if (packets->hint)
                *wanted = need;
            break;
        }
        used += need;
        packets->count++;
        if (packets->pause_after && packets->count % packets->pause_after == 0)
            stream_pause(&side->stream);
    }
    return used;
}

static struct side *packet_side(struct packets *packets)
{
    struct side *side = side_new();
    side->handle = take_packets;
    side->argument = packets;
    return side;
}

// `count` packets of random lengths; total length in *length.
static uint8_t *make_packets(unsigned count, size_t longest, size_t *length)
{
    uint8_t *bytes = NULL;
    size_t used = 0;
    for (unsigned i = 0; i < count; i++) {
        size_t size = random() % 3 ? (size_t)random() % 60 : (size_t)random() % longest;
        bytes = memory_resize(bytes, used + size + 4);
        for (int j = 0; j < 4; j++)
            bytes[used + (size_t)j] = (uint8_t)(size >> (24 - 8 * j));
        fill_bytes(bytes + used + 4, used, size);
        used += size + 4;
    }
    *length = used;
    return bytes;
}

static void check_all_came(const struct side *side, const uint8_t *bytes, size_t length)
{
    CHECK(side->length == length);
    CHECK(memcmp(side->bytes, bytes, length) == 0);
    CHECK(!side->stream.input);
}

START_TEST(every_cut)
{
    size_t length;
    uint8_t *bytes = make_packets(12, 200, &length);
    for (size_t cut = 1; cut <= length; cut += cut < 300 ? 1 : 37) {
        struct packets packets = {.hint = cut % 2};
        struct side *side = packet_side(&packets);
        stream_attach(&side->stream, worker);
        for (size_t sent = 0; sent < length; sent += cut) {
            peer_send(side, worker, bytes + sent, length - sent < cut ? length - sent : cut);
            worker_turn(worker, false);
        }
        CHECK(packets.count == 12);
        check_all_came(side, bytes, length);
        side_end(side, worker);
    }
    free(bytes);
}
END_TEST

// Packets from empty to larger than the scratch buffer, cut at random.
START_TEST(random_cuts)
{
    srandom((unsigned)_i);
    static const size_t longest[] = {100, 5000, 40000, 300000, 3000000};
    for (size_t which = 0; which < 5; which++) {
        size_t length;
        uint8_t *bytes = make_packets(30, longest[which], &length);
        struct packets packets = {.hint = random() % 2};
        struct side *side = packet_side(&packets);
        stream_attach(&side->stream, worker);
        for (size_t sent = 0; sent < length;) {
            size_t cut = 1 + (size_t)random() % (random() % 2 ? 3000 : 150000);
            cut = cut < length - sent ? cut : length - sent;
            peer_send(side, worker, bytes + sent, cut);
            sent += cut;
            if (random() % 3)
                worker_turn(worker, false);
        }
        for (int i = 0; i < 100 && side->length < length; i++)
            worker_turn(worker, false);
        CHECK(packets.count == 30);
        check_all_came(side, bytes, length);
        side_end(side, worker);
        free(bytes);
    }
}
END_TEST

// The hint is honoured: a packet that trickles in is looked at when it begins and when it is whole.
START_TEST(hint_is_honoured)
{
    struct packets packets = {.hint = true};
    struct side *side = packet_side(&packets);
    stream_attach(&side->stream, worker);
    uint8_t packet[1004] = {0, 0, 1000 >> 8, 1000 & 255};
    for (size_t i = 0; i < sizeof packet; i++) {
        peer_send(side, worker, packet + i, 1);
        worker_turn(worker, false);
    }
    ck_assert_uint_eq(packets.count, 1);
    ck_assert_uint_le(side->calls, 3);
    side_end(side, worker);
}
END_TEST

/* ---- pausing ---- */

START_TEST(pause_inside)
{
    size_t length;
    uint8_t *bytes = make_packets(200, 3000, &length);
    struct packets packets = {.pause_after = (unsigned)_i + 1, .hint = true};
    struct side *side = packet_side(&packets);
    stream_attach(&side->stream, worker);
    size_t sent = 0;
    for (int turn = 0; packets.count < 200 && turn < 10000; turn++) {
        size_t cut = (size_t)random() % 20000;
        cut = cut < length - sent ? cut : length - sent;
        ssize_t n = cut > 0 ? send(side->peer, bytes + sent, cut, 0) : 0;
        sent += n > 0 ? (size_t)n : 0;
        worker_turn(worker, false);
        if (!side->stream.paused)
            continue;
        unsigned before = packets.count;
        CHECK(before % packets.pause_after == 0);
        worker_turn(worker, false);
        worker_turn(worker, false);
        CHECK(packets.count == before); // nothing comes while it is paused
        stream_resume(&side->stream);
        CHECK(packets.count == before); // nor from inside this call
        if (random() % 2) {             // changes its mind
            stream_pause(&side->stream);
            worker_turn(worker, false);
            CHECK(packets.count == before);
            stream_resume(&side->stream);
        }
    }
    ck_assert_uint_eq(packets.count, 200);
    check_all_came(side, bytes, length);
    side_end(side, worker);
    free(bytes);
}
END_TEST

static size_t pause_and_resume(struct side *side, const uint8_t *data, size_t length, size_t *wanted)
{
    (void)data;
    (void)wanted;
    stream_pause(&side->stream);
    stream_resume(&side->stream);
    return length;
}

START_TEST(pause_and_resume_inside)
{
    struct side *side = side_new();
    side->handle = pause_and_resume;
    stream_attach(&side->stream, worker);
    for (int i = 1; i <= 20; i++) {
        peer_send(side, worker, "abc", 3);
        worker_turn(worker, false);
        ck_assert_uint_eq(side->length, 3U * (unsigned)i);
    }
    side_end(side, worker);
}
END_TEST

// Who goes away while it is paused is noticed, unless something is still to be read of it.
START_TEST(pause_alert)
{
    struct side *gone = side_new();
    struct side *said_more = side_new();
    struct side *kept = side_new();
    struct packets packets = {.pause_after = 1};
    kept->handle = take_packets;
    kept->argument = &packets;
    struct side *sides[] = {gone, said_more, kept};
    for (unsigned i = 0; i < 3; i++)
        stream_attach(&sides[i]->stream, worker);
    peer_send(kept, worker, "\0\0\0\1a\0\0\0\1b", 10);
    worker_turn(worker, false);
    ck_assert_uint_eq(packets.count, 1);
    for (unsigned i = 0; i < 3; i++)
        stream_pause_alert(&sides[i]->stream);
    worker_turn(worker, false);
    ck_assert_uint_eq(gone->closed + said_more->closed + kept->closed, 0);
    peer_send(said_more, worker, "abc", 3);
    for (unsigned i = 0; i < 3; i++)
        shutdown(sides[i]->peer, SHUT_WR);
    for (unsigned i = 0; i < 5; i++)
        worker_turn(worker, false);
    ck_assert_uint_eq(gone->closed, 1);
    ck_assert_uint_eq(said_more->closed + kept->closed, 0);
    stream_resume(&said_more->stream);
    stream_resume(&kept->stream);
    for (unsigned i = 0; i < 5; i++)
        worker_turn(worker, false);
    ck_assert_uint_eq(said_more->length, 3);
    ck_assert_uint_eq(said_more->closed, 1);
    ck_assert_uint_eq(packets.count, 2);
    for (unsigned i = 0; i < 3; i++)
        side_end(sides[i], worker);
}
END_TEST

// It is only that pause which looks for the end.
START_TEST(pause_alert_is_over)
{
    struct side *side = side_new();
    stream_attach(&side->stream, worker);
    stream_pause_alert(&side->stream);
    stream_resume(&side->stream);
    stream_pause(&side->stream);
    shutdown(side->peer, SHUT_WR);
    for (unsigned i = 0; i < 5; i++)
        worker_turn(worker, false);
    ck_assert_uint_eq(side->closed, 0);
    stream_resume(&side->stream);
    for (unsigned i = 0; i < 3; i++)
        worker_turn(worker, false);
    ck_assert_uint_eq(side->closed, 1);
    side_end(side, worker);
}
END_TEST

// Paused from outside with nothing kept: what comes waits in the socket, and so does the end.
START_TEST(pause_outside)
{
    struct side *side = side_new();
    stream_attach(&side->stream, worker);
    stream_pause(&side->stream);
    stream_pause(&side->stream);
    peer_send(side, worker, "abc", 3);
    shutdown(side->peer, SHUT_WR);
    for (int i = 0; i < 5; i++)
        worker_turn(worker, false);
    ck_assert_uint_eq(side->calls + side->closed, 0);
    stream_resume(&side->stream);
    stream_resume(&side->stream);
    for (int i = 0; i < 3; i++)
        worker_turn(worker, false);
    ck_assert_uint_eq(side->length, 3);
    ck_assert_uint_eq(side->closed, 1);
    ck_assert_int_eq(side->error, 0);
    side_free(side);
}
END_TEST

/* ---- one read for one turn ---- */

static unsigned reads;
static unsigned writes;

static ssize_t counting_read(struct transport *transport, struct stream *stream, void *buffer, size_t size)
{
    reads++;
    return transport_read(transport->below, stream, buffer, size);
}

static ssize_t counting_write(struct transport *transport, struct stream *stream, const struct iovec *pieces,
                              int count)
{
    writes++;
    return transport_write(transport->below, stream, pieces, count);
}

static void counting_close(struct transport *transport, struct stream *stream)
{
    (void)transport;
    (void)stream;
}

static const struct transport_type counting_type = {
    .name = "counting", .read = counting_read, .write = counting_write, .close = counting_close};
static struct transport counting = {.type = &counting_type};

static size_t answer(struct side *side, const uint8_t *data, size_t length, size_t *wanted)
{
    (void)data;
    (void)wanted;
    for (size_t i = 0; i < length; i++)
        CHECK(stream_write(&side->stream, "answer", 6));
    return length;
}

START_TEST(one_read_one_write)
{
    int ends[2];
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    struct side *side = side_over(ends[0], ends[1]);
    stream_push(&side->stream, &counting);
    side->handle = answer;
    stream_attach(&side->stream, worker);
    for (unsigned turn = 1; turn <= 50; turn++) {
        char answers[6000];
        peer_send(side, worker, answers, turn);
        worker_turn(worker, true);
        ck_assert_uint_eq(reads, turn);
        ck_assert_uint_eq(writes, turn);
        ck_assert_int_eq(peer_read(side, answers, sizeof answers), 6 * turn);
        ck_assert_ptr_null(side->stream.output);
    }
    side_end(side, worker);
}
END_TEST

/* ---- moving between workers ---- */

START_TEST(kept_bytes_move)
{
    struct packets packets = {.pause_after = 1};
    struct side *side = packet_side(&packets);
    stream_attach(&side->stream, &worker[0]);
    size_t length;
    uint8_t *bytes = make_packets(40, 30000, &length);
    size_t sent = 0;
    for (unsigned turn = 0; packets.count < 40 && turn < 2000; turn++) {
        size_t cut = (size_t)random() % 30000;
        cut = cut < length - sent ? cut : length - sent;
        ssize_t n = cut > 0 ? send(side->peer, bytes + sent, cut, 0) : 0;
        sent += n > 0 ? (size_t)n : 0;
        for (unsigned i = 0; i < 2; i++)
            worker_turn(&worker[i], false);
        if (!side->stream.paused)
            continue;
        unsigned home = side->stream.worker->index;
        if (random() % 2)
            stream_resume(&side->stream); // what it asked for at the turn's end is taken back
        stream_detach(&side->stream);
        worker_turn(&worker[home], false);
        stream_attach(&side->stream, &worker[!home]);
        stream_resume(&side->stream);
    }
    ck_assert_uint_eq(packets.count, 40);
    check_all_came(side, bytes, length);
    free(bytes);
    side_end(side, side->stream.worker);
}
END_TEST

START_TEST(destroyed_between)
{
    struct packets packets = {.pause_after = 1};
    struct side *side = packet_side(&packets);
    stream_attach(&side->stream, worker);
    peer_send(side, worker, "\0\0\0\1x\0\0\0\1y", 10);
    worker_turn(worker, false);
    ck_assert_uint_eq(stream_kept(&side->stream), 5);
    stream_detach(&side->stream);
    stream_destroy(&side->stream);
    char byte;
    ck_assert_int_eq(peer_read(side, &byte, 1), -1);
    worker_turn(worker, false);
    side_free(side);
}
END_TEST

static size_t take_nothing(struct side *side, const uint8_t *data, size_t length, size_t *wanted)
{
    (void)side;
    (void)data;
    (void)length;
    (void)wanted;
    return 0;
}

// A stream that ended just before it was handed over tells its new worker.
START_TEST(ended_before_move)
{
    struct side *side = side_new();
    side->handle = take_nothing;
    stream_attach(&side->stream, &worker[0]);
    if (_i)
        peer_send(side, worker, "abc", 3);
    worker_turn(&worker[0], false);
    ck_assert_uint_eq(stream_kept(&side->stream), _i ? 3 : 0);
    stream_abort(&side->stream);
    stream_detach(&side->stream);
    worker_turn(&worker[0], false);
    ck_assert_uint_eq(side->closed, 0);
    stream_attach(&side->stream, &worker[1]);
    side_end(side, &worker[1]);
}
END_TEST

// Descriptor numbers come back at once: the loop must not take a new connection for the old one.
START_TEST(reused_descriptors)
{
    struct side *side = side_new();
    stream_attach(&side->stream, worker);
    for (int round = 0; round < 100; round++) {
        int fd = side->stream.watch.fd;
        if (round % 2) {
            stream_abort(&side->stream);
            worker_turn(worker, false);
        } else {
            stream_detach(&side->stream);
            stream_destroy(&side->stream);
        }
        side_free(side);
        side = side_new();
        ck_assert(side->stream.watch.fd == fd || side->peer == fd);
        stream_attach(&side->stream, &worker[round / 10 % 2]);
        peer_send(side, worker, "abc", 3);
        worker_turn(side->stream.worker, true);
        ck_assert_uint_eq(side->length, 3);
        if (side->stream.worker != worker) {
            stream_detach(&side->stream);
            stream_attach(&side->stream, worker);
        }
    }
    side_end(side, worker);
}
END_TEST

/* ---- memory ---- */

// A header that promises 256 MiB costs what has come of it.
START_TEST(promises_cost_nothing)
{
    struct packets packets = {.hint = true};
    struct side *side = packet_side(&packets);
    stream_attach(&side->stream, worker);
    uint8_t header[] = {0x10, 0, 0, 0};
    peer_send(side, worker, header, 4);
    worker_turn(worker, false);
    ck_assert_uint_le(side->stream.input->capacity, 4096);
    uint8_t bytes[1000] = {0};
    size_t sent = 4;
    for (int i = 0; i < 3000; i++) {
        peer_send(side, worker, bytes, sizeof bytes);
        sent += sizeof bytes;
        worker_turn(worker, false);
        ck_assert_uint_eq(stream_kept(&side->stream), sent);
        CHECK(side->stream.input->capacity <= 2 * sent + 70000);
    }
    ck_assert_uint_le(side->calls, 2);
    side_end(side, worker);
}
END_TEST

// What a large packet needed is not kept for the few bytes behind it.
START_TEST(room_is_given_back)
{
    struct packets packets = {.hint = _i};
    struct side *side = packet_side(&packets);
    stream_attach(&side->stream, worker);
    size_t size = 2000000;
    uint8_t *bytes = memory_zalloc(4 + size + 3);
    bytes[1] = (uint8_t)(size >> 16);
    bytes[2] = (uint8_t)(size >> 8);
    bytes[3] = (uint8_t)size;
    for (int round = 0; round < 3; round++) {
        peer_send(side, worker, bytes, 4 + size + 3); // and the beginning of the next packet
        for (int i = 0; i < 50; i++)
            worker_turn(worker, false);
        ck_assert_int_eq(packets.count, round * 2 + 1);
        ck_assert_uint_eq(stream_kept(&side->stream), 3);
        ck_assert_uint_le(side->stream.input->capacity, 100);
        peer_send(side, worker, "\0", 1); // which is empty
        worker_turn(worker, false);
        ck_assert_int_eq(packets.count, round * 2 + 2);
        ck_assert_ptr_null(side->stream.input);
    }
    free(bytes);
    side_end(side, worker);
}
END_TEST

/* ---- how it ends ---- */

START_TEST(peer_closes)
{
    struct side *side = side_new();
    stream_attach(&side->stream, worker);
    uint8_t bytes[10000];
    fill_bytes(bytes, 0, sizeof bytes);
    peer_send(side, worker, bytes, sizeof bytes);
    close(side->peer);
    side->peer = -1;
    for (int i = 0; i < 3; i++)
        worker_turn(worker, false);
    ck_assert_uint_eq(side->closed, 1);
    ck_assert_int_eq(side->error, 0);
    ck_assert(side->length == sizeof bytes && bytes_are(side->bytes, 0, side->length));
    side_free(side);
}
END_TEST

START_TEST(peer_resets)
{
    struct side *side = side_new_tcp();
    stream_attach(&side->stream, worker);
    if (_i)
        stream_write(&side->stream, "unread", 6);
    worker_turn(worker, false);
    struct linger at_once = {.l_onoff = 1};
    setsockopt(side->peer, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    close(side->peer);
    side->peer = -1;
    worker_turn(worker, true);
    ck_assert_uint_eq(side->closed, 1);
    ck_assert_int_eq(side->error, ECONNRESET);
    side_free(side);
}
END_TEST

static size_t close_inside(struct side *side, const uint8_t *data, size_t length, size_t *wanted)
{
    (void)data;
    (void)wanted;
    if (*(int *)side->argument)
        stream_abort(&side->stream);
    else
        stream_close(&side->stream, 1000);
    CHECK(data[length - 1] == byte_at(length - 1)); // the bytes are still there
    CHECK(!stream_write(&side->stream, "x", 1));
    return 1;
}

// Closed from inside `received`, with the bytes in the scratch or in the stream's own buffer.
START_TEST(closes_inside)
{
    int abort = _i % 2;
    size_t size = _i / 2 ? 100000 : 100;
    struct side *side = side_new();
    side->argument = &abort;
    side->handle = take_nothing;
    stream_attach(&side->stream, worker);
    uint8_t *bytes = memory_alloc(size);
    fill_bytes(bytes, 0, size);
    peer_send(side, worker, bytes, size - 1);
    for (int i = 0; i < 5; i++)
        worker_turn(worker, false);
    ck_assert_uint_eq(stream_kept(&side->stream), size - 1);
    side->handle = close_inside;
    peer_send(side, worker, bytes + size - 1, 1);
    worker_turn(worker, false);
    ck_assert_ptr_null(side->stream.input);
    ck_assert_uint_eq(side->closed, abort ? 1 : 0);
    uint8_t byte;
    ck_assert_int_eq(peer_read(side, &byte, 1), -1); // our end said that nothing more comes
    if (!abort) {
        peer_send(side, worker, bytes, 50); // thrown away
        worker_turn(worker, false);
        ck_assert_uint_eq(side->closed, 0);
        shutdown(side->peer, SHUT_WR);
        worker_turn(worker, false);
    }
    free(bytes);
    side_end(side, worker);
}
END_TEST

static size_t close_second_time(struct side *side, const uint8_t *data, size_t length, size_t *wanted)
{
    (void)wanted;
    if (side->calls == 1) {
        stream_pause(&side->stream);
        return 1;
    }
    CHECK(length == 2 && data[1] == 'c');
    stream_abort(&side->stream);
    return 0;
}

// Ended while its kept bytes are offered at the turn's end: told in the same turn, once.
START_TEST(ends_in_its_task)
{
    struct side *side = side_new();
    side->handle = close_second_time;
    stream_attach(&side->stream, worker);
    peer_send(side, worker, "abc", 3);
    worker_turn(worker, false);
    stream_resume(&side->stream);
    worker_turn(worker, false);
    ck_assert_uint_eq(side->calls, 2);
    side_end(side, worker);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("net stream, reading");
    TCase *tests = tcase_create("reading");
    tcase_set_timeout(tests, 120);
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, every_cut);
    tcase_add_loop_test(tests, random_cuts, 0, 4);
    tcase_add_test(tests, hint_is_honoured);
    tcase_add_loop_test(tests, pause_inside, 0, 4);
    tcase_add_test(tests, pause_and_resume_inside);
    tcase_add_test(tests, pause_outside);
    tcase_add_test(tests, pause_alert);
    tcase_add_test(tests, pause_alert_is_over);
    tcase_add_test(tests, one_read_one_write);
    tcase_add_test(tests, kept_bytes_move);
    tcase_add_test(tests, destroyed_between);
    tcase_add_loop_test(tests, ended_before_move, 0, 2);
    tcase_add_test(tests, reused_descriptors);
    tcase_add_test(tests, promises_cost_nothing);
    tcase_add_loop_test(tests, room_is_given_back, 0, 2);
    tcase_add_test(tests, peer_closes);
    tcase_add_loop_test(tests, peer_resets, 0, 2);
    tcase_add_loop_test(tests, closes_inside, 0, 4);
    tcase_add_test(tests, ends_in_its_task);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
