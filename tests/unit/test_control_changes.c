// What a reload says has changed.
#include <check.h>
#include <stdlib.h>

#include "core/base/memory.h"
#include "core/broker/changes.h"

static struct settings *settings_of(const char *yaml)
{
    struct diagnostics diagnostics = DIAGNOSTICS_EMPTY;
    struct config_tree *tree =
        config_tree_parse(yaml, strlen(yaml), "test.yaml", NULL, &(struct config_options){0}, &diagnostics);
    struct settings *settings = tree ? settings_take(tree, &diagnostics) : NULL;
    for (size_t i = 0; i < diagnostics.count; i++)
        fprintf(stderr, "%s\n", diagnostics.items[i].text);
    ck_assert_ptr_nonnull(settings);
    diagnostics_clear(&diagnostics);
    return settings;
}

#define LISTENER "listeners: [{name: a, bind: '127.0.0.1:1'}]\n"

struct change_case {
    const char *old;
    const char *new;
    const char *lines;
};

static const struct change_case cases[] = {
    {LISTENER, LISTENER, ""},
    {LISTENER "workers: 1\n", LISTENER "workers: 2\n", "workers: 1 -> 2|"},
    {LISTENER "workers: 1\n", LISTENER, "workers: removed|"},
    {LISTENER, LISTENER "limits: {packet_size: 1KiB}\n", "limits: added|"},
    {LISTENER "limits: {sessions: 5}\n", LISTENER "limits: {packet_size: 1KiB}\n",
     "limits.sessions: removed|limits.packet_size: added: 1KiB|"},
    {LISTENER, "listeners: [{name: b, bind: '127.0.0.1:1'}]\n", "listeners.a: removed|listeners.b: added|"},
    {LISTENER, "listeners: [{name: a, bind: '127.0.0.1:2'}]\n",
     "listeners.a.bind: 127.0.0.1:1 -> 127.0.0.1:2|"},
    {LISTENER "plugins: [{name: p, config: {password: x}}]\n",
     LISTENER "plugins: [{name: p, config: {password: y, more: z}}]\n",
     "plugins.p.config.password: changed|plugins.p.config.more: added|"},
    {LISTENER "plugins: [{name: p, config: {list: [a, b]}}]\n",
     LISTENER "plugins: [{name: p, config: {list: [a, c]}}]\n", "plugins.p.config.list: changed|"},
};

START_TEST(what_changed)
{
    struct settings *old = settings_of(cases[_i].old);
    struct settings *new = settings_of(cases[_i].new);
    json_t *list = changes_between(old, new);
    char *lines = str_format("%s", "");
    size_t i;
    json_t *line;
    json_array_foreach(list, i, line)
    {
        char *longer = str_format("%s%s|", lines, json_string_value(line));
        free(lines);
        lines = longer;
    }
    ck_assert_str_eq(lines, cases[_i].lines);
    free(lines);
    json_decref(list);
    settings_free(old);
    settings_free(new);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("changes");
    TCase *tests = tcase_create("changes");
    tcase_add_loop_test(tests, what_changed, 0, sizeof cases / sizeof *cases);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
