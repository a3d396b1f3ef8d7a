// Layers under a stream: bytes inside them, what they say by themselves, goodbyes, failures, waiting.
#include <poll.h>

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

/* ---- a layer of records: one byte of length, then that many bytes, each turned over ---- */

enum { RECORD_END = 0, RECORD_BAD = 255, RECORD_HOLD = 254, RECORD_ECHO = 253, RECORD_MOST = 200 };

struct layer {
    struct transport transport; // first
    uint8_t in[4096];           // as read from below
    size_t in_start;
    size_t in_end;
    size_t record;        // bytes left of the record that is being handed up
    uint8_t out[1 << 16]; // not yet taken by the layer below
    size_t out_length;
    size_t at_most;  // handed up with one read
    unsigned closed; // calls
    unsigned said_goodbye;
    bool failed;
    bool ended;
};

static int pass_on(struct layer *layer, struct stream *stream)
{
    while (layer->out_length > 0) {
        struct iovec piece = {layer->out, layer->out_length};
        ssize_t n = transport_write(layer->transport.below, stream, &piece, 1);
        if (n <= 0)
            return -1;
        layer->out_length -= (size_t)n;
        memmove(layer->out, layer->out + n, layer->out_length);
    }
    return transport_write(layer->transport.below, stream, NULL, 0) < 0 ? -1 : 0;
}

static void put_record(struct layer *layer, const void *data, size_t length)
{
    const uint8_t *bytes = data;
    CHECK(layer->out_length + length + 1 <= sizeof layer->out);
    layer->out[layer->out_length++] = (uint8_t)length;
    for (size_t i = 0; i < length; i++)
        layer->out[layer->out_length++] = (uint8_t)~bytes[i];
}

// Takes the head of the next record; false when nothing can be handed up, errno says why.
static bool next_record(struct layer *layer, struct stream *stream)
{
    static uint8_t echo[100];
    switch (layer->in[layer->in_start++]) {
    case RECORD_BAD:
        layer->failed = true;
        put_record(layer, "alert", 5);
        pass_on(layer, stream);
        errno = EPROTO;
        return false;
    case RECORD_HOLD:
        stream_hold(stream);
        errno = EAGAIN;
        return false;
    case RECORD_ECHO:
        put_record(layer, echo, sizeof echo);
        pass_on(layer, stream);
        return true;
    case RECORD_END:
        layer->ended = true;
        return true;
    default:
        layer->record = layer->in[layer->in_start - 1];
        return true;
    }
}

static ssize_t layer_read(struct transport *transport, struct stream *stream, void *buffer, size_t size)
{
    struct layer *layer = (struct layer *)transport;
    CHECK(!layer->failed && !stream->held);
    while (layer->record == 0 || layer->in_start == layer->in_end) {
        if (layer->ended)
            return 0;
        if (layer->in_start == layer->in_end) {
            ssize_t n = transport_read(transport->below, stream, layer->in, sizeof layer->in);
            if (n <= 0)
                return n;
            layer->in_start = 0;
            layer->in_end = (size_t)n;
        }
        if (layer->record == 0 && !next_record(layer, stream))
            return -1;
    }
    size_t length = layer->in_end - layer->in_start;
    length = length < layer->record ? length : layer->record;
    length = length < size ? length : size;
    length = length < layer->at_most ? length : layer->at_most;
    for (size_t i = 0; i < length; i++)
        ((uint8_t *)buffer)[i] = (uint8_t)~layer->in[layer->in_start + i];
    layer->in_start += length;
    layer->record -= length;
    return (ssize_t)length;
}

static ssize_t layer_write(struct transport *transport, struct stream *stream, const struct iovec *pieces,
                           int count)
{
    struct layer *layer = (struct layer *)transport;
    CHECK(!layer->failed);
    if (pass_on(layer, stream) < 0)
        return -1;
    ssize_t taken = 0;
    for (int i = 0; i < count; i++)
        for (size_t sent = 0; sent < pieces[i].iov_len;) {
            size_t length = pieces[i].iov_len - sent;
            length = length < RECORD_MOST ? length : RECORD_MOST;
            put_record(layer, (const uint8_t *)pieces[i].iov_base + sent, length);
            sent += length;
            taken += (ssize_t)length;
            if (pass_on(layer, stream) < 0)
                return errno == EAGAIN ? taken : -1;
        }
    return taken;
}

