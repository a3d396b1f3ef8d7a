#include "request.h"

#include <stddef.h>
#include <string.h>

enum field_type { FIELD_STRING, FIELD_NUMBER, FIELD_TRUTH };

enum { USER = 1 << CHECK_USER, SUPERUSER = 1 << CHECK_SUPERUSER, ACL = 1 << CHECK_ACL };

struct field {
    const char *name;
    enum field_type type;
    unsigned checks; ///< that have it
    uint32_t send;   ///< 0: always; else only when it is listed
    size_t offset;   ///< in struct request_facts
};

#define FACT(member) offsetof(struct request_facts, member)

// In the order in which they are sent.
static const struct field fields[] = {
    {"acc", FIELD_NUMBER, ACL, 0, FACT(access)},
    {"address", FIELD_STRING, USER | SUPERUSER | ACL, SEND_ADDRESS, FACT(address)},
    {"certificate_subject", FIELD_STRING, USER | SUPERUSER | ACL, SEND_CERTIFICATE_SUBJECT,
     FACT(certificate_subject)},
    {"clientid", FIELD_STRING, USER | ACL, 0, FACT(client_id)},
    {"listener", FIELD_STRING, USER | SUPERUSER | ACL, SEND_LISTENER, FACT(listener)},
    {"password", FIELD_STRING, USER, 0, FACT(password)},
    {"payload_size", FIELD_NUMBER, ACL, SEND_PAYLOAD_SIZE, FACT(payload_size)},
    {"protocol", FIELD_NUMBER, USER | SUPERUSER | ACL, SEND_PROTOCOL, FACT(protocol)},
    {"qos", FIELD_NUMBER, ACL, SEND_QOS, FACT(qos)},
    {"retain", FIELD_TRUTH, ACL, SEND_RETAIN, FACT(retain)},
    {"topic", FIELD_STRING, ACL, 0, FACT(topic)},
    {"username", FIELD_STRING, USER | SUPERUSER | ACL, 0, FACT(username)},
};

enum { FIELDS = sizeof fields / sizeof fields[0], KEY_NAMES_AT = 2 * sizeof(uint64_t) };

const char *const request_send_names[] = {"address", "listener", "protocol",     "certificate_subject",
                                          "qos",     "retain",   "payload_size", NULL};

static bool field_is_told(const struct field *field, enum check_kind kind, uint32_t send)
{
    return (field->checks >> kind & 1) != 0 && (field->send == 0 || (field->send & send) != 0);
}

static struct noctule_string fact_string(const struct request_facts *facts, const struct field *field)
{
    struct noctule_string string;
    memcpy(&string, (const char *)facts + field->offset, sizeof string);
    return string;
}

static uint64_t fact_number(const struct request_facts *facts, const struct field *field)
{
    uint64_t number;
    memcpy(&number, (const char *)facts + field->offset, sizeof number);
    return number;
}

// ---- JSON ----------------------------------------------------------------------------------------------

// Bytes of the character that begins here; 0: none does. [RFC 3629, 4]
static size_t utf8_length(const uint8_t *bytes, size_t left)
{
    static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
    uint8_t first = bytes[0];
    size_t length = first < 0x80 ? 1 : first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
    if (length == 1)
        return 1;
    if (first < 0xC2 || first > 0xF4 || length > left)
        return 0;
    uint32_t character = first & (0x7FU >> length);
    for (size_t i = 1; i < length; i++) {
        if ((bytes[i] & 0xC0) != 0x80)
            return 0;
        character = character << 6 | (bytes[i] & 0x3FU);
    }
    bool surrogate = character >= 0xD800 && character <= 0xDFFF;
    return character < smallest[length] || character > 0x10FFFF || surrogate ? 0 : length;
}

static void json_escape(struct text *body, unsigned character)
{
    static const char digits[] = "0123456789abcdef";
    char escape[6] = {'\\',
                      'u',
                      digits[character >> 12 & 15],
                      digits[character >> 8 & 15],
                      digits[character >> 4 & 15],
                      digits[character & 15]};
    text_add(body, escape, sizeof escape);
}

static void json_ascii(struct text *body, uint8_t byte)
{
    static const char *const short_ones[128] = {
        ['"'] = "\\\"", ['\\'] = "\\\\", ['\n'] = "\\n", ['\r'] = "\\r", ['\t'] = "\\t"};
    if (short_ones[byte])
        text_add(body, short_ones[byte], 2);
    else if (byte < 0x20 || byte == '<' || byte == '>' || byte == '&')
        json_escape(body, byte);
    else
        text_add_byte(body, byte);
}

