// Password files as a whole: lines, problems with their places, look-up, fingerprints, many users.
#include "plugins/file-auth/password_file.h"
#include "plugins/file-auth/password_line.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

// "correct horse", and the same salt and iterations with another password.
#define HASH                                                                                                 \
    "$7$101$aHAwAIOHVSvjTvjD$TgpxHzBN8locTbd0P9gYnrOP3LoK/"                                                  \
    "bk5EPZnny4Dsx1Jb0gsBLeTzSZTcKtmWT9gyrLdoL+22ksaYHJHnjr"                                                 \
    "PSQ=="
#define OTHER                                                                                                \
    "$7$101$AAECAwQFBgcICQoL$Oorei7WAq0Ku89VGerVUptUCdhYayRJAt6YxttF7wiwwItrj/"                              \
    "1Buq9htNjo6PkVA7w01PY+HiqHwcqfwo/o"                                                                     \
    "gYQ=="
#define CHEAP                                                                                                \
    "$6$AAECAwQFBgcICQoL$5W8GCQ9GLgmhmQvoa8jmRaPnsh82mRigdSv6mQsK0sMIII/WznlQb1g+RWddfoAKTMzBJP1deJU+Rp/"    \
    "1QZ0zZg=="

static struct password_problems problems;

static struct password_file *parse_text(const char *text, size_t length)
{
    // Exactly the text, so that a read past its end is seen.
    char *copy = malloc(length + !length);
    memcpy(copy, text, length);
    problems = (struct password_problems){0};
    struct password_file *file = password_file_parse(copy, length, PASSWORD_SALT_AUTO, &problems);
    free(copy);
    return file;
}

static struct password_file *parse_good(const char *text)
{
    struct password_file *file = parse_text(text, strlen(text));
    ck_assert_msg(file != NULL, "line %u: %s", (unsigned)problems.list[0].line, problems.list[0].text);
    ck_assert_uint_eq(problems.total, 0);
    return file;
}

static const struct password_entry *find(const struct password_file *file, const char *user)
{
    return password_file_find(file, user, strlen(user));
}

START_TEST(entries_are_found_with_their_lines)
{
    struct password_file *file =
        parse_good("# users\n\nalice:" HASH "\n  \t\n#bob:" HASH "\nbob:" OTHER "\n");
    ck_assert_uint_eq(password_file_count(file), 2);
    ck_assert_uint_eq(find(file, "alice")->line, 3);
    ck_assert_uint_eq(find(file, "bob")->line, 6);
    ck_assert_ptr_null(find(file, "carol"));
    ck_assert_ptr_null(find(file, "alic"));
    ck_assert_ptr_null(find(file, "alice "));
    ck_assert_ptr_null(find(file, "#bob"));
    ck_assert_ptr_null(find(file, ""));
    ck_assert_ptr_null(password_file_find(file, NULL, 0));
    ck_assert_int_eq(password_hash_verify(find(file, "alice")->hash, "correct horse", 13), PASSWORD_RIGHT);
    ck_assert_int_eq(password_hash_verify(find(file, "bob")->hash, "", 0), PASSWORD_RIGHT);
    password_file_free(file);
}
END_TEST

START_TEST(forms_of_a_line_mean_the_same)
{
    static const char *const forms[] = {
        "alice:" HASH,
        "alice:" HASH "\n",
        "alice:" HASH "\r\n",
        " alice\t: " HASH " \n",
        "alice:" HASH ":ignored:too\n",
        "alice:" HASH " : ignored\r\n",
        "\xEF\xBB\xBF"
        "alice:" HASH "\n",
    };
    struct password_file *plain = parse_good(forms[0]);
    for (size_t i = 1; i < sizeof forms / sizeof *forms; i++) {
        struct password_file *file = parse_good(forms[i]);
        ck_assert_uint_eq(find(file, "alice")->fingerprint, find(plain, "alice")->fingerprint);
        ck_assert_int_eq(password_hash_verify(find(file, "alice")->hash, "correct horse", 13),
                         PASSWORD_RIGHT);
        password_file_free(file);
    }
    password_file_free(plain);
}
END_TEST

START_TEST(fingerprint_follows_user_and_hash)
{
    struct password_file *before = parse_good("alice:" HASH "\nbob:" HASH "\ncarol:" HASH "\n");
    struct password_file *after = parse_good("# moved\ncarol:" OTHER "\nalice:" HASH "\n");
    ck_assert_uint_ne(find(before, "alice")->fingerprint, find(before, "bob")->fingerprint);
    ck_assert(password_file_holds(after, find(before, "alice")->fingerprint));
    ck_assert(!password_file_holds(after, find(before, "bob")->fingerprint));
    ck_assert(!password_file_holds(after, find(before, "carol")->fingerprint));
    ck_assert(!password_file_holds(after, 0));
    password_file_free(before);
    password_file_free(after);
}
END_TEST

