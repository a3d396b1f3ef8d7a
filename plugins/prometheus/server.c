#include "server.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/listener.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "exposition.h"
#include "process.h"
#include "request.h"

enum {
    CONNECTIONS_MOST = 32, /* the oldest has to go for another one */
    CONNECTION_S = 5,      /* how long a connection may last, whatever it does */
    HEADERS_MOST = 8192,
    BODY_MOST = 1024,
    RETRY_S = 2,
    ACCEPT_PAUSE_MS = 200,
    SWEEP_MS = 50,
    BACKLOG = 1024, /* these wait in the kernel, and cost no descriptors */
};

struct server {
    const struct noctule_host *host;
    struct noctule_instance *instance;
    pthread_t thread;
    int wake_fd;
    /* What the thread is told; under the lock. */
    pthread_mutex_t lock;
    struct server_settings wanted;
    bool changed;
    bool ending;
    /* The thread's own from here on. */
    struct event_base *base;
    struct evhttp *http;
    struct evconnlistener *listener;
    struct server_settings settings;
    struct event *woken;
    struct event *retry;  /* of listening */
    struct event *resume; /* of accepting */
    struct event *sweep;
    struct connection *oldest;
    struct connection *newest;
    unsigned connections;
    bool told; /* that the address is taken */
};

/* One that was accepted, until the HTTP code has let go of it. */
struct connection {
    struct connection *older;
    struct connection *newer;
    struct bufferevent *stream; /* one reference is ours */
    uint64_t accepted_ms;
    bool shut; /* is ending, and counts no more */
};

static void settings_clear(struct server_settings *settings)
{
    free(settings->bind);
    free(settings->token);
    *settings = (struct server_settings){0};
}

