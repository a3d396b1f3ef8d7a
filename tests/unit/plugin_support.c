#include "tests/unit/plugin_support.h"

struct script scripts[SCRIPTS];
struct noctule_plugin script_plugins[SCRIPTS];
struct fixture fixture;
struct upcall_log upcall_log;

// ---- The scripted plugins ------------------------------------------------------------------------------

static void enter(struct script *script)
{
    int running = atomic_fetch_add(&script->running, 1) + 1;
    int most = atomic_load(&script->overlap);
    while (running > most && !atomic_compare_exchange_weak(&script->overlap, &most, running))
        ;
    if (script->sleep_ms)
        usleep(script->sleep_ms * 1000);
}

static noctule_verdict answer(struct script *script, const struct noctule_context *context,
                              noctule_verdict verdict)
{
    if (script->reply.size)
        script->host->annotate(context->request, &script->reply);
    if ((verdict == NOCTULE_PENDING && script->defers) || script->defers_anyway) {
        struct noctule_request *held = script->host->defer(context->request);
        if (!held) {
            verdict = NOCTULE_ERROR;
        } else {
            script->held[atomic_fetch_add(&script->held_places, 1)] = held;
            atomic_fetch_add(&script->held_count, 1);
        }
    }
    atomic_fetch_sub(&script->running, 1);
    return verdict;
}

#define SCRIPT(n)                                                                                            \
    static int32_t init_##n(const struct noctule_host *host, struct noctule_instance *instance,              \
                            void **state)                                                                    \
    {                                                                                                        \
        scripts[n].host = host;                                                                              \
        scripts[n].instance = instance;                                                                      \
        *state = &scripts[n];                                                                                \
        if (scripts[n].on_init)                                                                              \
            scripts[n].on_init();                                                                            \
        return NOCTULE_OK;                                                                                   \
    }                                                                                                        \
    static noctule_verdict login_##n(const struct noctule_context *context,                                  \
                                     const struct noctule_login *login)                                      \
    {                                                                                                        \
        struct script *script = context->state;                                                              \
        atomic_fetch_add(&script->logins, 1);                                                                \
        enter(script);                                                                                       \
        noctule_verdict verdict = script->on_login ? script->on_login(context, login) : script->login;       \
        return answer(script, context, verdict);                                                             \
    }

SCRIPT(0)
SCRIPT(1)
SCRIPT(2)
SCRIPT(3)

static void script_fini(void *state)
{
    atomic_fetch_add(&((struct script *)state)->finis, 1);
}

static int32_t script_build(void *state, const struct noctule_config *config, void **snapshot)
{
    struct script *script = state;
    atomic_fetch_add(&script->builds, 1);
    *snapshot = malloc(1); // so that a leak of a snapshot shows
    int32_t result = script->on_build ? script->on_build(config) : NOCTULE_OK;
    if (result != NOCTULE_OK)
        free(*snapshot);
    return result;
}

static void script_retire(void *state, void *snapshot)
{
    atomic_fetch_add(&((struct script *)state)->retires, 1);
    free(snapshot);
}

static int32_t script_up(void *state, struct noctule_worker *worker, void **worker_state)
{
    struct script *script = state;
    script->worker = worker;
    *worker_state = script;
    atomic_fetch_add(&script->ups, 1);
    return script->up;
}

static void script_down(void *state, struct noctule_worker *worker, void *worker_state)
{
    ck_assert_ptr_eq(worker_state, state);
    (void)worker;
    atomic_fetch_add(&((struct script *)state)->downs, 1);
}

static noctule_verdict script_step(const struct noctule_context *context, const struct noctule_auth *auth)
{
    struct script *script = context->state;
    (void)auth;
    atomic_fetch_add(&script->steps, 1);
    enter(script);
    return answer(script, context, script->step);
}

static noctule_verdict script_access(const struct noctule_context *context,
                                     const struct noctule_access *access)
{
    struct script *script = context->state;
    atomic_fetch_add(&script->accesses, 1);
    enter(script);
    script->last_access = access->access;
    noctule_verdict verdict = script->on_access ? script->on_access(context, access) : script->access;
    return answer(script, context, verdict);
}

static noctule_verdict script_psk(const struct noctule_context *context, const struct noctule_psk *psk)
{
    struct script *script = context->state;
    (void)psk;
    atomic_fetch_add(&script->psks, 1);
    enter(script);
    return answer(script, context, script->psk);
}

static noctule_verdict script_in(const struct noctule_context *context, struct noctule_message *message)
{
    struct script *script = context->state;
    atomic_fetch_add(&script->ins, 1);
    enter(script);
    noctule_verdict verdict = script->on_in ? script->on_in(context, message) : script->in;
    return answer(script, context, verdict);
}

static noctule_verdict script_out(const struct noctule_context *context, struct noctule_message *message)
{
    struct script *script = context->state;
    atomic_fetch_add(&script->outs, 1);
    return script->on_out ? script->on_out(context, message) : script->out;
}

