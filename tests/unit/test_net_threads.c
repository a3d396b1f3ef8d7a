// Listeners and streams on running workers: accepted anywhere, handed from one to the other, ended at any
// time.
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/resource.h>

#include "core/base/str.h"
#include "core/net/listener.h"
#include "test_net_support.h"

static struct worker *workers;
static struct listener *listener;
static _Atomic unsigned alive;
static _Atomic unsigned accepted_count;
static _Atomic bool keeps_home; ///< connections stay where they were accepted
static char last_address[ADDRESS_TEXT_MAX];
static int accepted_nodelay;
static int accepted_keepalive;

/* ---- an echo that moves to another worker every few bytes ---- */

struct guest {
    struct stream stream; ///< first
    struct guest *next;   ///< on its worker
    struct guest **link;
    struct turn_task depart;
    struct post arrive;
    unsigned seen;
};

static struct guest *guests[4]; ///< by worker; each touched by its own thread alone

static void link_guest(struct guest *guest, struct worker *worker)
{
    guest->next = guests[worker->index];
    if (guest->next)
        guest->next->link = &guest->next;
    guest->link = &guests[worker->index];
    guests[worker->index] = guest;
}

static void unlink_guest(struct guest *guest)
{
    *guest->link = guest->next;
    if (guest->next)
        guest->next->link = guest->link;
}

static size_t echo(struct stream *stream, const uint8_t *data, size_t length, size_t *wanted)
{
    struct guest *guest = (struct guest *)stream;
    (void)wanted;
    size_t used = length < 7 ? length : 7;
    CHECK(worker_current() == stream->worker);
    if (!stream_write(stream, data, used))
        return length;
    guest->seen += (unsigned)used;
    if (keeps_home) {
        stream_write(stream, data + used, length - used);
        return length;
    }
    stream_pause(stream);
    worker_at_turn_end(stream->worker, &guest->depart);
    return used;
}

static void depart(struct worker *worker, struct turn_task *task)
{
    struct guest *guest = (struct guest *)((char *)task - offsetof(struct guest, depart));
    if (stream_pending(&guest->stream) > 0) { // its answer goes first
        worker_at_turn_end(worker, task);
        return;
    }
    if (guest->stream.closed)
        return;
    unlink_guest(guest);
    stream_detach(&guest->stream);
    worker_post(&worker->peers[(worker->index + 1) % worker->count], &guest->arrive);
}

static void arrive(struct worker *worker, struct post *post)
{
    struct guest *guest = (struct guest *)((char *)post - offsetof(struct guest, arrive));
    link_guest(guest, worker);
    stream_attach(&guest->stream, worker);
    stream_resume(&guest->stream);
}

static void drained(struct stream *stream)
{
    (void)stream;
}

static void closed(struct stream *stream, int error)
{
    struct guest *guest = (struct guest *)stream;
    (void)error;
    worker_forget_task(stream->worker, &guest->depart);
    unlink_guest(guest);
    free(guest);
    atomic_fetch_sub(&alive, 1);
}

static void failed(struct stream *stream, const char *why)
{
    (void)stream;
    ck_abort_msg("a socket fails without words, not with: %s", why);
}

static const struct stream_events guest_events = {echo, drained, failed, closed};

static void accepted(struct worker *worker, const struct accepted *came, void *argument)
{
    int fd = came->fd;
    CHECK(worker_current() == worker && argument == &alive);
    if (atomic_fetch_add(&accepted_count, 1) == 0) {
        strcpy(last_address, came->address);
        socklen_t length = sizeof accepted_nodelay;
        getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &accepted_nodelay, &length);
        getsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &accepted_keepalive, &length);
        CHECK(fcntl(fd, F_GETFL) & O_NONBLOCK);
        CHECK(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    }
    struct guest *guest = memory_zalloc(sizeof *guest);
    guest->depart.run = depart;
    guest->arrive.run = arrive;
    stream_init(&guest->stream, fd, &guest_events);
    atomic_fetch_add(&alive, 1);
    link_guest(guest, worker);
    stream_attach(&guest->stream, worker);
}

static void up(struct worker *worker)
{
    if (listener)
        listener_attach(listener, worker, accepted, &alive);
}

static void down(struct worker *worker)
{
    if (listener)
        listener_detach(listener, worker);
    for (struct guest *guest = guests[worker->index]; guest; guest = guest->next)
        stream_abort(&guest->stream);
    worker_turn(worker, false);
    CHECK(guests[worker->index] == NULL);
}

static struct listener *open_tcp(const char *host, uint16_t port, char **error)
{
    const struct listener_place place = {.kind = LISTENER_TCP, .name = host, .port = port};
    const struct listener_options options = {.backlog = 4096, .nodelay = true, .keepalive = true};
    return listener_open(&place, &options, error);
}

