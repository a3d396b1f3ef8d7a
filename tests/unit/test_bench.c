// The load generator's parts: histogram, ledger, URLs, options, WebSocket frames.
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/memory.h"
#include "core/bench/histogram.h"
#include "core/bench/ledger.h"
#include "core/bench/topics.h"
#include "core/bench/websocket.h"
#include "core/cli/bench.h"

// ---- histogram -----------------------------------------------------------------------------------------

START_TEST(buckets_are_in_order_and_narrow)
{
    size_t before = 0;
    for (uint64_t value = 0; value < 5000000; value += 1 + value / 1000) {
        size_t bucket = histogram_bucket(value);
        ck_assert_uint_ge(bucket, before);
        ck_assert_uint_lt(bucket, HISTOGRAM_BUCKETS);
        before = bucket;
    }
    ck_assert_uint_eq(histogram_bucket(127), 127);
    ck_assert_uint_eq(histogram_bucket(128), 128);
    ck_assert_uint_eq(histogram_bucket(255), 255);
    ck_assert_uint_eq(histogram_bucket(256), 256);
    ck_assert_uint_eq(histogram_bucket(257), 256);
    ck_assert_uint_eq(histogram_bucket(UINT64_MAX), HISTOGRAM_BUCKETS - 1);
}
END_TEST

START_TEST(quantiles_are_exact_enough)
{
    struct histogram *histogram = memory_zalloc(sizeof *histogram);
    ck_assert_uint_eq(histogram_quantile(histogram, 0.5), 0);
    ck_assert_double_eq(histogram_mean(histogram), 0);
    for (uint64_t i = 1; i <= 100000; i++)
        histogram_add(histogram, i * 1000, 1);
    static const double quantiles[] = {0.001, 0.1, 0.5, 0.9, 0.99, 0.999};
    for (size_t i = 0; i < sizeof quantiles / sizeof *quantiles; i++) {
        double exact = quantiles[i] * 100000 * 1000;
        double found = (double)histogram_quantile(histogram, quantiles[i]);
        ck_assert_double_le(found, exact * 1.008);
        ck_assert_double_ge(found, exact * 0.992);
    }
    ck_assert_uint_eq(histogram_quantile(histogram, 0), 1000);
    ck_assert_uint_eq(histogram_quantile(histogram, 1), 100000000);
    ck_assert_double_eq_tol(histogram_mean(histogram), 50000500, 1);
    free(histogram);
}
END_TEST

START_TEST(quantiles_of_few_values)
{
    struct histogram *histogram = memory_zalloc(sizeof *histogram);
    histogram_add(histogram, 7, 99);
    histogram_add(histogram, 1000003, 1);
    ck_assert_uint_eq(histogram->count, 100);
    ck_assert_uint_eq(histogram_quantile(histogram, 0.99), 7);
    ck_assert_uint_eq(histogram_quantile(histogram, 0.991), 1000003);
    ck_assert_uint_eq(histogram_quantile(histogram, 1), 1000003);
    free(histogram);
}
END_TEST

// ---- ledger --------------------------------------------------------------------------------------------

START_TEST(ledger_knows_loss_duplicates_and_order)
{
    struct ledger ledger = {0};
    ledger_open(&ledger, 2);
    struct ledger_slot *slot = &ledger.slots[1];
    static const uint32_t numbers[] = {0, 1, 5, 3, 3, 6, 1, 2, 9};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        ledger_note(&ledger, slot, numbers[i]);
    // Came: 0 1 2 3 5 6 9. Not: 4 7 8.
    ck_assert_uint_eq(ledger.delivered, 7);
    ck_assert_uint_eq(ledger.passed, 10);
    ck_assert_uint_eq(ledger.duplicates, 2);
    ck_assert_uint_eq(ledger.reordered, 2);
    ck_assert_uint_eq(slot->gap_count, 2);
    ledger_note(&ledger, slot, 8);
    ledger_note(&ledger, slot, 7);
    ledger_note(&ledger, slot, 4);
    ck_assert_uint_eq(ledger.delivered, 10);
    ck_assert_uint_eq(slot->gap_count, 0);
    ledger_close(&ledger);
}
END_TEST