static noctule_verdict script_valid(const struct noctule_context *context)
{
    struct script *script = context->state;
    atomic_fetch_add(&script->valids, 1);
    if (script->reply.size)
        script->host->annotate(context->request, &script->reply);
    return script->valid;
}

static void script_event(const struct noctule_context *context, const struct noctule_event *event)
{
    struct script *script = context->state;
    unsigned i = atomic_fetch_add(&script->events, 1);
    if (i < sizeof script->event_log / sizeof *script->event_log)
        script->event_log[i] = event->event;
    if (script->on_event)
        script->on_event(context, event);
}

static void script_revoke(const struct noctule_context *context, const struct noctule_revocation *what)
{
    struct script *script = context->state;
    atomic_fetch_add(&script->revocations, 1);
    if (script->on_revoke)
        script->on_revoke(context, what);
}

void scripts_reset(void)
{
    static int32_t (*const inits[])(const struct noctule_host *, struct noctule_instance *,
                                    void **) = {init_0, init_1, init_2, init_3};
    static noctule_verdict (*const logins[])(const struct noctule_context *, const struct noctule_login *) = {
        login_0, login_1, login_2, login_3};
    for (unsigned i = 0; i < SCRIPTS; i++) {
        memset(&scripts[i], 0, sizeof scripts[i]);
        scripts[i].defers = true;
        script_plugins[i] = (struct noctule_plugin){.size = sizeof(struct noctule_plugin),
                                                    .abi_major = NOCTULE_ABI_MAJOR,
                                                    .name = "scripted",
                                                    .version = "1",
                                                    .authorize_mask = NOCTULE_ACCESS_ALL,
                                                    .event_mask = 0xFFFFFFFF,
                                                    .init = inits[i],
                                                    .fini = script_fini,
                                                    .build = script_build,
                                                    .retire = script_retire,
                                                    .worker_up = script_up,
                                                    .worker_down = script_down,
                                                    .authenticate = logins[i],
                                                    .auth_step = script_step,
                                                    .authorize = script_access,
                                                    .psk = script_psk,
                                                    .message_in = script_in,
                                                    .message_out = script_out,
                                                    .revalidate = script_valid,
                                                    .event = script_event,
                                                    .revoke = script_revoke};
    }
    if (upcall_log.published)
        message_unref(upcall_log.published);
    upcall_log = (struct upcall_log){0};
}

// ---- The broker ----------------------------------------------------------------------------------------

static void on_disconnect(struct client *client, uint8_t code, struct str reason, const char *instance)
{
    upcall_log.disconnects++;
    upcall_log.code = code;
    snprintf(upcall_log.reason, sizeof upcall_log.reason, "%.*s", STR_ARG(reason));
    snprintf(upcall_log.instance, sizeof upcall_log.instance, "%s", instance ? instance : "");
    client_gone(client);
}

static void on_recheck(struct client *client)
{
    (void)client;
    upcall_log.rechecks++;
}

static void on_publish(struct worker *worker, struct message *message)
{
    (void)worker;
    upcall_log.publications++;
    if (upcall_log.published)
        message_unref(upcall_log.published);
    upcall_log.published = message;
}

static const struct plugin_upcalls upcalls = {
    .disconnect = on_disconnect, .recheck = on_recheck, .publish = on_publish};

// ---- The fixture ---------------------------------------------------------------------------------------

static struct settings *settings_of(const char *yaml, struct diagnostics *diagnostics)
{
    char *whole = str_format("listeners:\n  - {name: default, bind: 127.0.0.1:1}\n%s", yaml);
    struct config_tree *tree =
        config_tree_parse(whole, strlen(whole), "test.yaml", NULL, &(struct config_options){0}, diagnostics);
    free(whole);
    return tree ? settings_take(tree, diagnostics) : NULL;
}

static void retired(void *argument)
{
    settings_free(argument);
}

static struct generation *build(const char *yaml, struct settings **settings)
{
    diagnostics_clear(&fixture.diagnostics);
    *settings = settings_of(yaml, &fixture.diagnostics);
    for (size_t i = 0; !*settings && i < fixture.diagnostics.count; i++)
        fprintf(stderr, "%s\n", fixture.diagnostics.items[i].text);
    ck_assert_ptr_nonnull(*settings);
    struct generation *generation = generation_build(fixture.host, *settings, &fixture.diagnostics);
    if (generation)
        generation_on_retired(generation, retired, *settings);
    else
        settings_free(*settings);
    return generation;
}

bool fixture_try(const char *yaml)
{
    static const char *const names[] = {"p0", "p1", "p2", "p3"};
    fixture = (struct fixture){.host = plugin_host_new(&upcalls)};
    for (unsigned i = 0; i < SCRIPTS; i++)
        plugin_host_register(fixture.host, names[i], &script_plugins[i]);
    fixture.generation = build(yaml, &fixture.settings);
    return fixture.generation != NULL;
}

