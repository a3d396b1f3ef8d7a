// What the host does for plugins: configuration, modules, messages, events, timers, watches, errands,
// metrics.
#include "core/plugin/catalogue.h"
#include "core/plugin/ticket.h"
#include "tests/unit/plugin_support.h"

static void setup(void)
{
    scripts_reset();
}

static void teardown(void)
{
    fixture_stop();
}

static void nothing(void)
{
}

// ---- Configuration -------------------------------------------------------------------------------------

static const struct noctule_host *host(void)
{
    return scripts[0].host;
}

static int32_t read_everything(const struct noctule_config *config)
{
    static const char *const colours[] = {"red", "green", NULL};
    struct noctule_string string;
    struct noctule_string key;
    const struct noctule_config *node;
    const struct noctule_config *item;
    int64_t integer;
    uint64_t number = 7;
    int32_t word;
    ck_assert_int_eq(host()->config_string(config, "text", &string), 1);
    ck_str(str_from(string), "some text");
    ck_assert_int_eq(host()->config_path(config, "path", &string), 1);
    ck_assert_int_eq(host()->config_bool(config, "truth", &word), 1);
    ck_assert_int_eq(word, 1);
    ck_assert_int_eq(host()->config_integer(config, "integer", -9, 9, &integer), 1);
    ck_assert_int_eq(integer, -3);
    ck_assert_int_eq(host()->config_duration(config, "absent", 0, 9, &number), 0);
    ck_assert_uint_eq(number, 7);
    ck_assert_int_eq(host()->config_duration(config, "duration", 0, 9000, &number), 1);
    ck_assert_uint_eq(number, 5000);
    ck_assert_int_eq(host()->config_size(config, "size", 0, 1 << 20, &number), 1);
    ck_assert_uint_eq(number, 65536);
    ck_assert_int_eq(host()->config_choice(config, "colour", colours, &word), 1);
    ck_assert_int_eq(word, 1);
    ck_assert_int_eq(host()->config_list(config, "list", &node), 1);
    ck_assert_uint_eq(host()->config_count(node), 3);
    static const char *const items[] = {"a", "b", "c"};
    for (size_t i = 3; i > 0; i--) { // back to front, and again
        item = host()->config_at(node, i - 1, &key);
        ck_assert_int_eq(host()->config_scalar(item, &string), 1);
        ck_str(str_from(string), items[i - 1]);
    }
    ck_assert_ptr_null(host()->config_at(node, 3, NULL));
    ck_assert_int_eq(host()->config_map(config, "map", &node), 1);
    item = host()->config_at(node, 1, &key);
    ck_str(str_from(key), "y");
    ck_assert_int_eq(host()->config_scalar(item, &string), 1);
    ck_str(str_from(string), "2");
    ck_assert_int_eq(host()->config_integer(node, "x", 0, 9, &integer), 1);
    ck_assert_int_eq(host()->config_string(NULL, "x", &string), 0);
    ck_assert_int_eq(host()->config_string(config, NULL, &string), NOCTULE_E_INVALID);
    return NOCTULE_OK;
}

START_TEST(configuration_is_read)
{
    scripts[0].on_build = read_everything;
    fixture_start(
        "plugins:\n  - name: p0\n    config:\n      text: some text\n      path: a/b\n      truth: true\n"
        "      integer: -3\n      duration: 5s\n      size: 64KiB\n      colour: green\n"
        "      list: [a, b, c]\n      map: {x: 1, y: 2}\n");
    struct noctule_string string;
    ck_assert_int_eq(host()->config_string(NULL, "x", &string), NOCTULE_E_THREAD); // outside of build
    ck_assert_uint_eq(host()->config_count(NULL), 0);
    host()->config_error(NULL, NULL, text("ignored"));
}
END_TEST

static int32_t read_three(const struct noctule_config *config)
{
    int64_t integer;
    int32_t truth;
    struct noctule_string string;
    int32_t a = host()->config_integer(config, "number", 0, 9, &integer);
    int32_t b = host()->config_bool(config, "truth", &truth);
    int32_t c = host()->config_string(config, "word", &string);
    return a < 0 || b < 0 || c < 0 ? NOCTULE_E_INVALID : NOCTULE_OK;
}

