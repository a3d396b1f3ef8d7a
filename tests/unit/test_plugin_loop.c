// Timers, watches, errands, wrong threads, metrics, and instances that come into force and go.
#include "core/plugin/ticket.h"
#include "tests/unit/plugin_support.h"

static void setup(void)
{
    scripts_reset();
    fixture_start("plugins: [{name: p0}, {name: p1}]\n");
}

static void teardown(void)
{
    fixture_stop();
}

static const struct noctule_host *host(void)
{
    return scripts[0].host;
}

// ---- Timers --------------------------------------------------------------------------------------------

static unsigned fired;
static struct noctule_timer *other_timer;

static void fire(const struct noctule_context *context, void *argument)
{
    ck_assert_ptr_eq(context->state, &scripts[0]);
    ck_assert_ptr_eq(context->worker, scripts[0].worker);
    ck_assert_ptr_nonnull(context->snapshot);
    ck_assert_ptr_null(context->client);
    ck_assert_ptr_eq(argument, &fired);
    fired++;
}

static void fire_again(const struct noctule_context *context, void *argument)
{
    fire(context, argument);
    if (fired < 3)
        ck_assert_ptr_nonnull(
            host()->timer_start(scripts[0].instance, context->worker, 100, fire_again, &fired));
}

static void cancel_other(const struct noctule_context *context, void *argument)
{
    (void)context;
    host()->timer_cancel(*(struct noctule_timer **)argument); // itself: harmless
    host()->timer_cancel(other_timer);
}

START_TEST(timers_fire_once)
{
    fired = 0;
    ck_assert_ptr_nonnull(host()->timer_start(scripts[0].instance, scripts[0].worker, 100, fire, &fired));
    pass_ms(80);
    ck_assert_uint_eq(fired, 0);
    pass_ms(50);
    ck_assert_uint_eq(fired, 1);
    pass_ms(1000);
    ck_assert_uint_eq(fired, 1);
    struct noctule_timer *timer =
        host()->timer_start(scripts[0].instance, scripts[0].worker, 100, fire, &fired);
    host()->timer_cancel(timer);
    pass_ms(1000);
    ck_assert_uint_eq(fired, 1);
    host()->timer_start(scripts[0].instance, scripts[0].worker, 100, fire_again, &fired);
    pass_ms(150);
    pass_ms(150);
    pass_ms(150);
    ck_assert_uint_eq(fired, 3);
    static struct noctule_timer *self;
    self = host()->timer_start(scripts[0].instance, scripts[0].worker, 10, cancel_other, &self);
    other_timer = host()->timer_start(scripts[0].instance, scripts[0].worker, 500, fire, &fired);
    pass_ms(1000);
    ck_assert_uint_eq(fired, 3);
    ck_assert_ptr_null(host()->timer_start(NULL, scripts[0].worker, 1, fire, NULL));
    ck_assert_ptr_null(host()->timer_start(scripts[0].instance, NULL, 1, fire, NULL));
    ck_assert_ptr_null(host()->timer_start(scripts[0].instance, scripts[0].worker, 1, NULL, NULL));
    host()->timer_start(scripts[0].instance, scripts[0].worker, 100000, fire, &fired); // left to the host
}
END_TEST

START_TEST(timers_rest_while_the_instance_is_not_in_force)
{
    fired = 0;
    host()->timer_start(scripts[0].instance, scripts[0].worker, 100, fire, &fired);
    ck_assert(fixture_reload("plugins: [{name: p1}]\n"));
    pass_ms(1000);
    ck_assert_uint_eq(fired, 0);
    ck_assert(fixture_reload("plugins: [{name: p0}]\n"));
    pass_ms(50);
    ck_assert_uint_eq(fired, 1);
    ck_assert_uint_eq(scripts[0].ups, 1); // one worker, one state, however often it comes back
}
END_TEST

// ---- Watches -------------------------------------------------------------------------------------------

static int ends[2];
static struct noctule_watch *watch;
static unsigned readable, writable;

static void seen(const struct noctule_context *context, int fd, uint32_t events, void *argument)
{
    char byte;
    (void)argument;
    ck_assert_ptr_eq(context->state, &scripts[0]);
    if (events & NOCTULE_READABLE) {
        readable++;
        ck_assert_int_eq(read(fd, &byte, 1), 1);
        if (byte == 'x')
            host()->watch_remove(watch); // from inside
    }
    if (events & NOCTULE_WRITABLE) {
        writable++;
        host()->watch_change(watch, 0);
    }
}

