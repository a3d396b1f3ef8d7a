// Which sockets are listened on, at start and across reloads: a listener whose name and address stay keeps
// its sockets and its connections.
#include <stdlib.h>
#include <unistd.h>

#include "core/base/log.h"
#include "core/base/memory.h"
#include "core/broker/addresses.h"
#include "core/broker/state.h"

enum {
    REFUSED_AT_ONCE = 1000,   // connections above a limit that still get a CONNACK with the reason
    REFUSED_PER_SECOND = 200, // the same of one worker each second
    SECOND_US = 1000000,
};

static bool listener_too_fast(struct broker_listener *listener, uint64_t now_us)
{
    uint64_t rate = atomic_load_explicit(&listener->connect_rate, memory_order_relaxed);
    if (rate == 0)
        return false;
    uint64_t before = atomic_load_explicit(&listener->connected_us, memory_order_relaxed);
    uint64_t after;
    do {
        after = before;
        if (rate_admits(&after, now_us, SECOND_US / rate, SECOND_US) > 0)
            return true;
    } while (!atomic_compare_exchange_weak(&listener->connected_us, &before, after));
    return false;
}

// The reason for which connections of this address are refused now, or MQTT_SUCCESS.
static uint8_t refusal_of_address(struct broker_worker *here, const char *address)
{
    const struct limit_settings *limits = &here->settings->limits;
    uint64_t now_ms = here->worker->now_ms;
    if (!limits->connect_rate && !limits->auth_failures)
        return MQTT_SUCCESS;
    switch (
        addresses_connect(here->broker->addresses, addresses_key(address), now_ms, limits->connect_rate)) {
    case ADDRESS_TOO_FAST:
        return MQTT_CONNECTION_RATE_EXCEEDED;
    case ADDRESS_BLOCKED:
        return MQTT_BANNED;
    default:
        return MQTT_SUCCESS;
    }
}

// The reason for which a connection that has just come will be refused, or MQTT_SUCCESS. Of one that comes
// through a proxy the address is not known yet.
static uint8_t refusal_of(struct broker_worker *here, struct broker_listener *listener, const char *address,
                          bool proxied)
{
    if (broker_is_full(here->broker))
        return MQTT_SERVER_BUSY;
    if (listener_too_fast(listener, here->worker->now_ms * 1000))
        return MQTT_CONNECTION_RATE_EXCEEDED;
    return proxied ? MQTT_SUCCESS : refusal_of_address(here, address);
}

// Who is refused is told why, as long as that costs little.
static bool may_be_told(struct broker_worker *here)
{
    uint64_t ignored;
    return log_gate_opens(&here->refused_politely, here->worker->now_ms, REFUSED_PER_SECOND, &ignored);
}

static void count_refused(struct broker_worker *here, uint8_t refused)
{
    static const uint8_t reasons[REFUSALS] = {
        [REFUSAL_LIMIT] = MQTT_QUOTA_EXCEEDED,
        [REFUSAL_RATE] = MQTT_CONNECTION_RATE_EXCEEDED,
        [REFUSAL_ADDRESS] = MQTT_BANNED,
        [REFUSAL_MEMORY] = MQTT_SERVER_BUSY,
    };
    for (unsigned i = 0; i < REFUSALS; i++)
        if (refused == reasons[i])
            counter_add(here->counters, COUNTER_REFUSED + i, 1);
}

static void count_accepted(struct broker_worker *here, struct broker_listener *listener, uint8_t refused)
{
    counter_add(here->counters, COUNTER_ACCEPTED, 1);
    atomic_fetch_add_explicit(&listener->counters->accepted, 1, memory_order_relaxed);
    count_refused(here, refused);
}

const struct listener_settings *listeners_settings(const struct broker_worker *here,
                                                   const struct broker_listener *listener)
{
    const struct settings *settings = here->settings;
    for (size_t i = 0; i < settings->listener_count; i++)
        if (strcmp(settings->listeners[i].name, listener->name) == 0)
            return &settings->listeners[i];
    return NULL;
}

// How connections of a listener come through a proxy; NULL: they do not.
static const struct proxy_settings *proxy_of(const struct broker_worker *here,
                                             const struct broker_listener *listener)
{
    const struct listener_settings *settings = listeners_settings(here, listener);
    if (!settings || (settings->proxy.versions == SETTINGS_PROXY_OFF && settings->proxy.from_count == 0))
        return NULL;
    return &settings->proxy;
}

static bool is_believed(const struct proxy_settings *proxy, const struct accepted *accepted)
{
    struct address address;
    return accepted->peer->ss_family == AF_UNIX || (address_parse(str_of(accepted->address), &address) &&
                                                    cidr_any_holds(proxy->from, proxy->from_count, &address));
}

static void uncount(struct broker_listener *listener)
{
    atomic_fetch_sub_explicit(&listener->connections, 1, memory_order_relaxed);
    atomic_fetch_sub_explicit(&listener->broker->connections, 1, memory_order_relaxed);
}