// ---- targets and options -------------------------------------------------------------------------------

struct url_case {
    const char *url;
    const char *host; // NULL: refused, or a unix socket
    unsigned port;
    const char *path;
    bool tls;
    bool websocket;
};

START_TEST(urls)
{
    static const struct url_case cases[] = {
        {"mqtt://a", "a", 1883, "/", false, false},
        {"mqtt://a/", "a", 1883, "/", false, false},
        {"mqtts://a.example:1", "a.example", 1, "/", true, false},
        {"mqtt://[::1]:99", "::1", 99, "/", false, false},
        {"mqtt://[::1]", "::1", 1883, "/", false, false},
        {"ws://h:8080/mqtt", "h", 8080, "/mqtt", false, true},
        {"wss://h", "h", 443, "/", true, true},
        {"unix:/run/x", NULL, 0, "/run/x", false, false},
        {"unix:///run/x", NULL, 0, "/run/x", false, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct bench_target target;
        char *problem = NULL;
        ck_assert_msg(bench_target_parse(cases[i].url, &target, &problem), "%s: %s", cases[i].url, problem);
        ck_assert_pstr_eq(target.host, cases[i].host);
        ck_assert_str_eq(target.path, cases[i].path);
        ck_assert_uint_eq(target.port, cases[i].port);
        ck_assert(target.tls == cases[i].tls && target.websocket == cases[i].websocket);
        bench_target_clear(&target);
    }
}
END_TEST

START_TEST(wrong_urls)
{
    static const char *const cases[] = {
        "",
        "a:1883",
        "http://a",
        "mqtt://",
        "mqtt://:1",
        "mqtt://a:",
        "mqtt://a:0",
        "mqtt://a:65536",
        "mqtt://a:1x",
        "mqtt://a/topic",
        "mqtt://u:p@a:1",
        "mqtt://[::1",
        "mqtt://[::1]1",
        "unix:",
        "mqtt://a:+1",
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct bench_target target;
        char *problem = NULL;
        ck_assert_msg(!bench_target_parse(cases[i], &target, &problem), "%s", cases[i]);
        ck_assert_ptr_nonnull(problem);
        free(problem);
        bench_target_clear(&target);
    }
}
END_TEST

// Parses the words of `line` behind "bench".
static enum bench_parsed parse(const char *line, struct bench_options *options, char **problem)
{
    static char text[512];
    char *arguments[32] = {text};
    int count = 1;
    snprintf(text, sizeof text, "bench %s", line);
    text[5] = '\0';
    for (char *word = strtok(text + 6, " "); word; word = strtok(NULL, " "))
        arguments[count++] = word;
    return bench_options_read(count, arguments, options, problem);
}

START_TEST(options_have_defaults)
{
    struct bench_options options;
    char *problem = NULL;
    ck_assert_int_eq(parse("fan-out --qos 1 --clients 2k --inflight 9", &options, &problem), BENCH_PARSED);
    ck_assert_uint_eq(options.clients, 2000);
    ck_assert_uint_eq(options.window, 100);
    ck_assert_uint_eq(options.batch, 5);
    ck_assert_str_eq(options.target.text, "mqtt://127.0.0.1:1883");
    ck_assert_ptr_nonnull(strstr(options.client_id, "%i"));
    bench_target_clear(&options.target);
    ck_assert_int_eq(parse("latency --client-id-prefix x- --insecure --host ::1", &options, &problem),
                     BENCH_PARSED);
    ck_assert_double_eq(options.rate, 1000);
    ck_assert_str_eq(options.client_id, "x-%i");
    ck_assert_str_eq(options.target.text, "mqtts://[::1]:8883");
    bench_target_clear(&options.target);
    ck_assert_int_eq(parse("pairs --help", &options, &problem), BENCH_WANTS_HELP);
}
END_TEST

START_TEST(wrong_options)
{
    static const char *const cases[] = {
        "",
        "nothing",
        "pairs --nothing",
        "pairs --clients",
        "pairs --clients 0",
        "pairs --clients x",
        "pairs --clients -1",
        "pairs --clients 1e99",
        "pairs --clients nan",
        "pairs --qos 3",
        "pairs --mqtt 6",
        "pairs --payload 19",
        "pairs --port 65536",
        "pairs extra",
        "pairs --pid 999999999",
        "pairs --topic a/#",
        "pairs --tls-version 1.1",
        "pairs --key k",
        "pairs --password p",
        "pairs --url mqtt://a --port 5",
        "pairs --url mqtt://a --insecure",
        "pairs --url a",
        "pairs --clients 1M --topics 1M",
        "connect --rate 5",
        "retained --rate 5",
        "retained --publishers 20k",
        "subscriptions --subscriptions 10",
        "subscriptions --plus 0.6 --hash 0.6",
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct bench_options options;
        char *problem = NULL;
        ck_assert_msg(parse(cases[i], &options, &problem) == BENCH_WRONG, "%s", cases[i]);
        ck_assert_ptr_nonnull(problem);
        free(problem);
        bench_target_clear(&options.target);
    }
}
END_TEST

// ---- topics --------------------------------------------------------------------------------------------

START_TEST(topics_and_filters)
{
    struct bench_options options = {.topic = "t", .plus = 0.3, .hash = 0.3};
    struct bench bench = {
        .options = &options, .topics = {.word = "s", .tail = "/v", .tree = true}, .filters = FILTERS_MIXED};
    struct subscriber subscriber = {.first_stream = 1000, .streams = 1000};
    char topic[TOPIC_MAX];
    char filter[TOPIC_MAX];
    size_t digits = bench_topic_name(&bench, 12345678, topic);
    ck_assert_str_eq(topic, "t/s/12345/678/v");
    bench_topic_digits(&bench.topics, 9, (uint8_t *)topic + digits);
    ck_assert_str_eq(topic, "t/s/00000/009/v");
    unsigned plus = 0;
    unsigned hash = 0;
    for (uint32_t i = 0; i < 1000; i++) {
        bench_topic_filter(&bench, &subscriber, i, filter);
        plus += strchr(filter, '+') != NULL;
        hash += strchr(filter, '#') != NULL;
        ck_assert_uint_eq(strtoul(strchr(filter + 4, '/') + 1, NULL, 10), i);
    }
    ck_assert_uint_ge(plus, 250);
    ck_assert_uint_le(plus, 350);
    ck_assert_uint_ge(hash, 250);
    ck_assert_uint_le(hash, 350);
}
END_TEST

// ---- WebSocket -----------------------------------------------------------------------------------------

START_TEST(frames_of_every_length)
{
    static const size_t sizes[] = {0, 1, 125, 126, 65535, 65536, 70000};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        uint8_t *room = memory_zalloc(SEND_HEADROOM + sizes[i]);
        uint8_t *data = room + SEND_HEADROOM;
        uint8_t *frame = bench_websocket_frame(data, sizes[i], 2);
        size_t head = (size_t)(data - frame);
        ck_assert_uint_eq(frame[0], 0x82);
        ck_assert_uint_eq(frame[1] & 0x80, 0x80);
        uint64_t length = frame[1] & 0x7F;
        size_t bytes = length == 126 ? 2 : length == 127 ? 8 : 0;
        if (bytes > 0)
            length = 0;
        for (size_t k = 0; k < bytes; k++)
            length = length << 8 | frame[2 + k];
        ck_assert_uint_eq(length, sizes[i]);
        ck_assert_uint_eq(head, 6 + bytes);
        free(room);
    }
}
END_TEST

