// What http-auth keeps and for how long; its circuit breakers; what Cache-Control says.
#include "plugins/http-auth/breaker.h"
#include "plugins/http-auth/cache.h"
#include "plugins/http-auth/transfer.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct secret secret = {.key = {1}, .seed = 2};
static struct cache *cache;

static void setup(void)
{
    cache = cache_new(&secret);
    ck_assert_ptr_nonnull(cache);
    cache_limit(cache, 3);
}

static void teardown(void)
{
    cache_free(cache);
}

static struct noctule_string string(const char *text)
{
    return noctule_string_of(text, strlen(text));
}

static struct text key_of(const char *username, const char *client_id, const char *topic)
{
    struct request_facts facts = {
        .username = string(username), .client_id = string(client_id), .topic = string(topic)};
    struct text key = {0};
    ck_assert(request_key(&key, 0, CHECK_ACL, 0, &facts, &secret));
    return key;
}

static void store(const char *topic, long status, uint64_t until_ms, uint64_t stale_ms)
{
    struct text key = key_of("ann", "dev", topic);
    struct answer *answer = answer_read(ANSWER_STATUS, CHECK_ACL, status, NULL, 0);
    cache_store(cache, text_string(&key), answer, until_ms, stale_ms);
    answer_unref(answer);
    text_free(&key);
}

static enum cache_found find(const char *topic, uint64_t now_ms, struct cache_hit *hit)
{
    struct text key = key_of("ann", "dev", topic);
    enum cache_found found = cache_find(cache, text_string(&key), now_ms, hit);
    text_free(&key);
    return found;
}

START_TEST(answers_have_their_time)
{
    struct cache_hit hit;
    store("yes", 200, 100, 0);
    store("no", 403, 50, 0);
    ck_assert_int_eq(find("yes", 99, &hit), CACHE_FRESH);
    ck_assert_int_eq(hit.answer->verdict, NOCTULE_ALLOW);
    ck_assert_uint_eq(hit.until_ms, 100);
    ck_assert_int_eq(find("no", 49, &hit), CACHE_FRESH);
    ck_assert_int_eq(hit.answer->verdict, NOCTULE_DENY);
    ck_assert_int_eq(find("no", 50, &hit), CACHE_NOTHING);
    ck_assert_int_eq(find("yes", 100, &hit), CACHE_NOTHING);
    ck_assert_int_eq(find("other", 0, &hit), CACHE_NOTHING);
    // What is past all use is gone.
    ck_assert_uint_eq(cache_count(cache).entries, 0);
    ck_assert_uint_eq(cache_count(cache).bytes, 0);
}
END_TEST

START_TEST(stale_ones_are_told_apart)
{
    struct cache_hit hit;
    store("yes", 200, 100, 300);
    ck_assert_int_eq(find("yes", 99, &hit), CACHE_FRESH);
    ck_assert_int_eq(find("yes", 100, &hit), CACHE_STALE);
    ck_assert_int_eq(find("yes", 299, &hit), CACHE_STALE);
    ck_assert_int_eq(find("yes", 300, &hit), CACHE_NOTHING);
}
END_TEST

START_TEST(a_new_answer_takes_the_place_of_the_old)
{
    struct cache_hit hit;
    store("t", 200, 100, 0);
    store("t", 403, 200, 0);
    ck_assert_int_eq(find("t", 150, &hit), CACHE_FRESH);
    ck_assert_int_eq(hit.answer->verdict, NOCTULE_DENY);
    ck_assert_uint_eq(cache_count(cache).entries, 1);
}
END_TEST

START_TEST(the_least_recently_used_goes_first)
{
    struct cache_hit hit;
    store("a", 200, 100, 0);
    store("b", 200, 100, 0);
    store("c", 200, 100, 0);
    ck_assert_int_eq(find("a", 1, &hit), CACHE_FRESH);
    store("d", 200, 100, 0);
    ck_assert_int_eq(find("b", 1, &hit), CACHE_NOTHING);
    ck_assert_int_eq(find("a", 1, &hit), CACHE_FRESH);
    ck_assert_int_eq(find("c", 1, &hit), CACHE_FRESH);
    ck_assert_int_eq(find("d", 1, &hit), CACHE_FRESH);
    cache_limit(cache, 1);
    ck_assert_uint_eq(cache_count(cache).entries, 1);
    ck_assert_int_eq(find("d", 1, &hit), CACHE_FRESH);
    cache_limit(cache, 0);
    store("e", 200, 100, 0);
    ck_assert_uint_eq(cache_count(cache).entries, 0);
}
END_TEST

START_TEST(long_keys_do_not_make_it_large)
{
    static char topic[60000];
    cache_limit(cache, 100);
    for (int i = 0; i < 100; i++) {
        snprintf(topic, sizeof topic, "%020000d", i);
        store(topic, 200, 100, 0);
        ck_assert_uint_le(cache_count(cache).bytes, (size_t)100 * CACHE_ENTRY_BYTES);
    }
    ck_assert_uint_ge(cache_count(cache).entries, 4);
    // One that would drive half of the others out is not kept.
    memset(topic, 'x', sizeof topic - 1);
    struct cache_hit hit;
    store(topic, 200, 100, 0);
    ck_assert_int_eq(find(topic, 1, &hit), CACHE_NOTHING);
}
END_TEST

