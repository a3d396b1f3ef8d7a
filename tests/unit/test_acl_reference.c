/* The compiled rules against a plain reading of the same rules: expand every pattern into text, go through
 * all rules one by one. Random rule sets with a fixed seed; every answer has to be the same, down to the line
 * that is named. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plugins/acl-file/acl.h"

#define SETS          20000
#define ASKED_PER_SET 12
#define RULES_MAX     10
#define TEXT_MAX      256
#define LEVELS_MAX    64

/* ---- The reference
 * ------------------------------------------------------------------------------------------------ */

enum block { NOBODY, USER_A, USER_AB, USER_BAD, PATTERN, BLOCKS };

struct plain_rule {
    enum block block;
    bool deny, read, write;
    char filter[TEXT_MAX];
};

struct plain_set {
    struct plain_rule rules[RULES_MAX];
    uint32_t lines[RULES_MAX];
    size_t count;
    enum acl_substitution substitution;
};

struct levels {
    char text[TEXT_MAX * 2];
    const char *level[LEVELS_MAX];
    size_t count;
};

static const char *const block_users[BLOCKS] = {NULL, "a", "a/b", "b+", NULL};

static void levels_split(struct levels *levels, const char *text)
{
    snprintf(levels->text, sizeof(levels->text), "%s", text);
    levels->count = 0;
    char *at = levels->text;
    for (;;) {
        levels->level[levels->count++] = at;
        at = strchr(at, '/');
        if (!at)
            return;
        *at++ = '\0';
    }
}

static bool is(const char *level, const char *wildcard)
{
    return strcmp(level, wildcard) == 0;
}

static bool includes_from(const struct levels *a, size_t i, const struct levels *b, size_t j)
{
    if (i == a->count)
        return j == b->count;
    if (is(a->level[i], "#"))
        return !(i == 0 && b->level[0][0] == '$');
    if (j == b->count)
        return false;
    if (is(b->level[j], "#"))
        return j == 0 && is(a->level[i], "+") && i + 2 == a->count && is(a->level[i + 1], "#");
    if (is(a->level[i], "+"))
        return !(i == 0 && b->level[0][0] == '$') && includes_from(a, i + 1, b, j + 1);
    return is(a->level[i], b->level[j]) && includes_from(a, i + 1, b, j + 1);
}

static bool meets_from(const struct levels *a, size_t i, const struct levels *b, size_t j)
{
    bool a_rest = i < a->count && is(a->level[i], "#");
    bool b_rest = j < b->count && is(b->level[j], "#");
    if (a_rest || b_rest)
        return !(i == 0 && ((a_rest && b->level[0][0] == '$') || (b_rest && a->level[0][0] == '$')));
    if (i == a->count || j == b->count)
        return i == a->count && j == b->count;
    bool a_any = is(a->level[i], "+");
    bool b_any = is(b->level[j], "+");
    if (i == 0 && ((a_any && b->level[0][0] == '$') || (b_any && a->level[0][0] == '$')))
        return false;
    return (a_any || b_any || is(a->level[i], b->level[j])) && meets_from(a, i + 1, b, j + 1);
}

/* The filter of a rule for one client, as text. False when the rule is not for it. */
static bool plain_expand(const struct plain_set *set, const struct plain_rule *rule, const char *user,
                         const char *client, char *out)
{
    if (rule->block != PATTERN) {
        strcpy(out, rule->filter);
        return true;
    }
    bool anonymous = !user || !*user;
    if (anonymous && strstr(rule->filter, "%u"))
        return false;
    size_t used = 0;
    for (const char *at = rule->filter; *at;) {
        bool names = at[0] == '%' && (at[1] == 'c' || at[1] == 'u');
        bool whole = names && (at == rule->filter || at[-1] == '/') && (at[2] == '/' || at[2] == '\0');
        if (!names || (set->substitution == ACL_SUBSTITUTION_LEVEL && !whole)) {
            out[used++] = *at++;
            continue;
        }
        const char *value = at[1] == 'c' ? client : user;
        if (set->substitution == ACL_SUBSTITUTION_LEVEL &&
            (!*value || strchr(value, '/') || (at == rule->filter && *value == '$')))
            return false;
        strcpy(out + used, value);
        used += strlen(value);
        at += 2;
    }
    out[used] = '\0';
    return true;
}

typedef bool (*relation)(const struct levels *, size_t, const struct levels *, size_t);

