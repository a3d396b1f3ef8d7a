#include "core/plugin/reply.h"

#include <stddef.h>
#include <string.h>

#include "core/plugin/types.h"
#include "core/topic/topic.h"

/** Smallest sizes that make sense: everything up to the last field without which there is no meaning. */
enum { GRANT_SIZE_MIN = offsetof(struct noctule_grant, filter) + sizeof(struct noctule_string) };

static bool name_is_valid(struct noctule_string name)
{
    return name.length == 0 || (name.data && name.length <= UINT16_MAX && str_is_utf8(str_from(name)));
}

static bool grant_read(struct grant *grant, const struct noctule_grant *given, struct arena *arena)
{
    struct topic_filter parsed;
    struct str filter = str_from(given->filter);
    if (!topic_filter_parse(filter, &parsed) || parsed.shared || given->qos_mask > 7)
        return false;
    *grant = (struct grant){.access = given->access,
                            .allow = given->allow != 0,
                            .max_qos = given->max_qos,
                            .retain = given->retain,
                            .qos_mask = (uint8_t)given->qos_mask,
                            .exact = given->exact != 0,
                            .filter = arena_copy(arena, filter)};
    return true;
}

// An array of structures from another version has that version's stride: the size of its first element.
static bool grants_read(struct answer *answer, const struct noctule_reply *reply, struct arena *arena)
{
    size_t stride = reply->grants->size;
    if (stride < GRANT_SIZE_MIN || stride % _Alignof(struct noctule_grant) != 0 ||
        reply->grant_count > SIZE_MAX / 2 / sizeof(struct grant))
        return false;
    answer->grants = arena_alloc(arena, reply->grant_count * sizeof *answer->grants);
    answer->grant_count = reply->grant_count;
    for (size_t i = 0; i < reply->grant_count; i++) {
        struct noctule_grant given = {0};
        memcpy(&given, (const char *)reply->grants + i * stride, size_read((uint32_t)stride, sizeof given));
        if (given.size != stride || !grant_read(&answer->grants[i], &given, arena))
            return false;
    }
    return true;
}

bool answer_read(struct answer *answer, const struct noctule_reply *reply, struct arena *arena,
                 const char **problem)
{
    struct noctule_reply given = {0};
    *answer = (struct answer){0};
    *problem = "a reply without its size";
    if (reply->size < sizeof given.size)
        return false;
    memcpy(&given, reply, size_read(reply->size, sizeof given));
    *answer = (struct answer){.flags = given.flags,
                              .reuse_ms = given.reuse_ms,
                              .reason_code = given.reason_code,
                              .reason = arena_copy(arena, str_from(given.reason)),
                              .auth_data = arena_copy(arena, str_from(given.auth_data)),
                              .psk = arena_copy(arena, str_from(given.psk)),
                              .expires_at_ms = given.expires_at_ms,
                              .client_data = given.client_data,
                              .max_inflight = given.max_inflight,
                              .max_queued = given.max_queued};
    *problem = "a username or client id that MQTT does not allow";
    if (!name_is_valid(given.username) || !name_is_valid(given.client_id))
        return false;
    answer->username = arena_copy(arena, str_from(given.username));
    answer->client_id = arena_copy(arena, str_from(given.client_id));
    *problem = "a grant that makes no sense";
    return given.grant_count == 0 || (given.grants && grants_read(answer, &given, arena));
}

struct answer answer_copy(const struct answer *answer, struct arena *arena)
{
    struct answer copy = *answer;
    copy.reason = arena_copy(arena, answer->reason);
    copy.username = arena_copy(arena, answer->username);
    copy.client_id = arena_copy(arena, answer->client_id);
    copy.auth_data = arena_copy(arena, answer->auth_data);
    copy.psk = arena_copy(arena, answer->psk);
    if (answer->grant_count > 0) {
        copy.grants = arena_alloc(arena, answer->grant_count * sizeof *copy.grants);
        for (size_t i = 0; i < answer->grant_count; i++) {
            copy.grants[i] = answer->grants[i];
            copy.grants[i].filter = arena_copy(arena, answer->grants[i].filter);
        }
    }
    return copy;
}
