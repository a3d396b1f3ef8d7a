#include "tests/fault/invariants.h"

#include <stdio.h>
#include <stdlib.h>

void (*require_failed)(void);

void require(bool condition, const char *what)
{
    if (condition)
        return;
    fprintf(stderr, "does not hold: %s\n", what);
    if (require_failed)
        require_failed();
    abort();
}

static void check_window(struct session *session)
{
    struct window *window = &session->window;
    const struct connection *connection = session->connection;
    uint32_t cursor = 0;
    uint32_t active = 0;
    uint32_t resend = 0;
    uint16_t packet_id;
    struct inflight *entry;
    while ((entry = window_next(window, &cursor, &packet_id))) {
        require(packet_id != 0, "a packet identifier is not 0");
        require(window_find(window, packet_id) == entry, "an identifier finds its entry");
        require((entry->delivery.message == NULL) == (entry->state == INFLIGHT_PUBCOMP),
                "a message in flight is kept until PUBREC, and no longer");
        active++;
        resend += entry->resend;
    }
    require(active == window->active, "the window counts its entries");
    require(window->active <= window->span, "the window spans its entries");
    if (connection && connection->state == STATE_ONLINE) {
        require(resend == connection->resend_left, "what is to be sent again is counted");
        require(active - resend <= connection->send_quota, "no more in flight than Receive Maximum");
    }
}

static void check_queue(struct session *session, const struct limit_settings *limits, bool limits_stand)
{
    struct queue *queue = &session->queue;
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < queue->count; i++)
        bytes += message_weight(queue_at(queue, i)->message);
    require(bytes == queue_bytes(queue), "the queue counts its bytes");
    require((queue->count == 0) == (queue->ring == NULL), "an empty queue has no memory");
    require(!limits_stand || (queue->count <= limits->queued_messages && bytes <= limits->queued_bytes),
            "the queue's limits");
}

static void check_connection(struct broker_worker *here, struct connection *connection)
{
    struct session *session = connection->session;
    require(connection_worker(connection) == here, "a connection is with its worker");
    require(*connection->link == connection, "a connection is linked");
    require((session != NULL) == (connection->state == STATE_ONLINE), "online means a session");
    require(!session || session->connection == connection, "the session knows its connection");
    require(!session || sessions_get(&here->sessions, session->id) == session, "the session lives");
    require(!connection->pending || connection->stream.paused, "who waits for a verdict is paused");
    require(connection->state != STATE_CLOSED || !connection->client, "who has left has no client");
    require(!connection->read_check || session, "a READ check belongs to a session");
}

static uint64_t check_sessions(struct broker_worker *here, bool limits_stand)
{
    const struct limit_settings *limits = &here->settings->limits;
    uint64_t subscriptions = 0;
    size_t count = 0;
    for (size_t i = 0; i < here->sessions.slot_count; i++) {
        struct session *session = here->sessions.slots[i];
        if (!session)
            continue;
        count++;
        subscriptions += session->subscription_count;
        const struct connection *connection = session->connection;
        require(!connection || (connection->session == session && connection->state == STATE_ONLINE),
                "a session's connection is online with it");
        require(sessions_find(&here->sessions, session_client_id(session)) == session,
                "a session is found by its client id");
        require(sessions_get(&here->sessions, session->id) == session, "and by its own");
        require((connection == NULL) == (session->absence != NULL), "a session is connected or away");
        require(connection || wheel_is_running(&session->absence->timer) ||
                    session->absence->expires_ms == UINT64_MAX,
                "a session without connection will end");
        require(!limits_stand || session->subscription_count <= limits->subscriptions,
                "limits.subscriptions");
        check_window(session);
        check_queue(session, limits, limits_stand);
    }
    require(count == here->sessions.count, "every session has its client id");
    return subscriptions;
}

