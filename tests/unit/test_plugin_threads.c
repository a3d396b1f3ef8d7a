// Several workers, plugin threads that complete, cancel and call the host all at once: for the thread
// sanitizer.
#include "core/plugin/ticket.h"
#include "tests/unit/plugin_support.h"

enum { WORKERS = 4, CLIENTS = 50, ROUNDS = 40, ANSWERERS = 3, QUEUE_MAX = 1 << 16 };

static const char yaml[] = "limits: {pending_decisions: 100000}\n"
                           "plugins: [{name: p0, timeout: 2s}, {name: p1, timeout: 2s}]\n";

// Handles on their way from the hooks to the answering threads; each is answered by two of them.
static struct {
    pthread_mutex_t lock;
    struct noctule_request *handles[QUEUE_MAX];
    unsigned first;
    unsigned count;
} queue = {.lock = PTHREAD_MUTEX_INITIALIZER};

static struct plugin_host *host;
static struct generation *generation;
static struct worker *workers;
static _Atomic bool stopping;
static _Atomic unsigned asked, told, won, lost, refused, finished, visited, published, rechecked, ready;

static void queue_put(struct noctule_request *handle)
{
    pthread_mutex_lock(&queue.lock);
    queue.handles[(queue.first + queue.count++) % QUEUE_MAX] = handle;
    pthread_mutex_unlock(&queue.lock);
}

static struct noctule_request *queue_take(void)
{
    struct noctule_request *handle = NULL;
    pthread_mutex_lock(&queue.lock);
    if (queue.count > 0) {
        handle = queue.handles[queue.first++ % QUEUE_MAX];
        queue.count--;
    }
    pthread_mutex_unlock(&queue.lock);
    return handle;
}

static noctule_verdict defer_access(const struct noctule_context *context,
                                    const struct noctule_access *access)
{
    (void)access;
    struct noctule_request *handle = scripts[0].host->defer(context->request);
    if (!handle)
        return NOCTULE_ERROR;
    queue_put(handle);
    queue_put(handle); // to be answered twice, by whoever comes
    return NOCTULE_PENDING;
}

static void *answer(void *argument)
{
    unsigned seed = (unsigned)(uintptr_t)argument;
    const struct noctule_host *api = scripts[0].host;
    while (!stopping) {
        struct noctule_request *handle = queue_take();
        if (!handle) {
            usleep(50);
            continue;
        }
        api->is_cancelled(handle);
        struct noctule_reply reply = {.size = sizeof reply,
                                      .reuse_ms = (uint32_t)rand_r(&seed) % 3,
                                      .reason = NOCTULE_STRING("some reason")};
        int32_t result = api->complete(handle, rand_r(&seed) % 2 ? NOCTULE_ALLOW : NOCTULE_NEXT, &reply);
        if (result == NOCTULE_OK)
            atomic_fetch_add(&won, 1);
        else
            atomic_fetch_add(&lost, 1);
    }
    return NULL;
}

// ---- On the workers ------------------------------------------------------------------------------------

struct player {
    struct post post;
    struct client *client;
    unsigned rounds;
    unsigned seed;
    bool busy;
    struct decision *decision;
};

struct own {
    struct player players[CLIENTS];
};
static struct own owns[WORKERS];

static void play(struct worker *worker, struct post *post);

static void access_done(struct client *client, const struct outcome *outcome, void *argument)
{
    struct player *player = argument;
    ck_assert_ptr_eq(client, player->client);
    atomic_fetch_add(&told, 1);
    if (outcome->verdict != NOCTULE_ALLOW)
        atomic_fetch_add(&refused, 1);
    player->decision = NULL;
    player->busy = false;
    worker_post(worker_current(), &player->post);
}

static void leave(struct player *player)
{
    client_gone(player->client);
    client_unref(player->client);
    player->client = NULL;
    player->decision = NULL;
}