struct wrong_case {
    const char *config;
    const char *expected; ///< the only error
};

static const struct wrong_case wrong_cases[] = {
    {"{number: 10}", "test.yaml:4:38: "},           {"{number: x}", "test.yaml:4:38: "},
    {"{truth: maybe}", "test.yaml:4:37: "},         {"{word: [a]}", "test.yaml:4:36: "},
    {"{nmuber: 1}", "test.yaml:4:30: unknown key"}, {"{other: {deep: 1}}", "test.yaml:4:30: unknown key"},
};

START_TEST(wrong_configuration_is_told_with_its_place)
{
    scripts[0].on_build = read_three;
    char *yaml = str_format("plugins:\n  - {name: p0, config:      %s}\n", wrong_cases[_i].config);
    ck_assert(!fixture_try(yaml));
    ck_assert_uint_eq(fixture.diagnostics.errors, 1);
    const char *told = fixture.diagnostics.items[0].text;
    const char *expected = wrong_cases[_i].expected;
    ck_assert_msg(strncmp(told, expected, strlen(expected)) == 0, "%s, not %s", told, expected);
    // Nothing is left of what was begun.
    ck_assert_uint_eq(scripts[0].finis, 1);
    ck_assert_uint_eq(scripts[0].retires, _i < 4 ? 0 : 1);
    free(yaml);
}
END_TEST

static int32_t refuse(const struct noctule_config *config)
{
    (void)config;
    return NOCTULE_E_LIMIT;
}

static int32_t complain(const struct noctule_config *config)
{
    host()->config_error(config, "word", text("not this word"));
    host()->file_error(scripts[0].instance, text("data.txt"), 12, text("odd line"));
    host()->file_warning(scripts[0].instance, text("data.txt"), 0, text("old file"));
    host()->file_error(scripts[1].instance, text("other.txt"), 1, text("not its build"));
    return NOCTULE_OK; // and fails all the same
}

START_TEST(refusals_are_told)
{
    scripts[0].on_build = refuse;
    ck_assert(!fixture_try("plugins:\n  - {name: p0}\n"));
    ck_assert_str_eq(fixture.diagnostics.items[0].text,
                     "test.yaml:4:5: plugin \"p0\" refuses its configuration");
    fixture_stop();
    scripts_reset();
    scripts[0].on_build = complain;
    ck_assert(!fixture_try("plugins:\n  - {name: p0, config: {word: x}}\n"));
    ck_assert_uint_eq(fixture.diagnostics.errors, 3); // `word` was never asked for
    ck_assert_uint_eq(fixture.diagnostics.count, 4);
    ck_assert_str_eq(fixture.diagnostics.items[1].text, "test.yaml:4:31: plugin \"p0\": not this word");
    ck_assert_str_eq(fixture.diagnostics.items[2].text, "data.txt:12: odd line");
    ck_assert_str_eq(fixture.diagnostics.items[3].text, "data.txt: old file");
    ck_assert_uint_eq(scripts[0].retires, 1);
}
END_TEST

START_TEST(refused_reload_leaves_everything_as_it_was)
{
    scripts[0].access = NOCTULE_ALLOW;
    fixture_start("plugins: [{name: p0}]\n");
    struct client *client = a_client("c", "u");
    scripts[1].on_build = refuse;
    ck_assert(!fixture_reload("plugins: [{name: p1}]\n"));
    ck_assert_uint_eq(scripts[1].finis, 1);
    ck_assert(!fixture_reload("plugins: [{name: p0}, {name: p1}, {name: nowhere}]\n"));
    ck_assert_uint_eq(scripts[0].builds, 2);
    ck_assert_uint_eq(scripts[0].retires, 1);
    ck_assert_int_eq(access_now(client, PUBLISH, "t").verdict, NOCTULE_ALLOW);
    scripts[1].on_build = NULL;
    ck_assert(fixture_reload("plugins: [{name: p1}]\n"));
    ck_assert_int_eq(access_now(client, PUBLISH, "t").verdict, NOCTULE_DENY);
    drop(client);
}
END_TEST

// ---- Modules -------------------------------------------------------------------------------------------