START_TEST(watches)
{
    readable = writable = 0;
    ck_assert_int_eq(pipe(ends), 0);
    watch = host()->watch_add(scripts[0].instance, scripts[0].worker, ends[0], NOCTULE_READABLE, seen, NULL);
    ck_assert_ptr_nonnull(watch);
    settle();
    ck_assert_uint_eq(readable, 0);
    ck_assert_int_eq(write(ends[1], "ab", 2), 2);
    settle();
    ck_assert_uint_eq(readable, 2); // level-triggered
    ck_assert_int_eq(host()->watch_change(watch, 0), NOCTULE_OK);
    ck_assert_int_eq(write(ends[1], "c", 1), 1);
    settle();
    ck_assert_uint_eq(readable, 2);
    ck_assert_int_eq(host()->watch_change(watch, NOCTULE_READABLE), NOCTULE_OK);
    settle();
    ck_assert_uint_eq(readable, 3);
    ck_assert_int_eq(host()->watch_change(watch, 8), NOCTULE_E_INVALID);
    ck_assert(fixture_reload("plugins: [{name: p1}]\n"));
    ck_assert_int_eq(write(ends[1], "x", 1), 1);
    settle();
    ck_assert_uint_eq(readable, 3);
    ck_assert(fixture_reload("plugins: [{name: p0}]\n"));
    settle();
    ck_assert_uint_eq(readable, 4);
    watch = host()->watch_add(scripts[0].instance, scripts[0].worker, ends[1], NOCTULE_WRITABLE, seen, NULL);
    settle();
    ck_assert_uint_eq(writable, 1);
    ck_assert_ptr_null(
        host()->watch_add(scripts[0].instance, scripts[0].worker, -1, NOCTULE_READABLE, seen, NULL));
    close(ends[0]);
    host()->watch_remove(watch);
    close(ends[1]);
}
END_TEST

// ---- Errands -------------------------------------------------------------------------------------------

static unsigned ran, released;

static void run(const struct noctule_context *context, void *argument)
{
    ck_assert_ptr_eq(context->state, &scripts[0]);
    ck_assert_ptr_nonnull(context->worker);
    if (argument)
        ck_assert_ptr_eq(context->client, argument);
    ran++;
}

static void release(void *argument)
{
    (void)argument;
    released++;
}

START_TEST(errands)
{
    ran = released = 0;
    struct client *client = a_client("c", "u");
    uint64_t id = client_info(client).connection_id;
    ck_assert_uint_eq(host()->worker_count(), 1);
    ck_assert_uint_eq(host()->worker_index(scripts[0].worker), 0);
    ck_assert_int_eq(host()->run_on_worker(scripts[0].instance, 0, run, NULL), NOCTULE_OK);
    ck_assert_int_eq(host()->run_on_worker(scripts[0].instance, 1, run, NULL), NOCTULE_E_INVALID);
    ck_assert_int_eq(host()->run_on_client(scripts[0].instance, id, run, client, release), NOCTULE_OK);
    ck_assert_uint_eq(ran, 0); // not inside the call
    settle();
    ck_assert_uint_eq(ran, 2);
    ck_assert_uint_eq(released, 1);
    ck_assert_int_eq(host()->run_on_client(scripts[0].instance, 99, run, client, release), NOCTULE_E_GONE);
    ck_assert_uint_eq(released, 2);
    ck_assert_int_eq(
        host()->run_on_client(scripts[0].instance, id + (1 << CONNECTION_WORKER_BITS), run, client, release),
        NOCTULE_OK);
    ck_assert_int_eq(host()->run_on_client(scripts[0].instance, id, run, client, release), NOCTULE_OK);
    ck_assert_int_eq(host()->disconnect(scripts[0].instance, id, 0x98, text("go")), NOCTULE_OK);
    settle();
    ck_assert_uint_eq(ran, 3);
    ck_assert_uint_eq(released, 4);
    ck_assert_uint_eq(upcall_log.disconnects, 1);
    ck_assert_uint_eq(upcall_log.code, 0x98);
    ck_assert_str_eq(upcall_log.reason, "go");
    host()->disconnect(scripts[0].instance, id, 0x98, text("again"));
    settle();
    ck_assert_uint_eq(upcall_log.disconnects, 1);
    client_unref(client);
    // On their way when the worker ends.
    host()->run_on_worker(scripts[0].instance, 0, run, NULL);
    host()->run_on_client(scripts[0].instance, id, run, NULL, release);
    host()->disconnect(scripts[0].instance, id, 0x98, text("go"));
    host()->invalidate(scripts[0].instance, 0);
    struct noctule_publication publication = {.size = sizeof publication, .topic = text("t")};
    host()->publish(scripts[0].instance, &publication);
    plugin_worker_down(fixture.worker);
    ck_assert_int_eq(host()->run_on_worker(scripts[0].instance, 0, run, NULL), NOCTULE_E_GONE);
    ck_assert_int_eq(host()->publish(scripts[0].instance, &publication), NOCTULE_E_GONE);
    ck_assert_int_eq(host()->invalidate(scripts[0].instance, 0), NOCTULE_E_GONE);
    plugin_host_stop(fixture.host);
    workers_free(fixture.workers);
    fixture.workers = NULL;
    ck_assert_uint_eq(released, 5);
    ck_assert_uint_eq(ran, 3);
}
END_TEST

