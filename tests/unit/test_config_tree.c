/* From YAML text to nodes: places, keys, aliases, tags, variables, bounds, and what is refused. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/tree.h"

static struct diagnostics found;
static struct config_tree *tree;

static const char *variable(void *context, const char *name)
{
    if (context && strcmp(name, "CONTEXT") == 0)
        return context;
    if (strcmp(name, "PORT") == 0)
        return "1883";
    if (strcmp(name, "LATIN1") == 0)
        return "\xE9";
    return strcmp(name, "EMPTY") == 0 ? "" : NULL;
}

static struct config_node *parse_bytes(const char *text, size_t length)
{
    const struct config_options options = {.variable = variable};
    config_tree_free(tree);
    diagnostics_clear(&found);
    tree = config_tree_parse(text, length, "t.yaml", NULL, &options, &found);
    return tree ? config_tree_root(tree) : NULL;
}

static struct config_node *parse(const char *text)
{
    return parse_bytes(text, strlen(text));
}

static struct config_node *parse_good(const char *text)
{
    struct config_node *root = parse(text);
    ck_assert_msg(found.count == 0, "%s: %s", text, found.count ? found.items[0].text : "");
    ck_assert_ptr_nonnull(root);
    return root;
}

static void teardown(void)
{
    config_tree_free(tree);
    tree = NULL;
    diagnostics_clear(&found);
}

static const char *text_of(struct config_node *map, const char *key)
{
    const char *text = NULL;
    ck_assert_int_eq(config_string(map, key, &text, &found), CONFIG_FOUND);
    return text;
}

// All findings, one per line.
static void check_found(const char *what, const char *expected)
{
    char all[4096] = "";
    for (size_t i = 0; i < found.count; i++) {
        if (i > 0)
            strcat(all, "\n");
        strncat(all, found.items[i].text, 1000);
    }
    ck_assert_msg(strcmp(all, expected) == 0, "%s\nexpected: %s\nfound:    %s", what, expected, all);
}

START_TEST(nodes_know_their_place)
{
    struct config_node *root = parse_good("# comment\nlimits:\n  inflight: 32\nlist: [a, \"b c\"]\n");
    struct config_node *limits = config_get(root, "limits");
    ck_assert_int_eq(limits->kind, CONFIG_MAP);
    ck_assert_uint_eq(limits->count, 1);
    ck_assert_str_eq(limits->entries->key, "inflight");
    ck_assert_uint_eq(limits->entries->place.line, 3);
    ck_assert_uint_eq(limits->entries->place.column, 3);
    ck_assert_uint_eq(limits->entries->value->place.column, 13);
    ck_assert_str_eq(limits->entries->value->place.file, "t.yaml");
    ck_assert_str_eq(limits->entries->value->name, "inflight");
    struct config_node *list = config_get(root, "list");
    ck_assert_int_eq(list->kind, CONFIG_LIST);
    ck_assert_uint_eq(list->count, 2);
    ck_assert(!list->items->quoted && list->items->is_item);
    ck_assert_str_eq(list->items->text, "a");
    ck_assert(list->items->next->quoted);
    ck_assert_str_eq(list->items->next->text, "b c");
    ck_assert_uint_eq(list->items->next->place.column, 11);
    ck_assert_ptr_null(list->items->next->next);
}
END_TEST

START_TEST(empty_files_are_empty_maps)
{
    static const char *const texts[] = {"",    "\n",         "# nothing\n", "---\n",
                                        "~\n", "---\n...\n", "\xEF\xBB\xBF"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct config_node *root = parse_good(texts[i]);
        ck_assert_int_eq(root->kind, CONFIG_MAP);
        ck_assert_uint_eq(root->count, 0);
        ck_assert(!root->broken);
    }
}
END_TEST

START_TEST(nothing_is_null_unless_quoted)
{
    struct config_node *root = parse_good("a:\nb: ~\nc: null\nd: \"\"\ne: '~'\nf: !!str null\ng: !!null ~\n");
    const enum config_kind expected[] = {CONFIG_NULL,   CONFIG_NULL,   CONFIG_NULL, CONFIG_SCALAR,
                                         CONFIG_SCALAR, CONFIG_SCALAR, CONFIG_NULL};
    const struct config_entry *entry = root->entries;
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++, entry = entry->next)
        ck_assert_msg(entry->value->kind == expected[i], "%s", entry->key);
}
END_TEST

START_TEST(a_byte_order_mark_is_skipped)
{
    ck_assert_str_eq(text_of(parse_good("\xEF\xBB\xBFkey: value\n"), "key"), "value");
}
END_TEST

START_TEST(blocks_and_quotes)
{
    struct config_node *root =
        parse_good("a: |\n  one\n  two\nb: >-\n  one\n  two\nc: 'it''s'\nd: \"\\u00e9\\t\"\n");
    ck_assert_str_eq(text_of(root, "a"), "one\ntwo\n");
    ck_assert_str_eq(text_of(root, "b"), "one two");
    ck_assert_str_eq(text_of(root, "c"), "it's");
    ck_assert_str_eq(text_of(root, "d"), "\xC3\xA9\t");
    ck_assert(config_get(root, "a")->quoted);
}
END_TEST

START_TEST(aliases_are_copies)
{
    struct config_node *root = parse_good("base: &b {x: 1, list: [p, q]}\nother: *b\n");
    struct config_node *base = config_get(root, "base");
    struct config_node *other = config_get(root, "other");
    ck_assert_ptr_ne(base, other);
    ck_assert_str_eq(text_of(other, "x"), "1");
    ck_assert_str_eq(other->name, "other");
    ck_assert_uint_eq(config_get(other, "list")->count, 2);
    ck_assert(config_get(other, "list")->items->next->is_item);
    ck_assert(!base->entries->used);
    ck_assert(other->entries->used);
}
END_TEST

START_TEST(the_last_anchor_of_a_name_counts)
{
    struct config_node *root = parse_good("a: &x 1\nb: *x\nc: &x 2\nd: *x\n");
    ck_assert_str_eq(text_of(root, "b"), "1");
    ck_assert_str_eq(text_of(root, "d"), "2");
}
END_TEST

START_TEST(merge_keys)
{
    struct config_node *root = parse_good("a: &a {x: 1, y: 2}\n"
                                          "b: &b {y: 3, z: 4}\n"
                                          "c: {<<: *a, x: own}\n"
                                          "d: {<<: [*b, *a]}\n"
                                          "e: {\"<<\": text}\n");
    struct config_node *c = config_get(root, "c");
    ck_assert_uint_eq(c->count, 2);
    ck_assert_str_eq(text_of(c, "x"), "own");
    ck_assert_str_eq(text_of(c, "y"), "2");
    struct config_node *d = config_get(root, "d");
    ck_assert_uint_eq(d->count, 3);
    ck_assert_str_eq(text_of(d, "y"), "3");
    ck_assert_str_eq(text_of(d, "x"), "1");
    ck_assert_str_eq(text_of(config_get(root, "e"), "<<"), "text");
}
END_TEST

START_TEST(core_tags)
{
    struct config_node *root = parse_good("a: !!str 12\nb: !!int \"12\"\nc: !!map {}\nd: !!seq []\ne: ! 5\n");
    int64_t number = 0;
    ck_assert_int_eq(config_integer(root, "b", 0, 99, &number, &found), CONFIG_FOUND);
    ck_assert_int_eq(number, 12);
    ck_assert(config_get(root, "a")->quoted);
    ck_assert(config_get(root, "e")->quoted);
    ck_assert_uint_eq(found.count, 0);
}
END_TEST

START_TEST(variables)
{
    struct config_node *root = parse_good("a: ${PORT}\n"
                                          "b: localhost:${PORT}/${EMPTY}x\n"
                                          "c: \"${NOPE:-8883}\"\n"
                                          "d: ${EMPTY:-x}\n"
                                          "e: ${EMPTY}\n"
                                          "f: $${PORT}\n"
                                          "g: $PORT $ $$ $$$${X}\n"
                                          "h: ${NOPE:-}\n"
                                          "i: ${NOPE:-a:-b}\n"
                                          "${PORT}: key\n"
                                          "j: {k: \"${PORT}\"}\n");
    static const char *const expected[] = {"1883",    "localhost:1883/x",  "8883", "x",    "",
                                           "${PORT}", "$PORT $ $$ $$${X}", "",     "a:-b", "key"};
    const struct config_entry *entry = root->entries;
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++, entry = entry->next)
        ck_assert_msg(strcmp(entry->value->text, expected[i]) == 0, "%s: %s", entry->key, entry->value->text);
    ck_assert_str_eq(root->entries->value->written, "${PORT}");
    int64_t number = 0;
    ck_assert_int_eq(config_integer(root, "a", 1, 65535, &number, &found), CONFIG_FOUND);
    ck_assert_int_eq(config_integer(config_get(root, "j"), "k", 1, 65535, &number, &found), CONFIG_FOUND);
    ck_assert_int_eq(number, 1883);
    ck_assert_uint_eq(found.count, 0);
}
END_TEST

START_TEST(values_of_variables_are_not_looked_into)
{
    const struct config_options options = {.variable = variable, .context = "${PORT} $${PORT} # & *"};
    const char *text = "a: ${CONTEXT}\n";
    tree = config_tree_parse(text, strlen(text), "t.yaml", NULL, &options, &found);
    ck_assert_ptr_nonnull(tree);
    ck_assert_str_eq(text_of(config_tree_root(tree), "a"), "${PORT} $${PORT} # & *");
}
END_TEST

START_TEST(what_is_refused)
{
    static const struct {
        const char *text;
        const char *expected;
    } cases[] = {
        {"a: 1\nb: 2\na: 3\n", "t.yaml:3:1: duplicate key `a` (the first is in line 1)"},
        {"x: {a: 1, a: 2, a: 3}\n", "t.yaml:1:11: duplicate key `a` (the first is in line 1)\n"
                                    "t.yaml:1:17: duplicate key `a` (the first is in line 1)"},
        {"a: 1\n---\nb: 2\n", "t.yaml:2:1: a second document begins here; a file holds one"},
        {"- a\n", "t.yaml:1:1: the file expects a map, not a list"},
        {"text", "t.yaml:1:1: the file expects a map, not `text`"},
        {"a: *x\n", "t.yaml:1:4: `*x`: no `&x` comes before it"},
        {"a: &x [*x]\n", "t.yaml:1:8: `*x` stands inside of what it refers to"},
        {"a: !secret x\n", "t.yaml:1:4: the tag `!secret` is not known here"},
        {"a: !!binary x\n", "t.yaml:1:4: the tag `tag:yaml.org,2002:binary` is not known here"},
        {"a: !!map [x]\n", "t.yaml:1:4: the tag `tag:yaml.org,2002:map` does not fit its value"},
        {"a: !!null x\n", "t.yaml:1:4: the tag `tag:yaml.org,2002:null` does not fit its value"},
        {"? [x, y]\n: b\n", "t.yaml:1:3: a key must be a word"},
        {"\"\": b\n", "t.yaml:1:1: a key must not be empty"},
        {"\"x\\0y\": b\n", "t.yaml:1:1: a key must not contain the character NUL"},
        {"b: \"x\\0y\"\n", "t.yaml:1:4: a value must not contain the character NUL"},
        {"a: {<<: 5}\n", "t.yaml:1:9: `<<` expects a map, or a list of maps"},
        {"a: ${NOPE}\n",
         "t.yaml:1:4: the variable NOPE is not set (${NOPE:-default} would give it a default)"},
        {"a: x${PORT\n", "t.yaml:1:4: `${` without `}` (write $${ for a literal ${)"},
        {"a: ${}\n",
         "t.yaml:1:4: `${}` is not a variable: ${NAME}, ${NAME:-default} and ${file:PATH} are (write "
         "$${ for a literal ${)"},
        {"a: ${PORT-1}\n",
         "t.yaml:1:4: `${PORT-1}` is not a variable: ${NAME}, ${NAME:-default} and ${file:PATH} "
         "are (write $${ for a literal ${)"},
        {"a: ${A:-${PORT}}\n", "t.yaml:1:4: `${A:-${PORT}`: a variable cannot stand inside another"},
        {"a: ${LATIN1}\n", "t.yaml:1:4: the value of `${LATIN1}` is not UTF-8 text"},
        {"a: ${file:/etc/hostname}\n", "t.yaml:1:4: `${file:/etc/hostname}`: no files can be read here"},
        {"include: x.yaml\n", "t.yaml:1:10: `include`: no files can be read here"},
        {"include: {}\n", "t.yaml:1:10: `include` expects a path, or a list of paths, not a map"},
        {"a: ${X}\nb: ${Y}\n",
         "t.yaml:1:4: the variable X is not set (${X:-default} would give it a default)\n"
         "t.yaml:2:4: the variable Y is not set (${Y:-default} would give it a default)"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        parse(cases[i].text);
        ck_assert_msg(found.errors > 0, "accepted: %s", cases[i].text);
        check_found(cases[i].text, cases[i].expected);
    }
}
END_TEST

START_TEST(syntax_errors_have_hints)
{
    static const struct {
        const char *text;
        const char *place;
        const char *hint;
    } cases[] = {
        {"a:\n\tb: 1\n", "t.yaml:2:1: ", "(indent with spaces, not with tabs)"},
        {"include: *.yaml\n", "t.yaml:1:11: ", "(a value that begins with `*` needs quotes)"},
        {"user: @home\n", "t.yaml:1:7: ", "(a value that begins with this character needs quotes)"},
        {"bind: [::1]:1883\n", "t.yaml:1:8: ", "such as an IPv6 address, needs quotes)"},
        {"a: b: c\n", "t.yaml:1:5: ", "(wrong indentation, or a value with `: ` in it, which needs quotes)"},
        {"a: {b: c\nd: 1\n", "t.yaml:2:2: ", "from line 1 on"},
        {"\xC3\xA9: \"x\n", "t.yaml:2:1: ", "while scanning a quoted scalar from line 1 on"},
        {"ab: \"\xFF\"\n", "t.yaml:1:6: ", "UTF-8"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ck_assert_ptr_null(parse(cases[i].text));
        ck_assert_uint_eq(found.count, 1);
        const char *text = found.items[0].text;
        ck_assert_msg(strncmp(text, cases[i].place, strlen(cases[i].place)) == 0 &&
                          strstr(text, cases[i].hint),
                      "%s: %s", cases[i].text, text);
    }
}
END_TEST

START_TEST(one_wrong_value_is_reported_once)
{
    struct config_node *root = parse("a: ${NOPE}\nb: *none\n");
    ck_assert_uint_eq(found.count, 2);
    int64_t number;
    const char *text;
    struct config_node *map;
    ck_assert_int_eq(config_integer(root, "a", 0, 9, &number, &found), CONFIG_WRONG);
    ck_assert_int_eq(config_string(root, "b", &text, &found), CONFIG_WRONG);
    ck_assert_int_eq(config_map(root, "b", &map, &found), CONFIG_WRONG);
    ck_assert_uint_eq(found.count, 2);
}
END_TEST

START_TEST(depth_is_bounded)
{
    char text[512] = "a: ";
    memset(text + 3, '[', 200);
    ck_assert_ptr_null(parse(text));
    check_found(text, "t.yaml:1:36: nested deeper than 32 levels");

    // Aliases of aliases nest without deep text: each holds the one before.
    strcpy(text, "a0: &a0 [[[[[[[[[[x]]]]]]]]]]\n");
    for (int i = 1; i <= 4; i++)
        sprintf(text + strlen(text), "a%d: &a%d [[[[[[[[[[*a%d]]]]]]]]]]\n", i, i, i - 1);
    ck_assert_ptr_null(parse(text));
    ck_assert_uint_eq(found.count, 1);
    ck_assert_ptr_nonnull(strstr(found.items[0].text, "nested deeper than 32 levels"));
}
END_TEST

START_TEST(expansion_is_bounded)
{
    char text[1024] = "a: &a [x, x, x, x, x, x, x, x, x, x]\n";
    for (char c = 'b'; c <= 'i'; c++) {
        char p = (char)(c - 1);
        sprintf(text + strlen(text), "%c: &%c [*%c, *%c, *%c, *%c, *%c, *%c, *%c, *%c, *%c]\n", c, c, p, p, p,
                p, p, p, p, p, p);
    }
    ck_assert_ptr_null(parse(text));
    ck_assert_uint_eq(found.count, 1);
    ck_assert_ptr_nonnull(strstr(found.items[0].text, "more than 200000 values"));
}
END_TEST

START_TEST(text_is_bounded)
{
    // One long variable, named often enough to pass 64 MiB.
    size_t value_length = 1 << 20;
    char *value = malloc(value_length + 1);
    memset(value, 'v', value_length);
    value[value_length] = '\0';
    char text[2048] = "";
    for (int i = 0; i < 70; i++)
        sprintf(text + strlen(text), "k%d: ${CONTEXT}\n", i);
    const struct config_options options = {.variable = variable, .context = value};
    tree = config_tree_parse(text, strlen(text), "t.yaml", NULL, &options, &found);
    ck_assert_ptr_nonnull(tree);
    ck_assert_uint_ge(found.errors, 6);
    ck_assert_ptr_nonnull(strstr(found.items[0].text, "the configuration is too large"));
    free(value);

    size_t length = CONFIG_FILE_MAX + 1;
    char *large = malloc(length);
    memset(large, '#', length);
    ck_assert_ptr_null(parse_bytes(large, length));
    check_found("large", "t.yaml: too large");
    free(large);
}
END_TEST

START_TEST(many_keys_are_no_problem)
{
    enum { KEYS = 50000 };
    char *text = malloc(KEYS * 16);
    size_t length = 0;
    for (int i = 0; i < KEYS; i++)
        length += (size_t)sprintf(text + length, "k%d: %d\n", i, i);
    struct config_node *root = parse_bytes(text, length);
    free(text);
    ck_assert_uint_eq(found.count, 0);
    ck_assert_uint_eq(root->count, KEYS);
    ck_assert_str_eq(text_of(root, "k49999"), "49999");
}
END_TEST

START_TEST(unread_keys_are_reported)
{
    struct config_node *root = parse_good("timeout: 5\nlimits: {inflght: 3, size: 1}\n"
                                          "list: [{name: x, nmae: y}]\nplugin: {foreign: 1}\nBig-Key: 1\n"
                                          "unrelated: 1\nempty:\n");
    config_get(root, "timeout");
    config_get(root, "big_key");
    struct config_node *limits = config_get(root, "limits");
    config_get(limits, "inflight");
    config_get(limits, "size");
    struct config_node *item = config_get(root, "list")->items;
    config_get(item, "name");
    config_get(item, "name_of_other");
    config_get_opaque(root, "plugin");
    config_get(root, "empty");
    config_report_unused(root, &found);
    check_found("unused", "t.yaml:2:10: unknown key `inflght` (did you mean `inflight`?)\n"
                          "t.yaml:3:18: unknown key `nmae` in `list`\n"
                          "t.yaml:5:1: unknown key `Big-Key` (did you mean `big_key`?)\n"
                          "t.yaml:6:1: unknown key `unrelated`");
}
END_TEST

START_TEST(absent_maps_can_be_asked)
{
    struct config_node *root = parse_good("a: 1\n");
    struct config_node *absent = config_map_absent(root, "config");
    ck_assert_ptr_null(config_get(absent, "x"));
    ck_assert_ptr_null(config_get(NULL, "x"));
    ck_assert_ptr_null(config_get(config_get(root, "a"), "x"));
    config_missing(absent, "password_file", &found);
    check_found("missing", "t.yaml:1:1: `password_file` is missing here, in `config`");
}
END_TEST

START_TEST(hostile_words_print_safely)
{
    char text[400] = "\"k\\e[31m\\n\": 1\nlong";
    memset(text + strlen(text), 'x', 200);
    strcat(text, ": 1\n");
    config_report_unused(parse_good(text), &found);
    ck_assert_uint_eq(found.count, 2);
    ck_assert_str_eq(found.items[0].text, "t.yaml:1:1: unknown key `k?[31m?`");
    ck_assert_uint_lt(strlen(found.items[1].text), 120);
    ck_assert_ptr_nonnull(strstr(found.items[1].text, "xxx...`"));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("config tree");
    TCase *good = tcase_create("good");
    tcase_add_checked_fixture(good, NULL, teardown);
    tcase_add_test(good, nodes_know_their_place);
    tcase_add_test(good, empty_files_are_empty_maps);
    tcase_add_test(good, nothing_is_null_unless_quoted);
    tcase_add_test(good, a_byte_order_mark_is_skipped);
    tcase_add_test(good, blocks_and_quotes);
    tcase_add_test(good, aliases_are_copies);
    tcase_add_test(good, the_last_anchor_of_a_name_counts);
    tcase_add_test(good, merge_keys);
    tcase_add_test(good, core_tags);
    tcase_add_test(good, variables);
    tcase_add_test(good, values_of_variables_are_not_looked_into);
    suite_add_tcase(suite, good);
    TCase *bad = tcase_create("bad");
    tcase_add_checked_fixture(bad, NULL, teardown);
    tcase_set_timeout(bad, 30);
    tcase_add_test(bad, what_is_refused);
    tcase_add_test(bad, syntax_errors_have_hints);
    tcase_add_test(bad, one_wrong_value_is_reported_once);
    tcase_add_test(bad, depth_is_bounded);
    tcase_add_test(bad, expansion_is_bounded);
    tcase_add_test(bad, text_is_bounded);
    tcase_add_test(bad, many_keys_are_no_problem);
    tcase_add_test(bad, unread_keys_are_reported);
    tcase_add_test(bad, absent_maps_can_be_asked);
    tcase_add_test(bad, hostile_words_print_safely);
    suite_add_tcase(suite, bad);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
