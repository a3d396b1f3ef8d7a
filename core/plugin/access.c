// PUBLISH, SUBSCRIBE, DELIVER and WILL: grants, cached verdicts and the authorize hooks, entry by entry.
#include "core/base/memory.h"
#include "core/plugin/client_state.h"
#include "core/plugin/ticket.h"

enum { SEARCHED_MAX = 256 };

static unsigned access_index(uint32_t access)
{
    return (unsigned)__builtin_ctz(access);
}

static const struct grant_set *grants_here(const struct client *client, const struct entry *entry)
{
    return client->extra ? grants_of(client->extra->grants, entry->instance->index) : NULL;
}

// Whether the entry's authorize hook is to be asked; a will is for those, too, that only know PUBLISH.
static bool hook_takes(const struct entry *entry, uint32_t access)
{
    if (access == NOCTULE_ACCESS_WILL && !(entry->authorize_mask & NOCTULE_ACCESS_WILL))
        access = NOCTULE_ACCESS_PUBLISH;
    return (entry->authorize_mask & access) != 0;
}

static bool entry_takes(const struct client *client, const struct entry *entry, uint32_t access)
{
    return hook_takes(entry, access) || grants_take(grants_here(client, entry), access);
}

static bool client_has_grants(const struct client *client)
{
    return client->extra && client->extra->grants;
}

// Without grants the chain's own list says who is asked; with grants, others may have a say as well.
static const struct entry_list *access_list(const struct client *client, const struct chain *chain,
                                            uint32_t access)
{
    return client_has_grants(client) ? &chain->all : &chain->access[access_index(access)];
}

// Whether a delivery that the client's SUBSCRIBE promises needs no check: the entry speaks for all that would
// be asked.
static bool speaks_for_delivery(const struct walk *walk, const struct entry *speaker)
{
    // Deliveries to come are for the rules in force by then, not for those under which this was asked.
    if (walk->epoch != walk->client->epoch)
        return false;
    const struct entry_list *list = access_list(walk->client, walk->chain, NOCTULE_ACCESS_DELIVER);
    bool first = true;
    for (size_t i = 0; i < list->count; i++) {
        const struct entry *entry = list->entries[i];
        if (!entry_takes(walk->client, entry, NOCTULE_ACCESS_DELIVER))
            continue;
        if (entry->required || (first && entry != speaker))
            return false;
        first = false;
    }
    return true;
}

static bool access_takes(const struct walk *walk, const struct entry *entry)
{
    return !client_has_grants(walk->client) ||
           entry_takes(walk->client, entry, walk->question->access.access);
}

static struct str grant_reason(struct walk *walk, const struct grant *grant, size_t index)
{
    return arena_format(walk->arena, "grant %zu of its login: %s %.*s", index + 1,
                        grant->allow ? "allow" : "deny", STR_ARG(grant->filter));
}

static bool grant_knows(struct walk *walk, const struct entry *entry, struct opinion *opinion)
{
    const struct noctule_access *access = &walk->question->access;
    const struct grant_set *set = grants_here(walk->client, entry);
    if (!grants_take(set, access->access))
        return false;
    size_t index;
    const struct grant *grant = grants_decide(set, access, &index);
    if (!grant)
        return false;
    *opinion =
        (struct opinion){.verdict = grant->allow ? NOCTULE_ALLOW : NOCTULE_DENY, .source = DECISION_GRANT};
    if (!grant->allow || walk->trace)
        opinion->answer.reason = grant_reason(walk, grant, index);
    opinion->covers_delivery = grant->allow && access->access == NOCTULE_ACCESS_SUBSCRIBE &&
                               grants_cover_delivery(set, str_from(access->topic));
    return true;
}