static bool same_text(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

static void say(const struct server *server, uint32_t level, const char *text)
{
    server->host->log(server->instance, level, noctule_string_of(text, strlen(text)));
}

/* ---- connections ---- */

/* The peer's silence, slowness or number does not matter any more: the next read or write finds the end. */
static void connection_shut(struct server *server, struct connection *connection)
{
    evutil_socket_t fd = bufferevent_getfd(connection->stream);
    if (connection->shut)
        return;
    connection->shut = true;
    server->connections--;
    if (fd >= 0)
        shutdown(fd, SHUT_RDWR);
}

/* Whoever frees a stream takes its callbacks out; that we see, since our reference keeps it. */
static bool connection_is_over(const struct connection *connection)
{
    bufferevent_data_cb reads;
    bufferevent_data_cb writes;
    bufferevent_event_cb ends;
    void *ignored;
    bufferevent_getcb(connection->stream, &reads, &writes, &ends, &ignored);
    return !reads && !writes && !ends;
}

static void connection_free(struct server *server, struct connection *connection)
{
    *(connection->older ? &connection->older->newer : &server->oldest) = connection->newer;
    *(connection->newer ? &connection->newer->older : &server->newest) = connection->older;
    server->connections -= !connection->shut;
    bufferevent_decref(connection->stream); /* closes the socket */
    free(connection);
}

/* Frees what is over, and ends what has lasted too long. */
static void sweep(struct server *server)
{
    uint64_t now_ms = server->host->monotonic_ms();
    struct connection *newer;
    for (struct connection *connection = server->oldest; connection; connection = newer) {
        newer = connection->newer;
        if (connection_is_over(connection))
            connection_free(server, connection);
        else if (now_ms - connection->accepted_ms > CONNECTION_S * 1000)
            connection_shut(server, connection);
    }
}

static void sweep_later(struct server *server)
{
    struct timeval later = {.tv_usec = SWEEP_MS * 1000};
    if (server->oldest && !evtimer_pending(server->sweep, NULL))
        evtimer_add(server->sweep, &later);
}

static void sweep_now(evutil_socket_t fd, short what, void *argument)
{
    (void)fd;
    (void)what;
    sweep(argument);
    sweep_later(argument);
}

/* The HTTP code asks for a stream for a connection that it has accepted. */
static struct bufferevent *connection_new(struct event_base *base, void *argument)
{
    struct server *server = argument;
    if (server->connections >= CONNECTIONS_MOST)
        sweep(server);
    struct connection *oldest = server->oldest;
    while (oldest && oldest->shut)
        oldest = oldest->newer;
    if (oldest && server->connections >= CONNECTIONS_MOST)
        connection_shut(server, oldest);
    struct connection *connection = calloc(1, sizeof(*connection));
    struct bufferevent *stream = connection ? bufferevent_socket_new(base, -1, BEV_OPT_CLOSE_ON_FREE) : NULL;
    if (!stream) {
        free(connection);
        return NULL;
    }
    bufferevent_incref(stream);
    *connection = (struct connection){
        .older = server->newest, .stream = stream, .accepted_ms = server->host->monotonic_ms()};
    *(server->newest ? &server->newest->newer : &server->oldest) = connection;
    server->newest = connection;
    server->connections++;
    sweep_later(server);
    return stream;
}

/* ---- requests ---- */

static void answer_plainly(struct evhttp_request *request, int code, const char *reason, const char *text)
{
    struct evbuffer *body = evbuffer_new();
    if (body)
        evbuffer_add_printf(body, "%s\n", text);
    evhttp_add_header(evhttp_request_get_output_headers(request), "Content-Type",
                      "text/plain; charset=utf-8");
    evhttp_send_reply(request, code, reason, body);
    if (body)
        evbuffer_free(body);
}

static struct evbuffer *scrape(const struct server *server, enum exposition_format format)
{
    struct evbuffer *body = evbuffer_new();
    struct exposition *exposition = exposition_new(format);
    bool done = body && exposition;
    if (done) {
        server->host->metric_each(exposition_add, exposition);
        process_add(exposition);
        done = exposition_write(exposition, body);
    }
    if (exposition)
        exposition_free(exposition);
    if (done)
        return body;
    if (body)
        evbuffer_free(body);
    return NULL;
}

static void answer_scrape(const struct server *server, struct evhttp_request *request)
{
    static const char *const types[] = {
        [EXPOSITION_TEXT] = "text/plain; version=0.0.4; charset=utf-8",
        [EXPOSITION_OPENMETRICS] = "application/openmetrics-text; version=1.0.0; charset=utf-8",
    };
    const char *accepts = evhttp_find_header(evhttp_request_get_input_headers(request), "Accept");
    enum exposition_format format = request_format(accepts);
    struct evbuffer *body = scrape(server, format);
    if (!body) {
        answer_plainly(request, HTTP_SERVUNAVAIL, "Service Unavailable", "out of memory");
        return;
    }
    evhttp_add_header(evhttp_request_get_output_headers(request), "Content-Type", types[format]);
    evhttp_send_reply(request, HTTP_OK, "OK", body);
    evbuffer_free(body);
}

static void requested(struct evhttp_request *request, void *argument)
{
    struct server *server = argument;
    struct evkeyvalq *headers = evhttp_request_get_output_headers(request);
    const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(request);
    const char *path = uri ? evhttp_uri_get_path(uri) : NULL;
    const char *authorization =
        evhttp_find_header(evhttp_request_get_input_headers(request), "Authorization");
    /* One request for each connection, so that none is kept for nothing. */
    evhttp_add_header(headers, "Connection", "close");
    if (!request_is_authorized(authorization, server->settings.token)) {
        evhttp_add_header(headers, "WWW-Authenticate", "Bearer");
        answer_plainly(request, 401, "Unauthorized", "a token is needed: Authorization: Bearer TOKEN");
    } else if (path && strcmp(path, "/metrics") == 0) {
        answer_scrape(server, request);
    } else {
        answer_plainly(request, HTTP_NOTFOUND, "Not Found", "metrics are under /metrics");
    }
}

/* ---- listening ---- */

/* Whose thread this is: a listener's own argument belongs to the HTTP code. */
static _Thread_local struct server *current;

/* Out of descriptors: the waiting connections stay where they are for a moment. */
static void accept_failed(struct evconnlistener *listener, void *argument)
{
    (void)argument;
    struct server *server = current;
    struct timeval pause = {.tv_usec = ACCEPT_PAUSE_MS * 1000};
    evconnlistener_disable(listener);
    evtimer_add(server->resume, &pause);
}

static void accept_again(evutil_socket_t fd, short what, void *argument)
{
    (void)fd;
    (void)what;
    struct server *server = argument;
    if (server->listener)
        evconnlistener_enable(server->listener);
}

static struct evhttp *http_new(struct server *server)
{
    struct evhttp *http = evhttp_new(server->base);
    if (!http)
        return NULL;
    evhttp_set_bevcb(http, connection_new, server);
    evhttp_set_gencb(http, requested, server);
    evhttp_set_allowed_methods(http, EVHTTP_REQ_GET | EVHTTP_REQ_HEAD);
    evhttp_set_max_headers_size(http, HEADERS_MOST);
    evhttp_set_max_body_size(http, BODY_MOST);
    evhttp_set_timeout(http, CONNECTION_S);
    return http;
}

static bool listen_now(struct server *server)
{
    server->http = http_new(server);
    if (!server->http)
        return false;
    server->listener = evconnlistener_new_bind(
        server->base, NULL, NULL, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC | LEV_OPT_REUSEABLE, BACKLOG,
        (const struct sockaddr *)&server->settings.address, server->settings.address_length);
    if (!server->listener)
        return false;
    if (!evhttp_bind_listener(server->http, server->listener)) {
        evconnlistener_free(server->listener);
        server->listener = NULL;
        return false;
    }
    evconnlistener_set_error_cb(server->listener, accept_failed);
    return true;
}

/* Closes the listener and every connection. */
static void hush(struct server *server)
{
    if (server->http)
        evhttp_free(server->http);
    server->http = NULL;
    server->listener = NULL;
    sweep(server);
    evtimer_del(server->resume);
    evtimer_del(server->retry);
}

static void try_to_listen(evutil_socket_t fd, short what, void *argument)
{
    (void)fd;
    (void)what;
    struct server *server = argument;
    struct timeval later = {.tv_sec = RETRY_S};
    char text[512];
    if (listen_now(server)) {
        snprintf(text, sizeof(text), "metrics are served on http://%s/metrics", server->settings.bind);
        say(server, NOCTULE_LOG_INFO, text);
        return;
    }
    snprintf(text, sizeof(text), "cannot listen on %s: %s; trying again every %d s", server->settings.bind,
             strerror(errno), RETRY_S);
    hush(server);
    if (!server->told)
        say(server, NOCTULE_LOG_ERROR, text);
    server->told = true;
    evtimer_add(server->retry, &later);
}

static void woken(evutil_socket_t fd, short what, void *argument)
{
    (void)what;
    struct server *server = argument;
    uint64_t ignored;
    if (read(fd, &ignored, sizeof(ignored)) < 0)
        return;
    pthread_mutex_lock(&server->lock);
    bool changed = server->changed;
    bool ending = server->ending;
    struct server_settings wanted = server->wanted;
    if (changed)
        server->wanted = (struct server_settings){0};
    server->changed = false;
    pthread_mutex_unlock(&server->lock);
    /* What was served and stays is not interrupted by a reload. */
    if (changed && same_text(wanted.bind, server->settings.bind)) {
        struct server_settings before = server->settings;
        server->settings = wanted;
        settings_clear(&before);
    } else if (changed) {
        hush(server);
        settings_clear(&server->settings);
        server->settings = wanted;
        server->told = false;
        if (wanted.bind)
            try_to_listen(-1, 0, server);
    }
    if (ending)
        event_base_loopbreak(server->base);
}

/* ---- the thread ---- */

static void *run(void *argument)
{
    struct server *server = argument;
    current = server;
    event_base_dispatch(server->base);
    hush(server);
    return NULL;
}

static void server_release(struct server *server)
{
    if (server->woken)
        event_free(server->woken);
    if (server->retry)
        event_free(server->retry);
    if (server->resume)
        event_free(server->resume);
    if (server->sweep)
        event_free(server->sweep);
    if (server->base)
        event_base_free(server->base);
    if (server->wake_fd >= 0)
        close(server->wake_fd);
    settings_clear(&server->wanted);
    settings_clear(&server->settings);
    pthread_mutex_destroy(&server->lock);
    free(server);
}

struct server *server_new(const struct noctule_host *host, struct noctule_instance *instance)
{
    struct server *server = calloc(1, sizeof(*server));
    if (!server)
        return NULL;
    server->host = host;
    server->instance = instance;
    pthread_mutex_init(&server->lock, NULL);
    server->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    server->base = event_base_new();
    if (server->base && server->wake_fd >= 0) {
        server->woken = event_new(server->base, server->wake_fd, EV_READ | EV_PERSIST, woken, server);
        server->retry = evtimer_new(server->base, try_to_listen, server);
        server->resume = evtimer_new(server->base, accept_again, server);
        server->sweep = evtimer_new(server->base, sweep_now, server);
    }
    if (server->woken && server->retry && server->resume && server->sweep &&
        event_add(server->woken, NULL) == 0 && pthread_create(&server->thread, NULL, run, server) == 0) {
        pthread_setname_np(server->thread, "prometheus");
        return server;
    }
    server_release(server);
    return NULL;
}

static void wake(const struct server *server)
{
    uint64_t one = 1;
    ssize_t ignored = write(server->wake_fd, &one, sizeof(one));
    (void)ignored;
}

void server_set(struct server *server, const struct server_settings *settings)
{
    struct server_settings copy = {0};
    if (settings) {
        copy = *settings;
        copy.bind = strdup(settings->bind);
        copy.token = settings->token ? strdup(settings->token) : NULL;
        if (!copy.bind || (settings->token && !copy.token)) {
            settings_clear(&copy); /* nowhere, rather than without the token */
            say(server, NOCTULE_LOG_ERROR, "out of memory: metrics are not served");
        }
    }
    pthread_mutex_lock(&server->lock);
    settings_clear(&server->wanted);
    server->wanted = copy;
    server->changed = true;
    pthread_mutex_unlock(&server->lock);
    wake(server);
}

void server_free(struct server *server)
{
    pthread_mutex_lock(&server->lock);
    server->ending = true;
    pthread_mutex_unlock(&server->lock);
    wake(server);
    pthread_join(server->thread, NULL);
    server_release(server);
}
