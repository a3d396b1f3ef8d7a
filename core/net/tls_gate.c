// How many handshakes a worker makes at once and in a second. Those above wait in the order in which they
// came: a handshake costs a thousand times what a message does, and whoever is connected already goes first.
#include <stdlib.h>

#include "core/base/memory.h"
#include "core/net/output.h"
#include "core/net/tls_state.h"

enum { RETRY_MS = 10 };

struct tls_gate {
    struct wheel_timer timer; // first: found again from the timer
    struct worker *worker;
    struct tls_turn *first;
    struct tls_turn **last;
    unsigned under_way;
    uint64_t filled_ms;
    double tokens; ///< handshakes that may begin now
};

static atomic_uint at_once_most;
static atomic_uint per_second_most;

void tls_limit_handshakes(unsigned at_once, unsigned per_second)
{
    atomic_store(&at_once_most, at_once);
    atomic_store(&per_second_most, per_second);
}

static struct tls_gate *gate_of(struct worker *worker)
{
    struct stream_pool *pool = worker->streams;
    if (!pool->handshakes) {
        struct tls_gate *gate = memory_zalloc(sizeof *gate);
        gate->worker = worker;
        gate->last = &gate->first;
        gate->filled_ms = worker->now_ms;
        gate->tokens = 1;
        pool->handshakes = gate;
    }
    return pool->handshakes;
}

void tls_gate_free(struct tls_gate *gate)
{
    free(gate);
}

static bool admits(struct tls_gate *gate)
{
    unsigned at_once = atomic_load_explicit(&at_once_most, memory_order_relaxed);
    unsigned per_second = atomic_load_explicit(&per_second_most, memory_order_relaxed);
    if (at_once > 0 && gate->under_way >= at_once)
        return false;
    if (per_second == 0)
        return true;
    uint64_t now = gate->worker->now_ms;
    // A tenth of a second's worth may come together.
    double most = per_second / 10.0 > 1 ? per_second / 10.0 : 1;
    gate->tokens += (double)(now - gate->filled_ms) * per_second / 1000.0;
    gate->filled_ms = now;
    if (gate->tokens > most)
        gate->tokens = most;
    if (gate->tokens < 1)
        return false;
    gate->tokens -= 1;
    return true;
}

// Nothing, when it does not wait.
static void unlink_turn(struct tls_turn *turn)
{
    struct tls_gate *gate = turn->gate;
    if (!turn->link)
        return;
    *turn->link = turn->next;
    if (turn->next)
        turn->next->link = turn->link;
    else
        gate->last = turn->link;
    turn->link = NULL;
}

static void let_in(struct tls_gate *gate);

static void look_again(struct wheel_timer *timer, void *context)
{
    (void)context;
    let_in((struct tls_gate *)timer);
}

static void let_in(struct tls_gate *gate)
{
    while (gate->first && admits(gate)) {
        struct tls_turn *turn = gate->first;
        unlink_turn(turn);
        turn->granted = true;
        gate->under_way++;
        stream_unhold(turn->stream);
    }
    // The end of another handshake calls here too; time alone brings tokens.
    if (gate->first)
        wheel_start(&gate->worker->wheel, &gate->timer, gate->worker->now_ms + RETRY_MS, look_again);
}

bool tls_gate_enter(struct tls_layer *layer, struct stream *stream)
{
    struct tls_turn *turn = &layer->turn;
    if (turn->granted)
        return true;
    if (turn->link)
        return false;
    struct tls_gate *gate = gate_of(stream->worker);
    turn->gate = gate;
    turn->stream = stream;
    if (!gate->first && admits(gate)) {
        turn->granted = true;
        gate->under_way++;
        return true;
    }
    turn->next = NULL;
    turn->link = gate->last;
    *gate->last = turn;
    gate->last = &turn->next;
    stream_hold(stream);
    let_in(gate);
    return false;
}

void tls_gate_leave(struct tls_layer *layer)
{
    struct tls_turn *turn = &layer->turn;
    struct tls_gate *gate = turn->gate;
    if (!gate)
        return;
    unlink_turn(turn);
    if (turn->granted) {
        turn->granted = false;
        gate->under_way--;
        if (gate->first)
            let_in(gate);
    }
    turn->gate = NULL;
}
