// The file-auth plugin behind a host made of a few functions: verdicts, reasons, reload, errors in its files.
#include <noctule/plugin.h>

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// Both of "correct horse".
#define HASH                                                                                                 \
    "$6$AAECAwQFBgcICQoL$5W8GCQ9GLgmhmQvoa8jmRaPnsh82mRigdSv6mQsK0sMIII/WznlQb1g+RWddfoAKTMzBJP1deJU+Rp/"    \
    "1QZ0zZg=="
#define OTHER                                                                                                \
    "$7$101$aHAwAIOHVSvjTvjD$TgpxHzBN8locTbd0P9gYnrOP3LoK/"                                                  \
    "bk5EPZnny4Dsx1Jb0gsBLeTzSZTcKtmWT9gyrLdoL+22ksaYHJHnjr"                                                 \
    "PSQ=="
#define AS_TEXT "PBKDF2$sha256$901$Hj0pqjOxgX2eRHXk$DS7zfMjKxwaD5FCup13svHdByCI9eLd/"

/** What the host was told, and what it tells. */
static struct {
    const char *path; ///< of `password_file`; NULL: absent
    int32_t salt;     ///< of `salt_encoding`
    int32_t salt_result;
    int32_t annotate_result;
    uint64_t client_data;
    struct noctule_reply reply;
    char reason[512];
    char errors[8192]; ///< "LINE: text\n" of file_error, "config: text\n" of config_error
} told;

static int32_t host_annotate(struct noctule_request *request, const struct noctule_reply *reply)
{
    (void)request;
    ck_assert_uint_eq(reply->size, sizeof *reply);
    told.reply = *reply;
    snprintf(told.reason, sizeof told.reason, "%.*s", (int)reply->reason.length, reply->reason.data);
    return told.annotate_result;
}

static uint64_t host_client_data(struct noctule_instance *instance, const struct noctule_client *client)
{
    (void)instance, (void)client;
    return told.client_data;
}

static int32_t host_config_path(const struct noctule_config *config, const char *key,
                                struct noctule_string *value)
{
    (void)config;
    ck_assert_str_eq(key, "password_file");
    if (!told.path) {
        return 0;
    }
    // Not NUL-terminated, as the header warns.
    static char buffer[256];
    memset(buffer, 'X', sizeof buffer);
    *value = noctule_string_of(memcpy(buffer, told.path, strlen(told.path)), strlen(told.path));
    return 1;
}

static int32_t host_config_choice(const struct noctule_config *config, const char *key,
                                  const char *const *names, int32_t *value)
{
    (void)config;
    ck_assert_str_eq(key, "salt_encoding");
    ck_assert_str_eq(names[0], "auto");
    ck_assert_str_eq(names[1], "base64");
    ck_assert_str_eq(names[2], "utf-8");
    ck_assert_ptr_null(names[3]);
    *value = told.salt_result == 1 ? told.salt : *value;
    return told.salt_result;
}

static void host_config_error(const struct noctule_config *config, const char *key,
                              struct noctule_string text)
{
    (void)config, (void)key;
    sprintf(told.errors + strlen(told.errors), "config: %.*s\n", (int)text.length, text.data);
}

static void host_file_error(struct noctule_instance *instance, struct noctule_string file, uint32_t line,
                            struct noctule_string text)
{
    (void)instance;
    ck_assert_uint_eq(file.length, strlen(told.path));
    ck_assert_int_eq(memcmp(file.data, told.path, file.length), 0);
    sprintf(told.errors + strlen(told.errors), "%u: %.*s\n", (unsigned)line, (int)text.length, text.data);
}

static const struct noctule_host HOST = {
    .size = sizeof HOST,
    .major = NOCTULE_ABI_MAJOR,
    .minor = NOCTULE_ABI_MINOR,
    .annotate = host_annotate,
    .client_data = host_client_data,
    .config_path = host_config_path,
    .config_choice = host_config_choice,
    .config_error = host_config_error,
    .file_error = host_file_error,
};

extern const struct noctule_plugin *noctule_plugin_v1(void);

static const struct noctule_plugin *plugin;
static void *state;
static char path[64];

static void plugin_begin(void)
{
    memset(&told, 0, sizeof told);
    strcpy(path, "/tmp/noctule-users-XXXXXX");
    int descriptor = mkstemp(path);
    ck_assert_int_ge(descriptor, 0);
    close(descriptor);
    told.path = path;
    plugin = noctule_plugin_v1();
    ck_assert_int_eq(plugin->init(&HOST, NULL, &state), 0);
}

static void plugin_end(void)
{
    plugin->fini(state);
    unlink(path);
}

static int32_t build(const char *text, void **snapshot)
{
    FILE *stream = fopen(path, "w");
    fputs(text, stream);
    fclose(stream);
    return plugin->build(state, NULL, snapshot);
}