static void check_retained(const struct inprocess *house)
{
    const struct broker *broker = &house->broker;
    struct retained_list list = {0};
    uint64_t bytes;
    uint64_t listed = 0;
    retained_match(broker->retained, STR("#"), broker->workers[0].now_ms, &list);
    uint64_t count = retained_count(broker->retained, &bytes);
    for (size_t i = 0; i < list.count; i++) {
        require(list.messages[i]->payload.length > 0, "an empty message is not retained");
        listed += message_weight(list.messages[i]);
    }
    require(list.count <= count && listed <= bytes, "retained messages are counted");
    require((count == 0) == (bytes == 0), "no retained message weighs nothing");
    retained_list_clear(&list);
}

void invariants_check(const struct inprocess *house)
{
    const struct broker *broker = &house->broker;
    uint64_t connections = 0;
    uint64_t sessions = 0;
    uint64_t subscriptions = 0;
    bool limits_stand = !house->reloaded;
    for (unsigned i = 0; i < broker->worker_count; i++) {
        struct broker_worker *here = &broker->states[i];
        subscriptions += check_sessions(here, limits_stand);
        sessions += here->sessions.count;
        for (struct connection *connection = here->connections; connection; connection = connection->next) {
            check_connection(here, connection);
            connections++;
        }
    }
    // Connections on their way between workers stand in no list.
    require(connections <= atomic_load(&broker->connections), "connections are counted");
    require(sessions == atomic_load(&broker->sessions), "sessions are counted");
    require(subscriptions == subscriptions_count(broker->subscriptions, NULL),
            "every subscription has its session");
    check_retained(house);
}

static bool front_of(const struct session *session, struct delivery *front)
{
    if (session_peek_replay(session, front))
        return true;
    if (session->queue.count > 0)
        *front = *queue_at((struct queue *)(uintptr_t)&session->queue, 0);
    return session->queue.count > 0;
}

static void check_progress(const struct connection *connection)
{
    const struct session *session = connection->session;
    const struct window *window = &session->window;
    struct delivery front;
    if (connection->stream.above || connection->read_check)
        return;
    bool quota_is_used = window->active - connection->resend_left >= connection->send_quota;
    require(connection->resend_left == 0 || quota_is_used, "what can be sent again is");
    if (connection->resend_left > 0 || !front_of(session, &front))
        return;
    require(front.qos > 0 && (quota_is_used || !window_has_room(window)), "what can be sent is");
}

static void check_pauses(const struct connection *connection)
{
    unsigned pauses = connection->pauses;
    require(connection->stream.paused == (pauses != 0), "a pause has a reason");
    require(!(pauses & PAUSE_LOGIN) || connection->pending, "who waits for a login is decided about");
    require(!(pauses & PAUSE_PUBLISH) || connection->publish, "who waits for a PUBLISH has one");
    require(!(pauses & PAUSE_SUBSCRIBE) || connection->subscribe, "who waits for a SUBSCRIBE has one");
    require(!(pauses & PAUSE_CONGESTED) || connection->throttled, "who waits for a mailbox is on the list");
    require(!(pauses & PAUSE_UNREAD) || connection->stream.above, "who does not read will be told to go on");
}

void invariants_check_settled(const struct inprocess *house)
{
    const struct broker *broker = &house->broker;
    for (unsigned i = 0; i < broker->worker_count; i++) {
        const struct connection *connection = broker->states[i].connections;
        for (; connection; connection = connection->next) {
            if (connection->state != STATE_ONLINE)
                continue;
            check_pauses(connection);
            check_progress(connection);
        }
    }
}

void invariants_check_empty(const struct inprocess *house)
{
    const struct broker *broker = &house->broker;
    require(atomic_load(&broker->connections) == 0, "every connection has gone");
    require(atomic_load(&broker->sessions) == 0, "every session has ended");
    require(subscriptions_count(broker->subscriptions, NULL) == 0, "no subscription is left");
    for (unsigned i = 0; i < broker->worker_count; i++) {
        require(!broker->states[i].connections, "no connection is left");
        require(!broker->states[i].throttled, "nobody waits for a mailbox");
        require(atomic_load(&broker->workers[i].backlog) == 0, "no post is left");
    }
}
