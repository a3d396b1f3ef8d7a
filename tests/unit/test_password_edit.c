// Changing password files: what is kept, what is written, what is refused, and that editors do not lose each
// other's changes.
#include "plugins/file-auth/password_edit.h"

#include <check.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define HASH                                                                                                 \
    "$6$AAECAwQFBgcICQoL$5W8GCQ9GLgmhmQvoa8jmRaPnsh82mRigdSv6mQsK0sMIII/WznlQb1g+RWddfoAKTMzBJP1deJU+Rp/"    \
    "1QZ0zZg=="

static char folder[64], path[80];
static struct password_edit edit;

static void folder_make(void)
{
    strcpy(folder, "/tmp/noctule-edit-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/users", folder);
    edit = (struct password_edit){.path = path};
}

static void folder_remove(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -r %s", folder);
    ck_assert_int_eq(system(command), 0);
}

static void file_write(const char *text)
{
    int descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0640);
    ck_assert_int_ge(descriptor, 0);
    ck_assert_int_eq(write(descriptor, text, strlen(text)), (ssize_t)strlen(text));
    close(descriptor);
}

static const char *file_text(void)
{
    static char text[65536];
    FILE *stream = fopen(path, "r");
    ck_assert_ptr_nonnull(stream);
    text[fread(text, 1, sizeof text - 1, stream)] = '\0';
    fclose(stream);
    return text;
}

static mode_t file_mode(void)
{
    struct stat status;
    ck_assert_int_eq(stat(path, &status), 0);
    return status.st_mode & 07777;
}

/** How many files there are in the folder: a temporary one left behind would show. */
static int file_count(void)
{
    int count = 0;
    DIR *directory = opendir(folder);
    for (struct dirent *entry; (entry = readdir(directory));) {
        count += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    }
    closedir(directory);
    return count;
}

static bool set(const char *user)
{
    return password_edit_set(&edit, user, strlen(user), "NEW");
}

static const struct {
    const char *before;
    const char *after; ///< of giving "bob" the hash NEW
} SETS[] = {
    {"", "bob:NEW\n"},
    {"alice:A\n", "alice:A\nbob:NEW\n"},
    {"alice:A", "alice:A\nbob:NEW\n"},
    {"alice:A\r\n", "alice:A\r\nbob:NEW\r\n"},
    {"alice:A\r\n#last", "alice:A\r\n#last\r\nbob:NEW\r\n"},
    {"# top\nbob:B\n\nalice:A\n", "# top\nbob:NEW\n\nalice:A\n"},
    {"bob:B", "bob:NEW"},
    {" bob : B \r\nalice:A\r\n", " bob :NEW\r\nalice:A\r\n"},
    {"bob:B:a note\n", "bob:NEW:a note\n"},
    {"bob:\n", "bob:NEW\n"},
    {"#bob:B\nbobby:C\n", "#bob:B\nbobby:C\nbob:NEW\n"},
    {"bob:B\nalice:A\nbob:C\n", "bob:NEW\nalice:A\n"},
    {"not an entry\n", "not an entry\nbob:NEW\n"},
};

START_TEST(setting_keeps_what_is_around)
{
    file_write(SETS[_i].before);
    ck_assert(set("bob"));
    ck_assert_str_eq(file_text(), SETS[_i].after);
    ck_assert_uint_eq(file_mode(), 0600);
    ck_assert_int_eq(file_count(), 1);
    ck_assert(edit.closed);
    ck_assert(set("bob"));
    ck_assert(!edit.closed);
}
END_TEST

START_TEST(deleting_takes_all_lines_of_the_user)
{
    file_write("# top\nbob:B\nalice:A\r\n bob:C\n#bob:D\n");
    ck_assert(password_edit_delete(&edit, "bob", 3));
    ck_assert_str_eq(file_text(), "# top\nalice:A\r\n#bob:D\n");
    ck_assert(!password_edit_delete(&edit, "bob", 3));
    ck_assert_str_eq(edit.problems.list[0].text, "there is no such user");
    ck_assert(password_edit_delete(&edit, "alice", 5));
    ck_assert_str_eq(file_text(), "# top\n#bob:D\n");
}
END_TEST