void listeners_accepted(struct worker *worker, const struct accepted *accepted, void *argument)
{
    struct broker_listener *listener = argument;
    struct broker_worker *here = worker->owner;
    const struct proxy_settings *proxy = proxy_of(here, listener);
    uint64_t mine = atomic_fetch_add_explicit(&listener->connections, 1, memory_order_relaxed);
    uint64_t all = atomic_fetch_add_explicit(&listener->broker->connections, 1, memory_order_relaxed);
    uint64_t my_limit = atomic_load_explicit(&listener->max_connections, memory_order_relaxed);
    uint64_t limit = here->settings->limits.connections;
    bool believed = proxy && is_believed(proxy, accepted);
    uint8_t refusal = refusal_of(here, listener, accepted->address, believed);
    uint8_t reason = mine >= my_limit || all >= limit ? MQTT_QUOTA_EXCEEDED : refusal;
    count_accepted(here, listener, reason);
    struct connection *connection = NULL;
    if (mine < my_limit + REFUSED_AT_ONCE && all < limit + REFUSED_AT_ONCE && (!refusal || may_be_told(here)))
        connection = connection_new(here, listener, accepted, proxy);
    if (!connection) {
        close(accepted->fd);
        uncount(listener);
        return;
    }
    atomic_fetch_add_explicit(&listener->counters->connections, 1, memory_order_relaxed);
    connection->counted = true;
    // The lowest layer first.
    if (!tls_begin(connection) || !websocket_begin(here, connection)) {
        connection_lose(connection);
        return;
    }
    connection->refusal = reason;
    stream_attach_new(&connection->stream, worker);
    uint64_t timeout = here->settings->limits.connect_timeout_ms;
    connection_set_deadline(connection, refusal && timeout > LINGER_MS ? LINGER_MS : timeout);
    if (proxy && proxy->versions != SETTINGS_PROXY_OFF && !believed)
        connection_reject(connection, "its address is not in proxy_from");
}

const char *listeners_identified(struct connection *connection)
{
    struct broker_worker *here = connection_worker(connection);
    uint8_t refusal = refusal_of_address(here, connection->address);
    if (!refusal)
        return NULL;
    count_refused(here, refusal);
    if (!connection->refusal)
        connection->refusal = refusal;
    if (!may_be_told(here))
        return login_why_refused(refusal);
    uint64_t timeout = here->settings->limits.connect_timeout_ms;
    connection_set_deadline(connection, timeout > LINGER_MS ? LINGER_MS : timeout);
    return NULL;
}

static struct listener_place place_of(const struct listener_settings *settings)
{
    static const enum listener_kind kinds[] = {[SETTINGS_BIND_TCP] = LISTENER_TCP,
                                               [SETTINGS_BIND_UNIX] = LISTENER_UNIX,
                                               [SETTINGS_BIND_SYSTEMD] = LISTENER_PASSED};
    return (struct listener_place){.kind = kinds[settings->kind],
                                   .name = settings->host,
                                   .port = settings->port,
                                   .interface = settings->socket.interface};
}

static struct listener_options options_of(const struct socket_settings *settings)
{
    return (struct listener_options){
        .backlog = (int)settings->backlog,
        .nodelay = settings->nodelay,
        .keepalive = settings->keepalive,
        .keepalive_idle_s = (int)(settings->keepalive_idle_ms / 1000),
        .keepalive_interval_s = (int)(settings->keepalive_interval_ms / 1000),
        .keepalive_count = (int)settings->keepalive_count,
        .mode = settings->mode,
        .owner = settings->owner,
        .group = settings->group,
    };
}

static bool is_same(const char *one, const char *other)
{
    return one == other || (one && other && strcmp(one, other) == 0);
}

static struct broker_listener *find(struct broker *broker, const struct listener_settings *wanted)
{
    struct listener_place place = place_of(wanted);
    for (struct broker_listener *listener = broker->listeners; listener; listener = listener->next)
        if (strcmp(listener->name, wanted->name) == 0 && listener->place.kind == place.kind &&
            strcmp(listener->place.name, place.name) == 0 && listener->place.port == place.port &&
            is_same(listener->place.interface, place.interface))
            return listener;
    return NULL;
}

static void free_listener(struct broker_listener *listener)
{
    if (listener->socket)
        listener_close(listener->socket);
    tls_forget(listener);
    free(listener->name);
    free((char *)listener->place.name);
    free((char *)listener->place.interface);
    free(listener);
}

// Undoes a reload that failed half-way.
static void forget_fresh(struct broker *broker)
{
    struct broker_listener **link = &broker->listeners;
    while (*link) {
        struct broker_listener *listener = *link;
        listener->stays = true;
        tls_settle(listener);
        if (listener->fresh) {
            *link = listener->next;
            free_listener(listener);
        } else {
            link = &listener->next;
        }
    }
}

