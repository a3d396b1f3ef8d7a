/* What a scrape gets and asks: escaping, families, formats, headers, tokens. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "plugins/prometheus/escape.h"
#include "plugins/prometheus/exposition.h"
#include "plugins/prometheus/request.h"
#include "plugins/prometheus/token.h"

static char text[65536];

static const char *drain(struct evbuffer *buffer)
{
    int length = evbuffer_remove(buffer, text, sizeof(text) - 1);
    text[length < 0 ? 0 : length] = '\0';
    evbuffer_free(buffer);
    return text;
}

static const char *escaped(const char *string, size_t length, enum escape_place place)
{
    struct evbuffer *out = evbuffer_new();
    ck_assert(escape_add(out, noctule_string_of(string, length), place));
    return drain(out);
}

START_TEST(escaping)
{
    static const struct {
        const char *in;
        size_t length;
        const char *label;
        const char *help;
    } cases[] = {
        {"plain", 5, "plain", "plain"},
        {"a\"b\\c\nd", 7, "a\\\"b\\\\c\\nd", "a\"b\\\\c\\nd"},
        {"\0\x1b[31m\x7f", 7, "\xEF\xBF\xBD\xEF\xBF\xBD[31m\xEF\xBF\xBD",
         "\xEF\xBF\xBD\xEF\xBF\xBD[31m\xEF\xBF\xBD"},
        {"\xC3\xA4\xE2\x82\xAC\xF0\x9F\xA6\x87", 9, "\xC3\xA4\xE2\x82\xAC\xF0\x9F\xA6\x87",
         "\xC3\xA4\xE2\x82\xAC\xF0\x9F\xA6\x87"},
        {"\xC0\x80", 2, "\xEF\xBF\xBD\xEF\xBF\xBD", "\xEF\xBF\xBD\xEF\xBF\xBD"}, /* too long */
        {"\xED\xA0\x80x", 4, "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBDx",            /* surrogate */
         "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBDx"},
        {"\xF4\x90\x80\x80", 4, "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD", /* too large */
         "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"},
        {"\xE2\x82", 2, "\xEF\xBF\xBD\xEF\xBF\xBD", "\xEF\xBF\xBD\xEF\xBF\xBD"}, /* cut off */
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        ck_assert_str_eq(escaped(cases[i].in, cases[i].length, ESCAPE_LABEL), cases[i].label);
        ck_assert_str_eq(escaped(cases[i].in, cases[i].length, ESCAPE_HELP), cases[i].help);
    }
    char *huge = malloc(65536);
    memset(huge, 'x', 65536);
    ck_assert_uint_eq(strlen(escaped(huge, 65536, ESCAPE_LABEL)), ESCAPE_MOST);
    free(huge);
}
END_TEST

START_TEST(labels)
{
    struct evbuffer *out = evbuffer_new();
    ck_assert(escape_own_label(out, "plugin", NOCTULE_STRING("a")));
    ck_assert(escape_label(out, NOCTULE_STRING("plugin"), NOCTULE_STRING("b")));
    ck_assert(escape_label(out, NOCTULE_STRING("le"), NOCTULE_STRING("c")));
    ck_assert(escape_label(out, NOCTULE_STRING("9 lives"), NOCTULE_STRING("d")));
    ck_assert(escape_label(out, NOCTULE_STRING("__x"), NOCTULE_STRING("e")));
    ck_assert(escape_label(out, NOCTULE_STRING(""), NOCTULE_STRING("f\"} 1\n")));
    ck_assert_str_eq(drain(out), "plugin=\"a\",label_plugin=\"b\",label_le=\"c\",label_9_lives=\"d\","
                                 "label___x=\"e\",label_=\"f\\\"} 1\\n\"");
}
END_TEST

static const char *exposed(enum exposition_format format, const struct noctule_metric_value *metrics,
                           size_t count)
{
    struct exposition *exposition = exposition_new(format);
    struct evbuffer *out = evbuffer_new();
    for (size_t i = 0; i < count; i++)
        exposition_add(&metrics[i], exposition);
    ck_assert(exposition_write(exposition, out));
    exposition_free(exposition);
    return drain(out);
}