static void *build_good(const char *text)
{
    void *snapshot = NULL;
    ck_assert_msg(build(text, &snapshot) == 0, "%s", told.errors);
    ck_assert_str_eq(told.errors, "");
    ck_assert_ptr_nonnull(snapshot);
    return snapshot;
}

static noctule_verdict login(void *snapshot, const char *user, const char *password)
{
    struct noctule_context context = {.size = sizeof context, .state = state, .snapshot = snapshot};
    struct noctule_login given = {
        .size = sizeof given,
        .has_username = user != NULL,
        .has_password = password != NULL,
        .username = {user, user ? strlen(user) : 0},
        .password = {password, password ? strlen(password) : 0},
    };
    memset(&told.reply, 0, sizeof told.reply);
    strcpy(told.reason, "none");
    return plugin->authenticate(&context, &given);
}

static noctule_verdict revalidate(void *snapshot, uint64_t client_data)
{
    struct noctule_context context = {.size = sizeof context, .state = state, .snapshot = snapshot};
    told.client_data = client_data;
    return plugin->revalidate(&context);
}

static void assert_reason(const char *line)
{
    char expected[128];
    snprintf(expected, sizeof expected, "%s%s", strrchr(path, '/') + 1, line);
    ck_assert_str_eq(told.reason, expected);
}

START_TEST(describes_itself)
{
    ck_assert_uint_eq(plugin->size, sizeof *plugin);
    ck_assert_str_eq(plugin->name, "file-auth");
    ck_assert_uint_eq(plugin->abi_major, 1);
    ck_assert_uint_eq(plugin->flags, NOCTULE_FLAG_BLOCKING);
    ck_assert_ptr_null(plugin->authorize);
}
END_TEST

START_TEST(verdicts_and_reasons)
{
    void *snapshot = build_good("# users\nalice:" HASH "\n");
    ck_assert_int_eq(login(snapshot, "alice", "correct horse"), NOCTULE_ALLOW);
    assert_reason(":2: password matches");
    ck_assert_uint_ne(told.reply.client_data, 0);
    ck_assert_uint_eq(told.reply.reuse_ms, 0);

    ck_assert_int_eq(login(snapshot, "alice", "wrong"), NOCTULE_DENY);
    assert_reason(":2: wrong password");
    ck_assert_uint_eq(told.reply.reason_code, 0x86);
    ck_assert_uint_eq(told.reply.client_data, 0);
    ck_assert_uint_eq(told.reply.flags, 0);

    ck_assert_int_eq(login(snapshot, "alice", ""), NOCTULE_DENY);
    assert_reason(":2: wrong password");
    ck_assert_int_eq(login(snapshot, "alice", NULL), NOCTULE_DENY);
    assert_reason(":2: no password given");
    ck_assert_uint_eq(told.reply.reason_code, 0x86);

    ck_assert_int_eq(login(snapshot, "bob", "correct horse"), NOCTULE_NEXT);
    assert_reason(": no such user");
    ck_assert_int_eq(login(snapshot, "bob", NULL), NOCTULE_NEXT);
    ck_assert_int_eq(login(snapshot, "", "correct horse"), NOCTULE_NEXT);
    ck_assert_int_eq(login(snapshot, NULL, NULL), NOCTULE_NEXT);
    ck_assert_str_eq(told.reason, "none");
    ck_assert_int_eq(login(snapshot, NULL, "correct horse"), NOCTULE_NEXT);
    plugin->retire(state, snapshot);
}
END_TEST

START_TEST(enhanced_authentication_is_left_to_others)
{
    void *snapshot = build_good("alice:" HASH "\n");
    struct noctule_context context = {.size = sizeof context, .state = state, .snapshot = snapshot};
    struct noctule_login given = {
        .size = sizeof given,
        .has_username = 1,
        .has_password = 1,
        .username = NOCTULE_STRING("alice"),
        .password = NOCTULE_STRING("correct horse"),
        .auth_method = NOCTULE_STRING("SCRAM-SHA-256"),
    };
    ck_assert_int_eq(plugin->authenticate(&context, &given), NOCTULE_NEXT);
    plugin->retire(state, snapshot);
}
END_TEST

START_TEST(allow_without_its_note_is_an_error)
{
    void *snapshot = build_good("alice:" HASH "\n");
    told.annotate_result = NOCTULE_E_THREAD;
    ck_assert_int_eq(login(snapshot, "alice", "correct horse"), NOCTULE_ERROR);
    ck_assert_int_eq(login(snapshot, "alice", "wrong"), NOCTULE_DENY);
    ck_assert_int_eq(login(snapshot, "bob", "wrong"), NOCTULE_NEXT);
    plugin->retire(state, snapshot);
}
END_TEST