static void start(const char *host, unsigned count)
{
    char *error = NULL;
    listener = open_tcp(host, 0, &error);
    if (!listener)
        ck_abort_msg("%s", error);
    workers = workers_new(count);
    workers_start(workers, up, down);
}

static void stop(void)
{
    workers_stop(workers);
    workers_join(workers);
    listener_close(listener);
    workers_free(workers);
}

static uint16_t port(void)
{
    return (uint16_t)atoi(strrchr(listener_address(listener), ':') + 1);
}

static int dial(void)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port())};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(fd >= 0);
    CHECK(connect(fd, (struct sockaddr *)&address, sizeof address) == 0);
    return fd;
}

static void wait_until_none(void)
{
    for (int i = 0; i < 1000 && atomic_load(&alive) > 0; i++)
        usleep(10000);
    ck_assert_uint_eq(atomic_load(&alive), 0);
}

/* ---- tests ---- */

enum { CLIENTS = 20, BYTES = 2000 };

// Sends and receives on all connections at once until each has its bytes back; -1 when it is told to leave.
static void talk(int fds[CLIENTS])
{
    size_t sent[CLIENTS] = {0};
    size_t got[CLIENTS] = {0};
    for (unsigned open = CLIENTS; open > 0;) {
        struct pollfd polls[CLIENTS];
        for (int i = 0; i < CLIENTS; i++)
            polls[i] = (struct pollfd){.fd = got[i] < BYTES ? fds[i] : -1,
                                       .events = (short)(POLLIN | (sent[i] < BYTES ? POLLOUT : 0))};
        CHECK(poll(polls, CLIENTS, 10000) > 0);
        for (int i = 0; i < CLIENTS; i++) {
            uint8_t bytes[64];
            if (polls[i].revents & POLLOUT) {
                size_t size = 1 + (size_t)random() % sizeof bytes;
                size = size < BYTES - sent[i] ? size : BYTES - sent[i];
                fill_bytes(bytes, sent[i], size);
                CHECK(send(fds[i], bytes, size, MSG_NOSIGNAL) == (ssize_t)size);
                sent[i] += size;
            }
            if (polls[i].revents & POLLIN) {
                ssize_t n = recv(fds[i], bytes, sizeof bytes, 0);
                CHECK(n > 0 && bytes_are(bytes, got[i], (size_t)n));
                got[i] += (size_t)n;
                open -= got[i] == BYTES;
            }
        }
    }
}

START_TEST(echo_while_moving)
{
    start("127.0.0.1", (unsigned)_i);
    int fds[CLIENTS];
    for (int i = 0; i < CLIENTS; i++)
        fds[i] = dial();
    talk(fds);
    ck_assert_uint_eq(atomic_load(&alive), CLIENTS);
    for (int i = 0; i < CLIENTS; i++)
        close(fds[i]);
    wait_until_none();
    ck_assert_uint_eq(atomic_load(&accepted_count), CLIENTS);
    stop();
}
END_TEST

// Connections that end at any moment, on their way from worker to worker too.
START_TEST(gone_at_any_time)
{
    start("127.0.0.1", 3);
    srandom(9);
    struct linger at_once = {.l_onoff = 1};
    for (int i = 0; i < 1500; i++) {
        int fd = dial();
        for (long pieces = random() % 4; pieces > 0; pieces--) {
            ssize_t n = send(fd, "some bytes that are more than it takes at once", 46, MSG_NOSIGNAL);
            CHECK(n == 46 || errno == EPIPE || errno == ECONNRESET);
            if (random() % 8 == 0)
                usleep(100);
        }
        if (random() % 2)
            setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
        close(fd);
    }
    for (int i = 0; i < 500 && atomic_load(&accepted_count) < 1400; i++)
        usleep(10000); // those reset in the backlog may never be seen
    wait_until_none();
    stop();
}
END_TEST

START_TEST(addresses_and_options)
{
    atomic_store(&keeps_home, true);
    start("127.0.0.1", 2);
    ck_assert_int_eq(strncmp(listener_address(listener), "127.0.0.1:", 10), 0);
    int fd = dial();
    struct sockaddr_in mine;
    socklen_t length = sizeof mine;
    getsockname(fd, (struct sockaddr *)&mine, &length);
    CHECK(send(fd, "hello", 5, 0) == 5);
    char answer[5];
    CHECK(recv(fd, answer, 5, MSG_WAITALL) == 5 && memcmp(answer, "hello", 5) == 0);
    char wanted[ADDRESS_TEXT_MAX];
    snprintf(wanted, sizeof wanted, "127.0.0.1:%u", ntohs(mine.sin_port));
    ck_assert_str_eq(last_address, wanted);
    ck_assert_int_ne(accepted_nodelay, 0);
    ck_assert_int_ne(accepted_keepalive, 0);
    close(fd);
    wait_until_none();
    stop();
}
END_TEST

