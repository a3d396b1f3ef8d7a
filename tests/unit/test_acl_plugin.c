/* The acl-file plugin behind the plugin interface, with a host made for the test. */
#include <check.h>
#include <noctule/plugin.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const struct noctule_plugin *noctule_plugin_v1(void);

/* ---- A host
 * ------------------------------------------------------------------------------------------------------- */

struct noctule_client {
    struct noctule_client_info info;
};

struct noctule_config {
    const char *acl_file; /* NULL: the key is absent */
    const char *substitution;
    int check_subscribe; /* -1: absent */
};

static struct noctule_reply annotated;
static char annotated_reason[256];
static int annotations;
static char reported[8192]; /* everything reported, line by line */

static void report(const char *kind, struct noctule_string file, uint32_t line, struct noctule_string text)
{
    size_t used = strlen(reported);
    const char *slash = file.length ? memrchr(file.data, '/', file.length) : NULL;
    int name_length = slash ? (int)(file.data + file.length - slash - 1) : 0;
    snprintf(reported + used, sizeof(reported) - used, "%s %.*s:%u: %.*s\n", kind, name_length,
             slash ? slash + 1 : "", line, (int)text.length, text.data);
}

static int32_t host_annotate(struct noctule_request *request, const struct noctule_reply *reply)
{
    ck_assert_ptr_nonnull(request);
    ck_assert_uint_eq(reply->size, sizeof(*reply));
    annotations++;
    annotated = *reply;
    snprintf(annotated_reason, sizeof(annotated_reason), "%.*s", (int)reply->reason.length,
             reply->reason.data ? reply->reason.data : "");
    return NOCTULE_OK;
}

static const struct noctule_client_info *host_client_info(const struct noctule_client *client)
{
    return &client->info;
}

static int32_t host_path(const struct noctule_config *config, const char *key, struct noctule_string *value)
{
    ck_assert_str_eq(key, "acl_file");
    if (!config->acl_file)
        return 0;
    *value = noctule_string_of(config->acl_file, strlen(config->acl_file));
    return 1;
}

static int32_t host_choice(const struct noctule_config *config, const char *key, const char *const *names,
                           int32_t *value)
{
    ck_assert_str_eq(key, "substitution");
    if (!config->substitution)
        return 0;
    for (int32_t i = 0; names[i]; i++) {
        if (strcmp(names[i], config->substitution) == 0) {
            *value = i;
            return 1;
        }
    }
    return NOCTULE_E_INVALID;
}

static int32_t host_bool(const struct noctule_config *config, const char *key, int32_t *value)
{
    ck_assert_str_eq(key, "check_subscribe");
    if (config->check_subscribe < 0)
        return 0;
    *value = config->check_subscribe;
    return 1;
}

static void host_config_error(const struct noctule_config *config, const char *key,
                              struct noctule_string text)
{
    (void)config;
    report(key ? key : "config", (struct noctule_string){NULL, 0}, 0, text);
}

static void host_file_error(struct noctule_instance *instance, struct noctule_string file, uint32_t line,
                            struct noctule_string text)
{
    (void)instance;
    report("error", file, line, text);
}

static void host_file_warning(struct noctule_instance *instance, struct noctule_string file, uint32_t line,
                              struct noctule_string text)
{
    (void)instance;
    report("warning", file, line, text);
}

static const struct noctule_host host = {
    .size = sizeof(host),
    .major = NOCTULE_ABI_MAJOR,
    .annotate = host_annotate,
    .client_info = host_client_info,
    .config_path = host_path,
    .config_choice = host_choice,
    .config_bool = host_bool,
    .config_error = host_config_error,
    .file_error = host_file_error,
    .file_warning = host_file_warning,
};

/* ---- One instance
 * ------------------------------------------------------------------------------------------------- */

static const struct noctule_plugin *plugin;
static void *state;
static void *snapshot;
static char path[64];

