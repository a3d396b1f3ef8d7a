#include "core/broker/control_json.h"

#include <stdlib.h>

#include "core/base/memory.h"

json_t *control_text(struct str text)
{
    if (!text.data)
        return json_null();
    json_t *string = json_stringn(text.data, text.length);
    if (string)
        return string;
    static const char replacement[] = {'\xEF', '\xBF', '\xBD'}; // U+FFFD
    char *fixed = memory_alloc(text.length * 3 + 1);
    size_t length = 0;
    for (size_t i = 0; i < text.length; i++) {
        if ((uint8_t)text.data[i] < 0x80) {
            fixed[length++] = text.data[i];
            continue;
        }
        memcpy(fixed + length, replacement, sizeof replacement);
        length += sizeof replacement;
    }
    string = json_stringn(fixed, length);
    free(fixed);
    return string ? string : json_null();
}

void control_set(json_t *object, const char *key, json_t *value)
{
    if (!value || json_is_null(value))
        json_decref(value);
    else
        json_object_set_new(object, key, value);
}