START_TEST(descriptions_are_checked)
{
    static const struct noctule_plugin good = {.size = sizeof good, .abi_major = 1, .name = "x"};
    struct noctule_plugin plugin;
    struct noctule_plugin given = good;
    char *problem;
    ck_assert(module_describe(&plugin, &given, &problem));
    given.size = offsetof(struct noctule_plugin, authorize);
    given.authorize = (void *)1; // past its size
    ck_assert(module_describe(&plugin, &given, &problem));
    ck_assert_ptr_null(plugin.authorize);
    const struct noctule_plugin bad[] = {
        {.size = 8, .abi_major = 1, .name = "x"},
        {.size = sizeof good, .abi_major = 2, .name = "x"},
        {.size = sizeof good, .abi_major = 1, .abi_minor = NOCTULE_ABI_MINOR + 1, .name = "x"},
        {.size = sizeof good, .abi_major = 1},
        {.size = sizeof good, .abi_major = 1, .name = ""},
        {.size = sizeof good, .abi_major = 1, .name = "x", .flags = 8},
        {.size = sizeof good, .abi_major = 1, .name = "x", .authorize_mask = 16},
        {.size = sizeof good, .abi_major = 1, .name = "x", .authorize = script_plugins[0].authorize},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        ck_assert_msg(!module_describe(&plugin, &bad[i], &problem), "case %zu", i);
        ck_assert_uint_gt(strlen(problem), 10);
        free(problem);
    }
    ck_assert(!module_describe(&plugin, NULL, &problem));
    free(problem);
}
END_TEST

START_TEST(search_path_follows_the_environment)
{
    setenv("NOCTULE_PLUGIN_PATH", "/one::/two", 1);
    char **path = plugin_path();
    ck_assert_str_eq(path[0], "/one");
    ck_assert_str_eq(path[1], "/two");
    ck_assert_ptr_nonnull(strstr(path[2], "/plugins")); // beside the executable
    ck_assert_ptr_nonnull(path[3]);
    ck_assert_ptr_null(path[4]);
    plugin_path_free(path);
    char *problem;
    ck_assert_ptr_null(module_find("no-such-module", &problem));
    ck_assert_ptr_nonnull(strstr(problem, "/one, /two"));
    free(problem);
    ck_assert_ptr_null(module_find("a/b", &problem));
    free(problem);
    unsetenv("NOCTULE_PLUGIN_PATH");
    struct noctule_plugin plugin;
    ck_assert(!plugin_describe(NULL, "/dev/null", &plugin, NULL, &problem));
    free(problem);
    ck_assert(!plugin_describe(NULL, "/no/such/file.so", &plugin, NULL, &problem));
    free(problem);
}
END_TEST

// ---- Messages ------------------------------------------------------------------------------------------

static struct message borrowed(const char *topic, const char *payload, struct str properties)
{
    return (struct message){.qos = 1,
                            .topic = str_of(topic),
                            .payload = str_of(payload),
                            .properties = properties,
                            .publisher = 9,
                            .expires_ms = 99};
}

// payload format 1, content type "t", user properties a=1, b=2
static const char encoded[] = "\x01\x01\x03\x00\x01t\x26\x00\x01"
                              "a\x00\x01"
                              "1\x26\x00\x01"
                              "b\x00\x01"
                              "2";

