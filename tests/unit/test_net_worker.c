// Workers: turns and their tasks, mailboxes between threads, timers, starting and stopping.
#include <check.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/memory.h"
#include "core/net/worker.h"

// As ck_assert, which is too slow to be called millions of times.
#define CHECK(what)                                                                                          \
    do {                                                                                                     \
        if (!(what))                                                                                         \
            ck_abort_msg("failed: %s", #what);                                                               \
    } while (0)

/* ---- tasks of a turn ---- */

struct job {
    struct turn_task task; // first: found again from the task
    int number;
    struct job *asks; ///< asked for by this one when it runs
    struct job *forgets;
    bool again;
    bool frees_itself;
};

static int ran[64];
static int ran_count;

static void run_job(struct worker *worker, struct turn_task *task)
{
    struct job *job = (struct job *)task;
    ran[ran_count++] = job->number;
    if (job->asks)
        worker_at_turn_end(worker, &job->asks->task);
    if (job->forgets)
        worker_forget_task(worker, &job->forgets->task);
    if (job->again) {
        job->again = false;
        worker_at_turn_end(worker, &job->task);
    }
    if (job->frees_itself)
        free(job);
}

static void check_ran(int count, const int *numbers)
{
    ck_assert_int_eq(ran_count, count);
    for (int i = 0; i < count; i++)
        ck_assert_int_eq(ran[i], numbers[i]);
    ran_count = 0;
}

START_TEST(tasks)
{
    struct worker *worker = workers_new(1);
    struct job jobs[5];
    for (int i = 0; i < 5; i++)
        jobs[i] = (struct job){.task.run = run_job, .number = i};
    // In the order asked for, once each.
    for (int round = 0; round < 3; round++)
        for (int i = 4; i >= 0; i--)
            worker_at_turn_end(worker, &jobs[i].task);
    uint64_t start = clock_monotonic_ms();
    worker_turn(worker, true); // does not wait: there is work
    ck_assert_uint_lt(clock_monotonic_ms() - start, 5000);
    check_ran(5, (int[]){4, 3, 2, 1, 0});
    worker_turn(worker, false);
    check_ran(0, NULL);
    // Taken back: the first, one in the middle, the last, one that was not asked for; and asked for again.
    for (int i = 0; i < 5; i++)
        worker_at_turn_end(worker, &jobs[i].task);
    worker_forget_task(worker, &jobs[0].task);
    worker_forget_task(worker, &jobs[2].task);
    worker_forget_task(worker, &jobs[4].task);
    worker_forget_task(worker, &jobs[4].task);
    worker_at_turn_end(worker, &jobs[0].task);
    worker_turn(worker, false);
    check_ran(3, (int[]){1, 3, 0});
    worker_at_turn_end(worker, &jobs[2].task);
    worker_forget_task(worker, &jobs[2].task);
    worker_at_turn_end(worker, &jobs[3].task);
    worker_turn(worker, false);
    check_ran(1, (int[]){3});
    workers_free(worker);
}
END_TEST

START_TEST(tasks_of_tasks)
{
    struct worker *worker = workers_new(1);
    struct job *owned = memory_alloc(sizeof *owned);
    struct job last = {.task.run = run_job, .number = 9};
    struct job forgotten = {.task.run = run_job, .number = 8};
    struct job first = {
        .task.run = run_job, .number = 1, .asks = &last, .again = true, .forgets = &forgotten};
    *owned = (struct job){.task.run = run_job, .number = 2, .asks = &first, .frees_itself = true};
    worker_at_turn_end(worker, &first.task);
    worker_at_turn_end(worker, &owned->task);
    worker_at_turn_end(worker, &forgotten.task);
    worker_turn(worker, false);
    check_ran(5, (int[]){1, 2, 9, 1, 9});
    // A task that takes itself back while it runs has nothing to take back.
    first.asks = NULL;
    first.forgets = &first;
    worker_at_turn_end(worker, &first.task);
    worker_turn(worker, false);
    check_ran(1, (int[]){1});
    workers_free(worker);
}
END_TEST

/* ---- posts ---- */

enum { POSTERS = 4, POSTS = 20000 };

struct numbered {
    struct post post; // first: found again from the post
    unsigned poster;
    unsigned number;
};

static unsigned next_number[POSTERS];
static unsigned received;

static void count_post(struct worker *worker, struct post *post)
{
    struct numbered *numbered = (struct numbered *)post;
    CHECK(worker_current() == worker);
    CHECK(numbered->number == next_number[numbered->poster]); // nothing lost, nothing overtaken
    CHECK(atomic_load(&worker->backlog) <= POSTERS * POSTS);  // has not gone below zero
    next_number[numbered->poster]++;
    if (++received == POSTERS * POSTS)
        workers_stop(worker->peers);
    free(numbered);
}

struct poster {
    pthread_t thread;
    struct worker *target;
    unsigned index;
};

static void *post_many(void *argument)
{
    struct poster *poster = argument;
    for (unsigned i = 0; i < POSTS; i++) {
        struct numbered *numbered = memory_alloc(sizeof *numbered);
        *numbered = (struct numbered){.post.run = count_post, .poster = poster->index, .number = i};
        worker_post(poster->target, &numbered->post);
        if (i % 1000 == poster->index) // lets the worker fall asleep now and then
            usleep(300);
    }
    return NULL;
}

static void nothing(struct worker *worker)
{
    (void)worker;
}

START_TEST(posts_of_several_threads)
{
    struct worker *workers = workers_new(2);
    struct poster posters[POSTERS];
    workers_start(workers, nothing, nothing);
    for (unsigned i = 0; i < POSTERS; i++) {
        posters[i] = (struct poster){.target = &workers[1], .index = i};
        pthread_create(&posters[i].thread, NULL, post_many, &posters[i]);
    }
    for (unsigned i = 0; i < POSTERS; i++)
        pthread_join(posters[i].thread, NULL);
    workers_join(workers);
    ck_assert_uint_eq(received, POSTERS * POSTS);
    ck_assert_uint_eq(atomic_load(&workers[1].backlog), 0);
    workers_free(workers);
}
END_TEST

struct ball {
    struct post post; // first: found again from the post
    unsigned left;
    bool gathered;
};

static void bounce(struct worker *worker, struct post *post)
{
    struct ball *ball = (struct ball *)post;
    if (ball->left-- == 0) {
        workers_stop(worker->peers);
        return;
    }
    unsigned other = (worker->index + 1) % worker->count;
    if (ball->gathered)
        worker_post_gathered(worker, other, post);
    else
        worker_post(&worker->peers[other], post);
}

// One post that goes back and forth: were a single wake-up lost, both would sleep.
START_TEST(no_wake_up_is_lost)
{
    struct worker *workers = workers_new(3);
    struct ball ball = {.post.run = bounce, .left = 30000, .gathered = _i};
    workers_start(workers, nothing, nothing);
    worker_post(&workers[0], &ball.post);
    workers_join(workers);
    ck_assert_uint_eq(ball.left, UINT32_MAX);
    workers_free(workers);
}
END_TEST

static unsigned gathered_seen;

static void note_gathered(struct worker *worker, struct post *post)
{
    (void)worker;
    ck_assert_uint_eq(((struct numbered *)post)->number, gathered_seen++);
}

// Gathered until the turn ends, in order, with one wake-up; and what is posted meanwhile is for later.
START_TEST(gathered)
{
    enum { MANY = 100 };
    static struct numbered posts[MANY];
    struct worker *workers = workers_new(2);
    for (unsigned i = 0; i < MANY; i++) {
        posts[i] = (struct numbered){.post.run = note_gathered, .number = i};
        worker_post_gathered(&workers[0], 1, &posts[i].post);
    }
    worker_turn(&workers[1], false);
    ck_assert_uint_eq(gathered_seen, 0);
    ck_assert_uint_eq(atomic_load(&workers[1].backlog), 0);
    worker_turn(&workers[0], false);
    ck_assert_uint_eq(atomic_load(&workers[1].backlog), MANY);
    uint64_t wakes = 0;
    ck_assert_int_eq(read(workers[1].wake.fd, &wakes, sizeof wakes), sizeof wakes);
    ck_assert_uint_eq(wakes, 1);
    // The wake-up was read away; another post finds the mailbox filled and does not wake again, as none is
    // needed: here the one that was read is given back.
    ck_assert_int_eq(write(workers[1].wake.fd, &wakes, sizeof wakes), sizeof wakes);
    worker_turn(&workers[1], true);
    ck_assert_uint_eq(gathered_seen, MANY);
    ck_assert_uint_eq(atomic_load(&workers[1].backlog), 0);
    workers_free(workers);
}
END_TEST

static unsigned self_posts;

static void post_again(struct worker *worker, struct post *post)
{
    if (++self_posts < 10)
        worker_post(worker, post);
}

// A post that posts itself has one turn each time, so that others come in between.
START_TEST(fair_to_others)
{
    struct worker *worker = workers_new(1);
    struct post post = {.run = post_again};
    worker_post(worker, &post);
    for (unsigned turn = 1; turn <= 10; turn++) {
        worker_turn(worker, true);
        ck_assert_uint_eq(self_posts, turn);
    }
    workers_free(worker);
}
END_TEST

/* ---- turns that gather ---- */

enum { READY = 10 };

static struct watch readable[READY];
static int refills; // how often each becomes ready again while it is told
static int told[READY];
static int flushes;

static void flushed(struct worker *worker, struct turn_task *task)
{
    (void)worker;
    (void)task;
    flushes++;
}

static struct turn_task flush_task = {.run = flushed};

static void told_readable(struct watch *watch, unsigned what)
{
    (void)what;
    uint64_t value;
    CHECK(read(watch->fd, &value, sizeof value) == sizeof value);
    value = 1;
    if (told[watch - readable]++ < refills)
        CHECK(write(watch->fd, &value, sizeof value) == sizeof value);
    worker_at_turn_end(worker_current(), &flush_task);
}

// Makes `count` ready, and takes one turn; returns how often one of them was told.
static int turn_with(int count, int refilled)
{
    struct worker *worker = workers_new(1);
    refills = refilled;
    flushes = 0;
    for (int i = 0; i < count; i++) {
        told[i] = 0;
        readable[i] = (struct watch){.ready = told_readable, .fd = eventfd(1, EFD_NONBLOCK)};
        CHECK(watch_change(&worker->poller, &readable[i], WATCH_READ));
    }
    worker_turn(worker, true);
    int sum = 0;
    for (int i = 0; i < count; i++) {
        sum += told[i];
        watch_change(&worker->poller, &readable[i], 0);
        close(readable[i].fd);
    }
    workers_free(worker);
    ck_assert_int_eq(flushes, 1);
    return sum;
}

// Many at once are looked at again before anything is written; few are not, and nobody holds the turn for
// good.
START_TEST(busy_turn)
{
    ck_assert_int_eq(turn_with(READY, 1), 2 * READY);
    ck_assert_int_eq(turn_with(3, 1), 3);
    ck_assert_int_le(turn_with(READY, 1000), 300);
}
END_TEST

/* ---- time ---- */

static struct wheel_timer timers[3];
static uint64_t fired_at[3];

static void timer_fired(struct wheel_timer *timer, void *context)
{
    struct worker *worker = context;
    fired_at[timer - timers] = worker->now_ms;
    if (timer == &timers[2])
        workers_stop(worker);
}

START_TEST(timers_wake)
{
    struct worker *worker = workers_new(1);
    uint64_t start = clock_monotonic_ms();
    static const uint64_t after[] = {1, 40, 700};
    for (int i = 0; i < 3; i++)
        wheel_start(&worker->wheel, &timers[i], start + after[i], timer_fired);
    unsigned turns = 0;
    for (; !worker->stopping; turns++)
        worker_turn(worker, true);
    for (int i = 0; i < 3; i++) {
        ck_assert_uint_ge(fired_at[i], start + after[i]);
        ck_assert_uint_lt(fired_at[i], start + after[i] + 300); // a busy machine
    }
    ck_assert_uint_le(turns, 6); // it slept in between
    workers_free(worker);
}
END_TEST

static uint64_t noted_ms;

static void note_time(struct worker *worker, struct post *post)
{
    (void)post;
    noted_ms = worker->now_ms;
}

static void *post_later(void *argument)
{
    static struct post post = {.run = note_time};
    usleep(300000);
    worker_post(argument, &post);
    return NULL;
}

// Whoever is called back sees the time after the wait, not the time before it.
START_TEST(time_after_the_wait)
{
    struct worker *worker = workers_new(1);
    pthread_t thread;
    uint64_t start = clock_monotonic_ms();
    pthread_create(&thread, NULL, post_later, worker);
    while (noted_ms == 0)
        worker_turn(worker, true);
    pthread_join(thread, NULL);
    ck_assert_uint_ge(noted_ms, start + 290);
    workers_free(worker);
}
END_TEST

START_TEST(moved_clock)
{
    struct worker *worker = workers_new(1);
    wheel_start(&worker->wheel, &timers[2], clock_monotonic_ms() + 30ULL * 24 * 3600 * 1000, timer_fired);
    worker_turn(worker, false);
    ck_assert(!worker->stopping);
    clock_advance(31ULL * 24 * 3600 * 1000);
    worker_turn(worker, false);
    worker_turn(worker, true);
    ck_assert(worker->stopping);
    workers_free(worker);
}
END_TEST

/* ---- life ---- */

static _Atomic unsigned ups;
static _Atomic unsigned downs;

static void up(struct worker *worker)
{
    CHECK(worker_current() == worker);
    atomic_fetch_add(&ups, 1);
    // What is gathered before the first turn does not wait for one.
    static struct ball balls[3];
    balls[worker->index] =
        (struct ball){.post.run = bounce, .left = worker->index == 2 ? 5 : 1000, .gathered = true};
    worker_post_gathered(worker, worker->index, &balls[worker->index].post);
}

static void down(struct worker *worker)
{
    CHECK(worker_current() == worker);
    CHECK(worker->stopping);
    atomic_fetch_add(&downs, 1);
}

START_TEST(up_and_down)
{
    ck_assert_ptr_null(worker_current());
    struct worker *workers = workers_new(3);
    workers_start(workers, up, down);
    workers_join(workers);
    ck_assert_uint_eq(ups, 3);
    ck_assert_uint_eq(downs, 3);
    workers_join(workers); // nothing left to wait for
    workers_free(workers);
    ck_assert_ptr_null(worker_current());
}
END_TEST

static unsigned relayed;

static void relay(struct worker *worker, struct post *post)
{
    struct numbered *numbered = (struct numbered *)post;
    CHECK(worker_current() == worker);
    relayed++;
    if (numbered->number-- == 0) {
        free(numbered);
        return;
    }
    unsigned other = (worker->index + worker->count - 1) % worker->count;
    if (numbered->number % 2)
        worker_post_gathered(worker, other, post);
    else
        worker_post(&worker->peers[other], post);
}

// What is in the mailboxes in the end is run, however often it is handed on; nothing leaks.
START_TEST(freed_with_mail)
{
    struct worker *workers = workers_new(4);
    for (unsigned i = 0; i < 4; i++) {
        struct numbered *numbered = memory_alloc(sizeof *numbered);
        *numbered = (struct numbered){.post.run = relay, .number = 25};
        worker_post(&workers[i], &numbered->post);
    }
    workers_free(workers);
    ck_assert_uint_eq(relayed, 4 * 26);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("net worker");
    TCase *tests = tcase_create("worker");
    tcase_set_timeout(tests, 120);
    tcase_add_test(tests, tasks);
    tcase_add_test(tests, tasks_of_tasks);
    tcase_add_test(tests, posts_of_several_threads);
    tcase_add_loop_test(tests, no_wake_up_is_lost, 0, 2);
    tcase_add_test(tests, gathered);
    tcase_add_test(tests, fair_to_others);
    tcase_add_test(tests, busy_turn);
    tcase_add_test(tests, timers_wake);
    tcase_add_test(tests, time_after_the_wait);
    tcase_add_test(tests, moved_clock);
    tcase_add_test(tests, up_and_down);
    tcase_add_test(tests, freed_with_mail);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
