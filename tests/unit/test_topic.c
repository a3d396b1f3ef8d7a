#include "core/topic/topic.h"
#include "test_topic_support.h"

START_TEST(names)
{
    char *longest = malloc(65537);
    memset(longest, 'x', 65537);
    ck_assert(topic_is_valid(STR("a")));
    ck_assert(topic_is_valid(STR("/")));
    ck_assert(topic_is_valid(STR("$SYS/broker/uptime and more")));
    ck_assert(topic_is_valid(str_make(longest, 65535)));
    ck_assert(!topic_is_valid(str_make(longest, 65536)));
    ck_assert(!topic_is_valid(STR("")));
    // A wildcard at every place of names of every length up to 20.
    for (size_t length = 1; length <= 20; length++) {
        for (size_t at = 0; at < length; at++) {
            for (const char *wildcard = "+#"; *wildcard; wildcard++) {
                longest[at] = *wildcard;
                ck_assert(!topic_is_valid(str_make(longest, length)));
            }
            longest[at] = 'x';
        }
        ck_assert(topic_is_valid(str_make(longest, length)));
    }
    // No byte but the two is taken for one of them.
    for (int byte = 0; byte < 256; byte++) {
        longest[3] = (char)byte;
        bool wildcard = byte == '+' || byte == '#';
        ck_assert(topic_is_valid(str_make(longest, 4)) == !wildcard);
        ck_assert(topic_is_valid(str_make(longest, 9)) == !wildcard);
        ck_assert(topic_filter_is_literal(str_make(longest, 9)) == !wildcard);
    }
    free(longest);
}
END_TEST