static noctule_verdict change_all(const struct noctule_context *context, struct noctule_message *message)
{
    const struct noctule_host *api = host();
    (void)context;
    const struct noctule_message_info *info = api->message_info(message);
    struct noctule_string name;
    struct noctule_string value;
    ck_assert_uint_eq(info->user_properties, 2);
    ck_assert_uint_eq(info->has_payload_format, 1);
    ck_assert_uint_eq(info->payload_format, 1);
    ck_str(str_from(info->content_type), "t");
    ck_assert_ptr_null(info->response_topic.data);
    ck_assert_uint_eq(info->expires_at, 99);
    ck_assert_int_eq(api->message_user_property(message, 1, &name, &value), NOCTULE_OK);
    ck_str(str_from(name), "b");
    ck_assert_int_eq(api->message_user_property(message, 2, &name, &value), NOCTULE_E_INVALID);
    ck_assert_int_eq(api->message_set_topic(message, text("a/#")), NOCTULE_E_INVALID);
    ck_assert_int_eq(api->message_set_topic(message, text("")), NOCTULE_E_INVALID);
    ck_assert_int_eq(api->message_set_topic(message, text("new/topic")), NOCTULE_OK);
    ck_assert_int_eq(api->message_set_payload(message, noctule_string_of(NULL, 0)), NOCTULE_OK);
    ck_assert_int_eq(api->message_set_payload(message, text("new payload")), NOCTULE_OK);
    ck_assert_int_eq(api->message_set_payload(message, noctule_string_of("", 300000000)), NOCTULE_E_LIMIT);
    ck_assert_int_eq(api->message_set_qos(message, 3), NOCTULE_E_INVALID);
    ck_assert_int_eq(api->message_set_qos(message, 2), NOCTULE_OK);
    ck_assert_int_eq(api->message_set_retain(message, 1), NOCTULE_OK);
    ck_assert_int_eq(api->message_remove_user_property(message, 0), NOCTULE_OK);
    ck_assert_int_eq(api->message_remove_user_property(message, 1), NOCTULE_E_INVALID);
    ck_assert_int_eq(api->message_add_user_property(message, text("c"), text("")), NOCTULE_OK);
    ck_assert_int_eq(api->message_add_user_property(message, text("\xFF"), text("")), NOCTULE_E_INVALID);
    info = api->message_info(message);
    ck_assert_uint_eq(info->user_properties, 2);
    ck_str(str_from(info->topic), "new/topic");
    ck_str(str_from(info->content_type), "t");
    return NOCTULE_NEXT;
}

static unsigned messages_told;
static struct message *message_told;
static noctule_verdict verdict_told;
static void message_done(struct client *client, const struct outcome *outcome, struct message *message,
                         void *argument)
{
    (void)client;
    (void)argument;
    messages_told++;
    verdict_told = outcome->verdict;
    if (message_told)
        message_unref(message_told);
    message_told = message;
}

static void check_changed(const struct message *message)
{
    ck_str(message->topic, "new/topic");
    ck_str(message->payload, "new payload");
    ck_assert_uint_eq(message->qos, 2);
    ck_assert(message->retain);
    ck_assert_uint_eq(message->publisher, 9);
    ck_assert_uint_eq(message->expires_ms, 99);
    ck_assert_uint_eq(message->properties.length, sizeof encoded - 1 - 1);
}

START_TEST(message_in_changes_a_copy)
{
    scripts[0].on_in = change_all;
    fixture_start("plugins: [{name: p0}, {name: p1}]\n");
    struct client *client = a_client("c", "u");
    struct message message = borrowed("t", "payload", str_make(encoded, sizeof encoded - 1));
    struct outcome outcome;
    struct message *changed;
    ck_assert(chain_takes_message_in(fixture.worker, client));
    ck_assert_ptr_null(
        decide_message_in(fixture.worker, client, &message, message_done, NULL, &outcome, &changed));
    ck_assert_int_eq(outcome.verdict, NOCTULE_ALLOW);
    check_changed(changed);
    ck_str(message.payload, "payload");
    ck_assert_ptr_null(message.kept);
    ck_assert_uint_eq(scripts[1].ins, 1);
    message_unref(changed);
    scripts[0].on_in = NULL;
    ck_assert_ptr_null(
        decide_message_in(fixture.worker, client, &message, message_done, NULL, &outcome, &changed));
    ck_assert_ptr_null(changed);
    drop(client);
}
END_TEST

static const struct {
    const char *options;
    int verdict;
    int result;
    bool failed;
} in_cases[] = {
    {"", NOCTULE_NEXT, NOCTULE_ALLOW, false},
    {"", NOCTULE_ALLOW, NOCTULE_ALLOW, false},
    {"", NOCTULE_DROP, NOCTULE_DROP, false},
    {"", NOCTULE_DENY, NOCTULE_DENY, false},
    {"", NOCTULE_ERROR, NOCTULE_DENY, true},
    {"", NOCTULE_CONTINUE, NOCTULE_DENY, true},
    {", on_error: next", NOCTULE_ERROR, NOCTULE_ALLOW, false},
    {", on_error: next, required: true", NOCTULE_ERROR, NOCTULE_DENY, true},
    {", required: true", NOCTULE_NEXT, NOCTULE_ALLOW, false}, // no opinion is asked for here
};