static int32_t build(const char *text, const char *substitution, int check_subscribe, void **made)
{
    strcpy(path, "/tmp/acl-plugin-XXXXXX");
    int fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
    struct noctule_config config = {path, substitution, check_subscribe};
    reported[0] = '\0';
    *made = NULL;
    int32_t result = plugin->build(state, &config, made);
    unlink(path);
    return result;
}

static void build_good(const char *text, const char *substitution, int check_subscribe)
{
    plugin->retire(state, snapshot);
    ck_assert_int_eq(build(text, substitution, check_subscribe, &snapshot), NOCTULE_OK);
    ck_assert_ptr_nonnull(snapshot);
}

static void instance_up(void)
{
    plugin = noctule_plugin_v1();
    snapshot = NULL;
    ck_assert_int_eq(plugin->init(&host, NULL, &state), NOCTULE_OK);
}

static void instance_down(void)
{
    plugin->retire(state, snapshot);
    plugin->fini(state);
}

static noctule_verdict ask(const char *username, const char *client_id, uint32_t access, const char *topic,
                           uint32_t want_reason)
{
    struct noctule_client client = {.info = {.size = sizeof(client.info)}};
    client.info.client_id = noctule_string_of(client_id, strlen(client_id));
    if (username)
        client.info.username = noctule_string_of(username, strlen(username));
    int request;
    struct noctule_context context = {
        .size = sizeof(context),
        .want_reason = want_reason,
        .state = state,
        .snapshot = snapshot,
        .client = &client,
        .request = (struct noctule_request *)(void *)&request,
    };
    struct noctule_access question = {
        .size = sizeof(question),
        .access = access,
        .topic = noctule_string_of(topic, strlen(topic)),
    };
    annotations = 0;
    annotated_reason[0] = '\0';
    memset(&annotated, 0, sizeof(annotated));
    return plugin->authorize(&context, &question);
}

#define PUBLISH   NOCTULE_ACCESS_PUBLISH
#define SUBSCRIBE NOCTULE_ACCESS_SUBSCRIBE
#define DELIVER   NOCTULE_ACCESS_DELIVER
#define WILL      NOCTULE_ACCESS_WILL

START_TEST(describes_itself)
{
    ck_assert_uint_eq(plugin->size, sizeof(*plugin));
    ck_assert_uint_eq(plugin->abi_major, NOCTULE_ABI_MAJOR);
    ck_assert_str_eq(plugin->name, "acl-file");
    ck_assert_uint_eq(plugin->authorize_mask, NOCTULE_ACCESS_ALL);
    ck_assert_uint_eq(plugin->flags, NOCTULE_FLAG_REPEATABLE);
}
END_TEST

START_TEST(verdicts_by_access)
{
    build_good("user bob\ntopic read r\ntopic write w\ntopic deny d\n", NULL, -1);
    ck_assert_int_eq(ask("bob", "c", PUBLISH, "w", 0), NOCTULE_ALLOW);
    ck_assert_int_eq(annotations, 0); /* nobody asked why */
    ck_assert_int_eq(ask("bob", "c", WILL, "w", 0), NOCTULE_ALLOW);
    ck_assert_int_eq(ask("bob", "c", DELIVER, "w", 0), NOCTULE_NEXT);
    ck_assert_int_eq(annotations, 0);
    ck_assert_int_eq(ask("bob", "c", DELIVER, "r", 0), NOCTULE_ALLOW);
    ck_assert_int_eq(ask("bob", "c", PUBLISH, "r", 0), NOCTULE_NEXT);
    ck_assert_int_eq(ask("bob", "c", WILL, "r", 0), NOCTULE_NEXT);
    ck_assert_int_eq(ask("bob", "c", PUBLISH, "d", 0), NOCTULE_DENY);
    ck_assert_int_eq(annotations, 1);
    ck_assert_ptr_nonnull(strstr(annotated_reason, ":4: topic deny d"));
    ck_assert_int_eq(ask("bob", "c", DELIVER, "d", 0), NOCTULE_DENY);
    ck_assert_int_eq(ask(NULL, "c", PUBLISH, "w", 0), NOCTULE_NEXT);
    ck_assert_int_eq(ask("bob", "c", PUBLISH, "$SYS/x", 0), NOCTULE_DENY);
}
END_TEST