static bool access_knows(struct walk *walk, const struct entry *entry, struct opinion *opinion)
{
    const struct noctule_access *access = &walk->question->access;
    struct client_extra *extra = walk->client->extra;
    if (!extra)
        return false;
    if (extra->grants && grant_knows(walk, entry, opinion))
        return true;
    if (!hook_takes(entry, access->access)) {
        *opinion = (struct opinion){.verdict = NOCTULE_NEXT,
                                    .answer.reason = STR("no grant of its login matches"),
                                    .source = DECISION_GRANT};
        return true;
    }
    if (!verdict_cache_find(&extra->cache, entry->instance->index, access, walk->worker->worker->now_ms,
                            opinion, &walk->reused_until_ms))
        return false;
    cells_add(&entry->instance->cells, COUNT_REUSED, 1);
    opinion->source = DECISION_CACHED;
    // The cache may change while the walk goes on.
    bool told = opinion->verdict != NOCTULE_ALLOW || walk->trace;
    opinion->answer.reason = told ? arena_copy(walk->arena, opinion->answer.reason) : (struct str){0};
    return true;
}

// Looks at the latest ones only: a SUBSCRIBE may bring thousands of filters at once, each one pending.
static struct ticket *access_finds(const struct walk *walk, const struct entry *entry)
{
    struct client *client = walk->client;
    struct decision *decision = client->decisions;
    for (unsigned i = 0; decision && i < SEARCHED_MAX; decision = decision->next, i++) {
        struct ticket *ticket = decision->ticket;
        if (!ticket || ticket->entry != entry || !ticket->question || ticket->epoch != client->epoch ||
            ticket_is_given_up(ticket))
            continue;
        struct noctule_access access = walk->question->access;
        access.access =
            ticket->question->question.access.access; // a will may have been asked about as PUBLISH
        if (decision->walk.question->access.access == walk->question->access.access &&
            access_is_same(&access, &ticket->question->question.access))
            return ticket;
    }
    return NULL;
}

static void access_learns(struct walk *walk, const struct entry *entry, const struct opinion *opinion,
                          uint32_t epoch)
{
    struct client *client = walk->client;
    if (opinion->answer.reuse_ms == 0 || epoch != client->epoch || opinion->verdict < NOCTULE_NEXT ||
        opinion->verdict > NOCTULE_DENY)
        return;
    verdict_cache_store(&client_extra(client)->cache, entry->instance->index, &walk->question->access,
                        walk->worker->worker->now_ms + opinion->answer.reuse_ms, opinion);
}

// Until when an answer may be used again; 0: not at all.
static uint64_t reuse_until(const struct walk *walk, const struct opinion *opinion)
{
    if (opinion->source == DECISION_CACHED)
        return walk->reused_until_ms;
    return opinion->answer.reuse_ms ? walk->worker->worker->now_ms + opinion->answer.reuse_ms : 0;
}

static void access_allows(struct walk *walk, const struct entry *entry, const struct opinion *opinion)
{
    if (opinion->answer.flags & NOCTULE_REPLY_ANY_TOPIC)
        walk->any_topic_until_ms = reuse_until(walk, opinion);
    if (entry->required || walk->allowed || walk->question->access.access != NOCTULE_ACCESS_SUBSCRIBE)
        return;
    bool covers = opinion->covers_delivery || (opinion->answer.flags & NOCTULE_REPLY_COVERS_DELIVERY) != 0;
    walk->covers = covers && speaks_for_delivery(walk, entry);
}

static noctule_verdict access_default(const struct client *client, uint32_t access, bool asked)
{
    if (asked)
        return NOCTULE_DENY;
    if (access == NOCTULE_ACCESS_DELIVER)
        return NOCTULE_ALLOW; // SUBSCRIBE has decided it
    bool authorized = client->chain->authorizes || client_has_grants(client);
    return !authorized && client->chain->default_allow ? NOCTULE_ALLOW : NOCTULE_DENY;
}

static void access_undecided(struct walk *walk)
{
    noctule_verdict verdict = access_default(walk->client, walk->question->access.access, walk->asked);
    bool by_default = !walk->asked && !walk->client->chain->authorizes;
    walk->outcome = (struct outcome){.verdict = verdict};
    if (verdict == NOCTULE_DENY)
        walk->outcome.reason = by_default ? STR("end of chain: default_access is deny")
                                          : STR("end of chain: no plugin allows it");
}