START_TEST(message_in_verdicts)
{
    char *yaml = str_format("plugins: [{name: p0%s}, {name: p1}]\n", in_cases[_i].options);
    fixture_start(yaml);
    struct client *client = a_client("c", "u");
    for (int later = 0; later < 2; later++) {
        scripts[0].in = later ? NOCTULE_PENDING : in_cases[_i].verdict;
        struct message message = borrowed("t", "payload", (struct str){0});
        struct outcome outcome;
        struct message *changed;
        bool failed = false;
        unsigned told = messages_told;
        if (decide_message_in(fixture.worker, client, &message, message_done, NULL, &outcome, &changed)) {
            memset(&message.payload, 0, sizeof message.payload); // the host has kept its own
            message_release(&message);
            ck_assert_int_eq(host()->complete(scripts[0].held[0], in_cases[_i].verdict, NULL), NOCTULE_OK);
            settle();
            ck_assert_uint_eq(messages_told, told + 1);
            ck_str(message_told->payload, "payload");
            outcome.verdict = verdict_told;
            failed = in_cases[_i].failed;
        } else {
            failed = outcome.failed;
        }
        ck_assert_int_eq(outcome.verdict, in_cases[_i].result);
        ck_assert_int_eq(failed, in_cases[_i].failed);
        ck_assert_uint_eq(scripts[1].ins,
                          (outcome.verdict == NOCTULE_ALLOW ? 1U : 0) * (unsigned)(later + 1));
    }
    if (message_told)
        message_unref(message_told);
    message_told = NULL;
    drop(client);
    free(yaml);
}
END_TEST

static noctule_verdict change_and_wait(const struct noctule_context *context, struct noctule_message *message)
{
    change_all(context, message);
    return NOCTULE_PENDING;
}

START_TEST(message_in_that_waits_keeps_its_changes)
{
    scripts[0].on_in = change_and_wait;
    fixture_start("plugins: [{name: p0}]\n");
    struct message from = borrowed("t", "payload", str_make(encoded, sizeof encoded - 1));
    struct message *owned = message_new(&from);
    struct outcome outcome;
    struct message *changed;
    ck_assert_ptr_nonnull(
        decide_message_in(fixture.worker, NULL, owned, message_done, NULL, &outcome, &changed));
    message_unref(owned);
    host()->complete(scripts[0].held[0], NOCTULE_ALLOW, NULL);
    settle();
    check_changed(message_told);
    message_unref(message_told);
    message_told = NULL;
    // Nobody answers this one: it is told at the end.
    owned = message_new(&from);
    decide_message_in(fixture.worker, NULL, owned, message_done, NULL, &outcome, &changed);
    message_unref(owned);
    plugin_worker_down(fixture.worker);
    ck_assert_int_eq(verdict_told, NOCTULE_DENY);
    message_unref(message_told);
    message_told = NULL;
    plugin_host_stop(fixture.host);
    workers_free(fixture.workers);
    fixture.workers = NULL;
}
END_TEST

START_TEST(what_a_plugin_publishes_does_not_come_back_to_it)
{
    fixture_start("plugins: [{name: p0}, {name: p1}]\n");
    struct noctule_user_property property = {text("k"), text("v")};
    struct noctule_publication publication = {.size = sizeof publication,
                                              .qos = 1,
                                              .topic = text("$a/b"),
                                              .payload = text("x"),
                                              .content_type = text("t"),
                                              .has_payload_format = 1,
                                              .payload_format = 1,
                                              .user_properties = &property,
                                              .user_property_count = 1,
                                              .expiry_seconds = 10};
    ck_assert_int_eq(host()->publish(scripts[0].instance, &publication), NOCTULE_OK);
    ck_assert_uint_eq(upcall_log.publications, 0); // not inside the call
    settle();
    ck_assert_uint_eq(upcall_log.publications, 1);
    struct message *message = upcall_log.published;
    ck_str(message->topic, "$a/b");
    ck_assert(message->from_system && message->expires_ms > clock_monotonic_ms());
    ck_assert(str_equal(message->properties, STR("\x01\x01\x03\x00\x01t\x26\x00\x01k\x00\x01v")));
    struct outcome outcome;
    struct message *changed;
    ck_assert_ptr_null(
        decide_message_in(fixture.worker, NULL, message, message_done, NULL, &outcome, &changed));
    ck_assert_uint_eq(scripts[0].ins, 0);
    ck_assert_uint_eq(scripts[1].ins, 1);
    publication.topic = text("a/+");
    ck_assert_int_eq(host()->publish(scripts[0].instance, &publication), NOCTULE_E_INVALID);
    publication.topic = text("a");
    publication.qos = 3;
    ck_assert_int_eq(host()->publish(scripts[0].instance, &publication), NOCTULE_E_INVALID);
    publication.size = offsetof(struct noctule_publication, response_topic);
    publication.qos = 0;
    publication.response_topic = text("a/#"); // past its size
    ck_assert_int_eq(host()->publish(scripts[0].instance, &publication), NOCTULE_OK);
    settle();
}
END_TEST

