// Traces: who is traced, and the lines on their way to whoever reads them.
#include "core/broker/trace.h"

#include <stdlib.h>

#include "core/base/clock.h"
#include "core/base/memory.h"
#include "core/broker/control_json.h"
#include "core/broker/trace_state.h"

enum { WAITING_MAX = 1024 * 1024 };

struct trace *trace_new(const struct trace_filter *filter, void (*wake)(void *argument), void *argument)
{
    struct trace *trace = memory_zalloc(sizeof *trace);
    atomic_init(&trace->references, 1);
    trace->filter = *filter;
    struct str *names[] = {&trace->filter.client_id, &trace->filter.username, &trace->filter.address};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (names[i]->data)
            *names[i] = str_copy(*names[i]);
    trace->wake = wake;
    trace->argument = argument;
    trace->last = &trace->first;
    pthread_mutex_init(&trace->lock, NULL);
    return trace;
}

struct trace *trace_ref(struct trace *trace)
{
    atomic_fetch_add(&trace->references, 1);
    return trace;
}

void trace_unref(struct trace *trace)
{
    if (!trace || atomic_fetch_sub(&trace->references, 1) != 1)
        return;
    while (trace->first) {
        struct trace_line *next = trace->first->next;
        free(trace->first);
        trace->first = next;
    }
    free((char *)trace->filter.client_id.data);
    free((char *)trace->filter.username.data);
    free((char *)trace->filter.address.data);
    pthread_mutex_destroy(&trace->lock);
    free(trace);
}

// Bounded: a reader that does not keep up loses lines, and is told how many.
static void append(struct trace *trace, const char *text)
{
    size_t length = strlen(text);
    struct trace_line *line = memory_try(sizeof *line + length);
    pthread_mutex_lock(&trace->lock);
    bool first = trace->first == NULL;
    bool taken = line && trace->waiting + length <= WAITING_MAX;
    if (taken) {
        line->next = NULL;
        line->length = length;
        memcpy(line->text, text, length);
        *trace->last = line;
        trace->last = &line->next;
        trace->waiting += length + sizeof *line;
    } else {
        trace->dropped++;
    }
    pthread_mutex_unlock(&trace->lock);
    if (!taken)
        free(line);
    if (taken && first)
        trace->wake(trace->argument);
}

struct trace_line *trace_take(struct trace *trace, uint64_t *dropped)
{
    pthread_mutex_lock(&trace->lock);
    struct trace_line *lines = trace->first;
    *dropped = trace->dropped;
    trace->first = NULL;
    trace->last = &trace->first;
    trace->waiting = 0;
    trace->dropped = 0;
    pthread_mutex_unlock(&trace->lock);
    return lines;
}

/* ---- on the worker ---- */

bool trace_begin(struct broker_worker *here, struct trace *trace)
{
    for (unsigned i = 0; i < TRACES_MAX; i++) {
        if (here->traces[i])
            continue;
        here->traces[i] = trace_ref(trace);
        here->trace_count++;
        return true;
    }
    return false;
}

void trace_end(struct broker_worker *here, struct trace *trace)
{
    for (unsigned i = 0; i < TRACES_MAX; i++) {
        if (here->traces[i] != trace)
            continue;
        here->traces[i] = NULL;
        here->trace_count--;
        trace_unref(trace);
        return;
    }
}

void trace_end_all(struct broker_worker *here)
{
    for (unsigned i = 0; i < TRACES_MAX; i++)
        if (here->traces[i])
            trace_end(here, here->traces[i]);
}

static bool is(struct str wanted, struct noctule_string name)
{
    return !wanted.data || (name.data && str_equal(wanted, str_make(name.data, name.length)));
}

static bool is_address(struct str wanted, const char *address)
{
    const char *colon = strrchr(address, ':');
    struct str host = colon ? str_make(address, (size_t)(colon - address)) : str_of(address);
    return !wanted.data || str_equal(wanted, host) || str_equal(wanted, str_of(address));
}

static bool concerns(const struct trace *trace, const struct connection *connection,
                     const struct noctule_client_info *info)
{
    const struct trace_filter *filter = &trace->filter;
    return is(filter->client_id, info->client_id) && is(filter->username, info->username) &&
           is_address(filter->address, connection->address);
}

void trace_consider(struct connection *connection)
{
    const struct broker_worker *here = connection_worker(connection);
    connection->traced = false;
    if (here->trace_count == 0 || !connection->client)
        return;
    struct noctule_client_info info = client_info(connection->client);
    for (unsigned i = 0; i < TRACES_MAX; i++)
        if (here->traces[i] && concerns(here->traces[i], connection, &info))
            connection->traced = true;
}

static void describe_client(json_t *event, const struct noctule_client_info *info)
{
    char time[16];
    uint64_t now = clock_wall_ms();
    snprintf(time, sizeof time, "%02u:%02u:%02u.%03u", (unsigned)(now / 3600000 % 24),
             (unsigned)(now / 60000 % 60), (unsigned)(now / 1000 % 60), (unsigned)(now % 1000));
    json_object_set_new(event, "time", json_string(time));
    json_object_set_new(event, "connection", json_integer((json_int_t)info->connection_id));
    control_set(event, "client_id", control_name(info->client_id));
    control_set(event, "username", control_name(info->username));
}

static void emit_to(struct trace *trace, json_t *event, json_t *content)
{
    json_t *shown = event;
    if (content && trace->filter.payload) {
        shown = json_copy(event);
        json_object_update(shown, content);
    }
    json_t *line = json_pack("{s:O}", "row", shown);
    char *text = json_dumps(line, JSON_COMPACT);
    if (text)
        append(trace, text);
    free(text);
    json_decref(line);
    if (shown != event)
        json_decref(shown);
}

void trace_emit(struct connection *connection, json_t *event, json_t *content)
{
    const struct broker_worker *here = connection_worker(connection);
    bool any = false;
    if (connection->client) {
        struct noctule_client_info info = client_info(connection->client);
        describe_client(event, &info);
        for (unsigned i = 0; i < TRACES_MAX; i++) {
            if (!here->traces[i] || !concerns(here->traces[i], connection, &info))
                continue;
            any = true;
            emit_to(here->traces[i], event, content);
        }
    }
    connection->traced = any; // the trace may have ended
    json_decref(event);
    json_decref(content);
}
