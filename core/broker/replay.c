// Retained messages for a new subscription: gathered in slices, so that a filter that matches a million of
// them holds nobody up. SUBSCRIBE waits for it, and what is newer. [v5 3.8.3.1]
#include <stdlib.h>

#include "core/base/memory.h"
#include "core/broker/state.h"
#include "core/topic/topic.h"

enum {
    LOOKED_AT_ONCE = 2048, // levels of topics, in one slice
    LOOKED_LEAST = 64,     // when the turn's share is used up: enough for a filter that matches little
    LOOKED_IN_TURN = 8192, // of one worker
};

/** A subscription whose retained messages are not all found yet. */
struct gathering {
    struct gathering *next;
    struct retained_walk *walk;
    uint64_t session;
    uint32_t identifier;
    uint8_t qos;
    bool no_local;
    uint16_t filter_length;
    char filter[];
};

static void gather(struct worker *worker, struct post *post);

// [v5 3.8.3-3]
static void leave_out_own(struct retained_list *list, uint64_t session)
{
    size_t kept = 0;
    for (size_t i = 0; i < list->count; i++) {
        if (list->messages[i]->publisher == session)
            message_unref(list->messages[i]);
        else
            list->messages[kept++] = list->messages[i];
    }
    list->count = kept;
}

static void add(struct session *session, struct retained_list *list, const struct gathering *gathering,
                bool covered)
{
    struct connection *connection = session->connection;
    if (gathering->no_local)
        leave_out_own(list, session->id);
    if (connection)
        connection->replaying += (uint32_t)list->count;
    session_add_replay(session, list, gathering->qos, gathering->identifier, covered);
}

// How much may be looked at now; what many ask for in the same turn is spread over the following ones.
static size_t share_of_turn(struct broker_worker *here)
{
    if (here->gathered_ms != here->worker->now_ms) {
        here->gathered_ms = here->worker->now_ms;
        here->gathering_left = LOOKED_IN_TURN;
    }
    size_t share = here->gathering_left < LOOKED_AT_ONCE ? here->gathering_left : LOOKED_AT_ONCE;
    here->gathering_left -= (uint32_t)share;
    return share > LOOKED_LEAST ? share : LOOKED_LEAST;
}

static void append(struct broker_worker *here, struct gathering *gathering)
{
    if (!here->gatherings)
        here->gatherings_last = &here->gatherings;
    gathering->next = NULL;
    *here->gatherings_last = gathering;
    here->gatherings_last = &gathering->next;
}

void replay_start(struct connection *connection, struct str filter, uint8_t options, uint32_t identifier,
                  bool covered)
{
    struct topic_filter parsed;
    if (!topic_filter_parse(filter, &parsed) || parsed.shared)
        return;
    struct broker_worker *here = connection_worker(connection);
    struct session *session = connection->session;
    struct gathering first = {.session = session->id,
                              .identifier = identifier,
                              .qos = options & MQTT_OPTION_QOS,
                              .no_local = (options & MQTT_OPTION_NO_LOCAL) != 0,
                              .filter_length = (uint16_t)filter.length};
    struct retained_list list = {0};
    first.walk = retained_begin(here->broker->retained, parsed.filter, here->worker->now_ms,
                                share_of_turn(here), &list);
    add(session, &list, &first, covered);
    if (!first.walk)
        return;
    struct gathering *gathering = memory_alloc(sizeof *gathering + filter.length);
    *gathering = first;
    memcpy(gathering->filter, filter.data, filter.length);
    session->gathers = true;
    append(here, gathering);
    if (here->gathering)
        return;
    here->gathering = true;
    here->gather.run = gather;
    worker_post(here->worker, &here->gather);
}

// One slice; true: there is more. What was subscribed to may have ended meanwhile, and the session, too.
static bool go_on(struct broker_worker *here, struct gathering *gathering, struct session *session)
{
    struct retained *retained = here->broker->retained;
    struct subscription *subscription =
        session ? subscriptions_find(here->broker->subscriptions, session->id,
                                     str_make(gathering->filter, gathering->filter_length))
                : NULL;
    if (!subscription) {
        retained_give_up(retained, gathering->walk);
        return false;
    }
    struct retained_list list = {0};
    bool more = retained_go_on(retained, gathering->walk, here->worker->now_ms, share_of_turn(here), &list);
    add(session, &list, gathering, subscription_is_covered(subscription));
    return more;
}

// The first of those that wait, which goes to the end when it is not done.
static void serve_first(struct broker_worker *here)
{
    struct gathering *gathering = here->gatherings;
    here->gatherings = gathering->next;
    struct session *session = sessions_get(&here->sessions, gathering->session);
    if (go_on(here, gathering, session)) {
        append(here, gathering);
        return;
    }
    free(gathering);
    if (!session)
        return;
    session->gathers = false;
    struct connection *connection = session->connection;
    if (!connection || connection->state != STATE_ONLINE)
        return;
    subscribe_go_on(connection); // may end the connection
    if (connection->state == STATE_ONLINE && !session->gathers)
        deliver_waiting(connection);
}

static void gather(struct worker *worker, struct post *post)
{
    struct broker_worker *here = worker->owner;
    here->gathered_ms = worker->now_ms;
    here->gathering_left = LOOKED_IN_TURN;
    while (here->gatherings && here->gathering_left > 0)
        serve_first(here);
    here->gathering = here->gatherings != NULL;
    if (here->gathering)
        worker_post(worker, post);
}
