#include "core/plugin/ticket.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/memory.h"
#include "core/plugin/decision_state.h"
#include "core/plugin/generation.h"
#include "core/plugin/worker_state.h"

/**
 * A handle names a slot of one table, and which use of the slot is meant: the upper half of the pointer's
 * bits count the uses, the lower half hold the slot's index and a one, which no real pointer to a request
 * ends in. So whatever a plugin hands in, however late and however often, is looked up and never followed.
 */
enum {
    HALF_BITS = sizeof(uintptr_t) * 4,
    NO_SLOT = (1U << (HALF_BITS - 1)) - 1, // slots are below; also ends the list of free ones
    WARNING_EVERY_MS = 1000,
};

struct slot {
    struct ticket *ticket; ///< NULL: free
    uintptr_t use;         ///< counts up when the slot is given back
    uint32_t next_free;
    bool closed; ///< given back by tickets_close
};

static struct {
    pthread_mutex_t lock;
    struct slot *slots;
    size_t count;
    size_t capacity;
    uint32_t first_free;
    struct ticket *tickets; ///< whose handles are out
    uint64_t pending;
} table = {.lock = PTHREAD_MUTEX_INITIALIZER, .first_free = NO_SLOT};

static const uintptr_t use_mask = ((uintptr_t)1 << HALF_BITS) - 1;

static uintptr_t handle_make(uint32_t index, uintptr_t use)
{
    return use << HALF_BITS | (uintptr_t)index << 1 | 1;
}

static uint32_t slot_take(void)
{
    uint32_t index = table.first_free;
    if (index != NO_SLOT) {
        table.first_free = table.slots[index].next_free;
        return index;
    }
    if (table.count == NO_SLOT)
        return NO_SLOT;
    memory_grow(&table.slots, &table.capacity, table.count, sizeof *table.slots);
    table.slots[table.count] = (struct slot){0};
    return (uint32_t)table.count++;
}

static void warn_of_limit(const struct entry *entry)
{
    static _Atomic uint64_t warned_ms;
    uint64_t now = clock_monotonic_ms();
    uint64_t warned = atomic_load_explicit(&warned_ms, memory_order_relaxed);
    if ((warned != 0 && now < warned + WARNING_EVERY_MS) ||
        !atomic_compare_exchange_strong(&warned_ms, &warned, now))
        return;
    log_event(LOG_WARN, "pending_limit", "limits.pending_decisions reached: decisions fail at once",
              LOG_TEXTF("plugin", entry->instance->name), LOG_NUM("limit", entry->generation->pending_limit));
}

struct ticket *ticket_new(struct noctule_worker *worker, const struct entry *entry)
{
    pthread_mutex_lock(&table.lock);
    uint32_t index = table.pending < entry->generation->pending_limit ? slot_take() : NO_SLOT;
    if (index == NO_SLOT) {
        pthread_mutex_unlock(&table.lock);
        warn_of_limit(entry);
        return NULL;
    }
    struct ticket *ticket = memory_zalloc(sizeof *ticket);
    struct slot *slot = &table.slots[index];
    slot->ticket = ticket;
    slot->closed = false;
    ticket->handle = handle_make(index, slot->use);
    ticket->next = table.tickets;
    ticket->link = &table.tickets;
    if (ticket->next)
        ticket->next->link = &ticket->next;
    table.tickets = ticket;
    table.pending++;
    ticket->entry = entry;
    cells_add(&entry->instance->cells, INSTANCE_PENDING, 1);
    pthread_mutex_unlock(&table.lock);
    atomic_init(&ticket->state, TICKET_WAITING);
    atomic_init(&ticket->references, 2);
    ticket->worker = worker;
    ticket->generation = generation_ref(entry->generation);
    ticket->began_ns = clock_monotonic_ns();
    return ticket;
}

// Takes the ticket out of its slot; under the lock.
static void slot_give_back(struct slot *slot, bool closed)
{
    struct ticket *ticket = slot->ticket;
    *ticket->link = ticket->next;
    if (ticket->next)
        ticket->next->link = ticket->link;
    slot->ticket = NULL;
    slot->use = (slot->use + 1) & use_mask;
    slot->closed = closed;
    slot->next_free = table.first_free;
    table.first_free = (uint32_t)(slot - table.slots);
    table.pending--;
    cells_add(&ticket->entry->instance->cells, INSTANCE_PENDING, -1);
}