START_TEST(many_entries_stay_findable)
{
    char topic[16];
    struct cache_hit hit;
    cache_limit(cache, 10000);
    for (int i = 0; i < 12000; i++) {
        snprintf(topic, sizeof topic, "t/%d", i);
        store(topic, i % 2 ? 200 : 403, 100, 0);
    }
    ck_assert_uint_eq(cache_count(cache).entries, 10000);
    for (int i = 0; i < 12000; i++) {
        snprintf(topic, sizeof topic, "t/%d", i);
        ck_assert_int_eq(find(topic, 1, &hit), i < 2000 ? CACHE_NOTHING : CACHE_FRESH);
        if (i >= 2000)
            ck_assert_int_eq(hit.answer->verdict, i % 2 ? NOCTULE_ALLOW : NOCTULE_DENY);
    }
}
END_TEST

START_TEST(users_and_clients_are_forgotten)
{
    static const struct {
        const char *username;
        const char *client_id;
    } stored[] = {{"ann", "a"}, {"ann", "b"}, {"bob", "a"}, {"ann", ""}};
    struct answer *answer = answer_read(ANSWER_STATUS, CHECK_ACL, 200, NULL, 0);
    struct noctule_string any = {NULL, 0};
    cache_limit(cache, 4);
    for (unsigned turn = 0; turn < 4; turn++) {
        for (size_t i = 0; i < 4; i++) {
            struct text key = key_of(stored[i].username, stored[i].client_id, "t");
            cache_store(cache, text_string(&key), answer, 100, 0);
            text_free(&key);
        }
        static const size_t gone[] = {3, 3, 2, 4};
        struct noctule_string username = turn == 0 || turn == 2 ? string("ann") : any;
        struct noctule_string client_id = turn == 1 || turn == 2 ? string("a") : any;
        ck_assert_uint_eq(cache_forget(cache, username, client_id), gone[turn]);
        ck_assert_uint_eq(cache_count(cache).entries, 4 - gone[turn]);
    }
    answer_unref(answer);
}
END_TEST

START_TEST(lifetimes_vary_both_ways)
{
    uint64_t state = 88172645463325252U;
    uint64_t least = UINT64_MAX;
    uint64_t most = 0;
    ck_assert_uint_eq(lifetime_vary(300, 0, &state), 300);
    ck_assert_uint_eq(lifetime_vary(0, 30, &state), 0);
    for (int i = 0; i < 10000; i++) {
        uint64_t lifetime = lifetime_vary(300, 30, &state);
        least = lifetime < least ? lifetime : least;
        most = lifetime > most ? lifetime : most;
    }
    ck_assert_uint_eq(least, 270);
    ck_assert_uint_eq(most, 330);
    for (int i = 0; i < 1000; i++)
        ck_assert_uint_le(lifetime_vary(5, 30, &state), 35);
}
END_TEST

// ---- Circuit breakers ----------------------------------------------------------------------------------

static struct breaker breaker;

static void breaker_setup(void)
{
    breaker_init(&breaker, 3, 1000);
}

static void breaker_teardown(void)
{
    breaker_destroy(&breaker);
}

static void break_it(uint64_t now_ms)
{
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(breaker_ask(&breaker, now_ms), BREAKER_GO);
        ck_assert_int_eq(breaker_tell(&breaker, false, false, now_ms),
                         i < 2 ? BREAKER_UNCHANGED : BREAKER_OPENED);
    }
}

START_TEST(failures_in_a_row_open_it)
{
    for (int i = 0; i < 10; i++) {
        ck_assert_int_eq(breaker_tell(&breaker, false, false, 0), BREAKER_UNCHANGED);
        ck_assert_int_eq(breaker_tell(&breaker, false, false, 0), BREAKER_UNCHANGED);
        ck_assert_int_eq(breaker_tell(&breaker, false, true, 0), BREAKER_UNCHANGED);
    }
    ck_assert(!breaker_refuses(&breaker, 0) && !breaker_is_open(&breaker));
    break_it(5);
    ck_assert(breaker_refuses(&breaker, 5) && breaker_refuses(&breaker, 1004) && breaker_is_open(&breaker));
    ck_assert_int_eq(breaker_ask(&breaker, 1004), BREAKER_REFUSED);
    // Those that were under way come home.
    ck_assert_int_eq(breaker_tell(&breaker, false, false, 6), BREAKER_UNCHANGED);
    ck_assert_int_eq(breaker_tell(&breaker, false, true, 7), BREAKER_UNCHANGED);
    ck_assert_int_eq(breaker_ask(&breaker, 8), BREAKER_REFUSED);
}
END_TEST