static void play(struct worker *worker, struct post *post)
{
    struct player *player = (struct player *)post;
    if (player->rounds++ == ROUNDS) {
        leave(player);
        atomic_fetch_add(&finished, 1);
        return;
    }
    char topic[8];
    snprintf(topic, sizeof topic, "t%d", rand_r(&player->seed) % 4);
    struct noctule_access access = {.size = sizeof access, .access = PUBLISH, .topic = text(topic)};
    struct decision_call call = {.done = access_done, .argument = player};
    struct outcome outcome;
    player->decision = decide_access(player->client, &access, &call, &outcome);
    atomic_fetch_add(&asked, 1);
    if (player->decision && rand_r(&player->seed) % 4 == 0) {
        // The client goes while the plugin works, and comes back as another.
        leave(player);
        struct client_identity identity = {.client_id = STR("c"), .listener = STR("default")};
        player->client = client_new(worker, &identity);
    }
    if (!player->decision)
        worker_post(worker, &player->post);
}

static void up(struct worker *worker)
{
    plugin_worker_switch(worker, generation);
    struct own *own = &owns[worker->index];
    for (unsigned i = 0; i < CLIENTS; i++) {
        struct client_identity identity = {.client_id = STR("c"), .listener = STR("default")};
        struct player *player = &own->players[i];
        player->client = client_new(worker, &identity);
        player->seed = worker->index * 1000 + i;
        player->post.run = play;
        worker_post(worker, &player->post);
    }
    atomic_fetch_add(&ready, 1);
}

static void down(struct worker *worker)
{
    plugin_worker_down(worker);
}

// ---- Meanwhile -----------------------------------------------------------------------------------------

static void visit(const struct noctule_context *context, void *argument)
{
    (void)argument;
    scripts[1].host->set_client_data(scripts[1].instance, context->client, 1);
    atomic_fetch_add(&visited, 1);
}

static void *call_the_host(void *argument)
{
    unsigned seed = 1;
    const struct noctule_host *api = scripts[1].host;
    struct noctule_instance *instance = scripts[1].instance;
    (void)argument;
    while (!stopping) {
        uint64_t id = (uint64_t)(rand_r(&seed) % (CLIENTS * 4)) << 8 | (uint64_t)(rand_r(&seed) % WORKERS);
        struct noctule_publication publication = {
            .size = sizeof publication, .topic = NOCTULE_STRING("a/b"), .payload = NOCTULE_STRING("x")};
        api->run_on_client(instance, id, visit, NULL, NULL);
        api->publish(instance, &publication);
        if (rand_r(&seed) % 20 == 0)
            api->invalidate(instance, rand_r(&seed) % 2 ? id : 0);
        usleep(200);
    }
    return NULL;
}

static void on_publish(struct worker *worker, struct message *message)
{
    (void)worker;
    atomic_fetch_add(&published, 1);
    message_unref(message);
}

static void on_recheck(struct client *client)
{
    (void)client;
    atomic_fetch_add(&rechecked, 1);
}

static void on_disconnect(struct client *client, uint8_t code, struct str reason, const char *instance)
{
    (void)client;
    (void)code;
    (void)reason;
    (void)instance;
}

static const struct plugin_upcalls upcalls = {
    .publish = on_publish, .recheck = on_recheck, .disconnect = on_disconnect};

struct change {
    struct post post;
    struct generation *generation;
    _Atomic unsigned *left;
};

static void change_here(struct worker *worker, struct post *post)
{
    struct change *change = (struct change *)post;
    plugin_worker_switch(worker, change->generation);
    plugin_worker_revalidate(worker);
    atomic_fetch_sub(change->left, 1);
    free(change);
}

static struct settings *settings_new(void)
{
    struct diagnostics diagnostics = DIAGNOSTICS_EMPTY;
    char *whole = str_format("listeners: [{name: default, bind: 127.0.0.1:1}]\n%s", yaml);
    struct config_tree *tree =
        config_tree_parse(whole, strlen(whole), "t", NULL, &(struct config_options){0}, &diagnostics);
    struct settings *settings = settings_take(tree, &diagnostics);
    free(whole);
    ck_assert_ptr_nonnull(settings);
    return settings;
}

