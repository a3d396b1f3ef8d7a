#include "core/plugin/access_memo.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/memory.h"

enum { CAPACITY_LEAST = 48 };

struct allowed_access {
    uint64_t until_ms;
    uint32_t epoch;
    uint16_t length;
    uint16_t capacity;
    uint8_t access;
    uint8_t qos;
    uint8_t retain;
    char topic[];
};

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

static unsigned place_of_any(uint32_t access)
{
    return access == NOCTULE_ACCESS_DELIVER;
}

static bool has_any(const struct access_memo *memo, uint32_t access, uint32_t epoch, uint64_t now_ms)
{
    const struct allowed_any *any = &memo->any[place_of_any(access)];
    return any->access == access && any->epoch == epoch && now_ms < any->until_ms;
}

bool access_memo_has(const struct access_memo *memo, const struct noctule_access *access, uint32_t epoch,
                     uint64_t now_ms)
{
    if (has_any(memo, access->access, epoch, now_ms))
        return true;
    const struct allowed_access *allowed = memo->places[place_of(access)];
    return allowed && allowed->length == access->topic.length && allowed->epoch == epoch &&
           allowed->access == access->access && allowed->qos == access->qos &&
           allowed->retain == access->retain && now_ms < allowed->until_ms &&
           memcmp(allowed->topic, access->topic.data, allowed->length) == 0;
}

static struct access_memo *memo_make(struct access_memo **memo)
{
    if (!*memo) {
        *memo = memory_try(sizeof **memo);
        if (*memo)
            **memo = (struct access_memo){0};
    }
    return *memo;
}

void access_memo_keep_any(struct access_memo **memo, uint32_t access, uint32_t epoch, uint64_t until_ms)
{
    if (memo_make(memo))
        (*memo)->any[place_of_any(access)] =
            (struct allowed_any){.until_ms = until_ms, .epoch = epoch, .access = access};
}

void access_memo_keep(struct access_memo **memo, const struct noctule_access *access, uint32_t epoch,
                      uint64_t until_ms)
{
    size_t length = access->topic.length;
    if (length == 0 || length > UINT16_MAX || !memo_make(memo))
        return;
    struct allowed_access **place = &(*memo)->places[place_of(access)];
    struct allowed_access *allowed = *place;
    if (!allowed || allowed->capacity < length) {
        size_t capacity = length > CAPACITY_LEAST ? length : CAPACITY_LEAST;
        free(allowed);
        allowed = *place = memory_try(sizeof *allowed + capacity);
        if (!allowed)
            return;
        allowed->capacity = (uint16_t)capacity;
    }
    allowed->until_ms = until_ms;
    allowed->epoch = epoch;
    allowed->length = (uint16_t)length;
    allowed->access = (uint8_t)access->access;
    allowed->qos = access->qos;
    allowed->retain = access->retain;
    memcpy(allowed->topic, access->topic.data, length);
}

void access_memo_free(struct access_memo *memo)
{
    if (!memo)
        return;
    for (unsigned i = 0; i < ACCESS_MEMO_PLACES; i++)
        free(memo->places[i]);
    free(memo);
}
