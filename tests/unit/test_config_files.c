/* Configuration in several files: include, merging, secrets from files, relative paths. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/tree.h"

static char folder[] = "/tmp/noctule-config-XXXXXX";
static struct diagnostics found;
static struct config_tree *tree;

static void setup(void)
{
    strcpy(folder + strlen(folder) - 6, "XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    ck_assert_int_eq(chdir(folder), 0);
}

static void teardown(void)
{
    char command[128];
    config_tree_free(tree);
    tree = NULL;
    diagnostics_clear(&found);
    ck_assert_int_eq(chdir("/"), 0);
    snprintf(command, sizeof command, "rm -r %s", folder);
    ck_assert_int_eq(system(command), 0);
}

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    ck_assert_int_ge(fputs(text, file), 0);
    ck_assert_int_eq(fclose(file), 0);
}

static struct config_node *load(const char *path)
{
    config_tree_free(tree);
    diagnostics_clear(&found);
    tree = config_tree_load(path, &found);
    return tree ? config_tree_root(tree) : NULL;
}

static struct config_node *load_good(const char *path)
{
    struct config_node *root = load(path);
    ck_assert_msg(found.count == 0, "%s", found.count ? found.items[0].text : "");
    return root;
}

static void check_found(const char *expected)
{
    char all[4096] = "";
    for (size_t i = 0; i < found.count; i++) {
        if (i > 0)
            strcat(all, "\n");
        strncat(all, found.items[i].text, 1000);
    }
    ck_assert_msg(strcmp(all, expected) == 0, "expected: %s\nfound:    %s", expected, all);
}

static const char *text_of(struct config_node *map, const char *key)
{
    const char *text = "(none)";
    config_string(map, key, &text, &found);
    return text;
}

START_TEST(a_plain_file)
{
    write_file("a.yaml", "key: value\nfile: x/y\n");
    struct config_node *root = load_good("a.yaml");
    const char *path = NULL;
    ck_assert_str_eq(text_of(root, "key"), "value");
    ck_assert_int_eq(config_path(root, "file", &path, &found), CONFIG_FOUND);
    ck_assert_str_eq(path, "x/y");
    ck_assert_ptr_null(load("missing.yaml"));
    check_found("cannot read missing.yaml: No such file or directory");
    ck_assert_ptr_null(load("/"));
    check_found("cannot read /: Is a directory");
}
END_TEST

START_TEST(includes_merge)
{
    mkdir("conf.d", 0700);
    write_file("a.yaml", "include: conf.d/*.yaml\nlist: [main]\nlimits: {x: 1}\nempty:\n");
    write_file("conf.d/20.yaml", "list: [twenty]\nlimits: {z: 3}\n");
    write_file("conf.d/10.yaml",
               "list: [ten, eleven]\nlimits: {y: 2}\nnew: [n]\nempty: {filled: 1}\nlimits2:\n");
    write_file("conf.d/.hidden.yaml", "broken: [\n");
    write_file("conf.d/other.txt", "broken: [\n");
    struct config_node *root = load_good("a.yaml");
    static const char *const order[] = {"main", "ten", "eleven", "twenty"};
    struct config_node *list = config_get(root, "list");
    ck_assert_uint_eq(list->count, 4);
    size_t i = 0;
    for (struct config_node *item = list->items; item; item = item->next)
        ck_assert_str_eq(item->text, order[i++]);
    ck_assert_uint_eq(i, 4);
    ck_assert_str_eq(list->items->next->place.file, "conf.d/10.yaml");
    struct config_node *limits = config_get(root, "limits");
    ck_assert_uint_eq(limits->count, 3);
    ck_assert_str_eq(text_of(limits, "x"), "1");
    ck_assert_str_eq(text_of(limits, "y"), "2");
    ck_assert_str_eq(text_of(limits, "z"), "3");
    ck_assert_uint_eq(config_get(root, "new")->count, 1);
    ck_assert_str_eq(text_of(config_get(root, "empty"), "filled"), "1");
    ck_assert_ptr_null(config_get(root, "include"));
    ck_assert_uint_eq(root->count, 5);
}
END_TEST

START_TEST(empty_lists_merge)
{
    write_file("a.yaml", "include: [b.yaml, c.yaml]\nlist: []\n");
    write_file("b.yaml", "list: []\n");
    write_file("c.yaml", "list: [x]\n");
    struct config_node *list = config_get(load_good("a.yaml"), "list");
    ck_assert_uint_eq(list->count, 1);
    ck_assert_str_eq(list->items->text, "x");
}
END_TEST

START_TEST(paths_are_relative_to_their_own_file)
{
    mkdir("conf", 0700);
    mkdir("conf/[odd]*", 0700);
    write_file("conf/a.yaml", "include: '[[]odd]*/b*.yaml'\np: users\n");
    write_file("conf/[odd]*/b.yaml", "q: users\ninclude: c?.yaml\nlist: [one]\n");
    write_file("conf/[odd]*/c1.yaml", "r: ../users\nsecret: ${file:key}\nlist: [two]\n");
    write_file("conf/[odd]*/key", "hush");
    struct config_node *root = load_good("conf/a.yaml");
    const char *path = NULL;
    ck_assert_int_eq(config_path(root, "p", &path, &found), CONFIG_FOUND);
    ck_assert_str_eq(path, "conf/users");
    ck_assert_int_eq(config_path(root, "q", &path, &found), CONFIG_FOUND);
    ck_assert_str_eq(path, "conf/[odd]*/users");
    ck_assert_int_eq(config_path(root, "r", &path, &found), CONFIG_FOUND);
    ck_assert_str_eq(path, "conf/[odd]*/../users");
    ck_assert_str_eq(text_of(root, "secret"), "hush");
}
END_TEST