// What was allowed under rules that changed meanwhile is asked about once more.
static void access_tell(struct decision *decision)
{
    const struct walk *walk = &decision->walk;
    bool stale = walk->epoch != walk->client->epoch && walk->outcome.verdict == NOCTULE_ALLOW &&
                 walk->question->access.access == NOCTULE_ACCESS_SUBSCRIBE;
    decision_tell(decision);
    if (stale)
        client_recheck_later(decision->walk.client);
}

static const struct walk_rules access_rules = {
    .takes = access_takes,
    .knows = access_knows,
    .finds = access_finds,
    .learns = access_learns,
    .judges = opinion_judge,
    .allows = access_allows,
    .undecided = access_undecided,
    .tells = access_tell,
};

// Which kinds of access come again and again.
static bool is_frequent(uint32_t access)
{
    return access == NOCTULE_ACCESS_PUBLISH || access == NOCTULE_ACCESS_DELIVER;
}

static void count_repeated(const struct client *client, uint32_t access)
{
    const struct entry *entry = client->chain->access[access_index(access)].entries[0];
    cells_add_two(&entry->instance->cells, COUNT_REUSED, COUNT_ALLOW);
}

// Whether the same was allowed a moment ago, by an entry that would say the same again.
static bool is_repeated(const struct client *client, const struct noctule_access *access)
{
    const struct client_extra *extra = client->extra;
    if (!extra || !extra->memo ||
        !access_memo_has(extra->memo, access, client->epoch, client->worker->worker->now_ms))
        return false;
    count_repeated(client, access->access);
    return true;
}

bool access_is_free(const struct client *client, uint32_t access)
{
    const struct client_extra *extra = client->extra;
    if (!extra || !extra->memo ||
        !access_memo_has_any(extra->memo, access, client->epoch, client->worker->worker->now_ms))
        return false;
    count_repeated(client, access);
    return true;
}

// What the first entry alone has decided, and would decide again. What was asked in between may have changed
// the rules.
static void remember(const struct walk *walk, const struct outcome *outcome)
{
    struct client *client = walk->client;
    if (outcome->verdict != NOCTULE_ALLOW || !outcome->decided || walk->position != 1 ||
        walk->epoch != client->epoch || client_has_grants(client))
        return;
    bool repeatable = (walk->list->entries[0]->plugin->flags & NOCTULE_FLAG_REPEATABLE) != 0;
    uint64_t until = repeatable ? UINT64_MAX : walk->reused_until_ms;
    if (walk->any_topic_until_ms > 0)
        access_memo_keep_any(&client_extra(client)->memo, walk->question->access.access, client->epoch,
                             walk->any_topic_until_ms);
    else if (until > 0)
        access_memo_keep(&client_extra(client)->memo, &walk->question->access, client->epoch, until);
}

// Apart from decide_access, which has nothing to set up for what was just allowed.
__attribute__((noinline)) static struct decision *ask_chain(struct client *client,
                                                            const struct noctule_access *access,
                                                            const struct decision_call *call,
                                                            struct outcome *outcome)
{
    struct question question = {.kind = QUESTION_ACCESS, .access = *access};
    struct walk walk;
    walk_begin(&walk, &access_rules, client->worker, client, &question, call);
    walk.chain = client->chain;
    walk.list = access_list(client, client->chain, access->access);
    struct decision *decision = walk_decide(&walk, call, outcome);
    if (!decision && is_frequent(access->access) && !call->trace)
        remember(&walk, outcome);
    return decision;
}

struct decision *decide_access(struct client *client, const struct noctule_access *access,
                               const struct decision_call *call, struct outcome *outcome)
{
    if (is_frequent(access->access) && !call->trace && is_repeated(client, access)) {
        *outcome = (struct outcome){.verdict = NOCTULE_ALLOW, .decided = true};
        return NULL;
    }
    return ask_chain(client, access, call, outcome);
}

bool chain_takes_access(const struct client *client, uint32_t access)
{
    if (client_has_grants(client)) {
        for (size_t i = 0; i < client->chain->all.count; i++)
            if (entry_takes(client, client->chain->all.entries[i], access))
                return true;
    } else if (client->chain->access[access_index(access)].count > 0) {
        return true;
    }
    return access_default(client, access, false) != NOCTULE_ALLOW;
}