static void json_string(struct text *body, struct noctule_string string)
{
    const uint8_t *bytes = (const uint8_t *)string.data;
    text_add_byte(body, '"');
    for (size_t i = 0; i < string.length;) {
        size_t length = utf8_length(bytes + i, string.length - i);
        if (length == 1) {
            json_ascii(body, bytes[i]);
        } else if (length == 0) {
            json_escape(body, 0xFFFD);
            length = 1;
        } else if (length == 3 &&
                   (memcmp(bytes + i, "\xE2\x80\xA8", 3) == 0 || memcmp(bytes + i, "\xE2\x80\xA9", 3) == 0)) {
            json_escape(body, 0x2000U | (bytes[i + 2] & 0x3FU));
        } else {
            text_add(body, bytes + i, length);
        }
        i += length;
    }
    text_add_byte(body, '"');
}

static void json_field(struct text *body, const struct field *field, const struct request_facts *facts)
{
    text_add_byte(body, '"');
    text_add_c(body, field->name);
    text_add_c(body, "\":");
    if (field->type == FIELD_STRING)
        json_string(body, fact_string(facts, field));
    else if (field->type == FIELD_NUMBER)
        text_add_decimal(body, fact_number(facts, field));
    else
        text_add_c(body, fact_number(facts, field) ? "true" : "false");
}

// ---- Forms ---------------------------------------------------------------------------------------------

static bool is_unreserved(uint8_t byte)
{
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || (byte >= '0' && byte <= '9') ||
           byte == '-' || byte == '_' || byte == '.' || byte == '~';
}

static void form_string(struct text *body, struct noctule_string string)
{
    static const char digits[] = "0123456789ABCDEF";
    for (size_t i = 0; i < string.length; i++) {
        uint8_t byte = (uint8_t)string.data[i];
        if (is_unreserved(byte)) {
            text_add_byte(body, byte);
        } else if (byte == ' ') {
            text_add_byte(body, '+');
        } else {
            char escape[3] = {'%', digits[byte >> 4], digits[byte & 15]};
            text_add(body, escape, sizeof escape);
        }
    }
}

static void form_field(struct text *body, const struct field *field, const struct request_facts *facts)
{
    text_add_c(body, field->name);
    text_add_byte(body, '=');
    if (field->type == FIELD_STRING)
        form_string(body, fact_string(facts, field));
    else if (field->type == FIELD_NUMBER)
        text_add_decimal(body, fact_number(facts, field));
    else
        text_add_c(body, fact_number(facts, field) ? "true" : "false");
}

void request_body(struct text *body, enum request_params params, enum check_kind kind, uint32_t send,
                  const struct request_facts *facts)
{
    bool json = params == PARAMS_JSON;
    bool first = true;
    if (json)
        text_add_byte(body, '{');
    for (size_t i = 0; i < FIELDS; i++) {
        if (!field_is_told(&fields[i], kind, send))
            continue;
        if (!first)
            text_add_byte(body, json ? ',' : '&');
        first = false;
        if (json)
            json_field(body, &fields[i], facts);
        else
            form_field(body, &fields[i], facts);
    }
    if (json)
        text_add_byte(body, '}');
}

// ---- Keys ----------------------------------------------------------------------------------------------

bool request_key(struct text *key, uint64_t origin, enum check_kind kind, uint32_t send,
                 const struct request_facts *facts, const struct secret *secret)
{
    text_add_raw(key, origin);
    text_add_raw(key, kind);
    text_add_counted(key, facts->username);
    text_add_counted(key, kind == CHECK_SUPERUSER ? (struct noctule_string){NULL, 0} : facts->client_id);
    for (size_t i = 0; i < FIELDS; i++) {
        const struct field *field = &fields[i];
        bool is_name = field->offset == FACT(username) || field->offset == FACT(client_id);
        if (is_name || !field_is_told(field, kind, send))
            continue;
        if (field->type != FIELD_STRING) {
            text_add_raw(key, fact_number(facts, field));
        } else if (field->offset != FACT(password)) {
            text_add_counted(key, fact_string(facts, field));
        } else {
            uint8_t hash[SECRET_HASH_BYTES];
            if (!secret_hash_password(secret, facts->username, facts->password, hash))
                return false;
            text_add(key, hash, sizeof hash);
        }
    }
    return !key->failed;
}

static struct noctule_string counted_at(struct noctule_string key, size_t *at)
{
    uint64_t length = 0;
    if (key.length - *at >= sizeof length)
        memcpy(&length, key.data + *at, sizeof length);
    struct noctule_string string = noctule_string_of(key.data + *at + sizeof length, (size_t)length);
    *at += sizeof length + (size_t)length;
    return string;
}

void request_key_names(struct noctule_string key, struct noctule_string *username,
                       struct noctule_string *client_id)
{
    size_t at = KEY_NAMES_AT;
    *username = counted_at(key, &at);
    *client_id = counted_at(key, &at);
}