START_TEST(conflicts_name_both_places)
{
    write_file("a.yaml", "include: b.yaml\nworkers: 1\nlist: [x]\nlog: {level: info}\n");
    write_file("b.yaml", "workers: 1\nlist: {x: 1}\nlog:\n  level: info\n");
    load("a.yaml");
    check_found("b.yaml:1:1: `workers` is already set at a.yaml:2:1\n"
                "b.yaml:2:1: `list` is already set at a.yaml:3:1\n"
                "b.yaml:4:3: `level` is already set at a.yaml:4:7");
}
END_TEST

START_TEST(missing_and_wrong_includes)
{
    write_file("a.yaml",
               "include:\n  - none/*.yaml\n  - b.yaml\n  - [c]\n  - ${NOCTULE_TEST_UNSET}\n  - ''\n");
    ck_assert_ptr_nonnull(load("a.yaml"));
    check_found(
        "a.yaml:5:5: the variable NOCTULE_TEST_UNSET is not set (${NOCTULE_TEST_UNSET:-default} would give "
        "it a default)\n"
        "a.yaml:3:5: cannot read b.yaml: No such file or directory\n"
        "a.yaml:4:5: an item of `include` expects the path of a file, not a list\n"
        "a.yaml:6:5: an item of `include` expects the path of a file, not an empty text");
    write_file("c.yaml", "include:\nx: 1\n");
    ck_assert_uint_eq(load_good("c.yaml")->count, 1);
}
END_TEST

START_TEST(errors_of_included_files_are_all_found)
{
    mkdir("d", 0700);
    write_file("a.yaml", "include: d/*\nx: ${NOCTULE_TEST_UNSET:-1}\n");
    write_file("d/1", "x: [\n");
    write_file("d/2", "- list\n");
    write_file("d/3", "a: 1\na: 2\n");
    load("a.yaml");
    ck_assert_uint_eq(found.count, 3);
    ck_assert_int_eq(strncmp(found.items[0].text, "d/1:2:1: ", 9), 0);
    ck_assert_str_eq(found.items[1].text, "d/2:1:1: the file expects a map, not a list");
    ck_assert_str_eq(found.items[2].text, "d/3:2:1: duplicate key `a` (the first is in line 1)");
}
END_TEST

START_TEST(circles_are_refused)
{
    write_file("a.yaml", "include: b.yaml\n");
    write_file("b.yaml", "include: ./a.yaml\n");
    load("a.yaml");
    check_found("b.yaml:1:10: ./a.yaml would include itself");
    write_file("c.yaml", "include: '*.yaml'\n");
    unlink("a.yaml");
    unlink("b.yaml");
    load("c.yaml");
    check_found("c.yaml:1:10: c.yaml would include itself");
}
END_TEST

START_TEST(depth_is_bounded)
{
    char name[32];
    char text[64];
    for (int i = 0; i < 12; i++) {
        snprintf(name, sizeof name, "%d.yaml", i);
        snprintf(text, sizeof text, "include: %d.yaml\nk%d: 1\n", i + 1, i);
        write_file(name, text);
    }
    struct config_node *root = load("0.yaml");
    check_found("8.yaml:1:10: files include each other more than 8 levels deep");
    ck_assert_uint_eq(root->count, 9);
}
END_TEST

