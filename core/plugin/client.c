#include "core/plugin/client_state.h"

#include <stddef.h>
#include <stdlib.h>

#include "core/base/memory.h"
#include "core/plugin/events.h"
#include "core/plugin/generation.h"
#include "core/plugin/worker_state.h"

enum { CAPACITY_MIN = 64 };

// ---- The worker's clients, by connection id -------------------------------------------------------------

// Above the worker's bits, connection ids of one worker are consecutive, so they spread evenly.
static struct client **table_bucket(const struct client_table *table, uint64_t id)
{
    return &table->buckets[(id >> CONNECTION_WORKER_BITS) & (table->capacity - 1)];
}

static void table_grow(struct client_table *table)
{
    struct client_table larger = {.capacity = table->capacity ? table->capacity * 2 : CAPACITY_MIN};
    larger.count = table->count;
    larger.buckets = memory_zalloc(larger.capacity * sizeof(void *));
    for (size_t i = 0; i < table->capacity; i++) {
        struct client *next;
        for (struct client *client = table->buckets[i]; client; client = next) {
            next = client->next;
            struct client **bucket = table_bucket(&larger, client->connection_id);
            client->next = *bucket;
            *bucket = client;
        }
    }
    free(table->buckets);
    *table = larger;
}

static void table_add(struct client_table *table, struct client *client)
{
    if (table->count >= table->capacity)
        table_grow(table);
    struct client **bucket = table_bucket(table, client->connection_id);
    client->next = *bucket;
    *bucket = client;
    table->count++;
}

static void table_remove(struct client_table *table, struct client *client)
{
    struct client **link = table_bucket(table, client->connection_id);
    while (*link != client)
        link = &(*link)->next;
    *link = client->next;
    table->count--;
}

struct client *client_find(struct worker *worker, uint64_t connection_id)
{
    struct noctule_worker *here = worker_plugins(worker);
    if (!here || here->clients.capacity == 0)
        return NULL;
    struct client *client = *table_bucket(&here->clients, connection_id);
    while (client && client->connection_id != connection_id)
        client = client->next;
    return client && !client->gone ? client : NULL;
}

void client_each(struct worker *worker, void (*visit)(struct client *client, void *argument), void *argument)
{
    struct noctule_worker *here = worker_plugins(worker);
    for (size_t i = 0; here && i < here->clients.capacity; i++) {
        struct client *next;
        for (struct client *client = here->clients.buckets[i]; client; client = next) {
            next = client->next;
            if (!client->gone)
                visit(client, argument);
        }
    }
}

void client_walk_begin(struct worker *worker, struct client_walk *walk)
{
    const struct noctule_worker *here = worker_plugins(worker);
    *walk = (struct client_walk){.buckets = here ? here->clients.capacity : 0,
                                 .newest = here ? here->last_connection : 0};
}

// `visit` may have freed any client but those that are held.
static void visit_bucket(const struct client_walk *walk, struct client *client,
                         void (*visit)(struct client *client, void *argument), void *argument)
{
    if (client)
        client_ref(client);
    while (client) {
        struct client *next = client->next ? client_ref(client->next) : NULL;
        if (!client->gone && client->connection_id >> CONNECTION_WORKER_BITS <= walk->newest)
            visit(client, argument);
        client_unref(client);
        client = next;
    }
}

bool client_walk_on(struct worker *worker, struct client_walk *walk, size_t places,
                    void (*visit)(struct client *client, void *argument), void *argument)
{
    const struct noctule_worker *here = worker_plugins(worker);
    for (; here && places > 0 && walk->position < walk->buckets; places--, walk->position++) {
        // The table grows by doubling, which spreads what was in a bucket over that and later ones.
        for (size_t i = walk->position; i < here->clients.capacity; i += walk->buckets)
            visit_bucket(walk, here->clients.buckets[i], visit, argument);
    }
    return here && walk->position < walk->buckets;
}

bool client_login_is_revoked(const struct client *client)
{
    const struct client_extra *extra = client->extra;
    bool renamed = extra && (extra->client_id.data || extra->username.data);
    return client->revoked || (client->doubted && renamed);
}

uint64_t *client_ids(struct noctule_worker *worker, size_t *count)
{
    uint64_t *ids = memory_alloc((worker->clients.count + 1) * sizeof *ids);
    *count = 0;
    for (size_t i = 0; i < worker->clients.capacity; i++)
        for (struct client *client = worker->clients.buckets[i]; client; client = client->next)
            if (!client->gone)
                ids[(*count)++] = client->connection_id;
    return ids;
}

// ---- Life ----------------------------------------------------------------------------------------------

uint64_t client_next_id(struct worker *worker)
{
    struct noctule_worker *here = worker_plugins(worker);
    return ++here->last_connection << CONNECTION_WORKER_BITS | here->index;
}

