// The plain keys of noctule.yaml as tables: name, type, range and default, from which reading them follows.
// Any thread; constants.
// Knows nothing of lists of listeners and plugins, whose rules are code; see settings.c and listener.c.
#ifndef NOCTULE_CONFIG_SCHEMA_H
#define NOCTULE_CONFIG_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/tree.h"

/** The C type at `offset`: bool, an enum, unsigned, or uint64_t for all the others. */
enum schema_type {
    SCHEMA_BOOL,
    SCHEMA_ENUM,
    SCHEMA_THREADS, ///< `auto`, which is 0, or a number
    SCHEMA_NUMBER,
    SCHEMA_DURATION,
    SCHEMA_SIZE,
};

struct schema_key {
    const char *name;
    enum schema_type type;
    bool zero_is_off; ///< 0 is allowed beside `min` to `max`
    size_t offset;    ///< in the struct that the table is for
    uint64_t fallback;
    uint64_t min;
    uint64_t max;
    const struct config_choice *choices;
};

/** Tables end with a NULL name. */
extern const struct schema_key schema_top[];    ///< of struct settings
extern const struct schema_key schema_limits[]; ///< of struct settings, under `limits`
extern const struct schema_key schema_log[];    ///< of struct settings, under `log`
extern const struct schema_key schema_plugin[]; ///< of struct plugin_settings

/** Sets every key of `keys` in `target` to its default. */
void schema_defaults(const struct schema_key *keys, void *target);

/** Reads every key of `keys` that `map` has into `target`. */
void schema_read(const struct schema_key *keys, struct config_node *map, void *target,
                 struct diagnostics *diagnostics);

#endif