/* The first rule of the file in a block that relates to the text; 0 none, otherwise its line. */
static uint32_t plain_first(const struct plain_set *set, enum block block, const char *user,
                            const char *client, const char *text, relation relates, bool deny, bool read,
                            bool write)
{
    struct levels topic;
    levels_split(&topic, text);
    for (size_t i = 0; i < set->count; i++) {
        const struct plain_rule *rule = &set->rules[i];
        char expanded[TEXT_MAX * 2];
        if (rule->block != block ||
            !((deny && rule->deny) || (read && rule->read) || (write && rule->write)) ||
            !plain_expand(set, rule, user, client, expanded))
            continue;
        struct levels filter;
        levels_split(&filter, expanded);
        if (relates(&filter, 0, &topic, 0))
            return set->lines[i];
    }
    return 0;
}

static enum block plain_block(const char *user)
{
    if (!user || !*user)
        return NOBODY;
    for (enum block block = USER_A; block < PATTERN; block++)
        if (is(user, block_users[block]))
            return block;
    return BLOCKS;
}

static bool plain_has_patterns(const struct plain_set *set)
{
    for (size_t i = 0; i < set->count; i++)
        if (set->rules[i].block == PATTERN)
            return true;
    return false;
}

static bool plain_refused(const struct plain_set *set, const char *user, const char *client)
{
    return plain_has_patterns(set) && ((user && strpbrk(user, "+#")) || strpbrk(client, "+#"));
}

static enum acl_outcome plain_decide(const struct plain_set *set, const char *user, const char *client,
                                     enum acl_access access, const char *topic, uint32_t *line)
{
    enum block blocks[2] = {plain_block(user), PATTERN};
    *line = 0;
    if (strncmp(topic, "$share", 6) == 0 || (access == ACL_WRITE && strncmp(topic, "$SYS", 4) == 0))
        return ACL_DENIED;
    for (int group = 0; group < 2; group++) {
        if (group == 1 && plain_refused(set, user, client))
            return ACL_DENIED;
        *line = plain_first(set, blocks[group], user, client, topic, includes_from, true, false, false);
        if (*line)
            return ACL_DENIED;
        *line = plain_first(set, blocks[group], user, client, topic, includes_from, false, access == ACL_READ,
                            access == ACL_WRITE);
        if (*line)
            return ACL_ALLOWED;
    }
    return ACL_NO_MATCH;
}

static bool plain_covers(const struct plain_set *set, const char *user, const char *client,
                         const char *filter)
{
    enum block blocks[2] = {plain_block(user), PATTERN};
    if (strncmp(filter, "$share", 6) == 0)
        return false;
    for (int group = 0; group < 2; group++) {
        if (group == 1 && plain_refused(set, user, client))
            return false;
        if (plain_first(set, blocks[group], user, client, filter, meets_from, true, false, false))
            return false;
        if (plain_first(set, blocks[group], user, client, filter, includes_from, false, true, false))
            return true;
    }
    return false;
}

static enum acl_outcome plain_some(const struct plain_set *set, const char *user, const char *client,
                                   const char *filter)
{
    enum block blocks[2] = {plain_block(user), PATTERN};
    if (strncmp(filter, "$share", 6) == 0)
        return ACL_DENIED;
    for (int group = 0; group < 2; group++) {
        if (group == 1 && plain_refused(set, user, client))
            return ACL_DENIED;
        if (plain_first(set, blocks[group], user, client, filter, includes_from, true, false, false))
            return ACL_DENIED;
        if (plain_first(set, blocks[group], user, client, filter, meets_from, false, true, false))
            return ACL_ALLOWED;
    }
    return ACL_NO_MATCH;
}

/* ---- Random rules, clients and topics
 * ----------------------------------------------------------------------------- */

static uint64_t random_state = 0x9e3779b97f4a7c15u;

static uint32_t random_below(uint32_t bound)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (uint32_t)(random_state >> 32) % bound;
}

static const char *const plain_levels[] = {"a", "b", "a", "b", "", "$x", "ab", "xa", "$SYS"};
static const char *const pattern_levels[] = {"%c",   "%u",  "%c", "%u", "x%c", "%cb",
                                             "%u%c", "%%c", "%",  "c%", "$%c"};
static const char *const client_ids[] = {"a", "b", "a/b", "$x", "/", "b/", "/a", "a+", "#", "ab", "", "a//b"};
static const char *const usernames[] = {NULL, "a", "a/b", "b+", "b", "$x", "", "x#", "ab", "/"};

#define PICK(list) ((list)[random_below(sizeof(list) / sizeof((list)[0]))])

/* What a text is made for: which levels may be in it. */
enum sort { TOPIC, FILTER, RULE, PATTERN_RULE };

