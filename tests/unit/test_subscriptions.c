#include "core/topic/subscriptions.h"
#include "test_topic_support.h"

static struct subscriptions *subs;
static struct subscription_matches found;

static void set_up(void)
{
    subs = subscriptions_new(2);
}

static void tear_down(void)
{
    subscription_matches_free(&found);
    subscriptions_free(subs);
}

static struct subscription *add(uint64_t session, const char *filter)
{
    bool existed = true;
    struct subscription *subscription = subscriptions_add(subs, session, str_of(filter), 1, 0, &existed);
    ck_assert(!existed);
    return subscription;
}

static size_t match(const char *topic)
{
    subscriptions_match(subs, 1, str_of(topic), &found);
    return found.count;
}

static bool is_target(uint64_t session)
{
    for (size_t i = 0; i < found.count; i++)
        if (found.targets[i].session == session)
            return true;
    return false;
}

START_TEST(one_subscriber)
{
    ck_assert_uint_eq(match("a/b"), 0);
    bool existed;
    struct subscription *handle = subscriptions_add(subs, 7, STR("a/b"), 0x1D, 99, &existed);
    ck_assert(!existed);
    ck_assert_uint_eq(match("a/b"), 1);
    ck_assert_uint_eq(found.targets[0].session, 7);
    ck_assert_uint_eq(found.targets[0].options, 0x1D);
    ck_assert_uint_eq(found.targets[0].identifier, 99);
    ck_assert(!found.targets[0].covered && !found.targets[0].shared && found.targets[0].group == 0);
    ck_assert(!found.may_repeat);
    ck_assert_uint_eq(match("a"), 0);
    ck_assert_uint_eq(match("a/b/c"), 0);
    ck_assert_uint_eq(subscription_options(handle), 0x1D);
    ck_assert_uint_eq(subscription_identifier(handle), 99);
    ck_assert(!subscription_is_shared(handle) && !subscription_is_covered(handle));
    subscriptions_remove(subs, handle);
    ck_assert_uint_eq(match("a/b"), 0);
    ck_assert_uint_eq(subscriptions_count(subs, NULL), 0);
}
END_TEST

// Replacing keeps the handle and what was learnt about it, for a lone subscriber and in a crowd. [v5 3.8.4]
START_TEST(replacing)
{
    for (uint64_t others = 0; others < 5; others++) {
        struct subscription *handle = add(1000, "x/+");
        subscription_set_covered(handle, true);
        for (uint64_t i = 1; i <= others; i++)
            add(i, "x/+");
        bool existed = false;
        ck_assert_ptr_eq(subscriptions_add(subs, 1000, STR("x/+"), 2, 5, &existed), handle);
        ck_assert(existed);
        ck_assert_uint_eq(match("x/y"), others + 1);
        for (size_t i = 0; i < found.count; i++) {
            bool own = found.targets[i].session == 1000;
            ck_assert_uint_eq(found.targets[i].identifier, own ? 5 : 0);
            ck_assert_uint_eq(found.targets[i].options, own ? 2 : 1);
            ck_assert(found.targets[i].covered == own);
        }
        ck_assert_uint_eq(subscriptions_count(subs, NULL), others + 1);
        for (uint64_t i = 1; i <= others; i++)
            subscriptions_remove(subs, subscriptions_find(subs, i, STR("x/+")));
        subscriptions_remove(subs, handle);
    }
}
END_TEST

START_TEST(wildcards)
{
    add(1, "#");
    add(2, "+/b");
    add(3, "a/#");
    add(4, "a/b/#");
    add(5, "+/+/+");
    add(6, "$SYS/#");
    add(7, "+/monitor");
    add(8, "a/+/c");
    ck_assert_uint_eq(match("a/b"), 4);
    ck_assert(is_target(1) && is_target(2) && is_target(3) && is_target(4) && found.may_repeat);
    ck_assert_uint_eq(match("a/b/c"), 5);
    ck_assert(is_target(1) && is_target(3) && is_target(4) && is_target(5) && is_target(8));
    ck_assert_uint_eq(match("$SYS/monitor"), 1);
    ck_assert(is_target(6));
    ck_assert_uint_eq(match("$SYS"), 1);
    ck_assert_uint_eq(match("a"), 2);
    ck_assert_uint_eq(match("/"), 1);
    ck_assert(is_target(1) && !found.may_repeat);
}
END_TEST