// Copies `text` to `*end`, which it moves on.
static struct noctule_string place_text(char **end, struct str text)
{
    if (!text.data)
        return (struct noctule_string){0};
    char *start = *end;
    memcpy(start, text.data, text.length);
    *end += text.length;
    return noctule_string_of(start, text.length);
}

// What is known beyond the usual, or NULL.
static struct client_peer *peer_new(const struct client_identity *identity)
{
    bool certified = identity->certificate_common_name.data || identity->certificate_subject.data ||
                     identity->certificate_pem.data;
    if (!certified && !identity->has_peer)
        return NULL;
    struct client_peer *peer =
        memory_alloc(sizeof *peer + identity->certificate_common_name.length +
                     identity->certificate_subject.length + identity->certificate_pem.length);
    char *end = peer->strings;
    peer->known = (struct noctule_client_info){
        .certificate_common_name = place_text(&end, identity->certificate_common_name),
        .certificate_subject = place_text(&end, identity->certificate_subject),
        .certificate_pem = place_text(&end, identity->certificate_pem),
        .has_peer = identity->has_peer,
        .uid = identity->uid,
        .gid = identity->gid,
        .pid = identity->pid,
    };
    return peer;
}

static uint16_t short_length(struct str text)
{
    return text.length < UINT16_MAX ? (uint16_t)text.length : UINT16_MAX;
}

struct client *client_new(struct worker *worker, const struct client_identity *identity)
{
    struct noctule_worker *here = worker_plugins(worker);
    struct client header = {
        .worker = here,
        .connection_id = client_next_id(worker),
        .transport = identity->transport,
        .vouched = identity->vouched,
        .clean_start = identity->clean_start,
        .has_username = identity->username.data != NULL,
        .protocol_version = identity->protocol_version,
        .keep_alive = identity->keep_alive,
        .client_id_length = short_length(identity->client_id),
        .username_length = short_length(identity->username),
        .address_length = short_length(identity->address),
        .listener_length = short_length(identity->listener),
    };
    size_t bytes = (size_t)header.client_id_length + header.username_length + header.address_length +
                   header.listener_length;
    size_t size = offsetof(struct client, strings) + bytes;
    // The strings may begin inside the structure's padding: the structure is written first.
    struct client *client = memory_alloc(size > sizeof *client ? size : sizeof *client);
    *client = header;
    char *end = client->strings;
    place_text(&end, str_make(identity->client_id.data, header.client_id_length));
    place_text(&end, str_make(identity->username.data, header.username_length));
    place_text(&end, str_make(identity->address.data, header.address_length));
    place_text(&end, str_make(identity->listener.data, header.listener_length));
    struct client_peer *peer = peer_new(identity);
    if (peer)
        client_extra(client)->peer = peer;
    atomic_init(&client->references, 1);
    client_set_chain(client, here->generation);
    table_add(&here->clients, client);
    return client;
}

struct client *client_ref(struct client *client)
{
    atomic_fetch_add_explicit(&client->references, 1, memory_order_relaxed);
    return client;
}

static void extra_free(struct client_extra *extra)
{
    if (!extra)
        return;
    if (extra->login)
        decision_free(extra->login);
    grants_free(extra->grants);
    verdict_cache_clear(&extra->cache, -1);
    access_memo_free(extra->memo);
    while (extra->data) {
        struct client_data *next = extra->data->next;
        free(extra->data);
        extra->data = next;
    }
    free((char *)extra->auth_method.data);
    free((char *)extra->client_id.data);
    free((char *)extra->username.data);
    free(extra->peer);
    free(extra);
}

// On the client's worker; once that has `ended`, on the thread that cleans up.
static void client_free(struct client *client, bool ended)
{
    if (!ended) {
        tell_freed(client);
        table_remove(&client->worker->clients, client);
    }
    extra_free(client->extra);
    free(client);
}

struct release {
    struct post post;
    struct client *client;
};

static void release_here(struct worker *worker, struct post *post)
{
    struct release *release = (struct release *)post;
    client_free(release->client, worker_plugins(worker) == NULL);
    free(release);
}

void client_unref(struct client *client)
{
    if (!client || atomic_fetch_sub_explicit(&client->references, 1, memory_order_acq_rel) != 1)
        return;
    if (worker_is_here(client->worker)) {
        client_free(client, worker_plugins(client->worker->worker) == NULL);
        return;
    }
    struct release *release = memory_alloc(sizeof *release);
    *release = (struct release){.post.run = release_here, .client = client};
    if (!plugin_post(client->worker, &release->post)) {
        free(release);
        client_free(client, true);
    }
}

void client_gone(struct client *client)
{
    client->gone = true;
    decisions_cancel(&client->decisions);
    if (client->extra && client->extra->login) {
        decision_free(client->extra->login);
        client->extra->login = NULL;
    }
}

// ---- What is known of it -------------------------------------------------------------------------------

struct str client_id(const struct client *client)
{
    if (client->extra && client->extra->client_id.data)
        return client->extra->client_id;
    return str_make(client->strings, client->client_id_length);
}