START_TEST(nothing_can_be_handed_to_workers_before_they_are_there)
{
    fixture_stop();
    scripts_reset();
    ck_assert(fixture_try("plugins: [{name: p0}]\n"));
    struct noctule_publication publication = {.size = sizeof publication, .topic = text("t")};
    ck_assert_uint_eq(host()->worker_count(), 0);
    ck_assert_int_eq(host()->publish(scripts[0].instance, &publication), NOCTULE_E_GONE);
    ck_assert_int_eq(host()->run_on_worker(scripts[0].instance, 0, run, NULL), NOCTULE_E_GONE);
    ck_assert_int_eq(host()->disconnect(scripts[0].instance, 1, 0, text("")), NOCTULE_E_GONE);
    ck_assert_int_eq(host()->invalidate(scripts[0].instance, 0), NOCTULE_E_GONE);
}
END_TEST

static void call_too_early(void)
{
    struct noctule_publication publication = {.size = sizeof publication, .topic = text("t")};
    const struct noctule_host *api = scripts[2].host;
    ck_assert_int_eq(api->run_on_worker(scripts[2].instance, 0, run, NULL), NOCTULE_E_GONE);
    ck_assert_int_eq(api->publish(scripts[2].instance, &publication), NOCTULE_E_GONE);
    ck_assert_int_eq(api->disconnect(scripts[2].instance, 1, 0, text("")), NOCTULE_E_GONE);
    ck_assert_int_eq(api->invalidate(scripts[2].instance, 0), NOCTULE_E_GONE);
}

static int32_t refuse(const struct noctule_config *config)
{
    (void)config;
    return NOCTULE_E_INVALID;
}

START_TEST(an_instance_that_may_be_taken_back_posts_nothing)
{
    scripts[2].on_init = call_too_early;
    scripts[2].on_build = refuse;
    ck_assert(!fixture_reload("plugins: [{name: p2}]\n"));
    ck_assert_uint_eq(scripts[2].finis, 1);
    settle();
}
END_TEST

// ---- Wrong threads -------------------------------------------------------------------------------------

static void *elsewhere(void *argument)
{
    struct client *client = argument;
    struct noctule_client *handle = (struct noctule_client *)client;
    int32_t truth;
    ck_assert_ptr_null(host()->timer_start(scripts[0].instance, scripts[0].worker, 1, fire, NULL));
    ck_assert_ptr_null(host()->watch_add(scripts[0].instance, scripts[0].worker, 0, 1, seen, NULL));
    ck_assert_int_eq(host()->watch_change(watch, 0), NOCTULE_E_THREAD);
    host()->watch_remove(watch);
    host()->timer_cancel(other_timer);
    ck_assert_uint_eq(host()->client_data(scripts[0].instance, handle), 0);
    ck_assert_int_eq(host()->set_client_data(scripts[0].instance, handle, 1), NOCTULE_E_THREAD);
    ck_assert_int_eq(host()->config_bool(NULL, "x", &truth), NOCTULE_E_THREAD);
    ck_assert_ptr_null(host()->metric_new(scripts[0].instance, NOCTULE_COUNTER, "x", "x"));
    return NULL;
}

START_TEST(wrong_threads_change_nothing)
{
    fired = readable = 0;
    struct client *client = a_client("c", "u");
    host()->set_client_data(scripts[0].instance, (struct noctule_client *)client, 7);
    ck_assert_int_eq(pipe(ends), 0);
    watch = host()->watch_add(scripts[0].instance, scripts[0].worker, ends[0], NOCTULE_READABLE, seen, NULL);
    other_timer = host()->timer_start(scripts[0].instance, scripts[0].worker, 10, fire, &fired);
    pthread_t thread;
    pthread_create(&thread, NULL, elsewhere, client);
    pthread_join(thread, NULL);
    ck_assert_uint_eq(host()->client_data(scripts[0].instance, (struct noctule_client *)client), 7);
    ck_assert_uint_eq(host()->client_data(scripts[1].instance, (struct noctule_client *)client), 0);
    ck_assert_int_eq(write(ends[1], "x", 1), 1);
    pass_ms(50);
    ck_assert_uint_eq(fired, 1);
    ck_assert_uint_eq(readable, 1);
    close(ends[0]);
    close(ends[1]);
    drop(client);
}
END_TEST

// ---- A plugin that does not come up --------------------------------------------------------------------

