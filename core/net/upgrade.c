#include "core/net/upgrade.h"

#include <string.h>

enum {
    TLS_HANDSHAKE = 0x16, // the first byte of a TLS connection
    MQTT_CONNECT = 0x10,  // the first byte of an MQTT connection
};

static bool refuse(struct upgrade_refusal *refusal, unsigned status, const char *why, struct str what)
{
    *refusal = (struct upgrade_refusal){.status = status, .why = why, .what = what};
    return false;
}

static const struct str nothing = {0};

// --- characters -----------------------------------------------------------------------------------

static bool is_alphanumeric(unsigned char c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

// [RFC 9110 5.6.2]
static bool is_token_byte(unsigned char c)
{
    return is_alphanumeric(c) || (c && strchr("!#$%&'*+-.^_`|~", c));
}

static bool is_token(struct str text)
{
    for (size_t i = 0; i < text.length; i++)
        if (!is_token_byte((unsigned char)text.data[i]))
            return false;
    return text.length > 0;
}

static bool is_visible(unsigned char c)
{
    return c > 0x20 && c < 0x7F;
}

// Spaces, tabs and, for what old servers and proxies write, bytes above ASCII may stand in a value.
static bool is_value_byte(unsigned char c)
{
    return is_visible(c) || c == ' ' || c == '\t' || c >= 0x80;
}

static unsigned char lower(char c)
{
    return (unsigned char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
}

static bool equal_in_any_case(struct str a, struct str b)
{
    if (a.length != b.length)
        return false;
    for (size_t i = 0; i < a.length; i++)
        if (lower(a.data[i]) != lower(b.data[i]))
            return false;
    return true;
}

static struct str trim(struct str text)
{
    while (text.length > 0 && (*text.data == ' ' || *text.data == '\t'))
        text = str_make(text.data + 1, text.length - 1);
    while (text.length > 0 && (text.data[text.length - 1] == ' ' || text.data[text.length - 1] == '\t'))
        text.length--;
    return text;
}

// --- the head -------------------------------------------------------------------------------------

static bool refuse_first_byte(uint8_t byte, struct upgrade_refusal *refusal)
{
    if (byte == TLS_HANDSHAKE)
        return refuse(refusal, 0, "a TLS handshake, and this listener speaks WebSocket without TLS", nothing);
    if (byte == MQTT_CONNECT)
        return refuse(refusal, 0, "MQTT without WebSocket", nothing);
    return is_token_byte(byte) || refuse(refusal, 400, "this is no HTTP", nothing);
}

size_t upgrade_head_length(const uint8_t *bytes, size_t length, size_t *seen, struct upgrade_refusal *refusal)
{
    *refusal = (struct upgrade_refusal){0};
    size_t end = length < UPGRADE_HEAD_MAX ? length : UPGRADE_HEAD_MAX;
    if (length == 0 || (*seen == 0 && !refuse_first_byte(bytes[0], refusal)))
        return 0;
    for (size_t i = *seen > 0 ? *seen : 1; i < end; i++) {
        if ((bytes[i] == '\n') != (bytes[i - 1] == '\r') || bytes[i] == 0) {
            refuse(refusal, 400, "a line does not end in CR LF", nothing);
            return 0;
        }
        if (bytes[i] == '\n' && i >= 3 && bytes[i - 2] == '\n')
            return i + 1;
    }
    *seen = end;
    if (end == UPGRADE_HEAD_MAX) {
        if (memchr(bytes, '\n', UPGRADE_TARGET_MAX))
            refuse(refusal, 431, "the request's headers are larger than 8 KiB", nothing);
        else
            refuse(refusal, 414, "the request line is too long", nothing);
    }
    return 0;
}

// Cuts off what stands before `delimiter`; false when there is none.
static bool cut(struct str *rest, char delimiter, struct str *before)
{
    const char *at = memchr(rest->data, delimiter, rest->length);
    if (!at)
        return false;
    *before = str_make(rest->data, (size_t)(at - rest->data));
    *rest = str_make(at + 1, rest->length - before->length - 1);
    return true;
}

// A line without its CR LF. The head has one at its end, so there is one everywhere.
static struct str next_line(struct str *rest)
{
    struct str line = nothing;
    if (!cut(rest, '\n', &line))
        *rest = nothing;
    else if (line.length > 0)
        line.length--;
    return line;
}

static bool parse_target(struct str target, struct upgrade_request *request, struct upgrade_refusal *refusal)
{
    if (target.length > UPGRADE_TARGET_MAX)
        return refuse(refusal, 414, "the request line is too long", nothing);
    if (target.length == 0 || *target.data != '/')
        return refuse(refusal, 400, "the request's target is no path", nothing);
    for (size_t i = 0; i < target.length; i++)
        if (!is_visible((unsigned char)target.data[i]))
            return refuse(refusal, 400, "a character in the request's target", nothing);
    request->path = target;
    struct str rest = target;
    cut(&rest, '?', &request->path);
    return true;
}

static bool parse_request_line(struct str line, struct upgrade_request *request,
                               struct upgrade_refusal *refusal)
{
    struct str target;
    if (!cut(&line, ' ', &request->method) || !is_token(request->method) || !cut(&line, ' ', &target) ||
        line.length != 8 || !str_starts(line, STR("HTTP/")) || line.data[6] != '.')
        return refuse(refusal, 400, "this is no HTTP request line", nothing);
    if (!str_equal(line, STR("HTTP/1.1")))
        return refuse(refusal, 505, "another version of HTTP than 1.1", line);
    return parse_target(target, request, refusal);
}

static bool parse_header(struct str line, struct upgrade_request *request, struct upgrade_refusal *refusal)
{
    if (request->header_count == UPGRADE_HEADERS_MAX)
        return refuse(refusal, 431, "the request has more than 64 headers", nothing);
    struct upgrade_header *header = &request->headers[request->header_count++];
    if (*line.data == ' ' || *line.data == '\t')
        return refuse(refusal, 400, "a header goes on in a second line", nothing);
    if (!cut(&line, ':', &header->name) || !is_token(header->name))
        return refuse(refusal, 400, "a line is no header", nothing);
    for (size_t i = 0; i < line.length; i++)
        if (!is_value_byte((unsigned char)line.data[i]))
            return refuse(refusal, 400, "a character in a header's value", header->name);
    header->value = trim(line);
    return true;
}

bool upgrade_parse(struct str head, struct upgrade_request *request, struct upgrade_refusal *refusal)
{
    *request = (struct upgrade_request){0};
    struct str rest = head;
    if (!parse_request_line(next_line(&rest), request, refusal))
        return false;
    for (struct str line; (line = next_line(&rest)).length > 0;)
        if (!parse_header(line, request, refusal))
            return false;
    return true;
}

// --- judging --------------------------------------------------------------------------------------

// The value of a header that may stand once; false when it stands more often.
static bool find_single(const struct upgrade_request *request, struct str name, struct str *value,
                        struct upgrade_refusal *refusal)
{
    bool found = false;
    *value = nothing;
    for (size_t i = 0; i < request->header_count; i++) {
        if (!equal_in_any_case(request->headers[i].name, name))
            continue;
        if (found)
            return refuse(refusal, 400, "a header stands there twice", name);
        found = true;
        *value = request->headers[i].value;
    }
    return true;
}

// Whether a list, which may go over several headers of a name, has a member.
static bool list_has(const struct upgrade_request *request, struct str name, struct str wanted, bool any_case)
{
    for (size_t i = 0; i < request->header_count; i++) {
        if (!equal_in_any_case(request->headers[i].name, name))
            continue;
        struct str rest = request->headers[i].value;
        struct str member;
        for (bool more = true; more;) {
            more = cut(&rest, ',', &member);
            member = trim(more ? member : rest);
            if (any_case ? equal_in_any_case(member, wanted) : str_equal(member, wanted))
                return true;
        }
    }
    return false;
}

// A request with a body would have its body taken for frames.
static bool check_message(const struct upgrade_request *request, struct upgrade_refusal *refusal)
{
    struct str value;
    if (!str_equal(request->method, STR("GET")))
        return refuse(refusal, 405, "another method than GET", request->method);
    if (!find_single(request, STR("Host"), &value, refusal))
        return false;
    if (value.length == 0)
        return refuse(refusal, 400, "there is no Host header", nothing);
    if (!find_single(request, STR("Transfer-Encoding"), &value, refusal))
        return false;
    if (value.length > 0)
        return refuse(refusal, 400, "the request has a body", nothing);
    if (!find_single(request, STR("Content-Length"), &value, refusal))
        return false;
    if (value.length > 0 && !str_equal(value, STR("0")))
        return refuse(refusal, 400, "the request has a body", nothing);
    return true;
}

static bool is_base64(char c)
{
    return is_alphanumeric((unsigned char)c) || c == '+' || c == '/';
}

// 16 bytes in base64.
static bool is_key(struct str key)
{
    if (key.length != 24 || key.data[22] != '=' || key.data[23] != '=')
        return false;
    for (size_t i = 0; i < 22; i++)
        if (!is_base64(key.data[i]))
            return false;
    return true;
}

static bool check_websocket(const struct upgrade_request *request, struct upgrade_grant *grant,
                            struct upgrade_refusal *refusal)
{
    struct str version;
    if (!find_single(request, STR("Sec-WebSocket-Version"), &version, refusal) ||
        !find_single(request, STR("Sec-WebSocket-Key"), &grant->key, refusal))
        return false;
    if (!str_equal(version, STR("13")))
        return refuse(refusal, 426, "another version of WebSocket than 13", version);
    if (!is_key(grant->key))
        return refuse(refusal, 400, "the Sec-WebSocket-Key is not 16 bytes in base64", nothing);
    return true;
}

static bool check_origin(const struct upgrade_request *request, const struct upgrade_rules *rules,
                         struct upgrade_refusal *refusal)
{
    struct str origin;
    if (!find_single(request, STR("Origin"), &origin, refusal))
        return false;
    // What is no browser names no origin, and could name any.
    if (rules->any_origin || origin.length == 0)
        return true;
    for (size_t i = 0; i < rules->origin_count; i++)
        if (equal_in_any_case(rules->origins[i], origin))
            return true;
    return refuse(refusal, 403, "its origin is not one of `origins`", origin);
}

bool upgrade_judge(const struct upgrade_request *request, const struct upgrade_rules *rules,
                   struct upgrade_grant *grant, struct upgrade_refusal *refusal)
{
    if (!check_message(request, refusal))
        return false;
    if (!list_has(request, STR("Upgrade"), STR("websocket"), true) ||
        !list_has(request, STR("Connection"), STR("upgrade"), true))
        return refuse(refusal, 426, "a plain HTTP request", nothing);
    if (!str_equal(request->path, rules->path))
        return refuse(refusal, 404, "there is no WebSocket under this path", request->path);
    if (!check_websocket(request, grant, refusal) || !check_origin(request, rules, refusal))
        return false;
    // A client MUST offer "mqtt", and "mqtt" is what MUST be chosen; the other name is that of clients of
    // MQTT 3.1. One that offers neither would not know what it is talking to. [v5 6, MQTT-6.0.0-3,
    // MQTT-6.0.0-4]
    static const struct str protocols[] = {{"mqtt", 4}, {"mqttv3.1", 8}};
    for (size_t i = 0; i < sizeof protocols / sizeof *protocols; i++) {
        if (list_has(request, STR("Sec-WebSocket-Protocol"), protocols[i], false)) {
            grant->protocol = protocols[i];
            return true;
        }
    }
    return refuse(refusal, 400, "the client does not offer the subprotocol `mqtt`", nothing);
}

// --- clients behind proxies -----------------------------------------------------------------------

// The last member of a list, cut off.
static struct str cut_last(struct str *list)
{
    const char *comma = list->length > 0 ? memrchr(list->data, ',', list->length) : NULL;
    struct str last = *list;
    if (comma)
        last = str_make(comma + 1, list->length - (size_t)(comma + 1 - list->data));
    list->length = comma ? (size_t)(comma - list->data) : 0;
    return trim(last);
}

bool upgrade_client(const struct upgrade_request *request, const struct upgrade_rules *rules,
                    const struct address *peer, struct address *client)
{
    *client = *peer;
    bool told = false;
    for (size_t i = request->header_count; i-- > 0;) {
        if (!equal_in_any_case(request->headers[i].name, STR("X-Forwarded-For")))
            continue;
        struct str list = request->headers[i].value;
        while (list.length > 0) {
            struct address next;
            if (!cidr_any_holds(rules->proxies, rules->proxy_count, client) ||
                !address_parse(cut_last(&list), &next))
                return told;
            *client = next;
            told = true;
        }
    }
    return told;
}