static size_t layer_pending(const struct transport *transport)
{
    const struct layer *layer = (const struct layer *)transport;
    return layer->in_end - layer->in_start;
}

static bool layer_wants_write(const struct transport *transport)
{
    return ((const struct layer *)transport)->out_length > 0;
}

static int layer_shutdown(struct transport *transport, struct stream *stream)
{
    struct layer *layer = (struct layer *)transport;
    CHECK(!layer->failed);
    if (layer->said_goodbye++ == 0)
        put_record(layer, "", 0);
    if (pass_on(layer, stream) < 0)
        return -1;
    return transport_shutdown(transport->below, stream);
}

static void layer_close(struct transport *transport, struct stream *stream)
{
    struct layer *layer = (struct layer *)transport;
    CHECK(stream->watch.fd >= 0 && layer->closed++ == 0);
}

static const char *layer_why(const struct transport *transport)
{
    return ((const struct layer *)transport)->failed ? "a bad record" : NULL;
}

static void layer_facts(const struct transport *transport, const struct stream *stream,
                        struct transport_facts *facts)
{
    (void)transport;
    (void)stream;
    facts->psk_identity = facts->address;
    facts->address = facts->address ? "upper" : "lower";
}

static const struct transport_type layer_type = {
    .name = "records",
    .read = layer_read,
    .write = layer_write,
    .pending = layer_pending,
    .wants_write = layer_wants_write,
    .shutdown = layer_shutdown,
    .close = layer_close,
    .why = layer_why,
    .facts = layer_facts,
};

/* ---- sides over one or two such layers ---- */

static struct layer lower;
static struct layer upper;

static struct side *over_layers(struct side *side, int count)
{
    lower = upper = (struct layer){.transport.type = &layer_type, .at_most = 7};
    stream_push(&side->stream, &lower.transport);
    if (count > 1)
        stream_push(&side->stream, &upper.transport);
    return side;
}

// What the peer has to send so that `length` bytes come out of `count` layers.
static uint8_t *wrap(const uint8_t *bytes, size_t *length, int count)
{
    uint8_t *wrapped = memory_alloc(*length * 2 + 16);
    size_t used = 0;
    for (size_t i = 0; i < *length;) {
        size_t record = 1 + (size_t)random() % RECORD_MOST;
        record = record < *length - i ? record : *length - i;
        wrapped[used++] = (uint8_t)record;
        for (size_t end = i + record; i < end; i++)
            wrapped[used++] = (uint8_t)~bytes[i];
    }
    *length = used;
    if (count == 1)
        return wrapped;
    uint8_t *twice = wrap(wrapped, length, count - 1);
    free(wrapped);
    return twice;
}

// The reverse, of what the peer has got. Goodbyes are counted.
static size_t unwrap(uint8_t *bytes, size_t length, int count, unsigned *goodbyes)
{
    size_t used = 0;
    for (size_t at = 0; at < length;) {
        size_t record = bytes[at++];
        *goodbyes += record == 0;
        CHECK(at + record <= length);
        for (size_t end = at + record; at < end; at++)
            bytes[used++] = (uint8_t)~bytes[at];
    }
    return count == 1 ? used : unwrap(bytes, used, count - 1, goodbyes);
}

static uint8_t plain[50000];

static void turns(int count)
{
    for (int i = 0; i < count; i++)
        for (int k = 0; k < 2; k++)
            worker_turn(&worker[k], false);
}

