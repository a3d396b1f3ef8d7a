// Any bytes as a platform's answer, and any names as those of the client that logs in: never more than was
// said.
#include "plugins/http-auth/answer.h"
#include "plugins/http-auth/transfer.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
    if (!condition)
        abort();
}

// Takes what comes before the next newline off the front.
static struct noctule_string line_take(struct noctule_string *rest)
{
    const char *newline = rest->length ? memchr(rest->data, '\n', rest->length) : NULL;
    size_t length = newline ? (size_t)(newline - rest->data) : rest->length;
    size_t taken = newline ? length + 1 : length;
    struct noctule_string line = noctule_string_of(rest->data, length);
    *rest = noctule_string_of(rest->data + taken, rest->length - taken);
    return line;
}

static void reason_check(const struct answer *answer)
{
    if (!answer->reason)
        return;
    require(strlen(answer->reason) <= ANSWER_REASON_MAX);
    for (const char *at = answer->reason; *at; at++)
        require((uint8_t)*at >= 0x20 && *at != 0x7F);
}

static size_t levels_of(struct noctule_string filter)
{
    size_t levels = 1;
    for (size_t i = 0; i < filter.length; i++)
        levels += filter.data[i] == '/';
    return levels;
}

static size_t wildcards_of(struct noctule_string filter)
{
    size_t wildcards = 0;
    for (size_t i = 0; i < filter.length; i++)
        wildcards += filter.data[i] == '+' || filter.data[i] == '#';
    return wildcards;
}

// A client's own names never give a rule other levels or wildcards than the platform wrote.
static void grants_check(const struct rules *rules, const struct rules_client *client)
{
    struct rule_grants grants;
    char problem[RULES_PROBLEM_MAX];
    size_t levels = 0;
    size_t wildcards = 0;
    if (!rules_grant(rules, client, &grants, problem)) {
        require(problem[0] != '\0' && !grants.list);
        return;
    }
    require(grants.count > 0 && grants.count <= rules->count + 1);
    for (size_t i = 0; i < rules->count; i++) {
        struct noctule_string topic = noctule_string_of(rules->list[i].topic, strlen(rules->list[i].topic));
        levels += levels_of(topic);
        wildcards += wildcards_of(topic);
    }
    for (size_t i = 0; i < grants.count && rules->count > 0; i++) {
        const struct noctule_grant *grant = &grants.list[i];
        require(grant->access != 0 && grant->filter.length > 0 && grant->filter.length <= UINT16_MAX);
        // "$noctule/no-rule" stands for none.
        if (grant->access == NOCTULE_ACCESS_ALL)
            continue;
        levels -= levels_of(grant->filter);
        wildcards -= wildcards_of(grant->filter);
        require(levels < (size_t)1 << 40 && wildcards < (size_t)1 << 40);
    }
    rule_grants_free(&grants);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 3)
        return 0;
    enum answer_mode mode = (enum answer_mode)(data[0] % 3);
    enum check_kind kind = (enum check_kind)(data[1] % CHECK_KINDS);
    static const long statuses[] = {200, 204, 302, 403, 500, 0};
    long status = statuses[data[2] % 6];
    struct noctule_string rest = noctule_string_of((const char *)data + 3, size - 3);
    struct transfer_lifetime lifetime = {0};
    lifetime_read(&lifetime, line_take(&rest));
    struct rules_client client = {.username = line_take(&rest), .client_id = line_take(&rest)};
    struct answer *answer = answer_read(mode, kind, status, rest.data, rest.length);
    require(answer != NULL);
    require((answer->error != ANSWER_NO_ERROR) == (answer->verdict == NOCTULE_ERROR));
    require(status == 200 || status == 204 || answer->verdict != NOCTULE_ALLOW);
    require(answer->verdict == NOCTULE_ALLOW ||
            (!answer->has_rules && answer->superuser == SUPERUSER_UNSAID));
    reason_check(answer);
    if (answer->has_rules)
        grants_check(&answer->rules, &client);
    answer_unref(answer);
    return 0;
}