START_TEST(the_number_of_files_is_bounded)
{
    // Each of eight files includes the next one many times: without a bound that would be 6^8 files.
    char name[32];
    char text[256];
    for (int i = 0; i < 8; i++) {
        snprintf(name, sizeof name, "%d.yaml", i);
        snprintf(text, sizeof text, "include: [%d.yaml, %d.yaml, %d.yaml, %d.yaml, %d.yaml, %d.yaml]\n",
                 i + 1, i + 1, i + 1, i + 1, i + 1, i + 1);
        write_file(name, text);
    }
    write_file("8.yaml", "list: [x]\n");
    load("0.yaml");
    ck_assert_uint_eq(found.count, 1);
    ck_assert_ptr_nonnull(strstr(found.items[0].text, "more than 1000 files"));
}
END_TEST

START_TEST(secrets_from_files)
{
    write_file("nl", "secret\n");
    write_file("crlf", "secret\r\n");
    write_file("two", "a\nb\n\n");
    write_file("none", "");
    char text[512];
    snprintf(text, sizeof text,
             "a: ${file:nl}\nb: ${file:crlf}\nc: ${file:two}\nd: ${file:none}\ne: x-${file:%s/nl}-y\nf: "
             "${file:nope}\n"
             "g: ${file:}\nh: ${file:/}\n",
             folder);
    write_file("a.yaml", text);
    struct config_node *root = load("a.yaml");
    ck_assert_str_eq(text_of(root, "a"), "secret");
    ck_assert_str_eq(text_of(root, "b"), "secret");
    ck_assert_str_eq(text_of(root, "c"), "a\nb\n");
    ck_assert_str_eq(text_of(root, "d"), "");
    ck_assert_str_eq(text_of(root, "e"), "x-secret-y");
    check_found("a.yaml:6:4: `${file:nope}`: cannot read nope: No such file or directory\n"
                "a.yaml:7:4: `${file:}` names no file\n"
                "a.yaml:8:4: `${file:/}`: cannot read /: Is a directory");
}
END_TEST

START_TEST(secrets_are_small_text)
{
    FILE *file = fopen("binary", "w");
    fwrite("a\0b", 1, 3, file);
    fclose(file);
    file = fopen("large", "w");
    for (int i = 0; i <= CONFIG_SECRET_MAX; i++)
        fputc('x', file);
    fclose(file);
    write_file("a.yaml", "a: ${file:binary}\nb: ${file:large}\n");
    load("a.yaml");
    check_found("a.yaml:1:4: the value of `${file:binary}` is not UTF-8 text\n"
                "a.yaml:2:4: `${file:large}`: cannot read large: too large");
}
END_TEST

START_TEST(the_environment)
{
    setenv("NOCTULE_TEST", "value", 1);
    write_file("a.yaml", "a: ${NOCTULE_TEST}\n");
    ck_assert_str_eq(text_of(load_good("a.yaml"), "a"), "value");
    unsetenv("NOCTULE_TEST");
    load("a.yaml");
    ck_assert_uint_eq(found.errors, 1);
}
END_TEST

START_TEST(a_pipe_can_be_read)
{
    int ends[2];
    char path[32];
    ck_assert_int_eq(pipe(ends), 0);
    ck_assert_int_eq(write(ends[1], "a: 1\n", 5), 5);
    close(ends[1]);
    snprintf(path, sizeof path, "/dev/fd/%d", ends[0]);
    ck_assert_str_eq(text_of(load_good(path), "a"), "1");
    close(ends[0]);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("config files");
    TCase *files = tcase_create("files");
    tcase_add_checked_fixture(files, setup, teardown);
    tcase_add_test(files, a_plain_file);
    tcase_add_test(files, includes_merge);
    tcase_add_test(files, empty_lists_merge);
    tcase_add_test(files, paths_are_relative_to_their_own_file);
    tcase_add_test(files, conflicts_name_both_places);
    tcase_add_test(files, missing_and_wrong_includes);
    tcase_add_test(files, errors_of_included_files_are_all_found);
    tcase_add_test(files, circles_are_refused);
    tcase_add_test(files, depth_is_bounded);
    tcase_add_test(files, the_number_of_files_is_bounded);
    tcase_add_test(files, secrets_from_files);
    tcase_add_test(files, secrets_are_small_text);
    tcase_add_test(files, the_environment);
    tcase_add_test(files, a_pipe_can_be_read);
    suite_add_tcase(suite, files);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