// All that was sent comes out in the turn in which it came in, however little a layer hands up at once.
START_TEST(nothing_stays_inside)
{
    int count = 1 + _i;
    struct side *side = over_layers(side_new(), count);
    stream_attach(&side->stream, worker);
    fill_bytes(plain, 0, sizeof plain);
    for (size_t length = 1; length < 1500; length += 13) {
        size_t size = length;
        uint8_t *wrapped = wrap(plain, &size, count);
        side->length = 0;
        peer_send(side, worker, wrapped, size);
        worker_turn(worker, true);
        CHECK(side->length == length && bytes_are(side->bytes, 0, length));
        free(wrapped);
    }
    side_end(side, worker);
    ck_assert_uint_eq(lower.closed, 1);
    ck_assert_uint_eq(upper.closed, (unsigned)_i);
}
END_TEST

static size_t pause_always(struct side *side, const uint8_t *data, size_t length, size_t *wanted)
{
    (void)data;
    (void)wanted;
    stream_pause(&side->stream);
    return length > 3 ? 3 : length;
}

// Paused with bytes in a layer and none in the socket: they come on after stream_resume, not before.
START_TEST(paused_with_bytes_inside)
{
    int count = 1 + _i;
    struct side *side = over_layers(side_new(), count);
    side->handle = pause_always;
    stream_attach(&side->stream, worker);
    size_t size = 1000;
    fill_bytes(plain, 0, size);
    uint8_t *wrapped = wrap(plain, &size, count);
    peer_send(side, worker, wrapped, size);
    free(wrapped);
    while (side->length < 1000) {
        size_t before = side->length;
        turns(2);
        CHECK(side->stream.paused && side->length - before <= 3 && side->length > before);
        before = side->length;
        turns(2);
        CHECK(side->length == before);
        stream_resume(&side->stream);
        CHECK(side->length == before);
    }
    CHECK(bytes_are(side->bytes, 0, 1000));
    side_end(side, worker);
}
END_TEST

// A stream moves with what its layers hold, both ways.
START_TEST(layers_move)
{
    int count = 1 + _i;
    struct side *side = over_layers(side_new(), count);
    side->handle = pause_always;
    stream_attach(&side->stream, worker);
    size_t size = 900;
    fill_bytes(plain, 0, size);
    uint8_t *wrapped = wrap(plain, &size, count);
    peer_send(side, worker, wrapped, size);
    free(wrapped);
    for (unsigned moves = 0; side->length < 900; moves++) {
        turns(2);
        CHECK(side->stream.paused);
        if (moves == 3)
            put_record(&lower, "moved along", 11);
        stream_detach(&side->stream);
        turns(1);
        stream_attach(&side->stream, &worker[moves % 2]);
        stream_resume(&side->stream);
    }
    CHECK(bytes_are(side->bytes, 0, 900));
    turns(2);
    uint8_t got[100];
    unsigned goodbyes = 0;
    ck_assert_int_eq(peer_read(side, got, sizeof got), 12);
    ck_assert_uint_eq(unwrap(got, 12, 1, &goodbyes), 11);
    ck_assert_mem_eq(got, "moved along", 11);
    side_end(side, side->stream.worker);
}
END_TEST

static void small_buffers(struct side *side)
{
    int size = 2000;
    CHECK(setsockopt(side->stream.watch.fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size) == 0);
}

// Reads all that comes until the end, or until `most`; with turns in between.
static size_t read_all(struct side *side, uint8_t *bytes, size_t room, size_t most)
{
    size_t length = 0;
    for (int idle = 0; idle < 200 && length < most;) {
        ssize_t n = peer_read(side, bytes + length, room - length < 900 ? room - length : 900);
        if (n < 0)
            break;
        idle = n > 0 ? 0 : idle + 1;
        length += (size_t)n;
        turns(1);
    }
    return length;
}

// A slow reader gets everything in order, then the goodbyes of all layers, then the end.
START_TEST(slow_reader)
{
    int count = 1 + _i;
    struct side *side = over_layers(side_new(), count);
    small_buffers(side);
    stream_attach(&side->stream, worker);
    fill_bytes(plain, 0, sizeof plain);
    ck_assert(stream_write(&side->stream, plain, sizeof plain));
    turns(3);
    CHECK(side->stream.writing && stream_pending(&side->stream) > 0);
    stream_close(&side->stream, 60000);
    turns(3);
    ck_assert_uint_eq(lower.said_goodbye + upper.said_goodbye, 0);
    static uint8_t got[sizeof plain * 2];
    size_t length = read_all(side, got, sizeof got, SIZE_MAX);
    unsigned goodbyes = 0;
    ck_assert_uint_eq(unwrap(got, length, count, &goodbyes), sizeof plain);
    CHECK(bytes_are(got, 0, sizeof plain));
    ck_assert_uint_eq(goodbyes, (unsigned)count);
    ck_assert_uint_eq(side->closed, 0);
    shutdown(side->peer, SHUT_WR);
    turns(2);
    ck_assert_uint_eq(side->closed, 1);
    ck_assert_int_eq(side->error, 0);
    side_free(side);
}
END_TEST