START_TEST(reasons_when_asked_for)
{
    build_good("user bob\ntopic read r/#\n", NULL, -1);
    ck_assert_int_eq(ask("bob", "c", DELIVER, "r/1", 1), NOCTULE_ALLOW);
    ck_assert_ptr_nonnull(strstr(annotated_reason, ":2: topic read r/#"));
    ck_assert_uint_eq(annotated.flags, 0);
    ck_assert_int_eq(strncmp(annotated_reason, "acl-plugin-", 11), 0); /* base name, not the whole path */
    ck_assert_int_eq(ask("bob", "c", SUBSCRIBE, "#", 1), NOCTULE_ALLOW);
    ck_assert_str_eq(annotated_reason, "subscriptions are granted, every delivery is checked");
    ck_assert_int_eq(ask("bob", "c", SUBSCRIBE, "r/#", 1), NOCTULE_ALLOW);
    ck_assert_ptr_nonnull(strstr(annotated_reason, ":2: topic read r/#"));
    ck_assert_int_eq(ask("bob", "c", DELIVER, "x", 1), NOCTULE_NEXT);
    ck_assert_int_eq(annotations, 0);
}
END_TEST

START_TEST(subscriptions_are_always_granted)
{
    build_good("user bob\ntopic read r/#\ntopic deny d/#\n", NULL, 0);
    ck_assert_int_eq(ask("bob", "c", SUBSCRIBE, "r/+", 0), NOCTULE_ALLOW);
    ck_assert_uint_eq(annotated.flags, NOCTULE_REPLY_COVERS_DELIVERY);
    ck_assert_int_eq(ask("bob", "c", SUBSCRIBE, "$share/g/r/+", 0), NOCTULE_ALLOW);
    ck_assert_uint_eq(annotated.flags, NOCTULE_REPLY_COVERS_DELIVERY);
    ck_assert_int_eq(ask("bob", "c", SUBSCRIBE, "#", 0), NOCTULE_ALLOW);
    ck_assert_int_eq(annotations, 0);
    ck_assert_int_eq(ask("bob", "c", SUBSCRIBE, "d/x", 0), NOCTULE_ALLOW);
    ck_assert_int_eq(ask("al", "c", SUBSCRIBE, "nothing", 0), NOCTULE_ALLOW);
    ck_assert_int_eq(annotations, 0);
}
END_TEST

START_TEST(subscriptions_are_checked_on_request)
{
    build_good("user bob\ntopic read r/#\ntopic deny d/#\n", NULL, 1);
    ck_assert_int_eq(ask("bob", "c", SUBSCRIBE, "r/+", 0), NOCTULE_ALLOW);
    ck_assert_uint_eq(annotated.flags, NOCTULE_REPLY_COVERS_DELIVERY);
    ck_assert_int_eq(ask("bob", "c", SUBSCRIBE, "#", 0), NOCTULE_ALLOW);
    ck_assert_int_eq(annotations, 0);
    ck_assert_int_eq(ask("bob", "c", SUBSCRIBE, "d/x", 0), NOCTULE_DENY);
    ck_assert_ptr_nonnull(strstr(annotated_reason, ":3: topic deny d/#"));
    ck_assert_int_eq(ask("bob", "c", SUBSCRIBE, "other/#", 0), NOCTULE_NEXT);
    ck_assert_int_eq(ask("al", "c", SUBSCRIBE, "r/#", 0), NOCTULE_NEXT);
}
END_TEST