START_TEST(empty_files_have_no_users)
{
    static const char *const texts[] = {"", "\n", "# nobody", "\r\n\r\n", "   "};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct password_file *file = parse_good(texts[i]);
        ck_assert_uint_eq(password_file_count(file), 0);
        ck_assert_ptr_null(find(file, "alice"));
        ck_assert(!password_file_holds(file, 1));
        password_file_spend(file, "x", 1);
        password_file_free(file);
    }
}
END_TEST

static const struct {
    const char *text;
    unsigned line;
    const char *problem;
} BAD[] = {
    {"alice\n", 1, "no ':'"},
    {"\n # not in column 0\n", 2, "no ':'"},
    {":" HASH "\n", 1, "user name is empty"},
    {"  :" HASH "\n", 1, "user name is empty"},
    {"alice:\n", 1, "user \"alice\": there is no hash"},
    {"alice: :x\n", 1, "there is no hash"},
    {"alice:secret\n", 1, "user \"alice\": the password is not hashed"},
    {"alice:$7$101$x\n", 1, "salt"},
    {"alice:" HASH "\nbob:" HASH "\n#\nalice:" OTHER "\n", 4,
     "user \"alice\" is listed twice (first on line 1)"},
    {"alice:" HASH "\r\nalice:" HASH, 2, "listed twice"},
    {"al\xff"
     "ice:" HASH "\n",
     1, "not UTF-8"},
    {"al\xC0\x80:" HASH "\n", 1, "not UTF-8"},
    {"al\xED\xA0\x80:" HASH "\n", 1, "not UTF-8"},
    {"al\xF4\x90\x80\x80:" HASH "\n", 1, "not UTF-8"},
    {"al\xE2\x82:" HASH "\n", 1, "not UTF-8"},
    {"al\x01:" HASH "\n", 1, "control character"},
    {"al\x7f:" HASH "\n", 1, "control character"},
    {"al\xC2\x85:" HASH "\n", 1, "control character"},
    {"al\rice:" HASH "\n", 1, "control character"},
};

START_TEST(bad_line_is_named)
{
    ck_assert_ptr_null(parse_text(BAD[_i].text, strlen(BAD[_i].text)));
    ck_assert_uint_eq(problems.total, 1);
    ck_assert_uint_eq(problems.list[0].line, BAD[_i].line);
    ck_assert_msg(strstr(problems.list[0].text, BAD[_i].problem) != NULL, "\"%s\" does not tell of \"%s\"",
                  problems.list[0].text, BAD[_i].problem);
}
END_TEST

START_TEST(nul_in_a_name_or_hash_is_refused)
{
    static const char name[] = "al\0ice:" HASH;
    static const char hash[] = "alice:" HASH "\0";
    ck_assert_ptr_null(parse_text(name, sizeof name - 1));
    ck_assert_str_eq(problems.list[0].text, "the user name contains a control character");
    ck_assert_ptr_null(parse_text(hash, sizeof hash - 1));
    ck_assert_uint_eq(problems.list[0].line, 1);
}
END_TEST

START_TEST(all_problems_are_told_up_to_a_bound)
{
    char text[4096] = "good:" HASH "\n";
    for (int i = 0; i < 60; i++) {
        sprintf(text + strlen(text), "bad%d\n", i);
    }
    ck_assert_ptr_null(parse_text(text, strlen(text)));
    ck_assert_uint_eq(problems.total, 60);
    ck_assert_uint_eq(problems.count, PASSWORD_PROBLEMS_MAX);
    for (unsigned i = 0; i < problems.count; i++) {
        ck_assert_uint_eq(problems.list[i].line, i + 2);
    }
}
END_TEST

START_TEST(names_of_any_length_and_script)
{
    static char text[70000 + sizeof HASH];
    memset(text, 'n', 65535);
    strcpy(text + 65535, ":" HASH "\n\xC3\xA9t\xC3\xA9 \xF0\x9F\x98\x80:" HASH);
    struct password_file *file = parse_good(text);
    ck_assert_ptr_nonnull(password_file_find(file, text, 65535));
    ck_assert_ptr_null(password_file_find(file, text, 65534));
    ck_assert_ptr_nonnull(find(file, "\xC3\xA9t\xC3\xA9 \xF0\x9F\x98\x80"));
    password_file_free(file);

    memset(text, 'n', 65536);
    strcpy(text + 65536, ":" HASH);
    ck_assert_ptr_null(parse_text(text, strlen(text)));
    ck_assert_str_eq(problems.list[0].text, "the user name is longer than 65535 bytes");
}
END_TEST

START_TEST(long_name_is_cut_between_characters)
{
    char text[512] = "";
    for (int i = 0; i < 22; i++) {
        strcat(text, "\xE2\x82\xAC");
    }
    strcat(text, ":secret");
    ck_assert_ptr_null(parse_text(text, strlen(text)));
    const char *end = strstr(problems.list[0].text, "\": the");
    ck_assert_ptr_nonnull(end);
    ck_assert_uint_eq((size_t)(end - problems.list[0].text), strlen("user \"") + 63);
}
END_TEST

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