// What a layer says by itself waits for the socket without the owner's doing, and is told as a stall.
START_TEST(layer_waits_for_the_socket)
{
    struct side *side = over_layers(side_new(), 1);
    small_buffers(side);
    stream_attach(&side->stream, worker);
    unsigned asked = 0;
    uint8_t echo = RECORD_ECHO;
    while (lower.out_length == 0 && asked++ < 10000) {
        peer_send(side, worker, &echo, 1);
        turns(1);
    }
    CHECK(lower.out_length > 0 && side->stream.writing);
    ck_assert_uint_eq(side->calls, 0);
    worker->now_ms += 5000;
    ck_assert_uint_ge(stream_stalled_ms(&side->stream), 4000);
    static uint8_t got[1 << 20];
    size_t length = read_all(side, got, sizeof got, asked * 101);
    ck_assert_uint_eq(length, asked * 101);
    turns(2);
    CHECK(!side->stream.writing && !side->stream.output);
    ck_assert_uint_eq(stream_stalled_ms(&side->stream), 0);
    side_end(side, worker);
}
END_TEST

// The owner hears the layer's words once, the peer gets the alert and then the end.
START_TEST(layer_fails)
{
    struct side *side = over_layers(side_new_tcp(), 1 + _i % 2);
    side->careless = _i >= 2;
    stream_attach(&side->stream, worker);
    stream_write(&side->stream, "never sent", 10);
    uint8_t bad[] = {RECORD_BAD, 1, 2, 3};
    peer_send(side, worker, bad, sizeof bad);
    for (int i = 0; i < 50 && !side->failed; i++)
        worker_turn(worker, true);
    ck_assert_uint_eq(side->failed, 1);
    ck_assert_str_eq(side->why, "a bad record");
    CHECK(!stream_reserve(&side->stream, 1));
    peer_send(side, worker, bad, side->careless ? 0 : sizeof bad);
    uint8_t got[100];
    struct pollfd poll_peer = {.fd = side->peer, .events = POLLIN};
    ck_assert_int_eq(poll(&poll_peer, 1, 5000), 1);
    ssize_t length = peer_read(side, got, sizeof got);
    unsigned goodbyes = 0;
    // What was written before the failure may have left already.
    ck_assert_int_ge(length, 6);
    size_t unwrapped = unwrap(got, (size_t)length, 1, &goodbyes);
    ck_assert_uint_ge(unwrapped, 5);
    ck_assert_mem_eq(got + unwrapped - 5, "alert", 5);
    ck_assert_uint_eq(side->closed, side->careless);
    shutdown(side->peer, SHUT_WR);
    for (int i = 0; i < 50 && !side->closed; i++)
        worker_turn(worker, true);
    ck_assert_uint_eq(side->closed, 1);
    ck_assert_uint_eq(side->failed, 1);
    side_free(side);
}
END_TEST

