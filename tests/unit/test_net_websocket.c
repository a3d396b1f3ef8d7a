// WebSocket under a stream: the upgrade in pieces, frames in and out in any shape, control frames, what ends
// it.
#include <stdio.h>

#include "core/net/websocket.h"
#include "test_net_support.h"

#define REQUEST                                                                                              \
    "GET /mqtt HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"                         \
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"                           \
    "Sec-WebSocket-Protocol: mqtt\r\n"

enum { CONTINUATION = 0, TEXT = 1, BINARY = 2, CLOSE = 8, PING = 9, PONG = 10, FIN = 0x80 };

static struct worker *worker;
static struct side *side;
static unsigned released;
static uint8_t got[1 << 20]; // what the peer has read
static size_t got_length;

static void release(void *owner)
{
    CHECK(owner == &released);
    released++;
}

static void begin(const struct cidr *proxies, size_t count)
{
    struct upgrade_rules rules = {
        .path = STR("/mqtt"), .any_origin = true, .proxies = proxies, .proxy_count = count};
    side = count > 0 ? side_new_tcp() : side_new();
    released = 0;
    got_length = 0;
    stream_push(&side->stream, websocket_new(&rules, release, &released));
    stream_attach(&side->stream, worker);
}

static void set_up(void)
{
    worker = workers_new(1);
    srandom(7);
}

static void tear_down(void)
{
    workers_free(worker);
}

static void turn(void)
{
    for (int i = 0; i < 3; i++) {
        worker_turn(worker, false);
        ssize_t n = peer_read(side, got + got_length, sizeof got - got_length);
        if (n > 0)
            got_length += (size_t)n;
    }
}

static void say(const void *bytes, size_t length)
{
    peer_send(side, worker, bytes, length);
    turn();
}

static void open_it(void)
{
    begin(NULL, 0);
    say(REQUEST "\r\n", strlen(REQUEST "\r\n"));
    ck_assert_uint_eq(released, 1);
    ck_assert(got_length > 12 && memcmp(got, "HTTP/1.1 101", 12) == 0);
    got_length = 0;
}

// Appends a frame as a client sends it; returns its end.
static uint8_t *put_frame(uint8_t *to, uint8_t first, const uint8_t *payload, size_t length)
{
    uint8_t mask[4] = {(uint8_t)random(), (uint8_t)random(), (uint8_t)random(), (uint8_t)random()};
    *to++ = first;
    if (length > 65535) {
        *to++ = 0x80 | 127;
        for (int i = 7; i >= 0; i--)
            *to++ = (uint8_t)((uint64_t)length >> 8 * i);
    } else if (length > 125) {
        *to++ = 0x80 | 126;
        *to++ = (uint8_t)(length >> 8);
        *to++ = (uint8_t)length;
    } else {
        *to++ = (uint8_t)(0x80 | length);
    }
    memcpy(to, mask, 4);
    to += 4;
    for (size_t i = 0; i < length; i++)
        *to++ = payload[i] ^ mask[i % 4];
    return to;
}

static void say_frame(uint8_t first, const void *payload, size_t length)
{
    uint8_t bytes[2048];
    say(bytes, (size_t)(put_frame(bytes, first, payload, length) - bytes));
}

// Takes the first frame out of `got`: its first byte, or -1 when there is none whole; the payload at
// `*payload`.
static int take_frame(uint8_t *payload, size_t *length)
{
    if (got_length < 2)
        return -1;
    CHECK(got[1] < 0x80); // a server masks nothing
    size_t head = 2;
    uint64_t size = got[1];
    if (size >= 126) {
        size_t extended = size == 126 ? 2 : 8;
        size = 0;
        for (size_t i = 0; i < extended; i++)
            size = size << 8 | got[2 + i];
        head += extended;
        CHECK(size > (extended == 2 ? 125 : 65535));
    }
    if (got_length < head + size)
        return -1;
    int first = got[0];
    memcpy(payload, got + head, size);
    *length = size;
    got_length -= head + size;
    memmove(got, got + head + size, got_length);
    return first;
}