START_TEST(one_tries_and_closes_it)
{
    break_it(0);
    ck_assert(!breaker_refuses(&breaker, 1000));
    ck_assert_int_eq(breaker_ask(&breaker, 1000), BREAKER_PROBE);
    ck_assert(breaker_refuses(&breaker, 99999));
    ck_assert_int_eq(breaker_ask(&breaker, 99999), BREAKER_REFUSED);
    ck_assert_int_eq(breaker_tell(&breaker, true, true, 1100), BREAKER_CLOSED_AGAIN);
    ck_assert(!breaker_is_open(&breaker));
    // It counts from the beginning.
    break_it(1200);
}
END_TEST

START_TEST(one_that_fails_keeps_it_open)
{
    break_it(0);
    ck_assert_int_eq(breaker_ask(&breaker, 1000), BREAKER_PROBE);
    ck_assert_int_eq(breaker_tell(&breaker, true, false, 1500), BREAKER_UNCHANGED);
    ck_assert_int_eq(breaker_ask(&breaker, 2499), BREAKER_REFUSED);
    ck_assert_int_eq(breaker_ask(&breaker, 2500), BREAKER_PROBE);
}
END_TEST

START_TEST(a_turn_that_is_given_back_is_the_next_ones)
{
    break_it(0);
    ck_assert_int_eq(breaker_ask(&breaker, 1000), BREAKER_PROBE);
    breaker_return(&breaker);
    ck_assert_int_eq(breaker_ask(&breaker, 1001), BREAKER_PROBE);
}
END_TEST

START_TEST(zero_failures_is_never)
{
    struct breaker never;
    breaker_init(&never, 0, 1000);
    for (int i = 0; i < 1000; i++)
        ck_assert_int_eq(breaker_tell(&never, false, false, 0), BREAKER_UNCHANGED);
    ck_assert_int_eq(breaker_ask(&never, 0), BREAKER_GO);
    breaker_destroy(&never);
}
END_TEST

// ---- Cache-Control -------------------------------------------------------------------------------------

static const struct {
    const char *line;
    bool said;
    bool forbidden;
    uint64_t milliseconds;
} lines[] = {
    {"Cache-Control: max-age=60\r\n", true, false, 60000},
    {"cache-control:max-age=0", true, false, 0},
    {"CACHE-CONTROL: private, MAX-AGE=5 , must-revalidate\r\n", true, false, 5000},
    {"Cache-Control: max-age=\"7\"\r\n", true, false, 7000},
    {"Cache-Control: max-age=99999999999999999999999\r\n", true, false, 999999999000},
    {"Cache-Control: max-age=60, no-store\r\n", true, true, 60000},
    {"Cache-Control: no-cache\r\n", false, true, 0},
    {"Cache-Control: no-cache=\"Set-Cookie\"\r\n", false, true, 0},
    {"Cache-Control: max-age=\r\n", false, false, 0},
    {"Cache-Control: max-age=-1\r\n", false, false, 0},
    {"Cache-Control: s-maxage=60\r\n", false, false, 0},
    {"Cache-Control:", false, false, 0},
    {"Cache-Control: ,,,\r\n", false, false, 0},
    {"X-Cache-Control: max-age=60\r\n", false, false, 0},
    {"Cache-Contro", false, false, 0},
    {"", false, false, 0},
};

START_TEST(cache_control_is_read)
{
    struct transfer_lifetime lifetime = {0};
    lifetime_read(&lifetime, string(lines[_i].line));
    ck_assert_int_eq(lifetime.said, lines[_i].said);
    ck_assert_int_eq(lifetime.forbidden, lines[_i].forbidden);
    ck_assert_uint_eq(lifetime.milliseconds, lines[_i].milliseconds);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("http_auth_cache");
    TCase *tests = tcase_create("cache");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, answers_have_their_time);
    tcase_add_test(tests, stale_ones_are_told_apart);
    tcase_add_test(tests, a_new_answer_takes_the_place_of_the_old);
    tcase_add_test(tests, the_least_recently_used_goes_first);
    tcase_add_test(tests, long_keys_do_not_make_it_large);
    tcase_add_test(tests, many_entries_stay_findable);
    tcase_add_test(tests, users_and_clients_are_forgotten);
    tcase_add_test(tests, lifetimes_vary_both_ways);
    suite_add_tcase(suite, tests);
    TCase *breakers = tcase_create("breaker");
    tcase_add_checked_fixture(breakers, breaker_setup, breaker_teardown);
    tcase_add_test(breakers, failures_in_a_row_open_it);
    tcase_add_test(breakers, one_tries_and_closes_it);
    tcase_add_test(breakers, one_that_fails_keeps_it_open);
    tcase_add_test(breakers, a_turn_that_is_given_back_is_the_next_ones);
    tcase_add_test(breakers, zero_failures_is_never);
    suite_add_tcase(suite, breakers);
    TCase *headers = tcase_create("cache control");
    tcase_add_loop_test(headers, cache_control_is_read, 0, sizeof lines / sizeof *lines);
    suite_add_tcase(suite, headers);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
