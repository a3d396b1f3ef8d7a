/* The $SYS tree over readings made for the test: what is published when, and the averages. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plugins/sys-stats/tree.h"

static char published[16384]; /* "topic text", line by line */
static int32_t answer;

static int32_t host_publish(struct noctule_instance *instance, const struct noctule_publication *publication)
{
    (void)instance;
    ck_assert_uint_eq(publication->retain, 1);
    size_t used = strlen(published);
    snprintf(published + used, sizeof(published) - used, "%.*s %.*s\n", (int)publication->topic.length,
             publication->topic.data, (int)publication->payload.length, publication->payload.data);
    return answer;
}

static const struct noctule_host host = {.size = sizeof(host), .publish = host_publish};

static struct topics topics;
static struct tree tree;
static uint64_t now_ms;

static void setup(void)
{
    topics = (struct topics){.host = &host};
    tree = (struct tree){0};
    answer = NOCTULE_OK;
    now_ms = 1000;
    published[0] = '\0';
}

static void teardown(void)
{
    topics_clear(&topics);
    tree_clear(&tree);
}

/* An update after so many seconds; `received` packets have come in all. */
static void update(uint64_t seconds, int64_t received)
{
    struct readings readings = {.worker_count = 1};
    readings.workers = calloc(1, sizeof(*readings.workers));
    readings.instances = calloc(1, sizeof(*readings.instances));
    readings.instance_count = 1;
    strcpy(readings.instances[0].name, "rules");
    readings.instances[0].decisions = received;
    readings.instances[0].decision_us = (uint64_t)received * 7;
    readings.values[READ_PACKETS_RECEIVED] = received;
    readings.workers[0].cpu_us = received * 1000;
    published[0] = '\0';
    now_ms += seconds * 1000;
    tree_update(&tree, &topics, &readings, now_ms, now_ms);
}

static bool said(const char *topic, const char *text)
{
    char line[256];
    snprintf(line, sizeof(line), "$SYS/broker/%s %s\n", topic, text);
    return strstr(published, line) != NULL;
}

START_TEST(everything_first_then_what_has_changed)
{
    update(0, 0);
    ck_assert(said("load/messages/received/1min", "0.00"));
    ck_assert(said("clients/total", "0"));
    ck_assert(said("plugins/rules/latency_us", "0"));
    ck_assert(said("workers/0/load", "0.00"));
    ck_assert(said("retained messages/count", "0"));
    update(10, 0);
    ck_assert_str_eq(published, "$SYS/broker/uptime 11 seconds\n");
    update(10, 3);
    ck_assert(said("messages/received", "3"));
    ck_assert(said("plugins/rules/latency_us", "7"));
    ck_assert(!strstr(published, "clients/"));
}
END_TEST

START_TEST(averages_decay)
{
    update(0, 0);
    double load = 0;
    for (int i = 1; i <= 6; i++) {
        update(10, i * 100);
        load = 600 + exp(-10.0 / 60) * (load - 600);
        char text[32];
        snprintf(text, sizeof(text), "%.2f", load);
        ck_assert_msg(said("load/messages/received/1min", text), "%s is not in\n%s", text, published);
    }
    ck_assert(said("load/messages/received/15min", "38.70"));
    for (int i = 0; i < 90; i++)
        update(10, 600);
    ck_assert(fabs(tree.loads[0][0]) < 0.01);
    ck_assert(tree.loads[0][2] > 13);
}
END_TEST

START_TEST(load_of_a_worker)
{
    update(0, 0);
    update(10, 5000); /* five seconds of the ten */
    ck_assert(said("workers/0/load", "0.50"));
}
END_TEST

START_TEST(what_could_not_be_published_comes_again)
{
    answer = NOCTULE_E_LIMIT;
    update(0, 0);
    answer = NOCTULE_OK;
    update(10, 0);
    ck_assert(said("clients/total", "0"));
    update(10, 0);
    ck_assert(!said("clients/total", "0"));
}
END_TEST

START_TEST(clearing_empties_what_was_published)
{
    update(0, 0);
    published[0] = '\0';
    topics_clear(&topics);
    ck_assert(said("uptime", ""));
    ck_assert(said("plugins/rules/pending", ""));
    published[0] = '\0';
    topics_clear(&topics);
    ck_assert_str_eq(published, "");
}
END_TEST

START_TEST(long_names_and_texts)
{
    char name[512];
    char text[512];
    memset(name, 'n', sizeof(name) - 1);
    memset(text, 't', sizeof(text) - 1);
    name[sizeof(name) - 1] = text[sizeof(text) - 1] = '\0';
    topics_put(&topics, name, "x");
    ck_assert_str_eq(published, "");
    topics_put(&topics, "short", text);
    ck_assert_uint_eq(strlen(published), strlen("$SYS/broker/short \n") + 63);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("sys-stats");
    TCase *all = tcase_create("all");
    tcase_add_checked_fixture(all, setup, teardown);
    tcase_add_test(all, everything_first_then_what_has_changed);
    tcase_add_test(all, averages_decay);
    tcase_add_test(all, load_of_a_worker);
    tcase_add_test(all, what_could_not_be_published_comes_again);
    tcase_add_test(all, clearing_empties_what_was_published);
    tcase_add_test(all, long_names_and_texts);
    suite_add_tcase(suite, all);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
