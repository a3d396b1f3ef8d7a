// JSON of what strangers have sent.
// Any thread.
// Must not know what is told.
#ifndef NOCTULE_BROKER_CONTROL_JSON_H
#define NOCTULE_BROKER_CONTROL_JSON_H

#include <jansson.h>

#include "core/base/str.h"
#include "noctule/plugin.h"

/** A JSON string of `text`; what is no UTF-8 has U+FFFD in its place. JSON null without data. */
json_t *control_text(struct str text);
static inline json_t *control_name(struct noctule_string text)
{
    return control_text(str_make(text.data, text.length));
}

/** As json_object_set_new; a JSON null is left out. */
void control_set(json_t *object, const char *key, json_t *value);

#endif
