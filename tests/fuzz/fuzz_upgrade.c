// Any bytes as the request that opens a WebSocket: pieces make no difference, nothing outside the buffer is
// looked at, and every outcome has an answer that is HTTP.
#include <stdlib.h>

#include "core/net/upgrade.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
    if (!condition)
        abort();
}

// The end of the head, found byte by byte, is where it is found at once.
static size_t head_length(const uint8_t *data, size_t size, struct upgrade_refusal *refusal)
{
    struct upgrade_refusal slow = {0};
    size_t seen = 0;
    size_t found = 0;
    for (size_t length = 1; length <= size && !found && !slow.why; length++)
        found = upgrade_head_length(data, length, &seen, &slow);
    seen = 0;
    size_t at_once = upgrade_head_length(data, size, &seen, refusal);
    require(at_once == found && refusal->why == slow.why && refusal->status == slow.status);
    require(at_once <= size && at_once <= UPGRADE_HEAD_MAX && !(at_once && refusal->why));
    return at_once;
}

static void check_inside(struct str part, struct str whole)
{
    require(part.length == 0 || (part.data >= whole.data && part.length <= whole.length &&
                                 part.data + part.length <= whole.data + whole.length));
}

static void check_request(const struct upgrade_request *request, struct str head)
{
    require(request->header_count <= UPGRADE_HEADERS_MAX);
    check_inside(request->method, head);
    check_inside(request->path, head);
    for (size_t i = 0; i < request->header_count; i++) {
        check_inside(request->headers[i].name, head);
        check_inside(request->headers[i].value, head);
        require(request->headers[i].name.length > 0);
    }
}

static void check_answer(const char *answer, size_t length, unsigned status)
{
    require(length == strlen(answer) && length < UPGRADE_ANSWER_MAX);
    require(strncmp(answer, "HTTP/1.1 ", 9) == 0 && (unsigned)atoi(answer + 9) == status);
    require(strstr(answer, "\r\n\r\n"));
}

static void check_client(const struct upgrade_request *request, const struct upgrade_rules *rules)
{
    struct address peer;
    struct address client;
    require(address_parse(STR("10.0.0.1"), &peer));
    if (!upgrade_client(request, rules, &peer, &client))
        require(memcmp(&peer, &client, sizeof peer) == 0);
    require(address_parse(STR("192.0.2.1"), &peer));
    require(!upgrade_client(request, rules, &peer, &client));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct upgrade_request request;
    static const struct str origins[] = {{"https://app.example", 19}};
    struct cidr proxy;
    require(cidr_parse(STR("10.0.0.0/8"), &proxy));
    struct upgrade_rules rules = {
        .path = STR("/mqtt"), .origins = origins, .origin_count = 1, .proxies = &proxy, .proxy_count = 1};
    struct upgrade_refusal refusal = {0};
    struct upgrade_grant grant = {0};
    char answer[UPGRADE_ANSWER_MAX];

    size_t length = size > 0 ? head_length(data, size, &refusal) : 0;
    struct str head = str_make(data, length);
    if (length > 0 && upgrade_parse(head, &request, &refusal)) {
        check_request(&request, head);
        check_client(&request, &rules);
        if (upgrade_judge(&request, &rules, &grant, &refusal)) {
            check_inside(grant.key, head);
            check_answer(answer, upgrade_accept(&grant, answer), 101);
            return 0;
        }
    }
    if (length > 0)
        require(refusal.why && refusal.status >= 400);
    size_t answered = refusal.why ? upgrade_refuse(&refusal, &rules, answer) : 0;
    require((answered > 0) == (refusal.status > 0));
    if (answered > 0)
        check_answer(answer, answered, refusal.status);
    return 0;
}
