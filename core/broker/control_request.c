#include "core/broker/control_request.h"

#include <stddef.h>
#include <stdio.h>

#include "core/base/escape.h"

enum { SECONDS_MAX = 24 * 60 * 60, SHOWN_MAX = 20 };

enum key_type { KEY_TEXT, KEY_FLAG, KEY_SECONDS };

static const struct {
    const char *name;
    enum key_type type;
    size_t offset;
} keys[] = {
    {"command", KEY_TEXT, offsetof(struct control_request, command)},
    {"client_id", KEY_TEXT, offsetof(struct control_request, client_id)},
    {"username", KEY_TEXT, offsetof(struct control_request, username)},
    {"address", KEY_TEXT, offsetof(struct control_request, address)},
    {"listener", KEY_TEXT, offsetof(struct control_request, listener)},
    {"state", KEY_TEXT, offsetof(struct control_request, state)},
    {"access", KEY_TEXT, offsetof(struct control_request, access)},
    {"topic", KEY_TEXT, offsetof(struct control_request, topic)},
    {"disconnect", KEY_FLAG, offsetof(struct control_request, disconnect)},
    {"payload", KEY_FLAG, offsetof(struct control_request, payload)},
    {"seconds", KEY_SECONDS, offsetof(struct control_request, seconds)},
};

// The value goes where the key says; false when it is of another type.
static bool take(struct control_request *request, size_t key, const json_t *value)
{
    void *field = (char *)request + keys[key].offset;
    struct str text = {json_string_value(value), json_string_length(value)};
    bool flag = json_is_true(value);
    json_int_t number = json_integer_value(value);
    uint32_t seconds = (uint32_t)number;
    switch (keys[key].type) {
    case KEY_TEXT:
        memcpy(field, &text, sizeof text);
        return json_is_string(value);
    case KEY_FLAG:
        memcpy(field, &flag, sizeof flag);
        return json_is_boolean(value);
    case KEY_SECONDS:
        memcpy(field, &seconds, sizeof seconds);
        return json_is_integer(value) && number >= 1 && number <= SECONDS_MAX;
    }
    return false;
}

static bool complain(char *error, const char *what, const char *name)
{
    int length = snprintf(error, CONTROL_ERROR_MAX, "%s", what);
    char *end = error + length;
    end[escape(str_of(name), SHOWN_MAX, true, end, (size_t)(CONTROL_ERROR_MAX - 1 - length))] = '\0';
    return false;
}

static bool read_key(struct control_request *request, const char *name, const json_t *value, char *error)
{
    if (strcmp(name, "noctule") == 0) {
        if (json_is_integer(value) && json_integer_value(value) == CONTROL_VERSION)
            return true;
        return complain(error, "another version of the protocol: \"noctule\" has to be 1", "");
    }
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (strcmp(keys[i].name, name) == 0)
            return take(request, i, value) || complain(error, "a wrong value of ", name);
    return complain(error, "an unknown key: ", name);
}

static bool read_object(struct control_request *request, char *error)
{
    if (!json_is_object(request->tree))
        return complain(error, "a request is a JSON object", "");
    if (!json_object_get(request->tree, "noctule"))
        return complain(error, "\"noctule\" is missing, the version of the protocol", "");
    const char *name;
    json_t *value;
    json_object_foreach(request->tree, name, value) if (!read_key(request, name, value, error)) return false;
    return request->command.data || complain(error, "\"command\" is missing", "");
}

bool control_request_parse(struct str line, struct control_request *request, char error[CONTROL_ERROR_MAX])
{
    json_error_t problem;
    *request = (struct control_request){0};
    // Names in MQTT have no NUL, and JSON strings that have one are refused by default.
    request->tree = json_loadb(line.data ? line.data : "", line.length, JSON_REJECT_DUPLICATES, &problem);
    if (!request->tree)
        return complain(error, "no JSON", "");
    if (read_object(request, error))
        return true;
    control_request_clear(request);
    return false;
}

void control_request_clear(struct control_request *request)
{
    json_decref(request->tree);
    *request = (struct control_request){0};
}

bool control_matches(struct str pattern, struct str text)
{
    size_t at = 0;
    size_t star = SIZE_MAX; // the last '*' seen
    size_t resume = 0;      // where what it stands for ends, so far
    for (size_t i = 0; i < text.length;) {
        if (at < pattern.length && pattern.data[at] == '*') {
            star = at++;
            resume = i;
        } else if (at < pattern.length && pattern.data[at] == text.data[i]) {
            at++;
            i++;
        } else if (star != SIZE_MAX) {
            at = star + 1;
            i = ++resume;
        } else {
            return false;
        }
    }
    while (at < pattern.length && pattern.data[at] == '*')
        at++;
    return at == pattern.length;
}