static struct noctule_metric_value metric(uint32_t kind, const char *instance, const char *name,
                                          const char *unit, int64_t value)
{
    return (struct noctule_metric_value){
        .size = sizeof(struct noctule_metric_value),
        .kind = kind,
        .instance = noctule_string_of(instance, strlen(instance)),
        .name = noctule_string_of(name, strlen(name)),
        .help = NOCTULE_STRING("h\nelp"),
        .value = value,
        .unit = noctule_string_of(unit, strlen(unit)),
    };
}

START_TEST(families_are_gathered)
{
    const struct noctule_metric_value metrics[] = {
        metric(NOCTULE_COUNTER, "a", "verdicts_allow", "", 1),
        metric(NOCTULE_GAUGE, "a", "level", "bytes", -5),
        metric(NOCTULE_COUNTER, "b", "verdicts_allow", "", 2),
        metric(NOCTULE_COUNTER, "b", "level", "bytes", 7), /* another kind: left out */
        metric(NOCTULE_COUNTER, "b", "things_total", "", 9007199254740993),
        metric(NOCTULE_COUNTER, "", "worker cpu", "microseconds", 1500000),
        metric(9, "", "unknown", "", 1),
    };
    size_t count = sizeof(metrics) / sizeof(*metrics);
    ck_assert_str_eq(exposed(EXPOSITION_TEXT, metrics, count),
                     "# HELP noctule_plugin_verdicts_total h\\nelp\n"
                     "# TYPE noctule_plugin_verdicts_total counter\n"
                     "noctule_plugin_verdicts_total{plugin=\"a\",verdict=\"allow\"} 1\n"
                     "noctule_plugin_verdicts_total{plugin=\"b\",verdict=\"allow\"} 2\n"
                     "# HELP noctule_plugin_level_bytes h\\nelp\n"
                     "# TYPE noctule_plugin_level_bytes gauge\n"
                     "noctule_plugin_level_bytes{plugin=\"a\"} -5\n"
                     "# HELP noctule_plugin_things_total h\\nelp\n"
                     "# TYPE noctule_plugin_things_total counter\n"
                     "noctule_plugin_things_total{plugin=\"b\"} 9007199254740993\n"
                     "# HELP noctule_worker_cpu_seconds_total h\\nelp\n"
                     "# TYPE noctule_worker_cpu_seconds_total counter\n"
                     "noctule_worker_cpu_seconds_total 1.500000\n");
    ck_assert_str_eq(exposed(EXPOSITION_OPENMETRICS, metrics + 5, 1),
                     "# HELP noctule_worker_cpu_seconds h\\nelp\n"
                     "# TYPE noctule_worker_cpu_seconds counter\n"
                     "# UNIT noctule_worker_cpu_seconds seconds\n"
                     "noctule_worker_cpu_seconds_total 1.500000\n# EOF\n");
}
END_TEST

START_TEST(histograms)
{
    static const uint64_t buckets[] = {1, 2, 4};
    static const uint64_t bounds[] = {10, 1000000};
    struct noctule_metric_value histogram = metric(NOCTULE_HISTOGRAM, "a", "duration", "", 4);
    histogram.total = 2000011;
    histogram.buckets = buckets;
    histogram.bucket_bounds = bounds;
    histogram.bucket_count = 3;
    const char *samples = strstr(exposed(EXPOSITION_TEXT, &histogram, 1), "histogram\n");
    ck_assert_ptr_nonnull(samples);
    ck_assert_str_eq(samples, "histogram\n"
                              "noctule_plugin_duration_seconds_bucket{plugin=\"a\",le=\"0.00001\"} 1\n"
                              "noctule_plugin_duration_seconds_bucket{plugin=\"a\",le=\"1.0\"} 2\n"
                              "noctule_plugin_duration_seconds_bucket{plugin=\"a\",le=\"+Inf\"} 4\n"
                              "noctule_plugin_duration_seconds_sum{plugin=\"a\"} 2.000011\n"
                              "noctule_plugin_duration_seconds_count{plugin=\"a\"} 4\n");
}
END_TEST