START_TEST(filter_parts)
{
    static const struct {
        const char *text;
        const char *group; ///< NULL: invalid
        const char *filter;
    } cases[] = {
        {"a", "", "a"},
        {"a/b/c", "", "a/b/c"},
        {"#", "", "#"},
        {"+", "", "+"},
        {"/", "", "/"},
        {"//", "", "//"},
        {"sport/tennis/player1/#", "", "sport/tennis/player1/#"},
        {"+/tennis/#", "", "+/tennis/#"},
        {"sport/+/player1", "", "sport/+/player1"},
        {"/+", "", "/+"},
        {"+/+", "", "+/+"},
        {"/#", "", "/#"},
        {"", NULL, NULL},
        {"sport/tennis#", NULL, NULL},
        {"sport/tennis/#/ranking", NULL, NULL},
        {"#/", NULL, NULL},
        {"##", NULL, NULL},
        {"sport+", NULL, NULL},
        {"a/b+/c", NULL, NULL},
        {"a/+b/c", NULL, NULL},
        {"++", NULL, NULL},
        {"+#", NULL, NULL},
        {"$share/consumer/finance", "consumer", "finance"},
        {"$share/g//finance", "g", "/finance"},
        {"$share/g/#", "g", "#"},
        {"$share/g/a/+/b", "g", "a/+/b"},
        {"$share/g/$SYS/#", "g", "$SYS/#"},
        {"$share/", NULL, NULL},
        {"$share//", NULL, NULL},
        {"$share//a", NULL, NULL},
        {"$share/g", NULL, NULL},
        {"$share/g/", NULL, NULL},
        {"$share/g+/a", NULL, NULL},
        {"$share/#/a", NULL, NULL},
        {"$share/+/a", NULL, NULL},
        {"$share/g/a#", NULL, NULL},
        {"$share/g/#/a", NULL, NULL},
        {"$share", "", "$share"},
        {"$shared/g/a", "", "$shared/g/a"},
        {"$SHARE/g/a", "", "$SHARE/g/a"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct topic_filter parsed;
        bool valid = topic_filter_parse(str_of(cases[i].text), &parsed);
        ck_assert_msg(valid == (cases[i].group != NULL), "%s", cases[i].text);
        if (!valid)
            continue;
        ck_assert_msg(str_equal(parsed.filter, str_of(cases[i].filter)), "%s", cases[i].text);
        ck_assert_msg(str_equal(parsed.group, str_of(cases[i].group)), "%s", cases[i].text);
        ck_assert(parsed.shared == (cases[i].group[0] != '\0'));
    }
    char *longest = malloc(65536);
    memset(longest, '/', 65536);
    struct topic_filter parsed;
    ck_assert(topic_filter_parse(str_make(longest, 65535), &parsed));
    ck_assert(!topic_filter_parse(str_make(longest, 65536), &parsed));
    longest[65534] = '#';
    ck_assert(topic_filter_parse(str_make(longest, 65535), &parsed));
    ck_assert_uint_eq(topic_levels(str_make(longest, 65535)), 65535);
    ck_assert(topic_matches(str_make(longest, 65535), str_make(longest, 65534)));
    free(longest);
}
END_TEST

// The examples of [v5 4.7] and those that its rules imply.
START_TEST(matching)
{
    static const struct {
        const char *filter;
        const char *topic;
        bool matches;
    } cases[] = {
        {"sport/tennis/player1/#", "sport/tennis/player1", true},
        {"sport/tennis/player1/#", "sport/tennis/player1/ranking", true},
        {"sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", true},
        {"sport/tennis/player1/#", "sport/tennis/player12", false},
        {"sport/#", "sport", true},
        {"#", "a", true},
        {"#", "/", true},
        {"#", "a/b/c", true},
        {"sport/tennis/+", "sport/tennis/player1", true},
        {"sport/tennis/+", "sport/tennis/player1/ranking", false},
        {"sport/+", "sport", false},
        {"sport/+", "sport/", true},
        {"+/+", "/finance", true},
        {"/+", "/finance", true},
        {"+", "/finance", false},
        {"#", "$SYS/monitor", false},
        {"+/monitor/Clients", "$SYS/monitor/Clients", false},
        {"+/#", "$SYS/monitor", false},
        {"+", "$SYS", false},
        {"$SYS/#", "$SYS/monitor", true},
        {"$SYS/#", "$SYS", true},
        {"$SYS/monitor/+", "$SYS/monitor/Clients", true},
        {"a/+", "a/$b", true},
        {"a/#", "a/$b", true},
        {"ACCOUNTS", "Accounts", false},
        {"finance", "/finance", false},
        {"a//b", "a//b", true},
        {"a/+/b", "a//b", true},
        {"a/+/b", "a/b", false},
        {"+/+/#", "a", false},
        {"+/+/#", "a/b", true},
        {"a/b", "a/b/", false},
        {"a/b/", "a/b", false},
        {"a/+/#", "a", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        ck_assert_msg(topic_matches(str_of(cases[i].filter), str_of(cases[i].topic)) == cases[i].matches,
                      "%s on %s", cases[i].filter, cases[i].topic);
    struct chance chance = {1};
    for (unsigned i = 0; i < 300000; i++) {
        struct text filter = chance_filter(&chance);
        struct text topic = chance_topic(&chance);
        if (topic_matches(text_str(&filter), text_str(&topic)) !=
            plain_match(text_str(&filter), text_str(&topic)))
            ck_abort_msg("%s on %s", filter.bytes, topic.bytes);
    }
}
END_TEST

enum { FILTERS_MOST = 1000, TOPICS_MOST = 1000 };

// All sequences of up to `levels` of the words, those of the last place only at the end.
static size_t enumerate(struct text *out, const char *const *words, uint32_t count, uint32_t last,
                        uint32_t levels)
{
    size_t made = 0;
    size_t from = 0;
    for (uint32_t depth = 0; depth < levels; depth++) {
        size_t until = made;
        for (size_t base = from; base < (depth == 0 ? 1 : until); base++) {
            if (depth > 0 && out[base].bytes[out[base].length - 1] == '#')
                continue;
            for (uint32_t word = 0; word < count + last; word++) {
                struct text text = depth == 0 ? (struct text){.length = 0} : out[base];
                text_level(&text, depth == 0, words[word]);
                out[made++] = text;
            }
        }
        from = until;
    }
    return made;
}

// Over every filter of up to three levels: covering is what the topics say. "z" stands for all words that no
// filter names, and topics one level deeper than the filters for all deeper ones.
START_TEST(covering)
{
    static const char *const filter_words[] = {"a", "$", "+", "#"};
    static const char *const topic_words[] = {"a", "$", "z"};
    struct text *filters = calloc(FILTERS_MOST, sizeof *filters);
    struct text *topics = calloc(TOPICS_MOST, sizeof *topics);
    size_t filter_count = enumerate(filters, filter_words, 3, 1, 3);
    size_t topic_count = enumerate(topics, topic_words, 3, 0, 4);
    ck_assert_uint_eq(filter_count, 4 + 3 * 4 + 9 * 4);
    ck_assert_uint_eq(topic_count, 3 + 9 + 27 + 81);
    for (size_t wide = 0; wide < filter_count; wide++) {
        for (size_t narrow = 0; narrow < filter_count; narrow++) {
            bool covers = true;
            for (size_t i = 0; i < topic_count && covers; i++)
                covers = plain_match(text_str(&filters[wide]), text_str(&topics[i])) ||
                         !plain_match(text_str(&filters[narrow]), text_str(&topics[i]));
            if (topic_filter_covers(text_str(&filters[wide]), text_str(&filters[narrow])) != covers)
                ck_abort_msg("%s over %s", filters[wide].bytes, filters[narrow].bytes);
        }
    }
    free(filters);
    free(topics);
    ck_assert(topic_filter_covers(STR("/#"), STR("/")));
    ck_assert(topic_filter_covers(STR("/#"), STR("//+")));
    ck_assert(!topic_filter_covers(STR("/+"), STR("//")));
    ck_assert(topic_filter_covers(STR("+/#"), STR("#")));
    ck_assert(!topic_filter_covers(STR("a/+/#"), STR("a/#")));
}
END_TEST

START_TEST(levels)
{
    ck_assert_uint_eq(topic_levels(STR("a")), 1);
    ck_assert_uint_eq(topic_levels(STR("/")), 2);
    ck_assert_uint_eq(topic_levels(STR("a/b/c")), 3);
    ck_assert_uint_eq(topic_levels(STR("a//")), 3);
}
END_TEST

int main(void)
{
    const TTest *tests[] = {names, filter_parts, matching, covering, levels};
    return topic_tests_run("topic", tests, sizeof tests / sizeof *tests);
}