static void free_settings(void *argument)
{
    settings_free(argument);
}

static struct generation *generation_new(void)
{
    struct diagnostics diagnostics = DIAGNOSTICS_EMPTY;
    struct settings *settings = settings_new();
    struct generation *made = generation_build(host, settings, &diagnostics);
    ck_assert_ptr_nonnull(made);
    generation_on_retired(made, free_settings, settings);
    return made;
}

static void reload(void)
{
    struct generation *fresh = generation_new();
    _Atomic unsigned left = WORKERS;
    for (unsigned i = 0; i < WORKERS; i++) {
        struct change *change = memory_alloc(sizeof *change);
        *change = (struct change){.post.run = change_here, .generation = fresh, .left = &left};
        worker_post(&workers[i], &change->post);
    }
    while (left > 0)
        usleep(100);
    generation_unref(generation);
    generation = fresh;
    plugin_host_retire(host);
}

static void everything_at_once(bool blocking)
{
    scripts_reset();
    asked = told = won = lost = refused = finished = visited = published = rechecked = ready = 0;
    memset(owns, 0, sizeof owns);
    queue.first = queue.count = 0;
    stopping = false;
    scripts[0].on_access = defer_access;
    scripts[0].defers = false;
    scripts[1].access = NOCTULE_ALLOW;
    scripts[1].valid = NOCTULE_ALLOW;
    if (blocking)
        script_plugins[0].flags = NOCTULE_FLAG_BLOCKING;
    script_plugins[1].flags = NOCTULE_FLAG_SERIAL;
    host = plugin_host_new(&upcalls);
    plugin_host_register(host, "p0", &script_plugins[0]);
    plugin_host_register(host, "p1", &script_plugins[1]);
    generation = generation_new();
    workers = workers_new(WORKERS);
    plugin_host_start(host, workers, 2);
    workers_start(workers, up, down);
    while (ready < WORKERS)
        usleep(100);
    pthread_t answerers[ANSWERERS];
    pthread_t caller;
    for (unsigned i = 0; i < ANSWERERS; i++)
        ck_assert_int_eq(pthread_create(&answerers[i], NULL, answer, pointer_of(i + 1)), 0);
    ck_assert_int_eq(pthread_create(&caller, NULL, call_the_host, NULL), 0);
    for (int i = 0; finished < WORKERS * CLIENTS; i++) {
        ck_assert_int_lt(i, 1000);
        reload();
        usleep(20000);
    }
    // The workers end while answers still come in.
    workers_stop(workers);
    workers_join(workers);
    plugin_host_stop(host);
    stopping = true;
    for (unsigned i = 0; i < ANSWERERS; i++)
        pthread_join(answerers[i], NULL);
    pthread_join(caller, NULL);
    workers_free(workers);
    generation_unref(generation);
    plugin_host_retire(host);
    plugin_host_free(host);
    ck_assert_uint_eq(tickets_pending(), 0);
    ck_assert_uint_eq(scripts[0].builds, scripts[0].retires);
    ck_assert_uint_gt(won, 0);
    ck_assert_uint_gt(lost, 0);
    ck_assert_uint_gt(visited, 0);
    ck_assert_uint_gt(published, 0);
    ck_assert_int_eq(scripts[1].overlap, 1);
}

START_TEST(everything_at_once_with_deferred_answers)
{
    everything_at_once(false);
}
END_TEST

START_TEST(everything_at_once_with_helper_threads)
{
    everything_at_once(true);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("threads");
    TCase *tests = tcase_create("threads");
    tcase_set_timeout(tests, 120);
    tcase_add_test(tests, everything_at_once_with_deferred_answers);
    tcase_add_test(tests, everything_at_once_with_helper_threads);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
