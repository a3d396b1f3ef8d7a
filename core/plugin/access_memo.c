#include "core/plugin/access_memo.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/memory.h"

enum { TOPIC_INLINE = 48 };

/** That a kind of access was allowed whatever the topic. */
struct allowed_any {
    uint64_t until_ms;
    uint32_t epoch;
    uint32_t access; ///< 0: it was not
};

/** One place that is used. Most topics fit in; memory for a longer one is its own. */
struct allowed_access {
    uint64_t until_ms;
    uint32_t epoch;
    uint16_t length;
    uint8_t access;
    uint8_t qos_retain;
    union {
        char here[TOPIC_INLINE];
        char *elsewhere;
    } topic;
};

struct access_memo {
    struct allowed_any any[2];
    uint8_t index[ACCESS_MEMO_PLACES]; ///< 1 + that of the place's entry; 0: it has none
    uint8_t count;
    uint8_t capacity;
    struct allowed_access entries[]; ///< in one block with the rest: this is looked at for each message
};

static unsigned place_of_any(uint32_t access)
{
    return access == NOCTULE_ACCESS_DELIVER;
}

bool access_memo_has_any(const struct access_memo *memo, uint32_t access, uint32_t epoch, uint64_t now_ms)
{
    const struct allowed_any *any = &memo->any[place_of_any(access)];
    return any->access == access && any->epoch == epoch && now_ms < any->until_ms;
}

// Topics of one client mostly differ in their length, at the end or in the middle.
static unsigned place_of(const struct noctule_access *access)
{
    const char *topic = access->topic.data;
    size_t length = access->topic.length;
    if (length == 0)
        return 0;
    unsigned sum =
        (unsigned)length + (unsigned char)topic[length - 1] + 3U * (unsigned char)topic[length / 2];
    return (sum + access->access) % ACCESS_MEMO_PLACES;
}

static uint8_t qos_retain_of(const struct noctule_access *access)
{
    return (uint8_t)(access->qos << 1 | (access->retain != 0));
}

static const char *topic_of(const struct allowed_access *allowed)
{
    return allowed->length <= TOPIC_INLINE ? allowed->topic.here : allowed->topic.elsewhere;
}

bool access_memo_has(const struct access_memo *memo, const struct noctule_access *access, uint32_t epoch,
                     uint64_t now_ms)
{
    if (access_memo_has_any(memo, access->access, epoch, now_ms))
        return true;
    unsigned index = memo->index[place_of(access)];
    if (index == 0)
        return false;
    const struct allowed_access *allowed = &memo->entries[index - 1];
    return allowed->length == access->topic.length && allowed->epoch == epoch &&
           allowed->access == access->access && allowed->qos_retain == qos_retain_of(access) &&
           now_ms < allowed->until_ms && memcmp(topic_of(allowed), access->topic.data, allowed->length) == 0;
}

// Makes room for so many entries; false when memory is out.
static bool memo_size(struct access_memo **memo, unsigned capacity)
{
    struct access_memo *sized = memory_try_resize(*memo, sizeof *sized + capacity * sizeof *sized->entries);
    if (!sized)
        return false;
    if (!*memo)
        *sized = (struct access_memo){0};
    sized->capacity = (uint8_t)capacity;
    *memo = sized;
    return true;
}

void access_memo_keep_any(struct access_memo **memo, uint32_t access, uint32_t epoch, uint64_t until_ms)
{
    if (*memo || memo_size(memo, 0))
        (*memo)->any[place_of_any(access)] =
            (struct allowed_any){.until_ms = until_ms, .epoch = epoch, .access = access};
}

static void topic_free(struct allowed_access *allowed)
{
    if (allowed->length > TOPIC_INLINE)
        free(allowed->topic.elsewhere);
    allowed->length = 0;
    allowed->access = 0;
}

static bool topic_keep(struct allowed_access *allowed, struct noctule_string topic)
{
    char *to = allowed->topic.here;
    topic_free(allowed);
    if (topic.length > TOPIC_INLINE) {
        to = memory_try(topic.length);
        if (!to)
            return false;
        allowed->topic.elsewhere = to;
    }
    memcpy(to, topic.data, topic.length);
    allowed->length = (uint16_t)topic.length;
    return true;
}

// The entry of a place, made where there is none; NULL when memory is out.
static struct allowed_access *entry_at(struct access_memo **memo, unsigned place)
{
    if (*memo && (*memo)->index[place] > 0)
        return &(*memo)->entries[(*memo)->index[place] - 1];
    if (!*memo || (*memo)->count == (*memo)->capacity) {
        unsigned capacity = *memo && (*memo)->capacity ? 2U * (*memo)->capacity : 1;
        if (!memo_size(memo, capacity))
            return NULL;
    }
    struct allowed_access *made = &(*memo)->entries[(*memo)->count++];
    *made = (struct allowed_access){0};
    (*memo)->index[place] = (*memo)->count;
    return made;
}

void access_memo_keep(struct access_memo **memo, const struct noctule_access *access, uint32_t epoch,
                      uint64_t until_ms)
{
    if (access->topic.length == 0 || access->topic.length > UINT16_MAX)
        return;
    struct allowed_access *allowed = entry_at(memo, place_of(access));
    if (!allowed || !topic_keep(allowed, access->topic))
        return;
    allowed->until_ms = until_ms;
    allowed->epoch = epoch;
    allowed->access = (uint8_t)access->access;
    allowed->qos_retain = qos_retain_of(access);
}

void access_memo_free(struct access_memo *memo)
{
    for (unsigned i = 0; memo && i < memo->count; i++)
        topic_free(&memo->entries[i]);
    free(memo);
}
