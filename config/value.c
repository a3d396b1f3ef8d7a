#include "config/tree_build.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

// --- reports --------------------------------------------------------------------------------------

static char *describe(const struct config_node *node)
{
    char shown[CONFIG_SHOWN];
    switch (node->kind) {
    case CONFIG_NULL:
        return str_format("nothing");
    case CONFIG_LIST:
        return str_format("a list");
    case CONFIG_MAP:
        return str_format("a map");
    case CONFIG_SCALAR:
        break;
    }
    // A value that was put in may be a secret.
    if (node->written)
        return str_format("what `%s` stands for", config_show(node->written, shown));
    if (!*node->text)
        return str_format("an empty text");
    return str_format("`%s`", config_show(node->text, shown));
}

static void report(const struct config_node *node, const char *expected, const char *hint,
                   struct diagnostics *diagnostics)
{
    if (node->broken)
        return;
    char shown[CONFIG_SHOWN];
    char *subject =
        node->name ? str_format("%s`%s`", node->is_item ? "an item of " : "", config_show(node->name, shown))
                   : str_format("the file");
    char *found = describe(node);
    diagnostics_error(diagnostics, node->place, "%s expects %s, not %s%s", subject, expected, found, hint);
    free(found);
    free(subject);
}

void config_wrong(const struct config_node *node, const char *expected, struct diagnostics *diagnostics)
{
    report(node, expected, "", diagnostics);
}

void config_missing(const struct config_node *map, const char *key, struct diagnostics *diagnostics)
{
    if (map->broken)
        return;
    if (map->name)
        diagnostics_error(diagnostics, map->place, "`%s` is missing here, in `%s`", key, map->name);
    else
        diagnostics_error(diagnostics, map->place, "`%s` is missing", key);
}

// --- numbers with units ---------------------------------------------------------------------------

struct unit {
    const char *name;
    uint64_t factor;
};

