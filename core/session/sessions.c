#include "core/session/sessions.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/memory.h"

enum { SLOTS_MAX = 1 << 24 };

static bool take_slot(struct sessions *sessions, uint32_t *slot)
{
    if (sessions->free_count > 0) {
        *slot = sessions->free_slots[--sessions->free_count];
        return true;
    }
    if (sessions->slot_count == SLOTS_MAX)
        return false;
    memory_grow(&sessions->slots, &sessions->slot_capacity, sessions->slot_count, sizeof(struct session *));
    memory_grow(&sessions->generations, &sessions->generation_capacity, sessions->slot_count,
                sizeof(uint32_t));
    *slot = (uint32_t)sessions->slot_count++;
    sessions->generations[*slot] = 1;
    return true;
}

struct session *session_new(struct sessions *sessions, struct str client_id)
{
    uint32_t slot;
    // The client id may begin inside the structure's padding: the structure is written first.
    size_t size = offsetof(struct session, client_id) + client_id.length;
    struct session *session = memory_try(size > sizeof *session ? size : sizeof *session);
    if (!session || !take_slot(sessions, &slot)) {
        free(session);
        return NULL;
    }
    *session = (struct session){
        .id = (uint64_t)sessions->worker << 56 | (uint64_t)slot << 32 | sessions->generations[slot],
        .client_id_length = (uint16_t)client_id.length,
    };
    if (client_id.length > 0)
        memcpy(session->client_id, client_id.data, client_id.length);
    sessions->slots[slot] = session;
    table_insert(&sessions->by_client_id, str_hash(client_id), session);
    sessions->count++;
    return session;
}

static void give_slot_back(struct sessions *sessions, uint32_t slot)
{
    sessions->slots[slot] = NULL;
    if (++sessions->generations[slot] == 0)
        return; // its ids have all been used
    memory_grow(&sessions->free_slots, &sessions->free_capacity, sessions->free_count, sizeof(uint32_t));
    sessions->free_slots[sessions->free_count++] = slot;
}

void session_free(struct sessions *sessions, struct session *session)
{
    session_end_absence(session);
    for (uint32_t i = 0; i < session->subscription_count; i++)
        subscriptions_remove(sessions->index, session->subscriptions[i]);
    free(session->subscriptions);
    struct delivery delivery;
    while (session_next_replay(session, &delivery))
        delivery_clear(&delivery);
    queue_clear(&session->queue);
    window_clear(&session->window);
    packet_ids_clear(&session->received);
    table_remove(&sessions->by_client_id, str_hash(session_client_id(session)), session);
    sessions->count--;
    give_slot_back(sessions, (uint32_t)(session->id >> 32) & 0xFFFFFF);
    free(session);
}

struct session *sessions_find(const struct sessions *sessions, struct str client_id)
{
    struct table_probe probe;
    struct session *session = table_probe_first(&sessions->by_client_id, str_hash(client_id), &probe);
    while (session && !str_equal(session_client_id(session), client_id))
        session = table_probe_next(&probe);
    return session;
}

void sessions_clear(struct sessions *sessions)
{
    table_clear(&sessions->by_client_id);
    free(sessions->slots);
    free(sessions->generations);
    free(sessions->free_slots);
    *sessions = (struct sessions){.worker = sessions->worker, .index = sessions->index};
}