// A layer that waits for something else is not asked, and nobody is woken more than once, whatever comes.
START_TEST(layer_holds)
{
    struct side *side = over_layers(side_new(), 1);
    stream_attach(&side->stream, worker);
    uint8_t bytes[] = {RECORD_HOLD, 1, (uint8_t) ~'a'};
    peer_send(side, worker, bytes, sizeof bytes);
    turns(2);
    CHECK(side->stream.held);
    peer_send(side, worker, bytes + 1, 2);
    turns(3);
    CHECK(side->stream.watch.interest == 0);
    ck_assert_uint_eq(side->calls, 0);
    stream_unhold(&side->stream);
    ck_assert_uint_eq(side->calls, 0);
    turns(2);
    ck_assert_uint_eq(side->length, 2);
    stream_unhold(&side->stream);
    // Closed while it waits: the layer says no goodbye, and is asked nothing more.
    peer_send(side, worker, bytes, 1);
    turns(2);
    CHECK(side->stream.held);
    stream_close(&side->stream, 60000);
    peer_send(side, worker, bytes, sizeof bytes);
    turns(2);
    CHECK(lower.said_goodbye == 0 && side->closed == 0);
    char byte;
    ck_assert_int_eq(peer_read(side, &byte, 1), -1);
    shutdown(side->peer, SHUT_WR);
    turns(2);
    ck_assert_uint_eq(side->closed, 1);
    side_free(side);
}
END_TEST

START_TEST(facts_of_all_layers)
{
    struct side *side = over_layers(side_new(), 0);
    struct transport_facts facts;
    transport_facts(&transport_socket, &side->stream, &facts);
    ck_assert_ptr_null(facts.address);
    stream_push(&side->stream, &upper.transport);
    transport_facts(side->stream.transport, &side->stream, &facts);
    ck_assert_str_eq(facts.address, "upper");
    ck_assert_str_eq(facts.psk_identity, "lower");
    stream_destroy(&side->stream);
    ck_assert_uint_eq(lower.closed + upper.closed, 2);
    side_free(side);
}
END_TEST

START_TEST(names_of_stacks)
{
    static const struct transport_type tls = {.name = "tls", .close = layer_close};
    static const struct transport_type websocket = {.name = "websocket", .close = layer_close};
    static const struct {
        const struct transport_type *first;
        const struct transport_type *second;
        const char *name;
    } stacks[] = {{&tls, NULL, "tls"}, {&websocket, NULL, "websocket"}, {&tls, &websocket, "wss"}};
    struct side *side = side_new();
    struct transport_facts facts;
    transport_facts(side->stream.transport, &side->stream, &facts);
    ck_assert_str_eq(facts.name, "tcp");
    ck_assert(!facts.has_credentials);
    lower = (struct layer){.transport.type = stacks[_i].first};
    upper = (struct layer){.transport.type = stacks[_i].second};
    stream_push(&side->stream, &lower.transport);
    if (stacks[_i].second)
        stream_push(&side->stream, &upper.transport);
    transport_facts(side->stream.transport, &side->stream, &facts);
    ck_assert_str_eq(facts.name, stacks[_i].name);
    stream_destroy(&side->stream);
    side_free(side);
}
END_TEST

START_TEST(peer_of_a_unix_socket)
{
    struct side *side = side_new(); // one end of a socketpair, which this process has made
    stream_is_unix(&side->stream);
    struct transport_facts facts;
    transport_facts(side->stream.transport, &side->stream, &facts);
    ck_assert_str_eq(facts.name, "unix");
    ck_assert(facts.has_credentials);
    ck_assert_uint_eq(facts.uid, geteuid());
    ck_assert_uint_eq(facts.gid, getegid());
    ck_assert_int_eq(facts.pid, getpid());
    stream_destroy(&side->stream);
    side_free(side);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("transport");
    TCase *group = tcase_create("layers");
    tcase_add_checked_fixture(group, set_up, tear_down);
    tcase_set_timeout(group, 60);
    tcase_add_loop_test(group, nothing_stays_inside, 0, 2);
    tcase_add_loop_test(group, paused_with_bytes_inside, 0, 2);
    tcase_add_loop_test(group, layers_move, 0, 2);
    tcase_add_loop_test(group, slow_reader, 0, 2);
    tcase_add_test(group, layer_waits_for_the_socket);
    tcase_add_loop_test(group, layer_fails, 0, 4);
    tcase_add_test(group, layer_holds);
    tcase_add_test(group, facts_of_all_layers);
    tcase_add_loop_test(group, names_of_stacks, 0, 3);
    tcase_add_test(group, peer_of_a_unix_socket);
    suite_add_tcase(suite, group);
    return run_suite(suite);
}
