#include "core/session/session.h"

#include <stdlib.h>

#include "core/base/memory.h"

struct subscription *session_subscribe(struct session *session, struct subscriptions *index,
                                       struct str filter, uint8_t options, uint32_t identifier, bool *existed)
{
    struct subscription *subscription =
        subscriptions_add(index, session->id, filter, options, identifier, existed);
    if (!*existed) {
        memory_grow(&session->subscriptions, &session->subscription_capacity, session->subscription_count,
                    sizeof(struct subscription *));
        session->subscriptions[session->subscription_count++] = subscription;
    }
    if (subscription_is_shared(subscription))
        subscription_set_online(subscription, session->connection != NULL);
    return subscription;
}

bool session_unsubscribe(struct session *session, struct subscriptions *index, struct str filter)
{
    struct subscription *subscription = subscriptions_find(index, session->id, filter);
    if (!subscription)
        return false;
    size_t i = 0;
    while (session->subscriptions[i] != subscription)
        i++;
    session->subscriptions[i] = session->subscriptions[--session->subscription_count];
    subscriptions_remove(index, subscription);
    return true;
}

void session_set_online(struct session *session, bool online)
{
    for (size_t i = 0; i < session->subscription_count; i++)
        if (subscription_is_shared(session->subscriptions[i]))
            subscription_set_online(session->subscriptions[i], online);
}

void session_add_replay(struct session *session, struct retained_list *list, uint8_t qos, uint32_t identifier,
                        bool covered)
{
    struct replay *replay = memory_alloc(sizeof *replay);
    *replay = (struct replay){.list = *list, .qos = qos, .identifier = identifier, .covered = covered};
    *list = (struct retained_list){0};
    if (!session->replay_first)
        session->replay_last = &session->replay_first;
    *session->replay_last = replay;
    session->replay_last = &replay->next;
}

static void free_first_replay(struct session *session)
{
    struct replay *replay = session->replay_first;
    session->replay_first = replay->next;
    for (size_t i = replay->sent; i < replay->list.count; i++)
        message_unref(replay->list.messages[i]);
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
    for (size_t i = 0; i < session->subscription_count; i++)
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