// Largest first, as values are printed; ends with a NULL name.
static const struct unit duration_units[] = {
    {"d", 86400000}, {"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}, {NULL, 0},
};
static const struct unit size_units[] = {
    {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {" bytes", 1}, {NULL, 0},
};

// Digits without sign or leading zeros; `*end` is what follows. False: none, or more than 64 bits.
static bool parse_digits(const char *text, uint64_t *out, const char **end)
{
    if (!isdigit((unsigned char)text[0]) || (text[0] == '0' && isdigit((unsigned char)text[1])))
        return false;
    uint64_t value = 0;
    for (; isdigit((unsigned char)*text); text++) {
        uint64_t digit = (uint64_t)(*text - '0');
        if (value > (UINT64_MAX - digit) / 10)
            return false;
        value = value * 10 + digit;
    }
    *out = value;
    *end = text;
    return true;
}

static bool parse_unit(const char *text, const struct unit *units, uint64_t *out)
{
    const char *end;
    if (!parse_digits(text, out, &end))
        return false;
    for (const struct unit *unit = units; unit->name; unit++)
        if (strcmp(end, unit->name) == 0)
            return !__builtin_mul_overflow(*out, unit->factor, out);
    return false;
}

static char *print_unit(uint64_t value, const struct unit *units)
{
    while (value % units->factor != 0)
        units++;
    if (value == 0)
        return str_format("0");
    return str_format("%" PRIu64 "%s", value / units->factor, units->name);
}

static void report_range(const struct config_node *node, const char *what, uint64_t min, uint64_t max,
                         const struct unit *units, const char *hint, struct diagnostics *diagnostics)
{
    char *low = print_unit(min, units);
    char *high = print_unit(max, units);
    char *expected = str_format("%s from %s to %s", what, low, high);
    report(node, expected, hint, diagnostics);
    free(expected);
    free(high);
    free(low);
}

bool config_node_duration(const struct config_node *node, uint64_t min, uint64_t max, uint64_t *out,
                          struct diagnostics *diagnostics)
{
    const char *hint = "";
    if (node->kind == CONFIG_SCALAR && !node->broken) {
        uint64_t value = 0;
        const char *end;
        bool digits = parse_digits(node->text, &value, &end);
        bool good = (digits && value == 0 && !*end) || parse_unit(node->text, duration_units, &value);
        if (good && value >= min && value <= max) {
            *out = value;
            return true;
        }
        if (!good && digits)
            hint = " (whole numbers with one of the units ms, s, m, h, d)";
    }
    report_range(node, "a duration", min, max, duration_units, hint, diagnostics);
    return false;
}

bool config_node_size(const struct config_node *node, uint64_t min, uint64_t max, uint64_t *out,
                      struct diagnostics *diagnostics)
{
    const char *hint = "";
    if (node->kind == CONFIG_SCALAR && !node->broken) {
        uint64_t value = 0;
        const char *end;
        bool digits = parse_digits(node->text, &value, &end);
        bool good = (digits && !*end) || parse_unit(node->text, size_units, &value);
        if (good && value >= min && value <= max) {
            *out = value;
            return true;
        }
        if (!good && digits)
            hint = " (a whole number of bytes, or with one of the units KiB, MiB, GiB)";
    }
    report_range(node, "a size", min, max, size_units, hint, diagnostics);
    return false;
}

// --- plain values ---------------------------------------------------------------------------------

static bool parse_integer(const char *text, int64_t *out)
{
    bool negative = *text == '-';
    uint64_t value;
    const char *end;
    if (!parse_digits(text + negative, &value, &end) || *end || value > (uint64_t)INT64_MAX)
        return false;
    *out = negative ? -(int64_t)value : (int64_t)value;
    return true;
}

bool config_node_integer(const struct config_node *node, int64_t min, int64_t max, int64_t *out,
                         struct diagnostics *diagnostics)
{
    const char *hint = "";
    if (node->kind == CONFIG_SCALAR && !node->broken) {
        int64_t value;
        bool good = parse_integer(node->text, &value);
        if (good && !node->quoted && value >= min && value <= max) {
            *out = value;
            return true;
        }
        if (good && node->quoted)
            hint = " in quotes, which make it a text";
    }
    char *expected = str_format("a whole number from %" PRId64 " to %" PRId64, min, max);
    report(node, expected, hint, diagnostics);
    free(expected);
    return false;
}

bool config_node_bool(const struct config_node *node, bool *out, struct diagnostics *diagnostics)
{
    static const struct {
        const char *word;
        const char *hint;
    } others[] = {
        {"yes", " (write true)"},
        {"on", " (write true)"},
        {"y", " (write true)"},
        {"1", " (write true)"},
        {"no", " (write false)"},
        {"off", " (write false)"},
        {"n", " (write false)"},
        {"0", " (write false)"},
        {"true", " (write true, in small letters and without quotes)"},
        {"false", " (write false, in small letters and without quotes)"},
    };
    const char *hint = "";
    if (node->kind == CONFIG_SCALAR && !node->broken) {
        bool is_true = strcmp(node->text, "true") == 0;
        if (!node->quoted && (is_true || strcmp(node->text, "false") == 0)) {
            *out = is_true;
            return true;
        }
        for (size_t i = 0; i < sizeof others / sizeof *others && !*hint; i++)
            if (strcasecmp(node->text, others[i].word) == 0)
                hint = others[i].hint;
    }
    report(node, "true or false", hint, diagnostics);
    return false;
}

bool config_node_string(const struct config_node *node, const char **out, struct diagnostics *diagnostics)
{
    if (node->kind != CONFIG_SCALAR || node->broken) {
        report(node, "a text", "", diagnostics);
        return false;
    }
    *out = node->text;
    return true;
}

bool config_node_path(const struct config_node *node, const char **out, struct diagnostics *diagnostics)
{
    if (node->kind != CONFIG_SCALAR || node->broken || !*node->text) {
        report(node, "the path of a file", "", diagnostics);
        return false;
    }
    *out = config_path_join(node->source->tree, node->source->folder, node->text);
    return true;
}

static char *list_choices(const struct config_choice *choices)
{
    char *text = str_format("%s", choices->name);
    for (const struct config_choice *choice = choices + 1; choice->name; choice++) {
        const char *joint = choice[1].name ? ", " : " or ";
        char *longer = str_format("%s%s%s", text, joint, choice->name);
        free(text);
        text = longer;
    }
    return text;
}

bool config_node_enum(const struct config_node *node, const struct config_choice *choices, int *out,
                      struct diagnostics *diagnostics)
{
    struct config_suggestion suggestion = {0};
    if (node->kind == CONFIG_SCALAR && !node->broken) {
        for (const struct config_choice *choice = choices; choice->name; choice++) {
            if (strcmp(node->text, choice->name) == 0) {
                *out = choice->value;
                return true;
            }
            config_suggest(&suggestion, node->text, choice->name);
        }
    }
    char *expected = list_choices(choices);
    char *hint = suggestion.word && !node->written ? str_format(" (did you mean `%s`?)", suggestion.word)
                                                   : str_format("%s", "");
    report(node, expected, hint, diagnostics);
    free(hint);
    free(expected);
    return false;
}

bool config_node_list(const struct config_node *node, struct diagnostics *diagnostics)
{
    if (node->kind == CONFIG_LIST && !node->broken)
        return true;
    report(node, "a list", "", diagnostics);
    return false;
}

bool config_node_map(const struct config_node *node, struct diagnostics *diagnostics)
{
    if (node->kind == CONFIG_MAP && !node->broken)
        return true;
    report(node, "a map", "", diagnostics);
    return false;
}

// --- by key ---------------------------------------------------------------------------------------

static enum config_result result_of(bool good)
{
    return good ? CONFIG_FOUND : CONFIG_WRONG;
}

enum config_result config_string(struct config_node *map, const char *key, const char **out,
                                 struct diagnostics *diagnostics)
{
    const struct config_node *node = config_get(map, key);
    return node ? result_of(config_node_string(node, out, diagnostics)) : CONFIG_ABSENT;
}

enum config_result config_bool(struct config_node *map, const char *key, bool *out,
                               struct diagnostics *diagnostics)
{
    const struct config_node *node = config_get(map, key);
    return node ? result_of(config_node_bool(node, out, diagnostics)) : CONFIG_ABSENT;
}

enum config_result config_integer(struct config_node *map, const char *key, int64_t min, int64_t max,
                                  int64_t *out, struct diagnostics *diagnostics)
{
    const struct config_node *node = config_get(map, key);
    return node ? result_of(config_node_integer(node, min, max, out, diagnostics)) : CONFIG_ABSENT;
}

enum config_result config_duration(struct config_node *map, const char *key, uint64_t min, uint64_t max,
                                   uint64_t *out, struct diagnostics *diagnostics)
{
    const struct config_node *node = config_get(map, key);
    return node ? result_of(config_node_duration(node, min, max, out, diagnostics)) : CONFIG_ABSENT;
}

enum config_result config_size(struct config_node *map, const char *key, uint64_t min, uint64_t max,
                               uint64_t *out, struct diagnostics *diagnostics)
{
    const struct config_node *node = config_get(map, key);
    return node ? result_of(config_node_size(node, min, max, out, diagnostics)) : CONFIG_ABSENT;
}

enum config_result config_enum(struct config_node *map, const char *key, const struct config_choice *choices,
                               int *out, struct diagnostics *diagnostics)
{
    const struct config_node *node = config_get(map, key);
    return node ? result_of(config_node_enum(node, choices, out, diagnostics)) : CONFIG_ABSENT;
}

enum config_result config_path(struct config_node *map, const char *key, const char **out,
                               struct diagnostics *diagnostics)
{
    const struct config_node *node = config_get(map, key);
    return node ? result_of(config_node_path(node, out, diagnostics)) : CONFIG_ABSENT;
}

// A section whose lines are all comments is written as a key without a value.
static bool is_empty_section(const struct config_node *node)
{
    return !node || (node->kind == CONFIG_NULL && !node->broken);
}

enum config_result config_list(struct config_node *map, const char *key, struct config_node **out,
                               struct diagnostics *diagnostics)
{
    struct config_node *node = config_get(map, key);
    if (is_empty_section(node))
        return CONFIG_ABSENT;
    if (!config_node_list(node, diagnostics))
        return CONFIG_WRONG;
    *out = node;
    return CONFIG_FOUND;
}

enum config_result config_map(struct config_node *map, const char *key, struct config_node **out,
                              struct diagnostics *diagnostics)
{
    struct config_node *node = config_get(map, key);
    if (is_empty_section(node))
        return CONFIG_ABSENT;
    if (!config_node_map(node, diagnostics))
        return CONFIG_WRONG;
    *out = node;
    return CONFIG_FOUND;
}