static void expect_close(unsigned code)
{
    uint8_t payload[200];
    size_t length;
    ck_assert_int_eq(take_frame(payload, &length), FIN | CLOSE);
    ck_assert_uint_eq(length, code ? 2 : 0);
    if (code)
        ck_assert_uint_eq(payload[0] << 8 | payload[1], code);
    ck_assert_uint_eq(got_length, 0);
}

/* ---- the upgrade ---- */

START_TEST(upgrade_in_pieces)
{
    begin(NULL, 0);
    const char *request = REQUEST "\r\n";
    for (size_t i = 0; i < strlen(request); i++) {
        ck_assert_uint_eq(got_length, 0);
        say(request + i, 1);
    }
    ck_assert(got_length > 12 && memcmp(got, "HTTP/1.1 101", 12) == 0);
    ck_assert_uint_eq(released, 1);
    struct transport_facts facts;
    transport_facts(side->stream.transport, &side->stream, &facts);
    ck_assert_str_eq(facts.name, "websocket");
    ck_assert_ptr_null(facts.address);
    side_end(side, worker);
}
END_TEST

START_TEST(bytes_behind_the_upgrade)
{
    uint8_t bytes[1024];
    begin(NULL, 0);
    memcpy(bytes, REQUEST "\r\n", strlen(REQUEST "\r\n"));
    uint8_t *end = put_frame(bytes + strlen(REQUEST "\r\n"), FIN | BINARY, (const uint8_t *)"hello", 5);
    say(bytes, (size_t)(end - bytes));
    ck_assert_uint_eq(side->length, 5);
    ck_assert_mem_eq(side->bytes, "hello", 5);
    side_end(side, worker);
}
END_TEST