void fixture_start(const char *yaml)
{
    bool built = fixture_try(yaml);
    for (size_t i = 0; i < fixture.diagnostics.count; i++)
        fprintf(stderr, "%s\n", fixture.diagnostics.items[i].text);
    ck_assert(built);
    fixture.workers = fixture.worker = workers_new(1);
    plugin_host_start(fixture.host, fixture.workers, 2);
    worker_turn(fixture.worker, false);
    plugin_worker_switch(fixture.worker, fixture.generation);
}

bool fixture_reload(const char *yaml)
{
    struct settings *settings;
    struct generation *generation = build(yaml, &settings);
    if (!generation)
        return false;
    plugin_worker_switch(fixture.worker, generation);
    generation_unref(fixture.generation);
    fixture.generation = generation;
    plugin_worker_revalidate(fixture.worker);
    return true;
}

void fixture_stop(void)
{
    if (fixture.workers) {
        plugin_worker_down(fixture.worker);
        plugin_host_stop(fixture.host);
        workers_free(fixture.workers);
    }
    generation_unref(fixture.generation);
    plugin_host_retire(fixture.host);
    plugin_host_free(fixture.host);
    diagnostics_clear(&fixture.diagnostics);
    fixture = (struct fixture){0};
}

void settle(void)
{
    for (int i = 0; i < 5; i++)
        worker_turn(fixture.worker, false);
}

void wait_for(_Atomic unsigned *counter, unsigned wanted)
{
    for (int i = 0; atomic_load(counter) < wanted; i++) {
        ck_assert_int_lt(i, 10000);
        worker_turn(fixture.worker, false);
        usleep(1000);
    }
}

void wait_later(struct later *later, unsigned wanted)
{
    for (int i = 0; later->count < wanted; i++) {
        ck_assert_int_lt(i, 10000);
        worker_turn(fixture.worker, false);
        usleep(1000);
    }
}

void pass_ms(uint64_t ms)
{
    clock_advance(ms);
    settle();
}

struct client *a_client(const char *client_id, const char *username)
{
    struct client_identity identity = {.protocol_version = 5,
                                       .client_id = str_of(client_id),
                                       .username = str_of(username),
                                       .address = STR("192.0.2.1:1"),
                                       .listener = STR("default")};
    return client_new(fixture.worker, &identity);
}

void drop(struct client *client)
{
    client_gone(client);
    client_unref(client);
}

struct noctule_string text(const char *from)
{
    return noctule_string_of(from, from ? strlen(from) : 0);
}

void *pointer_of(uintptr_t number)
{
    void *pointer;
    memcpy(&pointer, &number, sizeof pointer);
    return pointer;
}

void done_later(struct client *client, const struct outcome *outcome, void *argument)
{
    (void)client;
    struct later *later = argument;
    later->count++;
    later->outcome = *outcome;
    snprintf(later->reason, sizeof later->reason, "%.*s", STR_ARG(outcome->reason));
    snprintf(later->auth_data, sizeof later->auth_data, "%.*s", STR_ARG(outcome->auth_data));
}

static struct noctule_login a_login(const char *username, const char *password)
{
    return (struct noctule_login){.size = sizeof(struct noctule_login),
                                  .has_username = username != NULL,
                                  .has_password = password != NULL,
                                  .username = text(username),
                                  .password = text(password)};
}

struct outcome login_now(struct client *client, const char *username, const char *password)
{
    struct noctule_login login = a_login(username, password);
    struct decision_call call = {.done = done_later};
    struct outcome outcome;
    ck_assert_ptr_null(decide_login(client, &login, &call, &outcome));
    return outcome;
}

struct decision *login_later(struct client *client, const char *username, struct later *later)
{
    struct noctule_login login = a_login(username, "password");
    struct decision_call call = {.done = done_later, .argument = later};
    struct outcome outcome;
    struct decision *decision = decide_login(client, &login, &call, &outcome);
    if (!decision)
        done_later(client, &outcome, later);
    return decision;
}

static struct noctule_access an_access(uint32_t access, const char *topic)
{
    return (struct noctule_access){
        .size = sizeof(struct noctule_access), .access = access, .topic = text(topic)};
}

struct outcome access_now(struct client *client, uint32_t access, const char *topic)
{
    struct noctule_access wanted = an_access(access, topic);
    struct decision_call call = {.done = done_later};
    struct outcome outcome;
    ck_assert_ptr_null(decide_access(client, &wanted, &call, &outcome));
    return outcome;
}

struct decision *access_later(struct client *client, uint32_t access, const char *topic, struct later *later)
{
    struct noctule_access wanted = an_access(access, topic);
    struct decision_call call = {.done = done_later, .argument = later};
    struct outcome outcome;
    struct decision *decision = decide_access(client, &wanted, &call, &outcome);
    if (!decision)
        done_later(client, &outcome, later);
    return decision;
}

int run_suite(Suite *suite)
{
    SRunner *runner = srunner_create(suite);
    srunner_set_fork_status(runner, CK_NOFORK);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