// The slot a handle names, when it is or was that slot's; under the lock.
static struct slot *slot_of(uintptr_t handle)
{
    size_t index = (handle & use_mask) >> 1;
    return (handle & 1) != 0 && index < table.count ? &table.slots[index] : NULL;
}

// The ticket of a handle, whose reference passes to the caller; or NULL and why not.
static struct ticket *ticket_take(uintptr_t handle, int32_t *why)
{
    pthread_mutex_lock(&table.lock);
    struct slot *slot = slot_of(handle);
    struct ticket *ticket = slot && slot->use == handle >> HALF_BITS ? slot->ticket : NULL;
    if (ticket)
        slot_give_back(slot, false);
    else if (!slot)
        *why = NOCTULE_E_INVALID;
    else if (!slot->closed && slot->use == (((handle >> HALF_BITS) + 1) & use_mask))
        *why = NOCTULE_E_AGAIN;
    else
        *why = NOCTULE_E_GONE;
    pthread_mutex_unlock(&table.lock);
    return ticket;
}

struct noctule_request *ticket_request(const struct ticket *ticket)
{
    struct noctule_request *request; // never followed, so nothing is known of what it points to
    memcpy(&request, &ticket->handle, sizeof ticket->handle);
    return request;
}

static void ticket_unref(struct ticket *ticket, unsigned references)
{
    if (atomic_fetch_sub_explicit(&ticket->references, references, memory_order_acq_rel) != references)
        return;
    generation_unref(ticket->generation);
    question_unref(ticket->question);
    arena_free(&ticket->arena);
    free(ticket);
}

static bool ticket_change(struct ticket *ticket, enum ticket_state state)
{
    int waiting = TICKET_WAITING;
    return atomic_compare_exchange_strong(&ticket->state, &waiting, (int)state);
}

// Nobody waits any more: what was kept for them goes, though the plugin still holds the handle.
static void ticket_abandon(struct ticket *ticket)
{
    question_unref(ticket->question);
    ticket->question = NULL;
    ticket_unref(ticket, 1);
}

bool ticket_is_given_up(struct ticket *ticket)
{
    return atomic_load(&ticket->state) == TICKET_GIVEN_UP;
}

static struct ticket *ticket_of(struct post *post)
{
    return (struct ticket *)((char *)post - offsetof(struct ticket, post));
}

static void answer_arrived(struct worker *worker, struct post *post)
{
    (void)worker;
    struct ticket *ticket = ticket_of(post);
    wheel_stop(&ticket->deadline);
    decisions_resume(ticket, ticket->verdict, &ticket->answer);
    ticket_unref(ticket, 2);
}

// Sends an answered ticket home, both references with it. A worker that has ended has nobody left who waits.
static void ticket_send(struct ticket *ticket)
{
    ticket->post.run = answer_arrived;
    if (!plugin_post(ticket->worker, &ticket->post))
        ticket_unref(ticket, 2);
}

static void deadline_passed(struct wheel_timer *timer, void *context)
{
    (void)context;
    struct ticket *ticket = (struct ticket *)((char *)timer - offsetof(struct ticket, deadline));
    if (!ticket_change(ticket, TICKET_GIVEN_UP))
        return; // the answer is on its way
    struct arena arena = {0};
    struct answer answer = {.reason = arena_format(&arena, "no answer within %llu ms",
                                                   (unsigned long long)ticket->entry->timeout_ms)};
    cells_add(&ticket->entry->instance->cells, COUNT_TIMEOUT, 1);
    decisions_resume(ticket, NOCTULE_ERROR, &answer);
    arena_free(&arena);
    ticket_abandon(ticket);
}

void ticket_join(struct ticket *ticket, struct decision *decision)
{
    if (!ticket->waiters && atomic_load(&ticket->state) == TICKET_WAITING)
        wheel_start(&ticket->worker->worker->wheel, &ticket->deadline,
                    clock_monotonic_ms() + ticket->entry->timeout_ms, deadline_passed);
    struct decision **last = &ticket->waiters;
    while (*last)
        last = &(*last)->next_waiter;
    decision->ticket = ticket;
    decision->next_waiter = NULL;
    decision->waiter_link = last;
    *last = decision;
}