// A server's frames, cut at every place, give the same bytes.
START_TEST(frames_in_pieces)
{
    uint8_t stream[600] = {0x02, 3, 'a', 'b', 'c', 0x80, 0, 0x8A, 1, '!', 0x82, 126, 1, 0};
    const size_t length = 14 + 256;
    memset(stream + 14, 'x', 256);
    for (size_t cut = 1; cut < length; cut++) {
        struct websocket websocket = {0};
        struct bench bench = {0};
        struct connection connection = {.fd = -1, .state = CONNECTION_READY, .websocket = &websocket};
        uint8_t bytes[600];
        memcpy(bytes, stream, length);
        ssize_t first = bench_websocket_unwrap(&bench, &connection, bytes, cut);
        ssize_t second = bench_websocket_unwrap(&bench, &connection, bytes + cut, length - cut);
        ck_assert_int_ge(first, 0);
        ck_assert_int_eq(first + second, 259);
        memmove(bytes + first, bytes + cut, (size_t)second);
        ck_assert_mem_eq(bytes, "abcxxx", 6);
    }
}
END_TEST

START_TEST(frames_that_are_wrong)
{
    static const uint8_t heads[][4] = {{0x81, 1},           {0x82, 0x81}, {0x83, 0},
                                       {0x89, 126, 0, 126}, {0x8B, 0},    {0x88, 0}};
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) {
        struct bench bench = {.tolerant = true};
        struct connection connection = {.fd = -1, .state = CONNECTION_READY};
        connection.websocket = memory_zalloc(sizeof *connection.websocket);
        uint8_t bytes[4];
        memcpy(bytes, heads[i], sizeof bytes);
        ck_assert_int_eq(bench_websocket_unwrap(&bench, &connection, bytes, sizeof bytes), -1);
        ck_assert_uint_eq(connection.state, CONNECTION_CLOSED);
        free(bench.problem);
    }
}
END_TEST