static noctule_verdict lower(const struct noctule_context *context, struct noctule_message *message)
{
    (void)context;
    ck_assert_uint_eq(host()->message_info(message)->qos, 1);
    ck_assert_int_eq(host()->message_set_qos(message, 2), NOCTULE_E_INVALID);
    ck_assert_int_eq(host()->message_set_retain(message, 1), NOCTULE_E_INVALID);
    ck_assert_int_eq(host()->message_set_qos(message, 0), NOCTULE_OK);
    return NOCTULE_ALLOW;
}

START_TEST(message_out_verdicts)
{
    fixture_start("plugins: [{name: p0}, {name: p1, on_error: next}]\n");
    struct client *client = a_client("c", "u");
    struct message message = borrowed("t", "payload", (struct str){0});
    struct message *changed;
    message.qos = 2;
    ck_assert(chain_takes_message_out(client));
    ck_assert(message_out(client, &message, 1, &changed));
    ck_assert_ptr_null(changed);
    scripts[0].on_out = lower;
    ck_assert(message_out(client, &message, 1, &changed));
    ck_assert_uint_eq(changed->qos, 0);
    message_unref(changed);
    scripts[0].on_out = NULL;
    static const int dropping[] = {NOCTULE_DROP, NOCTULE_DENY, NOCTULE_ERROR, NOCTULE_PENDING, 99};
    for (size_t i = 0; i < sizeof dropping / sizeof *dropping; i++) {
        scripts[0].out = dropping[i];
        scripts[1].out = NOCTULE_NEXT;
        ck_assert(!message_out(client, &message, 1, &changed));
        scripts[0].out = NOCTULE_NEXT;
        scripts[1].out = dropping[i];
        ck_assert_int_eq(message_out(client, &message, 1, &changed), i >= 2); // on_error: next
    }
    drop(client);
}
END_TEST

// ---- Events --------------------------------------------------------------------------------------------

START_TEST(events_go_to_those_who_want_them)
{
    script_plugins[0].event_mask = NOCTULE_EVENT_CONNECTED | NOCTULE_EVENT_CLIENT_FREED;
    script_plugins[1].event_mask = NOCTULE_EVENT_SUBSCRIBED;
    script_plugins[2].event = NULL;
    fixture_start("plugins: [{name: p0}, {name: p1}, {name: p2}]\n");
    struct client *client = a_client("c", "u");
    ck_assert(chain_takes_event(client, NOCTULE_EVENT_CONNECTED));
    ck_assert(!chain_takes_event(client, NOCTULE_EVENT_UNSUBSCRIBED));
    ck_assert(plugin_worker_takes_event(fixture.worker, NOCTULE_EVENT_SUBSCRIBED));
    ck_assert(!plugin_worker_takes_event(fixture.worker, NOCTULE_EVENT_MESSAGE_DROPPED));
    struct noctule_event event = {.event = NOCTULE_EVENT_CONNECTED};
    tell_event(fixture.worker, client, &event);
    ck_assert_uint_eq(event.size, sizeof event);
    ck_assert_uint_gt(event.time_ms, 0);
    event.event = NOCTULE_EVENT_SUBSCRIBED;
    tell_event(fixture.worker, NULL, &event);
    client_ref(client);
    drop(client);
    ck_assert_uint_eq(scripts[0].events, 1);
    client_unref(client);
    ck_assert_uint_eq(scripts[0].events, 2);
    ck_assert_uint_eq(scripts[0].event_log[1], NOCTULE_EVENT_CLIENT_FREED);
    ck_assert_uint_eq(scripts[1].events, 1);
}
END_TEST