START_TEST(finding)
{
    ck_assert_ptr_null(subscriptions_find(subs, 1, STR("a")));
    struct subscription *plain = add(1, "a");
    struct subscription *shared = add(1, "$share/a/a");
    struct subscription *plus = add(1, "a/+");
    struct subscription *far = add((UINT64_C(1) << 56) + 1, "a");
    ck_assert_ptr_eq(subscriptions_find(subs, 1, STR("a")), plain);
    ck_assert_ptr_eq(subscriptions_find(subs, 1, STR("$share/a/a")), shared);
    ck_assert_ptr_eq(subscriptions_find(subs, 1, STR("a/+")), plus);
    ck_assert_ptr_eq(subscriptions_find(subs, (UINT64_C(1) << 56) + 1, STR("a")), far);
    ck_assert_ptr_null(subscriptions_find(subs, 2, STR("a")));
    ck_assert_ptr_null(subscriptions_find(subs, 1, STR("$share/b/a")));
    ck_assert_ptr_null(subscriptions_find(subs, 1, STR("a/#")));
    ck_assert_ptr_null(subscriptions_find(subs, 1, STR("a/#/b")));
    uint64_t shared_count;
    ck_assert_uint_eq(subscriptions_count(subs, &shared_count), 4);
    ck_assert_uint_eq(shared_count, 1);
}
END_TEST

START_TEST(filter_text)
{
    static const char *const filters[] = {"a",   "/",      "a/b/c",       "+",           "#",
                                          "+/+", "/+//+/", "a/+/b/#",     "$SYS/+",      "$share/g/a/b",
                                          "//#", "+/a//#", "$share/g//+", "$share/gg/#", "$share/g/$SYS/a"};
    char *buffer = malloc(65536);
    for (size_t i = 0; i < sizeof filters / sizeof *filters; i++) {
        struct subscription *handle = add(1, filters[i]);
        size_t length = strlen(filters[i]);
        ck_assert_uint_eq(subscription_filter(handle, buffer, 65536), length);
        ck_assert_str_eq(buffer, filters[i]);
        ck_assert_uint_eq(subscription_filter(handle, buffer, length + 1), length);
        ck_assert_str_eq(buffer, filters[i]);
        ck_assert_uint_eq(subscription_filter(handle, buffer, length), length);
        ck_assert_str_eq(buffer, "");
        ck_assert_uint_eq(subscription_filter(handle, NULL, 0), length);
        ck_assert(subscription_is_shared(handle) == (strncmp(filters[i], "$share/", 7) == 0));
    }
    free(buffer);
}
END_TEST

// As many levels as fit a filter, with and without wildcards: no stack is used per level.
START_TEST(deepest)
{
    char *text = malloc(65536);
    char *back = malloc(65536);
    for (unsigned kind = 0; kind < 3; kind++) {
        size_t length = 65535;
        for (size_t i = 0; i < length; i++)
            text[i] = i % 2 ? '/' : kind == 0 ? 'x' : '+';
        if (kind == 2)
            text[length - 1] = '#';
        struct subscription *handle = subscriptions_add(subs, 1, str_make(text, length), 0, 0, NULL);
        ck_assert_uint_eq(subscription_filter(handle, back, 65536), length);
        ck_assert_mem_eq(back, text, length);
        for (size_t i = 0; i < length; i += 2)
            text[i] = 'x';
        subscriptions_match(subs, 0, str_make(text, length), &found);
        ck_assert_uint_eq(found.count, 1);
        subscriptions_match(subs, 0, str_make(text, length - 2), &found);
        ck_assert_uint_eq(found.count, kind == 2);
        // The last one is left for subscriptions_free.
        if (kind < 2)
            subscriptions_remove(subs, handle);
    }
    free(text);
    free(back);
}
END_TEST