START_TEST(hostile_metrics)
{
    char name[2048];
    memset(name, '\n', sizeof(name));
    struct noctule_metric_label many[64];
    char value[600];
    memset(value, '"', sizeof(value));
    for (size_t i = 0; i < 64; i++)
        many[i] = (struct noctule_metric_label){noctule_string_of(name, i),
                                                noctule_string_of(value, sizeof(value))};
    struct noctule_metric_value bad = metric(NOCTULE_GAUGE, "a", "b", "", 1);
    bad.name = noctule_string_of(name, sizeof(name));
    bad.unit = noctule_string_of(name, sizeof(name));
    bad.help = noctule_string_of(name, sizeof(name));
    bad.instance = noctule_string_of(name, sizeof(name));
    bad.labels = many;
    bad.label_count = 2;
    const char *lines = exposed(EXPOSITION_OPENMETRICS, &bad, 1);
    size_t breaks = 0;
    for (const char *at = lines; *at; at++)
        breaks += *at == '\n';
    ck_assert_uint_eq(breaks, 5); /* HELP, TYPE, UNIT, the sample, EOF */
    bad.label_count = 64;         /* more than fit: no sample, rather than another one */
    ck_assert_str_eq(exposed(EXPOSITION_OPENMETRICS, &bad, 1), "# EOF\n");
}
END_TEST

START_TEST(headers)
{
    ck_assert_int_eq(request_format(NULL), EXPOSITION_TEXT);
    ck_assert_int_eq(request_format(""), EXPOSITION_TEXT);
    ck_assert_int_eq(request_format(" , ,"), EXPOSITION_TEXT);
    ck_assert_int_eq(request_format("a/b, application/openmetrics-text"), EXPOSITION_OPENMETRICS);
    ck_assert_int_eq(request_format("application/openmetrics-text;q=0.0"), EXPOSITION_TEXT);
    ck_assert_int_eq(request_format("application/openmetrics-text;q"), EXPOSITION_OPENMETRICS);
    ck_assert_int_eq(request_format("application/openmetrics-text;;q=0;"), EXPOSITION_TEXT);
    ck_assert(request_is_authorized(NULL, NULL));
    ck_assert(request_is_authorized("Bearer abc", "abc"));
    ck_assert(!request_is_authorized(NULL, "abc"));
    ck_assert(!request_is_authorized("Bearer abcabc", "abc"));
    ck_assert(!request_is_authorized("Bearer ", "abc"));
    ck_assert(!request_is_authorized("Bearer a", "abc"));
}
END_TEST

START_TEST(tokens)
{
    const char *problem;
    char *token = token_copy("abc", 3, &problem);
    ck_assert_str_eq(token, "abc");
    free(token);
    ck_assert_ptr_null(token_copy("", 0, &problem));
    ck_assert_ptr_null(token_copy("a b", 3, &problem));
    ck_assert_ptr_null(token_copy("a\0b", 3, &problem));
    char path[] = "/tmp/token-XXXXXX";
    int fd = mkstemp(path);
    char large[2000];
    memset(large, 'x', sizeof(large));
    ck_assert_int_eq(write(fd, "abc\r\n", 5), 5);
    token = token_read(path, strlen(path), &problem);
    ck_assert_str_eq(token, "abc");
    free(token);
    ck_assert_int_eq(write(fd, large, sizeof(large)), (int)sizeof(large));
    ck_assert_ptr_null(token_read(path, strlen(path), &problem));
    ck_assert_int_eq(ftruncate(fd, 0), 0);
    ck_assert_ptr_null(token_read(path, strlen(path), &problem));
    close(fd);
    unlink(path);
    ck_assert_ptr_null(token_read(path, strlen(path), &problem));
    ck_assert_str_eq(problem, "No such file or directory");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("prometheus");
    TCase *all = tcase_create("all");
    tcase_add_test(all, escaping);
    tcase_add_test(all, labels);
    tcase_add_test(all, families_are_gathered);
    tcase_add_test(all, histograms);
    tcase_add_test(all, hostile_metrics);
    tcase_add_test(all, headers);
    tcase_add_test(all, tokens);
    suite_add_tcase(suite, all);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