START_TEST(last_user_leaves_an_empty_file)
{
    file_write("bob:B\n");
    ck_assert(password_edit_delete(&edit, "bob", 3));
    ck_assert_str_eq(file_text(), "");
}
END_TEST

START_TEST(creating_needs_to_be_asked_for)
{
    ck_assert(!set("bob"));
    ck_assert_str_eq(edit.problems.list[0].text, "cannot open: No such file or directory (-c creates it)");
    ck_assert_int_eq(file_count(), 0);
    edit.create = true;
    ck_assert(set("bob"));
    ck_assert_str_eq(file_text(), "bob:NEW\n");
    ck_assert_uint_eq(file_mode(), 0600);
    ck_assert(!edit.closed);
    ck_assert(set("alice"));
    ck_assert_str_eq(file_text(), "alice:NEW\n");
    ck_assert_int_eq(file_count(), 1);
}
END_TEST

START_TEST(umask_does_not_matter)
{
    umask(0777);
    edit.create = true;
    ck_assert(set("bob"));
    umask(022);
    ck_assert_uint_eq(file_mode(), 0600);
}
END_TEST

START_TEST(symbolic_link_stays)
{
    char link[96];
    struct stat status;
    file_write("alice:A\n");
    snprintf(link, sizeof link, "%s/link", folder);
    ck_assert_int_eq(symlink("users", link), 0);
    edit.path = link;
    ck_assert(set("bob"));
    ck_assert_int_eq(lstat(link, &status), 0);
    ck_assert(S_ISLNK(status.st_mode));
    ck_assert_str_eq(file_text(), "alice:A\nbob:NEW\n");
}
END_TEST

START_TEST(only_regular_files_are_replaced)
{
    edit.path = folder;
    ck_assert(!set("bob"));
    edit.path = "/dev/null";
    edit.create = true;
    ck_assert(!set("bob"));
    ck_assert_str_eq(edit.problems.list[0].text, "cannot open: not a regular file");
    struct stat status;
    ck_assert_int_eq(stat("/dev/null", &status), 0);
    ck_assert(S_ISCHR(status.st_mode));
}
END_TEST

START_TEST(owner_stays)
{
    if (geteuid() != 0) {
        return; // only the superuser can give files away
    }
    struct stat status;
    file_write("alice:A\n");
    ck_assert_int_eq(chown(path, 12345, 23456), 0);
    ck_assert(set("bob"));
    ck_assert_int_eq(stat(path, &status), 0);
    ck_assert_uint_eq(status.st_uid, 12345);
    ck_assert_uint_eq(status.st_gid, 23456);
    ck_assert_uint_eq(file_mode(), 0600);
}
END_TEST

START_TEST(failed_write_changes_nothing)
{
    file_write("alice:A\n");
    pid_t child = fork();
    if (child == 0) {
        // As somebody who may read the file, but not write to its folder.
        if (geteuid() == 0 && (chmod(folder, 0755) != 0 || chmod(path, 0644) != 0 || setuid(12345) != 0)) {
            _exit(3);
        }
        if (geteuid() != 12345 && chmod(folder, 0500) != 0) {
            _exit(4);
        }
        bool done = set("bob");
        _exit(done || !strstr(edit.problems.list[0].text, "cannot write"));
    }
    int status;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(chmod(folder, 0700), 0);
    ck_assert_int_eq(status, 0);
    ck_assert_str_eq(file_text(), "alice:A\n");
    ck_assert_int_eq(file_count(), 1);
}
END_TEST

START_TEST(editors_at_once_lose_nothing)
{
    enum { EDITORS = 4, EACH = 25 };
    file_write("");
    for (int editor = 0; editor < EDITORS; editor++) {
        if (fork() == 0) {
            bool done = true;
            for (int i = 0; i < EACH; i++) {
                char user[32];
                snprintf(user, sizeof user, "user-%d-%d", editor, i);
                done = set(user) && done;
            }
            _exit(!done);
        }
    }
    for (int editor = 0, status; editor < EDITORS; editor++) {
        ck_assert_int_gt(wait(&status), 0);
        ck_assert_int_eq(status, 0);
    }
    int lines = 0;
    for (const char *c = file_text(); *c; c++) {
        lines += *c == '\n';
    }
    ck_assert_int_eq(lines, EDITORS * EACH);
}
END_TEST