static struct noctule_string username(const struct client *client)
{
    if (!client->has_username)
        return (struct noctule_string){0};
    if (client->extra && client->extra->username.data)
        return string_of(client->extra->username);
    return noctule_string_of(client->strings + client->client_id_length, client->username_length);
}

static const char *address_start(const struct client *client)
{
    return client->strings + client->client_id_length + client->username_length;
}

struct noctule_client_info client_info(const struct client *client)
{
    const struct client_peer *peer = client->extra ? client->extra->peer : NULL;
    struct noctule_client_info info = peer ? peer->known : (struct noctule_client_info){0};
    info.size = sizeof info;
    info.protocol_version = client->protocol_version;
    info.clean_start = client->clean_start;
    info.keep_alive = client->keep_alive;
    info.connection_id = client->connection_id;
    info.client_id = string_of(client_id(client));
    info.username = username(client);
    info.address = noctule_string_of(address_start(client), client->address_length);
    info.listener =
        noctule_string_of(address_start(client) + client->address_length, client->listener_length);
    info.transport = string_of(str_of(client->transport));
    return info;
}

void *client_owner(const struct client *client)
{
    return client->owner;
}

void client_set_owner(struct client *client, void *owner)
{
    client->owner = owner;
}

static void replace(struct str *field, struct str fresh)
{
    struct str copy = fresh.data ? str_copy(fresh) : fresh;
    free((char *)field->data);
    *field = copy;
}

void client_set_id(struct client *client, struct str client_id)
{
    replace(&client_extra(client)->client_id, client_id);
}

void client_set_username(struct client *client, struct str username)
{
    client->has_username = username.data != NULL;
    if (client->has_username || client->extra)
        replace(&client_extra(client)->username, username);
}

uint32_t client_max_inflight(const struct client *client)
{
    return client->extra ? client->extra->max_inflight : 0;
}

uint32_t client_max_queued(const struct client *client)
{
    return client->extra ? client->extra->max_queued : 0;
}

uint64_t client_expires_at(const struct client *client)
{
    return client->extra ? client->extra->expires_at_ms : 0;
}

struct client_extra *client_extra(struct client *client)
{
    if (!client->extra)
        client->extra = memory_zalloc(sizeof *client->extra);
    return client->extra;
}

void client_set_chain(struct client *client, const struct generation *generation)
{
    struct str listener = {address_start(client) + client->address_length, client->listener_length};
    client->chain = generation_chain(generation, listener);
}

void client_forget_verdicts(struct client *client, int instance)
{
    client->epoch++;
    if (client->extra)
        verdict_cache_clear(&client->extra->cache, instance);
}

struct recheck {
    struct post post;
    struct client *client; ///< one reference
};

static void recheck_here(struct worker *worker, struct post *post)
{
    struct recheck *recheck = (struct recheck *)post;
    struct client *client = recheck->client;
    client->recheck_queued = false;
    if (worker_plugins(worker) && !client->gone)
        client->worker->host->upcalls.recheck(client);
    client_unref(client);
    free(recheck);
}

void client_recheck_later(struct client *client)
{
    if (client->recheck_queued || client->gone)
        return;
    struct recheck *recheck = memory_alloc(sizeof *recheck);
    *recheck = (struct recheck){.post.run = recheck_here, .client = client_ref(client)};
    client->recheck_queued = true;
    worker_post(client->worker->worker, &recheck->post);
}

// The first instance that has data of a client keeps it in the client itself: mostly there is only one.
static uint64_t *data_find(const struct client *client, uint8_t instance)
{
    if (client->data_instance == instance + 1)
        return (uint64_t *)&client->data;
    for (struct client_data *data = client->extra ? client->extra->data : NULL; data; data = data->next)
        if (data->instance == instance)
            return &data->value;
    return NULL;
}

uint64_t client_data_get(const struct client *client, uint8_t instance)
{
    const uint64_t *value = data_find(client, instance);
    return value ? *value : 0;
}

void client_data_set(struct client *client, uint8_t instance, uint64_t value)
{
    uint64_t *place = data_find(client, instance);
    if (place) {
        *place = value;
    } else if (client->data_instance == 0) {
        client->data_instance = (uint8_t)(instance + 1);
        client->data = value;
    } else {
        struct client_data *data = memory_alloc(sizeof *data);
        *data =
            (struct client_data){.next = client_extra(client)->data, .value = value, .instance = instance};
        client->extra->data = data;
    }
}

void client_mark_let_in(struct client *client, uint8_t instance)
{
    if (client->let_in == 0)
        client->let_in = (uint8_t)(instance + 1);
    else if (client->let_in != instance + 1)
        client_extra(client)->let_in[instance / 8] |= (uint8_t)(1U << instance % 8);
}

bool client_was_let_in(const struct client *client, uint8_t instance)
{
    return client->let_in == instance + 1 ||
           (client->extra && (client->extra->let_in[instance / 8] >> instance % 8 & 1) != 0);
}