START_TEST(fifty_thousand_users_are_quick)
{
    enum { USERS = 50000 };
    char *text = malloc((size_t)USERS * (sizeof HASH + 16));
    char *end = text;
    for (int i = 0; i < USERS; i++) {
        end += sprintf(end, "user%d:%s\n", i, HASH);
    }
    double begin = seconds();
    struct password_file *file =
        password_file_parse(text, (size_t)(end - text), PASSWORD_SALT_AUTO, &problems);
    double loaded = seconds() - begin;
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(password_file_count(file), USERS);
    begin = seconds();
    for (int i = 0; i < USERS; i++) {
        char user[32];
        sprintf(user, "user%d", i);
        const struct password_entry *entry = find(file, user);
        ck_assert_ptr_nonnull(entry);
        ck_assert_uint_eq(entry->line, (unsigned)i + 1);
        ck_assert(password_file_holds(file, entry->fingerprint));
        strcat(user, "x");
        ck_assert_ptr_null(find(file, user));
    }
    // Generous for sanitizers; a scan of the list, or a comparison of all with all, takes minutes.
    ck_assert_double_lt(loaded, 10);
    ck_assert_double_lt(seconds() - begin, 10);
    password_file_free(file);
    free(text);
}
END_TEST

/** Seconds for one look at an unknown user. */
static double spent(const char *text)
{
    struct password_file *file = parse_good(text);
    double begin = seconds();
    password_file_spend(file, "password", 8);
    double took = seconds() - begin;
    password_file_free(file);
    return took;
}

START_TEST(unknown_user_costs_what_most_users_cost)
{
#define DEAR "$pbkdf2-sha256$i=200000,l=32$yMnKy8zNzs/Q0dLT1NXW1w$TwRueOdCB6KCbpfU0/4XAabBqcM+xth4i3zmIlph9+Q"
    double begin = seconds();
    struct password_file *file = parse_good("dear:" DEAR);
    password_hash_verify(find(file, "dear")->hash, "password", 8);
    double dear = seconds() - begin;
    password_file_free(file);
    // On a tie the dearer counts, whatever the order; else the more frequent.
    ck_assert_double_gt(spent("a:" CHEAP "\nb:" DEAR "\n"), dear / 4);
    ck_assert_double_gt(spent("a:" DEAR "\nb:" CHEAP "\n"), dear / 4);
    ck_assert_double_gt(spent("a:" DEAR "\nb:" CHEAP "\nc:" DEAR), dear / 4);
    ck_assert_double_lt(spent("a:" CHEAP "\nb:" DEAR "\nc:" CHEAP), dear / 4);
}
END_TEST

START_TEST(files_are_read_from_the_disk)
{
    char folder[] = "/tmp/noctule-password-XXXXXX", path[64];
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/users", folder);
    problems = (struct password_problems){0};
    ck_assert_ptr_null(password_file_load(path, PASSWORD_SALT_AUTO, &problems));
    ck_assert_uint_eq(problems.list[0].line, 0);
    ck_assert_ptr_nonnull(strstr(problems.list[0].text, "No such file"));
    ck_assert_ptr_null(password_file_load(folder, PASSWORD_SALT_AUTO, &problems));
    ck_assert_ptr_nonnull(strstr(problems.list[1].text, "directory"));
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    ck_assert_ptr_null(password_file_load(path, PASSWORD_SALT_AUTO, &problems));
    ck_assert_ptr_nonnull(strstr(problems.list[2].text, "not a regular file"));
    unlink(path);

    FILE *stream = fopen(path, "w");
    for (int i = 0; i < 2000; i++) {
        fprintf(stream, "user%d:%s\n", i, HASH);
    }
    fclose(stream);
    struct password_file *file = password_file_load(path, PASSWORD_SALT_AUTO, &problems);
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(password_file_count(file), 2000);
    password_file_free(file);
    unlink(path);
    rmdir(folder);
}
END_TEST

static Suite *file_suite(void)
{
    Suite *suite = suite_create("password_file");
    TCase *test = tcase_create("file");
    tcase_set_timeout(test, 60);
    tcase_add_test(test, entries_are_found_with_their_lines);
    tcase_add_test(test, forms_of_a_line_mean_the_same);
    tcase_add_test(test, fingerprint_follows_user_and_hash);
    tcase_add_test(test, empty_files_have_no_users);
    tcase_add_loop_test(test, bad_line_is_named, 0, sizeof BAD / sizeof *BAD);
    tcase_add_test(test, nul_in_a_name_or_hash_is_refused);
    tcase_add_test(test, all_problems_are_told_up_to_a_bound);
    tcase_add_test(test, names_of_any_length_and_script);
    tcase_add_test(test, long_name_is_cut_between_characters);
    tcase_add_test(test, fifty_thousand_users_are_quick);
    tcase_add_test(test, unknown_user_costs_what_most_users_cost);
    tcase_add_test(test, files_are_read_from_the_disk);
    suite_add_tcase(suite, test);
    return suite;
}

int main(void)
{
    SRunner *runner = srunner_create(file_suite());
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
