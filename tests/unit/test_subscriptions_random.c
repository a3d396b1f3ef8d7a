// The index against a plain list of everything that was subscribed.
#include "core/topic/subscriptions.h"
#include "core/topic/topic.h"
#include "test_topic_support.h"

enum { SESSIONS = 40, RECORDS = 3000, STEPS = 60000 };

struct record {
    struct subscription *handle; ///< NULL: free
    uint64_t session;
    struct text filter; ///< whole
    struct topic_filter parsed;
    uint32_t identifier;
    uint8_t options;
    bool covered;
    bool online;
    bool met;
};

static struct record *records;
static struct subscriptions *subs;
static struct subscription_matches found;

static struct record *record_find(uint64_t session, struct str filter)
{
    for (unsigned i = 0; i < RECORDS; i++)
        if (records[i].handle && records[i].session == session &&
            str_equal(text_str(&records[i].filter), filter))
            return &records[i];
    return NULL;
}

static struct text whole_filter(struct chance *chance)
{
    struct text plain = chance_filter(chance);
    if (chance_below(chance, 4) > 0)
        return plain;
    struct text shared = {.length = 0};
    text_level(&shared, true, "$share");
    text_level(&shared, false, chance_below(chance, 2) ? "a" : "group");
    text_level(&shared, false, plain.bytes);
    return shared;
}

static void subscribe(struct chance *chance, uint64_t session)
{
    struct text filter = whole_filter(chance);
    struct record *record = record_find(session, text_str(&filter));
    struct record *existing = record;
    for (unsigned i = 0; i < RECORDS && !record; i++)
        if (!records[i].handle)
            record = &records[i];
    if (!record)
        return;
    bool existed;
    uint8_t options = (uint8_t)chance_below(chance, 3);
    // Names the record, and is another one after each replacing.
    uint32_t identifier = (uint32_t)(record - records) * 1000 + chance_below(chance, 1000);
    struct subscription *handle =
        subscriptions_add(subs, session, text_str(&filter), options, identifier, &existed);
    if (existed != (existing != NULL) || (existing && existing->handle != handle))
        ck_abort_msg("add %s", filter.bytes);
    if (!existing)
        *record = (struct record){.handle = handle, .session = session, .filter = filter, .online = true};
    record->options = options;
    record->identifier = identifier;
    ck_assert(topic_filter_parse(text_str(&record->filter), &record->parsed));
}

static void unsubscribe(struct record *record)
{
    char back[256];
    if (subscriptions_find(subs, record->session, text_str(&record->filter)) != record->handle ||
        subscription_filter(record->handle, back, sizeof back) != record->filter.length ||
        strcmp(back, record->filter.bytes) != 0)
        ck_abort_msg("find %s", record->filter.bytes);
    subscriptions_remove(subs, record->handle);
    record->handle = NULL;
}

static void change_something(struct chance *chance)
{
    uint64_t session = (uint64_t)1 + chance_below(chance, SESSIONS);
    struct record *record = &records[chance_below(chance, RECORDS)];
    uint32_t kind = chance_below(chance, 10);
    if (kind < 5) {
        subscribe(chance, session);
    } else if (record->handle && kind < 8) {
        unsubscribe(record);
    } else if (record->handle && kind == 8) {
        record->covered = !record->covered;
        subscription_set_covered(record->handle, record->covered);
    } else if (record->handle) {
        record->online = !record->online;
        subscription_set_online(record->handle, record->online);
    }
}

static bool same_group(const struct record *a, const struct record *b)
{
    return a->handle && b->handle && str_equal(a->parsed.group, b->parsed.group) &&
           str_equal(a->parsed.filter, b->parsed.filter);
}

// Whether the group of `record` has a member who is online, or who was met, as far as asked for.
static bool group_has(const struct record *record, bool online, bool met)
{
    for (unsigned i = 0; i < RECORDS; i++)
        if (same_group(&records[i], record) && (!online || records[i].online) && (!met || records[i].met))
            return true;
    return false;
}

// The record that a target stands for; NULL unless every detail is right and it was not met before.
static struct record *record_of(const struct subscription_target *target, struct str topic)
{
    struct record *record = &records[target->identifier / 1000 % RECORDS];
    bool right = record->handle && !record->met && record->session == target->session &&
                 record->identifier == target->identifier && record->options == target->options &&
                 record->covered == target->covered && record->parsed.shared == target->shared &&
                 (target->group != 0) == target->shared && plain_match(record->parsed.filter, topic);
    if (right && target->shared)
        right = !group_has(record, false, true) && (record->online || !group_has(record, true, false));
    return right ? record : NULL;
}

static void check_topic(struct str topic)
{
    subscriptions_match(subs, 0, topic, &found);
    for (unsigned i = 0; i < RECORDS; i++)
        records[i].met = false;
    bool repeats = false;
    for (size_t i = 0; i < found.count; i++) {
        struct record *record = record_of(&found.targets[i], topic);
        if (!record)
            ck_abort_msg("%.*s: a target that nobody asked for", STR_ARG(topic));
        record->met = true;
        for (size_t k = 0; k < i; k++)
            repeats |= found.targets[k].session == found.targets[i].session;
    }
    if (repeats && !found.may_repeat)
        ck_abort_msg("%.*s: repeats", STR_ARG(topic));
    for (unsigned i = 0; i < RECORDS; i++)
        if (records[i].handle && !records[i].met && plain_match(records[i].parsed.filter, topic) &&
            !(records[i].parsed.shared && group_has(&records[i], false, true)))
            ck_abort_msg("%.*s: %s missed", STR_ARG(topic), records[i].filter.bytes);
}

START_TEST(against_a_list)
{
    struct chance chance = {(uint64_t)_i * 77 + 1};
    subs = subscriptions_new(1 + (unsigned)_i % 2 * 3);
    records = calloc(RECORDS, sizeof *records);
    for (unsigned step = 0; step < STEPS / (SANITIZED ? 4 : 1); step++) {
        change_something(&chance);
        if (step % 25 == 0) {
            struct text topic = chance_topic(&chance);
            check_topic(text_str(&topic));
        }
    }
    size_t left = 0;
    for (unsigned i = 0; i < RECORDS; i++)
        left += records[i].handle != NULL;
    ck_assert_uint_eq(subscriptions_count(subs, NULL), left);
    ck_assert_uint_gt(left, 50);
    // Half the runs end by removing everything, the others leave it to subscriptions_free.
    for (unsigned i = 0; i < RECORDS && _i % 4 < 2; i++)
        if (records[i].handle)
            unsubscribe(&records[i]);
    if (_i % 4 < 2)
        check_topic(STR("a/b"));
    subscription_matches_free(&found);
    subscriptions_free(subs);
    free(records);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("subscriptions at random");
    TCase *tests = tcase_create("against a list");
    tcase_set_timeout(tests, 240);
    tcase_add_loop_test(tests, against_a_list, 0, 4);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
