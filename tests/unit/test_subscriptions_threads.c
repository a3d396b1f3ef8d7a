// Readers and writers at once; what it proves beyond its assertions, it proves under ThreadSanitizer.
#include <pthread.h>
#include <stdatomic.h>

#include "core/topic/subscriptions.h"
#include "test_topic_support.h"

enum { WORKERS = 4, OWN = 60, ROUNDS = 12000 };

static struct subscriptions *subs;
static atomic_uint wrong;

struct worker {
    pthread_t thread;
    unsigned index;
    struct subscription *handles[OWN]; ///< of session (index << 56) + i, NULL: not subscribed
    struct subscription_matches found;
    struct chance chance;
};

// Every session stands in the same crowd, or the same group, or has a filter of its own.
static struct text filter_of(unsigned worker, unsigned i)
{
    static const char *const kinds[] = {"all/+", "$share/g/all/x", "all/#"};
    struct text text = {.length = 0};
    if (i % 4 < 3) {
        text_level(&text, true, kinds[i % 4]);
        return text;
    }
    char own[32];
    snprintf(own, sizeof own, "own/%u/%u", worker, i);
    text_level(&text, true, own);
    return text;
}

static uint64_t session_of(unsigned worker, unsigned i)
{
    return ((uint64_t)worker << 56) + i + 1;
}

static void expect(bool right)
{
    if (!right)
        atomic_fetch_add(&wrong, 1);
}

static void change(struct worker *worker, unsigned i)
{
    struct subscription *handle = worker->handles[i];
    struct text filter = filter_of(worker->index, i);
    uint64_t session = session_of(worker->index, i);
    bool existed = true;
    if (!handle) {
        worker->handles[i] = subscriptions_add(subs, session, text_str(&filter), 1, i, &existed);
        expect(!existed);
        return;
    }
    switch (chance_below(&worker->chance, 5)) {
    case 0:
        subscriptions_remove(subs, handle);
        worker->handles[i] = NULL;
        expect(!subscriptions_find(subs, session, text_str(&filter)));
        break;
    case 1:
        subscription_set_covered(handle, !subscription_is_covered(handle));
        break;
    case 2:
        subscription_set_online(handle, chance_below(&worker->chance, 2) == 0);
        break;
    case 3:
        expect(subscriptions_add(subs, session, text_str(&filter), 2, i, &existed) == handle && existed);
        break;
    default:
        expect(subscriptions_find(subs, session, text_str(&filter)) == handle);
    }
}

// What a worker's own sessions are subscribed to, nobody else changes: so that much must be found exactly.
static void look(struct worker *worker)
{
    size_t plain = 0;
    size_t groups = 0;
    subscriptions_match(subs, worker->index, STR("all/x"), &worker->found);
    for (size_t i = 0; i < worker->found.count; i++) {
        const struct subscription_target *target = &worker->found.targets[i];
        groups += target->shared;
        plain += !target->shared && target->session >> 56 == worker->index;
        expect(target->identifier == (target->session & 0xFFFF) - 1);
    }
    expect(groups <= 1);
    for (unsigned i = 0; i < OWN; i++)
        plain -= worker->handles[i] && (i % 4 == 0 || i % 4 == 2);
    expect(plain == 0);
    struct subscription_target target;
    subscriptions_match_group(subs, worker->index, STR("all/x"), 1, session_of(worker->index, 1), &target);
}

static void *work(void *argument)
{
    struct worker *worker = argument;
    uint64_t last = 0;
    for (unsigned round = 0; round < ROUNDS / (SANITIZED ? 4 : 1); round++) {
        if (round % 4 == 0)
            change(worker, chance_below(&worker->chance, OWN));
        else
            look(worker);
        uint64_t version = subscriptions_version(subs);
        expect(version >= last);
        last = version;
        uint64_t shared;
        expect(subscriptions_count(subs, &shared) <= (uint64_t)WORKERS * OWN);
    }
    return NULL;
}

START_TEST(readers_and_writers)
{
    static struct worker workers[WORKERS];
    subs = subscriptions_new(WORKERS);
    for (unsigned i = 0; i < WORKERS; i++) {
        workers[i].index = i;
        workers[i].chance.state = i + 1;
        ck_assert_int_eq(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
    }
    uint64_t left = 0;
    for (unsigned i = 0; i < WORKERS; i++) {
        pthread_join(workers[i].thread, NULL);
        subscription_matches_free(&workers[i].found);
        for (unsigned k = 0; k < OWN; k++)
            left += workers[i].handles[k] != NULL;
    }
    ck_assert_uint_eq(atomic_load(&wrong), 0);
    ck_assert_uint_eq(subscriptions_count(subs, NULL), left);
    for (unsigned i = 0; i < WORKERS; i++)
        for (unsigned k = 0; k < OWN; k++)
            if (workers[i].handles[k])
                subscriptions_remove(subs, workers[i].handles[k]);
    ck_assert_uint_eq(subscriptions_count(subs, NULL), 0);
    subscriptions_free(subs);
}
END_TEST

int main(void)
{
    const TTest *tests[] = {readers_and_writers};
    return topic_tests_run("subscriptions threads", tests, sizeof tests / sizeof *tests);
}
