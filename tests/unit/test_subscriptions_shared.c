#include "core/topic/subscriptions.h"
#include "test_topic_support.h"

enum { MEMBERS_MOST = 12 };

static struct subscriptions *subs;
static struct subscription_matches found;
static unsigned turns[MEMBERS_MOST + 1]; ///< how often each session was chosen

static void begin(void)
{
    subs = subscriptions_new(1);
}

static void end(void)
{
    subscription_matches_free(&found);
    subscriptions_free(subs);
}

static struct subscription *add(uint64_t session, const char *filter)
{
    return subscriptions_add(subs, session, str_of(filter), 1, (uint32_t)session, NULL);
}

static struct subscription_target match_one(const char *topic)
{
    subscriptions_match(subs, 0, str_of(topic), &found);
    ck_assert_uint_eq(found.count, 1);
    return found.targets[0];
}

static void take_turns(const char *topic, unsigned count)
{
    memset(turns, 0, sizeof turns);
    for (unsigned i = 0; i < count; i++) {
        struct subscription_target target = match_one(topic);
        ck_assert(target.shared && target.group != 0 && target.identifier == target.session);
        turns[target.session]++;
    }
}

// [v5 4.8.2] Every member gets the same share.
START_TEST(round_robin)
{
    begin();
    for (uint64_t members = 1; members <= MEMBERS_MOST; members++) {
        add(members, "$share/g/a/+");
        take_turns("a/b", (unsigned)members * 10);
        for (uint64_t i = 1; i <= members; i++)
            ck_assert_uint_eq(turns[i], 10);
        ck_assert(!found.may_repeat);
    }
    end();
}
END_TEST

START_TEST(online_first)
{
    begin();
    struct subscription *members[MEMBERS_MOST + 1];
    for (uint64_t i = 1; i <= MEMBERS_MOST; i++)
        members[i] = add(i, "$share/g/a");
    struct chance chance = {3};
    bool online[MEMBERS_MOST + 1];
    memset(online, true, sizeof online);
    unsigned online_count = MEMBERS_MOST;
    for (unsigned round = 0; round < 300; round++) {
        uint32_t i = 1 + chance_below(&chance, MEMBERS_MOST);
        if (members[i] && chance_below(&chance, 5) == 0) {
            subscriptions_remove(subs, members[i]);
            members[i] = NULL;
            online_count -= online[i];
            online[i] = false;
        } else if (!members[i]) {
            members[i] = add(i, "$share/g/a");
            online[i] = true;
            online_count++;
        } else {
            online[i] = !online[i];
            online_count += online[i] ? 1U : (unsigned)-1;
            subscription_set_online(members[i], online[i]);
        }
        unsigned present = 0;
        for (unsigned k = 1; k <= MEMBERS_MOST; k++)
            present += members[k] != NULL;
        if (present == 0)
            continue;
        unsigned among = online_count > 0 ? online_count : present;
        take_turns("a", among * 4);
        for (unsigned k = 1; k <= MEMBERS_MOST; k++)
            ck_assert_uint_eq(turns[k], online_count > 0 ? (online[k] ? 4 : 0) : (members[k] ? 4 : 0));
    }
    end();
}
END_TEST

START_TEST(several_groups)
{
    begin();
    add(1, "a/b");
    add(1, "$share/g/a/b");
    add(2, "$share/h/a/b");
    add(3, "$share/g/a/#");
    add(4, "$share/g/+/b");
    subscriptions_match(subs, 0, STR("a/b"), &found);
    ck_assert_uint_eq(found.count, 5);
    ck_assert(found.may_repeat);
    for (size_t i = 0; i < found.count; i++)
        for (size_t k = 0; k < i; k++)
            ck_assert_uint_ne(found.targets[i].group, found.targets[k].group);
    subscriptions_match(subs, 0, STR("a/c"), &found);
    ck_assert_uint_eq(found.count, 1);
    ck_assert(!found.may_repeat);
    // A level of the same name as a group beside it is not the group.
    add(5, "g/+");
    add(6, "$share/x/g/+");
    add(7, "g/+/x");
    ck_assert_ptr_ne(subscriptions_find(subs, 7, STR("g/+/x")), NULL);
    ck_assert_ptr_null(subscriptions_find(subs, 7, STR("$share/x/g/+")));
    uint64_t shared;
    ck_assert_uint_eq(subscriptions_count(subs, &shared), 8);
    ck_assert_uint_eq(shared, 5);
    end();
}
END_TEST