static bool matches(const struct password_file *file, const char *user, const char *password)
{
    const struct password_entry *entry = password_file_find(file, user, strlen(user));
    return entry && password_hash_verify(entry->hash, password, strlen(password)) == PASSWORD_RIGHT;
}

START_TEST(plain_entries_are_hashed_and_others_left)
{
    file_write("# top\nalice: secret \r\nbob:" HASH ":note\n\n carol:$money$\n");
    ck_assert(password_edit_hash_plain(&edit, (enum password_algorithm)_i));
    struct password_problems problems = {0};
    struct password_file *file = password_file_load(path, PASSWORD_SALT_AUTO, &problems);
    ck_assert_msg(file != NULL, "%u: %s", (unsigned)problems.list[0].line, problems.list[0].text);
    ck_assert_uint_eq(password_file_count(file), 3);
    ck_assert(matches(file, "alice", "secret"));
    ck_assert(matches(file, "bob", "correct horse"));
    ck_assert(matches(file, "carol", "$money$"));
    password_file_free(file);

    char once[4096];
    strcpy(once, file_text());
    ck_assert_int_eq(strncmp(once, "# top\nalice:$", 13), 0);
    ck_assert_ptr_nonnull(strstr(once, "\r\nbob:" HASH ":note\n\n carol:$"));
    ck_assert_uint_eq(file_mode(), 0600);
    ck_assert(password_edit_hash_plain(&edit, (enum password_algorithm)_i));
    ck_assert_str_eq(file_text(), once);
}
END_TEST

START_TEST(plain_file_with_errors_is_left_alone)
{
    static const char text[] =
        "alice:secret\nno colon\nbob:se:cret\n:x\ncarol:\ndave:$7$x$y$z\neve:$5$a$b\nfrank:x\n";
    file_write(text);
    ck_assert(!password_edit_hash_plain(&edit, PASSWORD_ARGON2ID));
    static const unsigned lines[] = {2, 3, 4, 5, 6, 7};
    ck_assert_uint_eq(edit.problems.count, sizeof lines / sizeof *lines);
    for (size_t i = 0; i < edit.problems.count; i++) {
        ck_assert_uint_eq(edit.problems.list[i].line, lines[i]);
    }
    ck_assert_str_eq(file_text(), text);
}
END_TEST

START_TEST(names_that_a_line_cannot_hold_are_refused)
{
    static const char *const refused[] = {"", "a:b", "a\nb", "a\tb", "\x7f", "\xff", "#a", " a", "a "};
    static const char *const fine[] = {"a", "a b", "a#", "\xC3\xA9", "$7$"};
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        ck_assert_ptr_nonnull(password_edit_user_problem(refused[i], strlen(refused[i])));
    }
    for (size_t i = 0; i < sizeof fine / sizeof *fine; i++) {
        ck_assert_ptr_null(password_edit_user_problem(fine[i], strlen(fine[i])));
    }
}
END_TEST

static Suite *edit_suite(void)
{
    Suite *suite = suite_create("password_edit");
    TCase *test = tcase_create("edit");
    tcase_set_timeout(test, 60);
    tcase_add_checked_fixture(test, folder_make, folder_remove);
    tcase_add_loop_test(test, setting_keeps_what_is_around, 0, sizeof SETS / sizeof *SETS);
    tcase_add_test(test, deleting_takes_all_lines_of_the_user);
    tcase_add_test(test, last_user_leaves_an_empty_file);
    tcase_add_test(test, creating_needs_to_be_asked_for);
    tcase_add_test(test, umask_does_not_matter);
    tcase_add_test(test, symbolic_link_stays);
    tcase_add_test(test, only_regular_files_are_replaced);
    tcase_add_test(test, owner_stays);
    tcase_add_test(test, failed_write_changes_nothing);
    tcase_add_test(test, editors_at_once_lose_nothing);
    tcase_add_loop_test(test, plain_entries_are_hashed_and_others_left, PASSWORD_ARGON2ID,
                        PASSWORD_PBKDF2_SHA512 + 1);
    tcase_add_test(test, plain_file_with_errors_is_left_alone);
    tcase_add_test(test, names_that_a_line_cannot_hold_are_refused);
    suite_add_tcase(suite, test);
    return suite;
}

int main(void)
{
    SRunner *runner = srunner_create(edit_suite());
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