START_TEST(reload_ends_only_who_changed)
{
    static const char *const users[] = {"alice", "bob", "carol", "dave"};
    uint64_t data[4];
    void *before = build_good("alice:" HASH "\nbob:" HASH "\ncarol:" HASH "\ndave:" HASH "\n");
    for (size_t i = 0; i < 4; i++) {
        ck_assert_int_eq(login(before, users[i], "correct horse"), NOCTULE_ALLOW);
        data[i] = told.reply.client_data;
        ck_assert_int_eq(revalidate(before, data[i]), NOCTULE_ALLOW);
    }
    // alice has moved, bob has another hash (of the same password), carol has gone, dave has a note.
    void *after = build_good("bob:" OTHER "\n# new\nerin:" HASH "\n\nalice:" HASH "\r\ndave:" HASH ":note\n");
    ck_assert_int_eq(revalidate(after, data[0]), NOCTULE_ALLOW);
    ck_assert_int_eq(revalidate(after, data[1]), NOCTULE_DENY);
    ck_assert_int_eq(revalidate(after, data[2]), NOCTULE_DENY);
    ck_assert_int_eq(revalidate(after, data[3]), NOCTULE_ALLOW);
    ck_assert_int_eq(revalidate(after, 0), NOCTULE_DENY);
    plugin->retire(state, before);
    plugin->retire(state, after);
}
END_TEST

START_TEST(errors_of_the_file_are_reported)
{
    void *snapshot = NULL;
    ck_assert_int_ne(build("alice:" HASH "\nbob\n\nalice:" HASH "\ncarol:secret\n", &snapshot), 0);
    ck_assert_ptr_null(snapshot);
    ck_assert_str_eq(told.errors,
                     "2: no ':' between user and hash (expected user:hash)\n"
                     "4: user \"alice\" is listed twice (first on line 1)\n"
                     "5: user \"carol\": the password is not hashed (`noctule passwd -U` hashes it)\n");
}
END_TEST

START_TEST(errors_past_the_bound_are_counted)
{
    char text[1024] = "";
    for (int i = 0; i < 73; i++) {
        strcat(text, "x\n");
    }
    void *snapshot = NULL;
    ck_assert_int_ne(build(text, &snapshot), 0);
    ck_assert_ptr_nonnull(strstr(told.errors, "\n50: no ':'"));
    ck_assert_ptr_null(strstr(told.errors, "\n51: "));
    ck_assert_ptr_nonnull(strstr(told.errors, "\n0: 23 more errors\n"));
}
END_TEST

START_TEST(missing_file_and_missing_key_are_reported)
{
    void *snapshot = NULL;
    unlink(path);
    ck_assert_int_ne(plugin->build(state, NULL, &snapshot), 0);
    ck_assert_str_eq(told.errors, "0: cannot read the password file: No such file or directory\n");
    told.errors[0] = '\0';
    told.path = NULL;
    ck_assert_int_ne(plugin->build(state, NULL, &snapshot), 0);
    ck_assert_str_eq(told.errors,
                     "config: password_file is missing (expected the path of a password file)\n");
    ck_assert_ptr_null(snapshot);
}
END_TEST

START_TEST(salt_encoding_is_heeded)
{
    static const noctule_verdict verdicts[] = {NOCTULE_ALLOW, NOCTULE_DENY, NOCTULE_ALLOW};
    for (int32_t salt = 0; salt < 3; salt++) {
        told.salt_result = 1;
        told.salt = salt;
        void *snapshot = build_good("alice:" AS_TEXT "\n");
        ck_assert_int_eq(login(snapshot, "alice", "correct horse"), verdicts[salt]);
        plugin->retire(state, snapshot);
    }
    void *snapshot = NULL;
    told.salt_result = NOCTULE_E_INVALID;
    ck_assert_int_ne(build("alice:" AS_TEXT "\n", &snapshot), 0);
    ck_assert_ptr_null(snapshot);
}
END_TEST

static Suite *plugin_suite(void)
{
    Suite *suite = suite_create("password_plugin");
    TCase *test = tcase_create("plugin");
    tcase_add_checked_fixture(test, plugin_begin, plugin_end);
    tcase_add_test(test, describes_itself);
    tcase_add_test(test, verdicts_and_reasons);
    tcase_add_test(test, enhanced_authentication_is_left_to_others);
    tcase_add_test(test, allow_without_its_note_is_an_error);
    tcase_add_test(test, reload_ends_only_who_changed);
    tcase_add_test(test, errors_of_the_file_are_reported);
    tcase_add_test(test, errors_past_the_bound_are_counted);
    tcase_add_test(test, missing_file_and_missing_key_are_reported);
    tcase_add_test(test, salt_encoding_is_heeded);
    suite_add_tcase(suite, test);
    return suite;
}

int main(void)
{
    SRunner *runner = srunner_create(plugin_suite());
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