// A group that has emptied is gone; its successor of the same name is another one.
START_TEST(numbers)
{
    begin();
    struct subscription *first = add(1, "$share/g/a");
    uint32_t number = match_one("a").group;
    struct subscription *second = add(2, "$share/g/a");
    subscriptions_remove(subs, first);
    ck_assert_uint_eq(match_one("a").group, number);
    subscriptions_remove(subs, second);
    subscriptions_match(subs, 0, STR("a"), &found);
    ck_assert_uint_eq(found.count, 0);
    add(1, "$share/g/a");
    ck_assert_uint_ne(match_one("a").group, number);
    end();
}
END_TEST

START_TEST(another_member)
{
    begin();
    struct subscription *members[4];
    struct subscription_target target;
    for (uint64_t i = 1; i <= 3; i++)
        members[i] = add(i, "$share/g/a/#");
    add(9, "$share/g/a/b");
    uint32_t group = 0;
    subscriptions_match(subs, 0, STR("a/b"), &found);
    ck_assert_uint_eq(found.count, 2);
    for (size_t i = 0; i < 2; i++)
        if (found.targets[i].session != 9)
            group = found.targets[i].group;
    memset(turns, 0, sizeof turns);
    for (unsigned i = 0; i < 60; i++) {
        ck_assert(subscriptions_match_group(subs, 0, STR("a/b"), group, 2, &target));
        ck_assert(target.shared && target.group == group);
        turns[target.session]++;
    }
    ck_assert_uint_eq(turns[2], 0);
    ck_assert_uint_eq(turns[1] + turns[3], 60);
    ck_assert(turns[1] > 0 && turns[3] > 0);
    // Online ones before the others, and the others when the only one online is the one who could not.
    subscription_set_online(members[3], false);
    for (unsigned i = 0; i < 20; i++) {
        ck_assert(subscriptions_match_group(subs, 0, STR("a/b"), group, 2, &target));
        ck_assert_uint_eq(target.session, 1);
    }
    subscription_set_online(members[1], false);
    for (unsigned i = 0; i < 20; i++) {
        ck_assert(subscriptions_match_group(subs, 0, STR("a/b"), group, 2, &target));
        ck_assert_uint_ne(target.session, 2);
    }
    ck_assert(!subscriptions_match_group(subs, 0, STR("b"), group, 2, &target));
    ck_assert(!subscriptions_match_group(subs, 0, STR("a/b"), group + 1000, 2, &target));
    subscriptions_remove(subs, members[1]);
    subscriptions_remove(subs, members[3]);
    ck_assert(!subscriptions_match_group(subs, 0, STR("a/b"), group, 2, &target));
    ck_assert(subscriptions_match_group(subs, 0, STR("a/b"), group, 1, &target));
    ck_assert_uint_eq(target.session, 2);
    end();
}
END_TEST

// Very many groups on one filter are no slower to join than one.
START_TEST(many_groups)
{
    enum { GROUPS = 20000 };
    begin();
    char filter[64];
    struct subscription **handles = calloc(GROUPS, sizeof *handles);
    uint64_t start = clock_monotonic_ns();
    for (unsigned i = 0; i < GROUPS; i++) {
        snprintf(filter, sizeof filter, "$share/group%u/a", i);
        handles[i] = add(1 + i % MEMBERS_MOST, filter);
    }
    for (unsigned i = 0; i < GROUPS; i += 2)
        subscriptions_remove(subs, handles[i]);
    ck_assert_double_lt(each_ns(start, GROUPS), 100000);
    subscriptions_match(subs, 0, STR("a"), &found);
    ck_assert_uint_eq(found.count, GROUPS / 2);
    free(handles);
    end();
}
END_TEST

int main(void)
{
    const TTest *tests[] = {round_robin, online_first, several_groups, numbers, another_member, many_groups};
    return topic_tests_run("shared subscriptions", tests, sizeof tests / sizeof *tests);
}