static void random_text(char *out, enum sort sort)
{
    uint32_t count = 1 + random_below(4);
    out[0] = '\0';
    for (uint32_t i = 0; i < count; i++) {
        uint32_t roll = random_below(10);
        bool is_last = i + 1 == count;
        if (i > 0)
            strcat(out, "/");
        if (sort != TOPIC && roll < 2)
            strcat(out, "+");
        else if (sort != TOPIC && roll == 2 && is_last)
            strcat(out, "#");
        else if (sort == PATTERN_RULE && roll < 7)
            strcat(out, PICK(pattern_levels));
        else
            strcat(out, PICK(plain_levels));
    }
    if (!*out) /* neither topics nor filters are empty */
        strcpy(out, sort == TOPIC ? "a" : "#");
}

/* Makes a set and its file. Blocks come in random order and repeat. */
static void random_set(struct plain_set *set, char *file)
{
    enum block block = NOBODY; /* the block that the file is in */
    uint32_t line = 0;
    memset(set, 0, sizeof(*set));
    set->substitution = random_below(3) ? ACL_SUBSTITUTION_ANYWHERE : ACL_SUBSTITUTION_LEVEL;
    set->count = random_below(RULES_MAX + 1);
    file[0] = '\0';
    for (size_t i = 0; i < set->count; i++) {
        static const char *const words[] = {"", "read ", "write ", "readwrite ", "deny ", "read ", "read "};
        struct plain_rule *rule = &set->rules[i];
        const char *word = PICK(words);
        rule->block = (enum block)random_below(BLOCKS);
        if (rule->block == NOBODY && block != NOBODY)
            rule->block = PATTERN; /* there is no way back to the lines before the first user */
        if (rule->block != PATTERN && rule->block != block) {
            block = rule->block;
            line++;
            strcat(strcat(strcat(file, "user "), block_users[block]), "\n");
        }
        bool is_pattern = rule->block == PATTERN;
        random_text(rule->filter, is_pattern && random_below(6) ? PATTERN_RULE : RULE);
        rule->deny = is(word, "deny ");
        rule->read = !rule->deny && !is(word, "write ");
        rule->write = !rule->deny && !is(word, "read ");
        set->lines[i] = ++line;
        strcat(strcat(strcat(strcat(file, is_pattern ? "pattern " : "topic "), word), rule->filter), "\n");
    }
}

/* Topics that have something to do with a rule are asked about more often than chance would have it. */
static void random_topic(const struct plain_set *set, const char *user, const char *client, char *out)
{
    random_text(out, TOPIC);
    if (set->count == 0 || random_below(2))
        return;
    char expanded[TEXT_MAX * 2];
    const struct plain_rule *rule = &set->rules[random_below((uint32_t)set->count)];
    if (strpbrk(client, "+#") || (user && strpbrk(user, "+#")) ||
        !plain_expand(set, rule, user, client, expanded))
        return;
    struct levels levels;
    levels_split(&levels, expanded);
    out[0] = '\0';
    for (size_t i = 0; i < levels.count; i++) {
        const char *level = levels.level[i];
        if (is(level, "#") && random_below(2))
            break;
        if (i > 0)
            strcat(out, "/");
        strcat(out, is(level, "+") || is(level, "#") ? PICK(plain_levels) : level);
    }
    if (!*out)
        strcpy(out, "a");
}

static void random_filter(const struct plain_set *set, const char *user, const char *client, char *out)
{
    random_text(out, FILTER);
    if (random_below(2))
        return;
    char topic[TEXT_MAX * 2];
    random_topic(set, user, client, topic);
    struct levels levels;
    levels_split(&levels, topic);
    out[0] = '\0';
    for (size_t i = 0; i < levels.count; i++) {
        uint32_t roll = random_below(8);
        if (i > 0)
            strcat(out, "/");
        strcat(out, roll == 0 ? "+" : roll == 1 ? "#" : levels.level[i]);
        if (roll == 1)
            break;
    }
    if (!*out)
        strcpy(out, "#");
}

/* ---- The comparison
 * ----------------------------------------------------------------------------------------------- */

struct tally {
    unsigned outcomes[3];
    unsigned covered;
    unsigned some[3];
    unsigned sampled;
};

static struct acl_identity identity_of(const char *user, const char *client)
{
    return (struct acl_identity){user, user ? strlen(user) : 0, client, strlen(client)};
}