START_TEST(ipv6)
{
    char *error = NULL;
    struct listener *probe = open_tcp("::1", 0, &error);
    if (!probe) { // a machine without it
        free(error);
        return;
    }
    listener_close(probe);
    atomic_store(&keeps_home, true);
    start("::1", 1);
    ck_assert_int_eq(strncmp(listener_address(listener), "[::1]:", 6), 0);
    struct sockaddr_in6 address = {
        .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT, .sin6_port = htons(port())};
    int fd = socket(AF_INET6, SOCK_STREAM, 0);
    CHECK(connect(fd, (struct sockaddr *)&address, sizeof address) == 0);
    char byte = 'x';
    CHECK(send(fd, &byte, 1, 0) == 1 && recv(fd, &byte, 1, 0) == 1);
    ck_assert_int_eq(strncmp(last_address, "[::1]:", 6), 0);
    close(fd);
    wait_until_none();
    stop();
}
END_TEST

START_TEST(cannot_listen)
{
    char *error = NULL;
    struct listener *first = open_tcp("127.0.0.1", 0, &error);
    ck_assert_ptr_nonnull(first);
    uint16_t taken = (uint16_t)atoi(strrchr(listener_address(first), ':') + 1);
    ck_assert_ptr_null(open_tcp("127.0.0.1", taken, &error));
    char *wanted = str_format("cannot listen on 127.0.0.1:%u: Address already in use", taken);
    ck_assert_str_eq(error, wanted);
    free(error);
    free(wanted);
    ck_assert_ptr_null(open_tcp("no.such.host.invalid", 1883, &error));
    ck_assert_ptr_nonnull(strstr(error, "cannot resolve no.such.host.invalid: "));
    free(error);
    listener_close(first);
    struct listener *again = open_tcp("127.0.0.1", taken, &error); // at once
    ck_assert_ptr_nonnull(again);
    listener_close(again);
}
END_TEST

// Out of descriptors: who waits is accepted once there are some again, and meanwhile the loop does not spin.
START_TEST(out_of_descriptors)
{
    atomic_store(&keeps_home, true);
    start("127.0.0.1", 1);
    int first = dial();
    char byte = 'x';
    CHECK(send(first, &byte, 1, 0) == 1 && recv(first, &byte, 1, 0) == 1);
    int waiting[3]; // made before the limit falls, connected after
    for (int i = 0; i < 3; i++)
        waiting[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct rlimit before;
    getrlimit(RLIMIT_NOFILE, &before);
    struct rlimit low = {.rlim_cur = (rlim_t)waiting[2] + 1, .rlim_max = before.rlim_max};
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &low), 0);
    uint64_t pauses_before = listener_pauses();
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port())};
    for (int i = 0; i < 3; i++)
        CHECK(connect(waiting[i], (struct sockaddr *)&address, sizeof address) == 0 &&
              send(waiting[i], &byte, 1, 0) == 1);
    usleep(700000);
    uint64_t pauses = listener_pauses() - pauses_before;
    ck_assert_uint_ge(pauses, 1);
    ck_assert_uint_le(pauses, 6);
    ck_assert_uint_eq(atomic_load(&alive), 1);
    CHECK(send(first, &byte, 1, 0) == 1 && recv(first, &byte, 1, 0) == 1); // others notice nothing
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
    for (int i = 0; i < 3; i++)
        CHECK(recv(waiting[i], &byte, 1, 0) == 1);
    pauses = listener_pauses();
    usleep(500000);
    ck_assert_uint_eq(listener_pauses(), pauses);
    close(first);
    for (int i = 0; i < 3; i++)
        close(waiting[i]);
    wait_until_none();
    stop();
}
END_TEST

// Stopped in the middle of everything, with connections on their way: nothing crashes, nothing leaks.
START_TEST(stopped_in_the_middle)
{
    atomic_store(&keeps_home, true);
    start("127.0.0.1", 4);
    int fds[CLIENTS];
    for (int i = 0; i < CLIENTS; i++) {
        fds[i] = dial();
        CHECK(send(fds[i], "hello, hello", 12, 0) == 12);
    }
    char byte;
    CHECK(recv(fds[CLIENTS - 1], &byte, 1, 0) == 1);
    stop();
    for (int i = 0; i < CLIENTS; i++)
        close(fds[i]);
    ck_assert_uint_eq(atomic_load(&alive), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("net threads");
    TCase *tests = tcase_create("threads");
    tcase_set_timeout(tests, 120);
    tcase_add_loop_test(tests, echo_while_moving, 1, 5);
    tcase_add_test(tests, gone_at_any_time);
    tcase_add_test(tests, addresses_and_options);
    tcase_add_test(tests, ipv6);
    tcase_add_test(tests, cannot_listen);
    tcase_add_test(tests, out_of_descriptors);
    tcase_add_test(tests, stopped_in_the_middle);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