START_TEST(hooks_of_an_instance_that_is_not_up_are_errors)
{
    scripts[2].up = NOCTULE_E_LIMIT;
    scripts[2].access = NOCTULE_ALLOW;
    ck_assert(fixture_reload("plugins: [{name: p2}]\n"));
    struct client *client = a_client("c", "u");
    struct outcome outcome = access_now(client, PUBLISH, "t");
    ck_assert(outcome.failed);
    ck_str(outcome.reason, "not up on this worker");
    struct message message = {.topic = STR("t")};
    struct message *changed;
    ck_assert(!message_out(client, &message, 0, &changed));
    drop(client);
    ck_assert_uint_eq(scripts[2].accesses + scripts[2].outs + scripts[2].events, 0);
}
END_TEST

// ---- Metrics -------------------------------------------------------------------------------------------

static struct noctule_metric *counter, *gauge, *histogram;

static void make_metrics(void)
{
    counter = host()->metric_new(scripts[0].instance, NOCTULE_COUNTER, "things", "things counted");
    gauge = host()->metric_new(scripts[0].instance, NOCTULE_GAUGE, "level", "a level");
    histogram = host()->metric_new(scripts[0].instance, NOCTULE_HISTOGRAM, "times", "some times");
    ck_assert_ptr_null(host()->metric_new(scripts[0].instance, 9, "x", "x"));
    ck_assert_ptr_null(host()->metric_new(scripts[0].instance, NOCTULE_COUNTER, NULL, "x"));
}

struct wanted {
    const char *name;
    int64_t value;
    unsigned found;
};

static void look(const struct noctule_metric_value *metric, void *argument)
{
    struct wanted *wanted = argument;
    if (metric->instance.length == 0 || metric->instance.data[1] != '0')
        return;
    for (; wanted->name; wanted++) {
        if (!str_equal(str_from(metric->name), str_of(wanted->name)))
            continue;
        wanted->found++;
        ck_assert_int_eq(metric->value, wanted->value);
        if (metric->kind != NOCTULE_HISTOGRAM || strcmp(wanted->name, "times") != 0)
            continue;
        ck_assert_uint_eq(metric->total, 20 + 3000 + 9000000);
        ck_assert_uint_eq(metric->buckets[0], 0);
        for (size_t i = 0; i + 1 < metric->bucket_count; i++)
            ck_assert_uint_eq(metric->buckets[i], (metric->bucket_bounds[i] >= 20 ? 1U : 0) +
                                                      (metric->bucket_bounds[i] >= 3000 ? 1U : 0));
        ck_assert_uint_eq(metric->buckets[metric->bucket_count - 1], 3);
    }
}

static void *count(void *argument)
{
    (void)argument;
    for (int i = 0; i < 1000; i++)
        host()->metric_add(counter, 1);
    return NULL;
}

START_TEST(metrics)
{
    fixture_stop();
    scripts_reset();
    scripts[0].on_init = make_metrics;
    scripts[0].access = NOCTULE_ALLOW;
    fixture_start("plugins: [{name: p0}]\n");
    pthread_t threads[20];
    for (int i = 0; i < 20; i++)
        pthread_create(&threads[i], NULL, count, NULL);
    for (int i = 0; i < 20; i++)
        pthread_join(threads[i], NULL);
    host()->metric_set(gauge, 5);
    host()->metric_add(gauge, -7);
    host()->metric_set(counter, 1);     // not a gauge: nothing
    host()->metric_observe(gauge, 100); // nor a histogram
    host()->metric_observe(histogram, 20);
    host()->metric_observe(histogram, 3000);
    host()->metric_observe(histogram, 9000000);
    struct client *client = a_client("c", "u");
    for (int i = 0; i < 5; i++)
        access_now(client, PUBLISH, "t");
    scripts[0].access = 99;
    access_now(client, PUBLISH, "t");
    struct wanted wanted[] = {
        {"things", 20000, 0},     {"level", -2, 0},        {"times", 3, 0},         {"verdicts_allow", 5, 0},
        {"verdicts_error", 1, 0}, {"verdicts_deny", 0, 0}, {"hook_duration", 6, 0}, {NULL, 0, 0}};
    host()->metric_each(look, wanted);
    for (struct wanted *each = wanted; each->name; each++)
        ck_assert_msg(each->found == 1, "%s was told %u times", each->name, each->found);
    drop(client);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("loop");
    TCase *tests = tcase_create("loop");
    tcase_add_checked_fixture(tests, setup, teardown);
    const TTest *const all[] = {
        timers_fire_once,
        timers_rest_while_the_instance_is_not_in_force,
        watches,
        errands,
        nothing_can_be_handed_to_workers_before_they_are_there,
        an_instance_that_may_be_taken_back_posts_nothing,
        wrong_threads_change_nothing,
        hooks_of_an_instance_that_is_not_up_are_errors,
        metrics,
        NULL,
    };
    for (const TTest *const *test = all; *test; test++)
        tcase_add_test(tests, *test);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