void ticket_leave(struct ticket *ticket, struct decision *decision)
{
    *decision->waiter_link = decision->next_waiter;
    if (decision->next_waiter)
        decision->next_waiter->waiter_link = decision->waiter_link;
    decision->ticket = NULL;
    if (ticket->waiters)
        return;
    wheel_stop(&ticket->deadline);
    if (ticket_change(ticket, TICKET_GIVEN_UP))
        ticket_abandon(ticket);
}

void ticket_withdraw(struct ticket *ticket)
{
    int32_t ignored;
    // When the plugin was faster, the answer is on its way, and nobody waits for it.
    bool faster = !ticket_change(ticket, TICKET_GIVEN_UP);
    struct ticket *taken = ticket_take(ticket->handle, &ignored);
    if (taken)
        ticket_unref(taken, 1);
    if (!faster)
        ticket_unref(ticket, 1);
}

void ticket_answer(struct noctule_request *handle, noctule_verdict verdict, const struct answer *answer)
{
    int32_t ignored;
    struct ticket *ticket = ticket_take((uintptr_t)handle, &ignored);
    if (!ticket)
        return;
    if (!ticket_change(ticket, TICKET_ANSWERED)) {
        ticket_unref(ticket, 1);
        return;
    }
    ticket->verdict = verdict;
    ticket->answer = answer_copy(answer, &ticket->arena);
    ticket_send(ticket);
}

void ticket_drop(struct noctule_request *handle)
{
    int32_t ignored;
    struct ticket *ticket = ticket_take((uintptr_t)handle, &ignored);
    if (ticket)
        ticket_unref(ticket, 1);
}

struct noctule_request *request_defer(struct noctule_request *request)
{
    if (!request || !hook_current || hook_current->context.request != request || !request->may_defer)
        return NULL;
    if (!request->handle) {
        request->ticket = ticket_new(request->worker, request->entry);
        if (!request->ticket)
            return NULL;
        request->handle = ticket_request(request->ticket);
    }
    request->deferred = true;
    return request->handle;
}

int32_t request_complete(struct noctule_request *handle, noctule_verdict verdict,
                         const struct noctule_reply *reply)
{
    if (!handle || verdict == NOCTULE_PENDING)
        return NOCTULE_E_INVALID;
    int32_t why = NOCTULE_OK;
    struct ticket *ticket = ticket_take((uintptr_t)handle, &why);
    if (!ticket)
        return why;
    if (!ticket_change(ticket, TICKET_ANSWERED)) {
        ticket_unref(ticket, 1);
        return NOCTULE_E_GONE;
    }
    const char *problem;
    ticket->verdict = verdict;
    if (reply && !answer_read(&ticket->answer, reply, &ticket->arena, &problem)) {
        ticket->verdict = NOCTULE_ERROR;
        ticket->answer = (struct answer){.reason = str_of(problem)};
        why = NOCTULE_E_INVALID;
    }
    ticket_send(ticket);
    return why;
}

int32_t request_is_cancelled(const struct noctule_request *handle)
{
    pthread_mutex_lock(&table.lock);
    struct slot *slot = slot_of((uintptr_t)handle);
    struct ticket *ticket = slot && slot->use == (uintptr_t)handle >> HALF_BITS ? slot->ticket : NULL;
    int32_t cancelled = !ticket || ticket_is_given_up(ticket);
    pthread_mutex_unlock(&table.lock);
    return cancelled;
}

void tickets_close(struct plugin_host *host)
{
    for (;;) {
        pthread_mutex_lock(&table.lock);
        struct ticket *ticket = table.tickets;
        while (ticket && ticket->worker->host != host)
            ticket = ticket->next;
        if (ticket)
            slot_give_back(slot_of(ticket->handle), true);
        pthread_mutex_unlock(&table.lock);
        if (!ticket)
            return;
        ticket_unref(ticket, 1);
    }
}

uint64_t tickets_pending(void)
{
    pthread_mutex_lock(&table.lock);
    uint64_t pending = table.pending;
    pthread_mutex_unlock(&table.lock);
    return pending;
}