// A crowd grows and shrinks through every size, from both ends and the middle; whoever is in it stays
// findable.
START_TEST(crowd)
{
    enum { MANY = 3000 };
    struct subscription **handles = calloc(MANY + 1, sizeof *handles);
    for (uint64_t i = 1; i <= MANY; i++) {
        handles[i] = add(i, "crowd/+");
        ck_assert_uint_eq(match("crowd/x"), i);
        ck_assert(!found.may_repeat);
    }
    uint64_t left = MANY;
    for (uint64_t step = 1; left > 0; step++) {
        uint64_t victim = 1 + step * 1621 % MANY;
        if (!handles[victim])
            continue;
        subscriptions_remove(subs, handles[victim]);
        handles[victim] = NULL;
        ck_assert_ptr_null(subscriptions_find(subs, victim, STR("crowd/+")));
        left--;
        if (left % 97 == 0 || left < 10) {
            ck_assert_uint_eq(match("crowd/x"), left);
            for (uint64_t i = 1; i <= MANY; i++)
                if (is_target(i) != (handles[i] != NULL) ||
                    subscriptions_find(subs, i, STR("crowd/+")) != handles[i])
                    ck_abort_msg("session %u of %u left", (unsigned)i, (unsigned)left);
        }
    }
    free(handles);
}
END_TEST

START_TEST(covered)
{
    for (uint64_t others = 0; others < 4; others++) {
        struct subscription *handle = add(100, "a/b");
        for (uint64_t i = 1; i <= others; i++)
            add(i, "a/b");
        subscription_set_covered(handle, true);
        ck_assert(subscription_is_covered(handle));
        match("a/b");
        for (size_t i = 0; i < found.count; i++)
            ck_assert(found.targets[i].covered == (found.targets[i].session == 100));
        subscription_set_covered(handle, false);
        match("a/b");
        for (size_t i = 0; i < found.count; i++)
            ck_assert(!found.targets[i].covered);
        for (uint64_t i = 1; i <= others; i++)
            subscriptions_remove(subs, subscriptions_find(subs, i, STR("a/b")));
        subscriptions_remove(subs, handle);
    }
}
END_TEST

START_TEST(version)
{
    uint64_t last = subscriptions_version(subs);
#define CHANGED(yes)                                                                                         \
    do {                                                                                                     \
        uint64_t now = subscriptions_version(subs);                                                          \
        ck_assert((now > last) == (yes));                                                                    \
        last = now;                                                                                          \
    } while (0)
    struct subscription *plain = add(1, "a");
    CHANGED(true);
    struct subscription *shared = add(1, "$share/g/a");
    CHANGED(true);
    match("a");
    subscriptions_find(subs, 1, STR("a"));
    CHANGED(false);
    subscriptions_add(subs, 1, STR("a"), 2, 0, NULL);
    CHANGED(true);
    subscription_set_covered(plain, true);
    CHANGED(true);
    subscription_set_covered(plain, true);
    subscription_set_online(plain, false);
    subscription_set_online(shared, true);
    CHANGED(false);
    subscription_set_online(shared, false);
    CHANGED(true);
    subscriptions_remove(subs, plain);
    CHANGED(true);
#undef CHANGED
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("subscriptions");
    TCase *tests = tcase_create("index");
    tcase_set_timeout(tests, 240);
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, one_subscriber);
    tcase_add_test(tests, replacing);
    tcase_add_test(tests, wildcards);
    tcase_add_test(tests, finding);
    tcase_add_test(tests, filter_text);
    tcase_add_test(tests, deepest);
    tcase_add_test(tests, crowd);
    tcase_add_test(tests, covered);
    tcase_add_test(tests, version);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