static void compare_decision(const struct plain_set *set, const struct acl_rules *rules, const char *file,
                             struct tally *tally)
{
    const char *user = PICK(usernames);
    const char *client = PICK(client_ids);
    enum acl_access access = random_below(2) ? ACL_READ : ACL_WRITE;
    struct acl_identity identity = identity_of(user, client);
    char topic[TEXT_MAX * 2];
    random_topic(set, user, client, topic);
    uint32_t line;
    enum acl_outcome expected = plain_decide(set, user, client, access, topic, &line);
    struct acl_decision decision;
    acl_decide(rules, &identity, access, topic, strlen(topic), &decision);
    ck_assert_msg(decision.outcome == expected && decision.line == line,
                  "user '%s' client '%s' %s '%s': %d at line %u, expected %d at line %u, substitution %d\n%s",
                  user ? user : "-", client, access == ACL_READ ? "reads" : "writes", topic,
                  (int)decision.outcome, decision.line, (int)expected, line, (int)set->substitution, file);
    tally->outcomes[expected]++;
}

/* A topic that the filter matches, by filling its wildcards in. */
static void sample_topic(const char *filter, char *out)
{
    struct levels levels;
    levels_split(&levels, filter);
    do {
        out[0] = '\0';
        for (size_t i = 0; i < levels.count; i++) {
            const char *level = levels.level[i];
            uint32_t times = is(level, "#") ? random_below(4) + (i == 0) : 1;
            bool wild = is(level, "#") || is(level, "+");
            for (uint32_t k = 0; k < times; k++) {
                if (i > 0 || k > 0)
                    strcat(out, "/");
                const char *filling = PICK(plain_levels);
                strcat(out, !wild ? level : i == 0 && k == 0 && *filling == '$' ? "b" : filling);
            }
        }
    } while (!*out);
}

static void compare_filter(const struct plain_set *set, const struct acl_rules *rules, const char *file,
                           struct tally *tally)
{
    const char *user = PICK(usernames);
    const char *client = PICK(client_ids);
    struct acl_identity identity = identity_of(user, client);
    char filter[TEXT_MAX * 2];
    char shared[TEXT_MAX * 3];
    random_filter(set, user, client, filter);
    snprintf(shared, sizeof(shared), "%s%s", random_below(4) ? "" : "$share/g/", filter);
    size_t length = strlen(shared);
    bool covered = acl_covers(rules, &identity, shared, length, NULL);
    enum acl_outcome some = acl_may_read_some(rules, &identity, shared, length, NULL);
    bool expected_covered = plain_covers(set, user, client, filter);
    enum acl_outcome expected_some = plain_some(set, user, client, filter);
    ck_assert_msg(covered == expected_covered && some == expected_some,
                  "user '%s' client '%s' subscribes '%s': covered %d expected %d, some %d expected %d, "
                  "substitution %d\n%s",
                  user ? user : "-", client, shared, covered, expected_covered, (int)some, (int)expected_some,
                  (int)set->substitution, file);
    tally->covered += covered;
    tally->some[some]++;
    /* The reference might share a mistake of thinking; topics do not. */
    for (int i = 0; i < 8; i++) {
        char topic[TEXT_MAX * 2];
        uint32_t line;
        sample_topic(filter, topic);
        bool readable = plain_decide(set, user, client, ACL_READ, topic, &line) == ACL_ALLOWED;
        ck_assert_msg(!covered || readable, "'%s' is covered, but '%s' is not readable\n%s", filter, topic,
                      file);
        ck_assert_msg(some == ACL_ALLOWED || !readable, "'%s' is refused, but '%s' is readable\n%s", filter,
                      topic, file);
        tally->sampled += readable;
    }
}

START_TEST(compiled_rules_answer_like_plain_ones)
{
    struct tally tally = {0};
    static struct plain_set set;
    static char file[RULES_MAX * TEXT_MAX * 2];
    for (int i = 0; i < SETS; i++) {
        random_set(&set, file);
        struct acl_options options = {.substitution = set.substitution};
        struct acl_problems problems = {0};
        struct acl_rules *rules = acl_rules_parse(file, strlen(file), "f", &options, &problems);
        ck_assert_msg(rules != NULL, "%s\n%s", problems.count ? problems.list[0].message : "?", file);
        acl_problems_clear(&problems);
        for (int k = 0; k < ASKED_PER_SET; k++) {
            compare_decision(&set, rules, file, &tally);
            compare_filter(&set, rules, file, &tally);
        }
        acl_rules_free(rules);
    }
    /* The comparison means something only if every answer came up often. */
    for (int i = 0; i < 3; i++) {
        ck_assert_uint_gt(tally.outcomes[i], SETS / 2);
        ck_assert_uint_gt(tally.some[i], SETS / 2);
    }
    ck_assert_uint_gt(tally.covered, SETS / 2);
    ck_assert_uint_gt(tally.sampled, SETS / 2);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("acl_reference");
    TCase *tests = tcase_create("reference");
    tcase_set_timeout(tests, 300);
    tcase_add_test(tests, compiled_rules_answer_like_plain_ones);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