START_TEST(substitution_is_an_option)
{
    build_good("pattern x/%c\n", "anywhere", -1);
    ck_assert_int_eq(ask(NULL, "a/b", PUBLISH, "x/a/b", 0), NOCTULE_ALLOW);
    build_good("pattern x/%c\n", "level", -1);
    ck_assert_int_eq(ask(NULL, "a/b", PUBLISH, "x/a/b", 0), NOCTULE_NEXT);
    ck_assert_int_eq(ask(NULL, "a", PUBLISH, "x/a", 0), NOCTULE_ALLOW);
}
END_TEST

START_TEST(a_bad_file_builds_nothing_and_says_where)
{
    void *made;
    build_good("topic a\n", NULL, -1);
    ck_assert_int_ne(build("pattern a\nnonsense\ntopic b c\n", NULL, -1, &made), NOCTULE_OK);
    ck_assert_ptr_null(made);
    ck_assert_ptr_nonnull(strstr(reported, ":2: unknown keyword 'nonsense'"));
    ck_assert_ptr_nonnull(strstr(reported, ":3: unknown access 'b'"));
    ck_assert_ptr_nonnull(strstr(reported, ":1: pattern without %c or %u"));
    ck_assert_int_eq(strncmp(reported, "warning acl-plugin-", 19), 0);
    ck_assert_int_eq(ask(NULL, "c", PUBLISH, "a", 0), NOCTULE_ALLOW); /* the old snapshot goes on */
    struct noctule_config missing_file = {"/nonexistent/users.acl", NULL, -1};
    reported[0] = '\0';
    ck_assert_int_ne(plugin->build(state, &missing_file, &made), NOCTULE_OK);
    ck_assert_str_eq(reported, "error users.acl:0: cannot read it: No such file or directory\n");
}
END_TEST

START_TEST(many_faults_are_summed_up)
{
    void *made;
    char text[256] = "";
    for (int i = 0; i < 60; i++)
        strcat(text, "x\n");
    ck_assert_int_ne(build(text, NULL, -1, &made), NOCTULE_OK);
    ck_assert_ptr_nonnull(strstr(reported, ":50: unknown keyword 'x'"));
    ck_assert_ptr_null(strstr(reported, ":51: "));
    ck_assert_ptr_nonnull(strstr(reported, ":0: and 10 more errors\n"));
}
END_TEST

START_TEST(a_configuration_without_a_file_is_refused)
{
    struct noctule_config config = {NULL, NULL, -1};
    void *made = NULL;
    reported[0] = '\0';
    ck_assert_int_ne(plugin->build(state, &config, &made), NOCTULE_OK);
    ck_assert_str_eq(reported, "config :0: acl_file is missing (expected the path of an ACL file)\n");
    struct noctule_config wrong = {"/tmp", "sometimes", -1};
    ck_assert_int_ne(plugin->build(state, &wrong, &made), NOCTULE_OK);
    ck_assert_ptr_null(made);
}
END_TEST

START_TEST(no_client_is_an_error)
{
    build_good("topic #\n", NULL, -1);
    struct noctule_context context = {.size = sizeof(context), .state = state, .snapshot = snapshot};
    struct noctule_access question = {.size = sizeof(question), .access = PUBLISH};
    ck_assert_int_eq(plugin->authorize(&context, &question), NOCTULE_ERROR);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("acl_plugin");
    TCase *tests = tcase_create("plugin");
    tcase_add_checked_fixture(tests, instance_up, instance_down);
    tcase_add_test(tests, describes_itself);
    tcase_add_test(tests, verdicts_by_access);
    tcase_add_test(tests, reasons_when_asked_for);
    tcase_add_test(tests, subscriptions_are_always_granted);
    tcase_add_test(tests, subscriptions_are_checked_on_request);
    tcase_add_test(tests, substitution_is_an_option);
    tcase_add_test(tests, a_bad_file_builds_nothing_and_says_where);
    tcase_add_test(tests, many_faults_are_summed_up);
    tcase_add_test(tests, a_configuration_without_a_file_is_refused);
    tcase_add_test(tests, no_client_is_an_error);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
