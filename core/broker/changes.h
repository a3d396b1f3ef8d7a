// What differs between two configurations, for whoever asked for a reload.
// Any thread; both configurations stay as they are.
// Must not know what the keys mean.
#ifndef NOCTULE_BROKER_CHANGES_H
#define NOCTULE_BROKER_CHANGES_H

#include <jansson.h>

#include "config/settings.h"

/**
 * A list of lines such as "limits.connections: 100 -> 200", "plugins.acl: added". Values that came from a
 * variable or from a file, and those inside a plugin's `config`, are not shown: they may be secrets. The list
 * is cut, and says so.
 */
json_t *changes_between(const struct settings *old, const struct settings *new);

#endif