static void *unref_elsewhere(void *client)
{
    client_unref(client);
    return NULL;
}

START_TEST(the_last_reference_may_go_on_another_thread)
{
    fixture_start("plugins: [{name: p0}]\n");
    struct client *client = a_client("c", "u");
    uint64_t id = client_info(client).connection_id;
    ck_assert_ptr_eq(client_find(fixture.worker, id), client);
    client_gone(client);
    ck_assert_ptr_null(client_find(fixture.worker, id));
    pthread_t thread;
    pthread_create(&thread, NULL, unref_elsewhere, client);
    pthread_join(thread, NULL);
    ck_assert_uint_eq(scripts[0].events, 0);
    settle();
    ck_assert_uint_eq(scripts[0].event_log[0], NOCTULE_EVENT_CLIENT_FREED);
    // And one that is still on its way at the end.
    client = a_client("d", "u");
    pthread_create(&thread, NULL, unref_elsewhere, client);
    pthread_join(thread, NULL);
}
END_TEST

START_TEST(what_is_known_of_the_transport)
{
    fixture_start("plugins: []\n");
    struct client_identity identity = {.client_id = STR("c"),
                                       .listener = STR("default"),
                                       .transport = "unix",
                                       .has_peer = true,
                                       .uid = 1000,
                                       .gid = 100,
                                       .pid = 77};
    struct client *client = client_new(fixture.worker, &identity);
    const struct noctule_client_info info = client_info(client);
    ck_assert_uint_eq(info.size, sizeof info);
    ck_str(str_from(info.transport), "unix");
    ck_assert(info.has_peer != 0);
    ck_assert_uint_eq(info.uid, 1000);
    ck_assert_uint_eq(info.gid, 100);
    ck_assert_int_eq(info.pid, 77);
    drop(client);
    client = a_client("d", "u");
    ck_assert_ptr_null(client_info(client).transport.data);
    ck_assert_uint_eq(client_info(client).has_peer, 0);
    drop(client);
}
END_TEST

START_TEST(many_clients_are_found)
{
    enum { MANY = 1000 };
    fixture_start("plugins: []\n");
    struct client *clients[MANY];
    for (int i = 0; i < MANY; i++)
        clients[i] = a_client("c", "u");
    for (int i = 0; i < MANY; i += 3)
        drop(clients[i]);
    for (int i = 0; i < MANY; i++) {
        if (i % 3 == 0)
            continue;
        ck_assert_ptr_eq(client_find(fixture.worker, client_info(clients[i]).connection_id), clients[i]);
        drop(clients[i]);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("host");
    TCase *tests = tcase_create("host");
    tcase_add_checked_fixture(tests, setup, teardown);
    const TTest *const all[] = {
        configuration_is_read,
        refusals_are_told,
        refused_reload_leaves_everything_as_it_was,
        message_in_changes_a_copy,
        message_in_that_waits_keeps_its_changes,
        what_a_plugin_publishes_does_not_come_back_to_it,
        message_out_verdicts,
        events_go_to_those_who_want_them,
        the_last_reference_may_go_on_another_thread,
        what_is_known_of_the_transport,
        many_clients_are_found,
        NULL,
    };
    for (const TTest *const *test = all; *test; test++)
        tcase_add_test(tests, *test);
    tcase_add_loop_test(tests, wrong_configuration_is_told_with_its_place, 0,
                        sizeof wrong_cases / sizeof *wrong_cases);
    tcase_add_loop_test(tests, message_in_verdicts, 0, sizeof in_cases / sizeof *in_cases);
    suite_add_tcase(suite, tests);
    TCase *modules = tcase_create("modules");
    tcase_add_checked_fixture(modules, scripts_reset, nothing);
    tcase_add_test(modules, descriptions_are_checked);
    tcase_add_test(modules, search_path_follows_the_environment);
    suite_add_tcase(suite, modules);
    return run_suite(suite);
}
