// The HTTP exchange that a WebSocket begins with.
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "core/base/memory.h"
#include "core/net/websocket_state.h"

enum { WHAT_SHOWN = 100 }; // bytes of the request in the log

void websocket_opening_free(struct websocket_opening *opening)
{
    if (!opening)
        return;
    if (opening->release)
        opening->release(opening->owner);
    free(opening->bytes);
    free(opening);
}

static bool keep_request(struct websocket_opening *opening, const uint8_t *bytes, size_t length)
{
    uint8_t *kept = memory_try_resize(opening->bytes, length);
    if (!kept) {
        errno = ENOMEM;
        return false;
    }
    memcpy(kept, bytes, length);
    opening->bytes = kept;
    opening->length = length;
    return true;
}

// As the layers below know him, else as the socket does.
static bool peer_of(const struct websocket *layer, const struct stream *stream, struct address *peer)
{
    struct transport_facts facts;
    transport_facts(layer->transport.below, stream, &facts);
    if (facts.address)
        return address_parse(str_of(facts.address), peer);
    struct sockaddr_storage socket = {0};
    socklen_t size = sizeof socket;
    char text[INET6_ADDRSTRLEN];
    if (getpeername(stream->watch.fd, (struct sockaddr *)&socket, &size) != 0)
        return false;
    if (socket.ss_family == AF_INET)
        inet_ntop(AF_INET, &((struct sockaddr_in *)&socket)->sin_addr, text, sizeof text);
    else if (socket.ss_family == AF_INET6)
        inet_ntop(AF_INET6, &((struct sockaddr_in6 *)&socket)->sin6_addr, text, sizeof text);
    else
        return false;
    return address_parse(str_of(text), peer);
}

// A client behind a proxy has no port that would mean anything. NULL: all right; words: it is not welcome.
static const char *learn_address(struct websocket *layer, struct stream *stream,
                                 const struct upgrade_request *request)
{
    const struct upgrade_rules *rules = &layer->opening->rules;
    struct address peer;
    struct address client;
    char text[INET6_ADDRSTRLEN];
    if (rules->proxy_count == 0 || !peer_of(layer, stream, &peer) ||
        !upgrade_client(request, rules, &peer, &client))
        return NULL;
    address_format(&client, text);
    layer->text = str_format(strchr(text, ':') ? "[%s]:0" : "%s:0", text);
    return stream->events->identified ? stream->events->identified(stream, layer->text) : NULL;
}

static ssize_t refuse(struct websocket *layer, struct stream *stream, const struct upgrade_refusal *refusal)
{
    char answer[UPGRADE_ANSWER_MAX];
    size_t length = upgrade_refuse(refusal, &layer->opening->rules, answer);
    struct str what = refusal->what;
    free(layer->text);
    if (what.length > WHAT_SHOWN)
        what.length = WHAT_SHOWN;
    if (refusal->status)
        layer->text = str_format("the HTTP upgrade is refused with %u: %s%s%.*s", refusal->status,
                                 refusal->why, what.length > 0 ? ": " : "", STR_ARG(what));
    else
        layer->text = str_format("no HTTP upgrade: %s", refusal->why);
    layer->why = layer->text;
    layer->told = true;
    if (length > 0)
        websocket_say(layer, stream, answer, length);
    errno = EPROTO;
    return -1;
}

static bool accept_upgrade(struct websocket *layer, struct stream *stream, const struct upgrade_grant *grant)
{
    char answer[UPGRADE_ANSWER_MAX];
    size_t length = upgrade_accept(grant, answer);
    websocket_opening_free(layer->opening);
    layer->opening = NULL;
    return websocket_say(layer, stream, answer, length);
}

ssize_t websocket_open(struct websocket *layer, struct stream *stream, void *buffer, size_t size)
{
    struct websocket_opening *opening = layer->opening;
    struct upgrade_request request;
    struct upgrade_grant grant;
    struct upgrade_refusal refusal;
    uint8_t *bytes = buffer;
    if (size <= opening->length) {
        errno = ENOBUFS;
        return -1;
    }
    ssize_t n =
        transport_read(layer->transport.below, stream, bytes + opening->length, size - opening->length);
    if (n <= 0)
        return n;
    if (opening->length > 0)
        memcpy(bytes, opening->bytes, opening->length);
    size_t length = opening->length + (size_t)n;
    size_t head = upgrade_head_length(bytes, length, &opening->seen, &refusal);
    if (head == 0 && !refusal.why) {
        if (keep_request(opening, bytes, length))
            errno = EAGAIN;
        return -1;
    }
    if (head == 0 || !upgrade_parse(str_make(bytes, head), &request, &refusal) ||
        !upgrade_judge(&request, &opening->rules, &grant, &refusal))
        return refuse(layer, stream, &refusal);
    const char *unwelcome = learn_address(layer, stream, &request);
    if (unwelcome)
        return refuse(layer, stream, &(struct upgrade_refusal){.status = 403, .why = unwelcome});
    if (!accept_upgrade(layer, stream, &grant))
        return -1;
    if (length == head) {
        errno = EAGAIN;
        return -1;
    }
    // What a client has sent without waiting for the answer.
    memmove(bytes, bytes + head, length - head);
    return (ssize_t)(length - head);
}