static struct broker_listener *open_one(struct broker *broker, const struct listener_settings *wanted,
                                        char **error)
{
    struct listener_place place = place_of(wanted);
    struct listener_options options = options_of(&wanted->socket);
    struct listener *socket = listener_open(&place, &options, error);
    if (!socket)
        return NULL;
    struct broker_listener *listener = memory_zalloc(sizeof *listener);
    listener->broker = broker;
    listener->socket = socket;
    listener->name = str_to_c(str_of(wanted->name));
    listener->place = place;
    listener->place.name = str_to_c(str_of(place.name));
    if (place.interface)
        listener->place.interface = str_to_c(str_of(place.interface));
    listener->fresh = true;
    listener->counters = metrics_of_listener(broker, wanted->name);
    struct broker_listener **last = &broker->listeners;
    while (*last)
        last = &(*last)->next;
    *last = listener;
    return listener;
}

static void set_bounds(struct broker_listener *listener)
{
    atomic_store(&listener->max_connections, listener->wanted->max_connections);
    atomic_store(&listener->connect_rate, listener->wanted->connect_rate);
}

// What may change of a listener that stays.
static void renew(struct broker_listener *listener)
{
    struct listener_options options = options_of(&listener->wanted->socket);
    set_bounds(listener);
    char *error = listener_configure(listener->socket, &options);
    if (error)
        log_warn("%s", error);
    free(error);
}

bool listeners_open(struct broker *broker, const struct settings *settings, struct diagnostics *diagnostics)
{
    for (struct broker_listener *listener = broker->listeners; listener; listener = listener->next)
        listener->stays = listener->fresh = false;
    for (size_t i = 0; i < settings->listener_count; i++) {
        const struct listener_settings *wanted = &settings->listeners[i];
        char *error = NULL;
        struct broker_listener *listener = find(broker, wanted);
        if (!listener)
            listener = open_one(broker, wanted, &error);
        if (!listener) {
            diagnostics_error(diagnostics, wanted->bind_place, "%s", error);
            free(error);
        }
        if (!listener || !tls_prepare(listener, wanted, diagnostics)) {
            forget_fresh(broker);
            return false;
        }
        listener->stays = true;
        listener->wanted = wanted;
        if (listener->fresh)
            set_bounds(listener);
    }
    return true;
}

static void drop_connections(struct broker_worker *here, const struct broker_listener *listener)
{
    struct connection *next;
    for (struct connection *connection = here->connections; connection; connection = next) {
        next = connection->next; // failing one may end others' sessions, never unlink them at once
        if (connection->listener == listener)
            connection_fail(connection, MQTT_ADMINISTRATIVE_ACTION, "its listener was removed");
    }
}

void listeners_leave(struct broker_worker *here)
{
    for (struct broker_listener *listener = here->broker->listeners; listener; listener = listener->next) {
        if (listener->stays)
            continue;
        atomic_store_explicit(&listener->leaving, true, memory_order_relaxed);
        listener_detach(listener->socket, here->worker);
        drop_connections(here, listener);
    }
}

void listeners_enter(struct broker_worker *here, void *argument)
{
    (void)argument;
    for (struct broker_listener *listener = here->broker->listeners; listener; listener = listener->next)
        if (listener->stays && listener->fresh)
            listener_attach(listener->socket, here->worker, listeners_accepted, listener);
}

void listeners_stop(struct broker_worker *here)
{
    for (struct broker_listener *listener = here->broker->listeners; listener; listener = listener->next)
        listener_detach(listener->socket, here->worker);
}

void listeners_settle(struct broker *broker)
{
    struct broker_listener **link = &broker->listeners;
    while (*link) {
        struct broker_listener *listener = *link;
        tls_settle(listener);
        if (listener->stays) {
            if (!listener->fresh)
                renew(listener);
            listener->fresh = false;
            listener->wanted = NULL;
            link = &listener->next;
            continue;
        }
        *link = listener->next;
        listener_close(listener->socket);
        listener->socket = NULL;
        listener->next = broker->retired;
        broker->retired = listener;
    }
}

void listeners_sweep(struct broker *broker)
{
    struct broker_listener **link = &broker->retired;
    while (*link) {
        struct broker_listener *listener = *link;
        if (atomic_load_explicit(&listener->connections, memory_order_acquire) == 0) {
            *link = listener->next;
            free_listener(listener);
        } else {
            link = &listener->next;
        }
    }
}

void listeners_close(struct broker *broker)
{
    while (broker->listeners) {
        struct broker_listener *listener = broker->listeners;
        broker->listeners = listener->next;
        free_listener(listener);
    }
    while (broker->retired) {
        struct broker_listener *listener = broker->retired;
        broker->retired = listener->next;
        free_listener(listener);
    }
}
