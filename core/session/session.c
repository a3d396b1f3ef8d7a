#include "core/session/session.h"

#include <stdlib.h>

#include "core/base/memory.h"

enum { LEAST_CAPACITY = 2 };

static void resize_list(struct session *session, uint32_t capacity)
{
    session->subscriptions = memory_resize(session->subscriptions, capacity * sizeof(struct subscription *));
    session->subscription_capacity = capacity;
}

struct subscription *session_subscribe(struct session *session, struct subscriptions *index,
                                       struct str filter, uint8_t options, uint32_t identifier, bool *existed)
{
    struct subscription *subscription =
        subscriptions_add(index, session->id, filter, options, identifier, existed);
    if (*existed)
        return subscription;
    uint32_t count = session->subscription_count;
    if (count == session->subscription_capacity)
        resize_list(session, count ? count * 2 : LEAST_CAPACITY);
    session->subscriptions[count] = subscription;
    subscription_set_place(subscription, count);
    session->subscription_count++;
    if (subscription_is_shared(subscription)) {
        session->shared_count++;
        subscription_set_online(subscription, session->connection != NULL);
    }
    return subscription;
}

bool session_unsubscribe(struct session *session, struct subscriptions *index, struct str filter)
{
    struct subscription *subscription = subscriptions_find(index, session->id, filter);
    if (!subscription)
        return false;
    uint32_t place = subscription_place(subscription);
    struct subscription *last = session->subscriptions[--session->subscription_count];
    session->subscriptions[place] = last;
    subscription_set_place(last, place);
    if (subscription_is_shared(subscription))
        session->shared_count--;
    subscriptions_remove(index, subscription);
    if (session->subscription_count == 0) {
        free(session->subscriptions);
        session->subscriptions = NULL;
        session->subscription_capacity = 0;
    } else if (session->subscription_count < session->subscription_capacity / 4) {
        resize_list(session, session->subscription_capacity / 2);
    }
    return true;
}

void session_set_online(struct session *session, bool online)
{
    uint32_t left = session->shared_count;
    for (uint32_t i = 0; left > 0; i++) {
        if (!subscription_is_shared(session->subscriptions[i]))
            continue;
        subscription_set_online(session->subscriptions[i], online);
        left--;
    }
}

void session_set_away(struct session *session, uint64_t expires_ms)
{
    if (!session->absence)
        session->absence = memory_zalloc(sizeof *session->absence);
    session->absence->session = session;
    session->absence->expires_ms = expires_ms;
}

void session_end_absence(struct session *session)
{
    if (!session->absence)
        return;
    wheel_stop(&session->absence->timer);
    free(session->absence);
    session->absence = NULL;
}

void session_add_replay(struct session *session, struct retained_list *list, uint8_t qos, uint32_t identifier,
                        bool covered)
{
    if (list->count == 0) {
        retained_list_clear(list);
        return;
    }
    struct replay *replay = memory_alloc(sizeof *replay);
    *replay = (struct replay){.list = *list, .qos = qos, .identifier = identifier, .covered = covered};
    *list = (struct retained_list){0};
    if (session->replay_first)
        session->replay_first->last->next = replay;
    else
        session->replay_first = replay;
    session->replay_first->last = replay;
}

static void free_first_replay(struct session *session)
{
    struct replay *replay = session->replay_first;
    session->replay_first = replay->next;
    if (replay->next)
        replay->next->last = replay->last;
    free(replay->list.messages);
    free(replay);
}

bool session_peek_replay(const struct session *session, struct delivery *delivery)
{
    const struct replay *replay = session->replay_first;
    if (!replay)
        return false;
    struct message *message = replay->list.messages[replay->sent];
    *delivery = (struct delivery){
        .message = message,
        .qos = message->qos < replay->qos ? message->qos : replay->qos,
        .retain = true,
        .covered = replay->covered,
        .identifier = replay->identifier,
        .identifiers = replay->identifier != 0,
    };
    return true;
}

bool session_next_replay(struct session *session, struct delivery *delivery)
{
    if (!session_peek_replay(session, delivery))
        return false;
    if (++session->replay_first->sent == session->replay_first->list.count)
        free_first_replay(session);
    return true;
}

void session_uncover(struct session *session)
{
    for (uint32_t i = 0; i < session->subscription_count; i++)
        subscription_set_covered(session->subscriptions[i], false);
    for (uint32_t i = 0; i < session->queue.count; i++) {
        queue_at(&session->queue, i)->covered = false;
        queue_at(&session->queue, i)->checked = false;
    }
    for (struct replay *replay = session->replay_first; replay; replay = replay->next)
        replay->covered = false;
}

void session_drop_will(struct session *session)
{
    if (!session->will)
        return;
    message_unref(session->will->message);
    free(session->will);
    session->will = NULL;
}