START_TEST(refused_upgrades)
{
    static const struct {
        const char *request;
        const char *answer; // its beginning
        const char *why;
    } cases[] = {
        {"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 426 ", "426: a plain HTTP request"},
        {"GET /mqtt HTTP/1.0\r\n\r\n", "HTTP/1.1 505 ", "505: another version of HTTP than 1.1: HTTP/1.0"},
        {"\x16\x03\x01\x02", "", "TLS"},
        {"\x10\x0E", "", "MQTT without WebSocket"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        begin(NULL, 0);
        say(cases[i].request, strlen(cases[i].request));
        ck_assert_uint_eq(side->failed, 1);
        ck_assert_msg(strstr(side->why, cases[i].why), "%s", side->why);
        ck_assert(strncmp((const char *)got, cases[i].answer, strlen(cases[i].answer)) == 0);
        ck_assert(got_length > 0 || !*cases[i].answer);
        side_end(side, worker);
        ck_assert_uint_eq(released, 1);
    }
}
END_TEST

START_TEST(an_endless_upgrade)
{
    static char bytes[20000];
    begin(NULL, 0);
    memset(bytes, 'a', sizeof bytes);
    memcpy(bytes, "GET / HTTP/1.1\r\nX: ", 19);
    say(bytes, sizeof bytes);
    ck_assert_uint_eq(side->failed, 1);
    ck_assert(strncmp((const char *)got, "HTTP/1.1 431 ", 13) == 0);
    side_end(side, worker);
}
END_TEST

START_TEST(gone_during_the_upgrade)
{
    begin(NULL, 0);
    say(REQUEST, strlen(REQUEST));
    close(side->peer);
    side->peer = -1;
    worker_turn(worker, false);
    ck_assert_uint_eq(side->closed, 1);
    ck_assert_uint_eq(side->failed, 0);
    ck_assert_uint_eq(released, 1);
    side_free(side);
}
END_TEST

START_TEST(closed_during_the_upgrade)
{
    begin(NULL, 0);
    say(REQUEST, strlen(REQUEST));
    stream_close(&side->stream, 1000);
    turn();
    ck_assert_uint_eq(got_length, 0);
    side_end(side, worker);
    ck_assert_uint_eq(released, 1);
}
END_TEST

START_TEST(client_behind_a_proxy)
{
    struct cidr local;
    struct transport_facts facts;
    CHECK(cidr_parse(STR("127.0.0.0/8"), &local));
    static const char *const cases[][2] = {{"X-Forwarded-For: 192.0.2.7\r\n", "192.0.2.7:0"},
                                           {"X-Forwarded-For: 2001:db8::7\r\n", "[2001:db8::7]:0"},
                                           {"X-Forwarded-For: nonsense\r\n", NULL},
                                           {"", NULL}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char request[512];
        snprintf(request, sizeof request, "%s%s\r\n", REQUEST, cases[i][0]);
        begin(&local, 1);
        say(request, strlen(request));
        transport_facts(side->stream.transport, &side->stream, &facts);
        ck_assert_pstr_eq(facts.address, cases[i][1]);
        side_end(side, worker);
    }
}
END_TEST

/* ---- data in ---- */

// Frames of all sizes, some of them parts of messages, with control frames between, sent in pieces of all
// sizes.
START_TEST(frames_of_all_shapes)
{
    enum { TOTAL = 600000 };
    uint8_t *wire = memory_alloc(TOTAL * 3);
    uint8_t *payload = memory_alloc(TOTAL);
    open_it();
    fill_bytes(payload, 0, TOTAL);
    uint8_t *end = wire;
    unsigned pings = 0;
    bool inside = false;
    for (size_t done = 0; done < TOTAL;) {
        static const size_t sizes[] = {0, 1, 2, 125, 126, 127, 4096, 65535, 65536, 100000};
        size_t size = random() % 2 ? (size_t)random() % 300 : sizes[random() % 10];
        if (size > TOTAL - done)
            size = TOTAL - done;
        bool more = random() % 3 == 0 && done + size < TOTAL;
        end = put_frame(end, (uint8_t)((more ? 0 : FIN) | (inside ? CONTINUATION : BINARY)), payload + done,
                        size);
        inside = more;
        done += size;
        if (random() % 8 == 0)
            end = put_frame(end, FIN | (random() % 2 ? PING : PONG), payload, (size_t)random() % 126);
    }
    for (const uint8_t *next = wire; next < end;) {
        size_t length = random() % 4 ? 1 + (size_t)random() % 20 : 1 + (size_t)random() % 60000;
        if (length > (size_t)(end - next))
            length = (size_t)(end - next);
        peer_send(side, worker, next, length);
        if (random() % 2) {
            turn();
            for (size_t i; take_frame(payload, &i) == (FIN | PONG);)
                pings++;
            fill_bytes(payload, 0, 256);
        }
        next += length;
    }
    turn();
    ck_assert_uint_eq(side->failed, 0);
    ck_assert_uint_eq(side->length, TOTAL);
    ck_assert(bytes_are(side->bytes, 0, TOTAL));
    ck_assert_uint_gt(pings, 0);
    // Between frames nothing is kept for a connection, not even the reader.
    ck_assert_ptr_nonnull(worker->streams->websocket_reader);
    side_end(side, worker);
    free(wire);
    free(payload);
}
END_TEST

START_TEST(a_reader_is_held_within_a_frame)
{
    uint8_t bytes[64];
    open_it();
    uint8_t *end = put_frame(bytes, FIN | BINARY, (const uint8_t *)"hello", 5);
    for (uint8_t *next = bytes; next < end; next++) {
        say(next, 1);
        bool between = next + 1 == end;
        ck_assert((worker->streams->websocket_reader != NULL) == between);
    }
    ck_assert_mem_eq(side->bytes, "hello", 5);
    // Ended within a frame.
    say(bytes, 3);
    side_end(side, worker);
}
END_TEST

START_TEST(pings)
{
    uint8_t bytes[4096];
    uint8_t payload[200];
    size_t length;
    open_it();
    say_frame(FIN | PING, "abc", 3);
    ck_assert_int_eq(take_frame(payload, &length), FIN | PONG);
    ck_assert(length == 3 && memcmp(payload, "abc", 3) == 0);
    // Of those that come together the last is answered.
    uint8_t *end = bytes;
    for (int i = 0; i < 100; i++) {
        uint8_t number = (uint8_t)i;
        end = put_frame(end, FIN | PING, &number, 1);
    }
    say(bytes, (size_t)(end - bytes));
    ck_assert_int_eq(take_frame(payload, &length), FIN | PONG);
    ck_assert(length == 1 && payload[0] == 99 && got_length == 0);
    ck_assert_uint_eq(side->calls, 0);
    side_end(side, worker);
}
END_TEST

/* ---- the end ---- */

START_TEST(a_peer_says_close)
{
    static const struct {
        const char *payload;
        size_t length;
        unsigned answer;
    } cases[] = {{"", 0, 0}, {"\x03\xE8", 2, 1000}, {"\x03\xE9 bye", 6, 1001}, {"\x0F\xA0", 2, 4000}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint8_t bytes[200];
        open_it();
        // Data before it arrives, what follows it does not count.
        uint8_t *end = put_frame(bytes, FIN | BINARY, (const uint8_t *)"hello", 5);
        end = put_frame(end, FIN | CLOSE, (const uint8_t *)cases[i].payload, cases[i].length);
        end = put_frame(end, FIN | TEXT, (const uint8_t *)"x", 1);
        say(bytes, (size_t)(end - bytes));
        ck_assert_uint_eq(side->length, 5);
        ck_assert_uint_eq(side->closed, 1);
        ck_assert_int_eq(side->error, 0);
        ck_assert_uint_eq(side->failed, 0);
        expect_close(cases[i].answer);
        side_free(side);
    }
}
END_TEST

START_TEST(what_fails)
{
    static const struct {
        const char *bytes; // with a mask of zeros
        size_t length;
        unsigned code;
        const char *why;
    } cases[] = {
        {"\x81\x81\0\0\0\0a", 7, 1003, "text"},
        {"\x82\x01"
         "a",
         3, 1002, "unmasked"},
        {"\xC2\x81\0\0\0\0a", 7, 1002, "reserved"},
        {"\x83\x81\0\0\0\0a", 7, 1002, "unknown"},
        {"\x8B\x80\0\0\0\0", 6, 1002, "unknown"},
        {"\x80\x80\0\0\0\0", 6, 1002, "goes on with no message"},
        {"\x02\x80\0\0\0\0\x82\x80\0\0\0\0", 12, 1002, "within another"},
        {"\x89\xFE\0\x7E\0\0\0\0", 8, 1002, "malformed"},
        {"\x09\x80\0\0\0\0", 6, 1002, "malformed"},
        {"\x82\xFE\0\x7D\0\0\0\0", 8, 1002, "malformed"},
        {"\x82\xFF\0\0\0\0\0\0\xFF\xFF\0\0\0\0", 14, 1002, "malformed"},
        {"\x82\xFF\x80\0\0\0\0\0\0\0\0\0\0\0", 14, 1002, "malformed"},
        {"\x82\xFF\0\0\0\0\x20\0\0\x01\0\0\0\0a", 15, 1009, "512 MiB"},
        {"\x88\x81\0\0\0\0a", 7, 1002, "bad code"},
        {"\x88\x82\0\0\0\0\x03\xED", 8, 1002, "bad code"},
        {"\x88\x82\0\0\0\0\x13\x88", 8, 1002, "bad code"},
        {"\x88\x83\0\0\0\0\x03\xE8\xFF", 9, 1007, "UTF-8"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        open_it();
        say_frame(FIN | BINARY, "hello", 5);
        say(cases[i].bytes, cases[i].length);
        ck_assert_msg(side->failed == 1 && strstr(side->why, cases[i].why), "%zu: %s", i,
                      side->failed ? side->why : "not failed");
        ck_assert_uint_eq(side->length, 5);
        expect_close(cases[i].code);
        side_end(side, worker);
    }
}
END_TEST

// What came before it in the same read is handed up first.
START_TEST(data_before_a_failure)
{
    uint8_t bytes[64];
    open_it();
    uint8_t *end = put_frame(bytes, FIN | BINARY, (const uint8_t *)"hello", 5);
    end = put_frame(end, FIN | TEXT, (const uint8_t *)"hello", 5);
    say(bytes, (size_t)(end - bytes));
    ck_assert_uint_eq(side->length, 5);
    ck_assert_uint_eq(side->failed, 1);
    expect_close(1003);
    side_end(side, worker);
}
END_TEST

START_TEST(we_say_close)
{
    uint8_t payload[64];
    size_t length;
    open_it();
    stream_write(&side->stream, "bye", 3);
    stream_close(&side->stream, 1000);
    turn();
    ck_assert_int_eq(take_frame(payload, &length), FIN | BINARY);
    ck_assert_mem_eq(payload, "bye", 3);
    expect_close(1000);
    ck_assert_uint_eq(side->closed, 0);
    // Nothing more is answered, and the peer's Close ends it.
    say_frame(FIN | PING, "abc", 3);
    ck_assert_uint_eq(got_length, 0);
    say_frame(FIN | CLOSE, "\x03\xE8", 2);
    ck_assert_uint_eq(side->closed, 1);
    ck_assert_uint_eq(got_length, 0);
    side_free(side);
}
END_TEST

/* ---- data out ---- */

START_TEST(one_frame_a_turn)
{
    static uint8_t payload[200000];
    size_t length;
    open_it();
    for (int i = 0; i < 100; i++)
        stream_write(&side->stream, "0123456789", 10);
    turn();
    ck_assert_int_eq(take_frame(payload, &length), FIN | BINARY);
    ck_assert_uint_eq(length, 1000);
    ck_assert_uint_eq(got_length, 0);
    side_end(side, worker);
}
END_TEST

static void keep_block(void *owner)
{
    ++*(unsigned *)owner;
}

// A peer that reads slowly, a socket that takes little: bytes, blocks and pongs, whole frames and in order.
START_TEST(a_slow_peer)
{
    enum { ROUNDS = 300 };
    static uint8_t block[100000];
    static uint8_t payload[1 << 20];
    static uint8_t whole[ROUNDS * 100000];
    unsigned kept = 0;
    unsigned blocks = 0;
    size_t written = 0;
    size_t received = 0;
    unsigned pongs = 0;
    open_it();
    int small = 4096;
    setsockopt(side->stream.watch.fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
    for (int round = 0; round < ROUNDS || received < written; round++) {
        if (round < ROUNDS && stream_pending(&side->stream) < 200000) {
            size_t size = random() % 3 ? 1 + (size_t)random() % 200 : (size_t)random() % sizeof block;
            fill_bytes(block, written, size);
            if (size > 20000) {
                memcpy(whole + written, block, size);
                stream_write_block(&side->stream,
                                   (struct stream_block){whole + written, size, keep_block, &kept});
                blocks++;
            } else {
                stream_write(&side->stream, block, size);
            }
            written += size;
        }
        if (random() % 4 == 0) {
            uint8_t frame[16];
            peer_send(side, worker, frame, (size_t)(put_frame(frame, FIN | PING, block, 4) - frame));
        }
        worker_turn(worker, false);
        size_t most = (size_t)random() % 30000;
        if (most > sizeof got - got_length)
            most = sizeof got - got_length;
        ssize_t n = most > 0 ? peer_read(side, got + got_length, most) : 0;
        if (n > 0)
            got_length += (size_t)n;
        size_t length;
        for (int first; (first = take_frame(payload, &length)) >= 0;) {
            if (first == (FIN | PONG)) {
                pongs++;
                continue;
            }
            ck_assert_int_eq(first, FIN | BINARY);
            ck_assert(bytes_are(payload, received, length));
            received += length;
        }
        CHECK(round < 1000000);
    }
    ck_assert_uint_eq(received, written);
    ck_assert_uint_eq(kept, blocks);
    ck_assert_uint_gt(pongs, 0);
    side_end(side, worker);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("websocket");
    TCase *cases = tcase_create("websocket");
    tcase_add_checked_fixture(cases, set_up, tear_down);
    tcase_set_timeout(cases, 60);
    tcase_add_test(cases, upgrade_in_pieces);
    tcase_add_test(cases, bytes_behind_the_upgrade);
    tcase_add_test(cases, refused_upgrades);
    tcase_add_test(cases, an_endless_upgrade);
    tcase_add_test(cases, gone_during_the_upgrade);
    tcase_add_test(cases, closed_during_the_upgrade);
    tcase_add_test(cases, client_behind_a_proxy);
    tcase_add_test(cases, frames_of_all_shapes);
    tcase_add_test(cases, a_reader_is_held_within_a_frame);
    tcase_add_test(cases, pings);
    tcase_add_test(cases, a_peer_says_close);
    tcase_add_test(cases, what_fails);
    tcase_add_test(cases, data_before_a_failure);
    tcase_add_test(cases, we_say_close);
    tcase_add_test(cases, one_frame_a_turn);
    tcase_add_test(cases, a_slow_peer);
    suite_add_tcase(suite, cases);
    return run_suite(suite);
}