START_TEST(answers_to_the_upgrade)
{
    static const char good[] =
        "HTTP/1.1 101 x\r\nupgrade: websocket\r\nSEC-WEBSOCKET-ACCEPT:  right\r\n\r\nrest";
    static const char *const wrong[] = {
        "HTTP/1.1 404 Not Found\r\n\r\n",
        "HTTP/1.1 101 x\r\n\r\n",
        "HTTP/1.1 101 x\r\nSec-WebSocket-Accept: wrong\r\n\r\n",
        "\r\n\r\n",
    };
    char accept[] = "right";
    struct bench bench = {.accept = accept};
    char *problem = NULL;
    ssize_t used = bench_websocket_upgraded(&bench, (const uint8_t *)good, sizeof good - 1, &problem);
    ck_assert_int_eq(used, (ssize_t)sizeof good - 1 - 4);
    for (size_t length = 0; length < (size_t)used; length++)
        ck_assert_int_eq(bench_websocket_upgraded(&bench, (const uint8_t *)good, length, &problem), 0);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        ck_assert_int_eq(
            bench_websocket_upgraded(&bench, (const uint8_t *)wrong[i], strlen(wrong[i]), &problem), -1);
        ck_assert_ptr_nonnull(problem);
        free(problem);
    }
    uint8_t *endless = memory_zalloc(10000);
    ck_assert_int_eq(bench_websocket_upgraded(&bench, endless, 10000, &problem), -1);
    free(problem);
    free(endless);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("bench");
    TCase *tests = tcase_create("all");
    tcase_add_test(tests, buckets_are_in_order_and_narrow);
    tcase_add_test(tests, quantiles_are_exact_enough);
    tcase_add_test(tests, quantiles_of_few_values);
    tcase_add_test(tests, ledger_knows_loss_duplicates_and_order);
    tcase_add_test(tests, urls);
    tcase_add_test(tests, wrong_urls);
    tcase_add_test(tests, options_have_defaults);
    tcase_add_test(tests, wrong_options);
    tcase_add_test(tests, topics_and_filters);
    tcase_add_test(tests, frames_of_every_length);
    tcase_add_test(tests, frames_in_pieces);
    tcase_add_test(tests, frames_that_are_wrong);
    tcase_add_test(tests, answers_to_the_upgrade);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
