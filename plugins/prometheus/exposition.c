#include "exposition.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "escape.h"

enum { NAME_BYTES = 200, LABELS_BYTES = 4096 };

/* What all samples of one name share. */
struct family {
    struct family *next;
    uint32_t kind;
    char name[NAME_BYTES]; /* without _total */
    char unit[32];
    struct evbuffer *help;
    struct evbuffer *samples;
};

struct exposition {
    enum exposition_format format;
    struct family *first;
    struct family *last;
    struct family *recent; /* where the next one probably is */
    bool failed;
};

struct exposition *exposition_new(enum exposition_format format)
{
    struct exposition *exposition = calloc(1, sizeof(*exposition));
    if (exposition)
        exposition->format = format;
    return exposition;
}

static void family_free(struct family *family)
{
    if (family->help)
        evbuffer_free(family->help);
    if (family->samples)
        evbuffer_free(family->samples);
    free(family);
}

void exposition_free(struct exposition *exposition)
{
    while (exposition->first) {
        struct family *next = exposition->first->next;
        family_free(exposition->first);
        exposition->first = next;
    }
    free(exposition);
}

/* ---- names ---- */

static bool ends_with(const char *text, const char *end)
{
    size_t length = strlen(text);
    size_t wanted = strlen(end);
    return length >= wanted && strcmp(text + length - wanted, end) == 0;
}

static bool is(struct noctule_string string, const char *text)
{
    return string.length == strlen(text) && memcmp(string.data, text, string.length) == 0;
}

static bool is_verdict(struct noctule_string name, struct noctule_string *verdict)
{
    static const char *const verdicts[] = {"next", "allow", "deny", "pending", "continue", "error", "drop"};
    static const char prefix[] = "verdicts_";
    size_t length = sizeof(prefix) - 1;
    if (name.length <= length || memcmp(name.data, prefix, length) != 0)
        return false;
    *verdict = noctule_string_of(name.data + length, name.length - length);
    for (size_t i = 0; i < sizeof(verdicts) / sizeof(*verdicts); i++)
        if (is(*verdict, verdicts[i]))
            return true;
    return false;
}

/* Seconds are the unit of all times; a counter's name ends in _total where the format wants it, not here. */
static void name_of(const struct noctule_metric_value *metric, char name[NAME_BYTES], char unit[32])
{
    struct noctule_string verdict;
    bool of_plugin = metric->instance.length > 0;
    struct noctule_string plain = metric->name;
    if (of_plugin && is_verdict(plain, &verdict))
        plain = NOCTULE_STRING("verdicts");
    snprintf(name, NAME_BYTES, "noctule_%s%.*s", of_plugin ? "plugin_" : "",
             plain.length > NAME_BYTES / 2 ? NAME_BYTES / 2 : (int)plain.length, plain.data);
    for (char *at = name; *at; at++)
        if (!isalnum((unsigned char)*at))
            *at = '_';
    if (metric->kind == NOCTULE_COUNTER && ends_with(name, "_total"))
        name[strlen(name) - strlen("_total")] = '\0';
    struct noctule_string in = is(metric->unit, "microseconds") ? NOCTULE_STRING("seconds") : metric->unit;
    if (metric->unit.length == 0 && metric->kind == NOCTULE_HISTOGRAM)
        in = NOCTULE_STRING("seconds");
    snprintf(unit, 32, "%.*s", in.length > 31 ? 31 : (int)in.length, in.data);
    for (char *at = unit; *at; at++)
        if (!isalnum((unsigned char)*at))
            *at = '_';
    char end[40];
    snprintf(end, sizeof(end), "_%s", unit);
    if (*unit && !ends_with(name, end))
        strncat(name, end, NAME_BYTES - 1 - strlen(name));
}

static struct family *family_new(struct exposition *exposition, const char *name, const char *unit,
                                 uint32_t kind, struct noctule_string help)
{
    struct family *family = calloc(1, sizeof(*family));
    if (!family)
        return NULL;
    family->kind = kind;
    snprintf(family->name, sizeof(family->name), "%s", name);
    snprintf(family->unit, sizeof(family->unit), "%s", unit);
    family->help = evbuffer_new();
    family->samples = evbuffer_new();
    if (!family->help || !family->samples ||
        !escape_add(family->help, help.length > 0 ? help : NOCTULE_STRING("of a plugin"), ESCAPE_HELP)) {
        family_free(family);
        return NULL;
    }
    if (exposition->last)
        exposition->last->next = family;
    else
        exposition->first = family;
    exposition->last = family;
    return family;
}

static struct family *family_of(struct exposition *exposition, const char *name, const char *unit,
                                uint32_t kind, struct noctule_string help)
{
    struct family *family = exposition->recent;
    if (!family || strcmp(family->name, name) != 0)
        for (family = exposition->first; family && strcmp(family->name, name) != 0;)
            family = family->next;
    if (!family)
        family = family_new(exposition, name, unit, kind, help);
    exposition->failed |= !family;
    exposition->recent = family;
    return family && family->kind == kind ? family : NULL;
}

/* ---- samples ---- */

/* `name="value"` of all labels, without braces, into `labels`. */
static bool labels_add(struct evbuffer *labels, const struct noctule_metric_value *metric)
{
    struct noctule_string verdict;
    bool done = true;
    if (metric->instance.length > 0)
        done &= escape_own_label(labels, "plugin", metric->instance);
    if (metric->instance.length > 0 && is_verdict(metric->name, &verdict))
        done &= escape_own_label(labels, "verdict", verdict);
    for (size_t i = 0; i < metric->label_count; i++)
        done &= escape_label(labels, metric->labels[i].name, metric->labels[i].value);
    return done;
}

static double scale_of(const struct noctule_metric_value *metric)
{
    bool microseconds =
        is(metric->unit, "microseconds") || (metric->unit.length == 0 && metric->kind == NOCTULE_HISTOGRAM);
    return microseconds ? 1e-6 : 1;
}

static bool sample_add(struct family *family, const char *end, const char *labels, const char *more,
                       const char *value)
{
    bool braces = *labels || *more;
    return evbuffer_add_printf(family->samples, "%s%s%s%s%s%s%s %s\n", family->name, end, braces ? "{" : "",
                               labels, *labels && *more ? "," : "", more, braces ? "}" : "", value) >= 0;
}

/* Whole numbers as such, so that large counters lose nothing. */
static void number_text(char text[48], int64_t value, double scale)
{
    if (scale < 1)
        snprintf(text, 48, "%.6f", (double)value * scale);
    else
        snprintf(text, 48, "%" PRId64, value);
}

static void bound_text(char text[32], double bound)
{
    snprintf(text, 32, "%.6f", bound);
    char *end = text + strlen(text) - 1;
    while (*end == '0' && end[-1] != '.')
        *end-- = '\0';
}

static bool histogram_add(struct family *family, const struct noctule_metric_value *metric,
                          const char *labels)
{
    bool done = true;
    char value[48];
    double scale = scale_of(metric);
    for (size_t i = 0; i < metric->bucket_count; i++) {
        char bound[32] = "+Inf";
        char le[48];
        if (i + 1 < metric->bucket_count)
            bound_text(bound, (double)metric->bucket_bounds[i] * scale);
        snprintf(le, sizeof(le), "le=\"%s\"", bound);
        snprintf(value, sizeof(value), "%" PRIu64, metric->buckets[i]);
        done &= sample_add(family, "_bucket", labels, le, value);
    }
    number_text(value, (int64_t)metric->total, scale);
    done &= sample_add(family, "_sum", labels, "", value);
    number_text(value, metric->value, 1);
    return done & sample_add(family, "_count", labels, "", value);
}

void exposition_add(const struct noctule_metric_value *metric, void *argument)
{
    struct exposition *exposition = argument;
    char name[NAME_BYTES];
    char unit[32];
    if (metric->kind > NOCTULE_HISTOGRAM)
        return;
    name_of(metric, name, unit);
    struct family *family = family_of(exposition, name, unit, metric->kind, metric->help);
    if (!family)
        return;
    struct evbuffer *labels = evbuffer_new();
    char text[LABELS_BYTES] = "";
    bool done = labels && labels_add(labels, metric);
    /* A metric with more labels than fit is left out: it would be another one without them. */
    if (done && evbuffer_get_length(labels) < sizeof(text)) {
        text[evbuffer_get_length(labels)] = '\0';
        evbuffer_remove(labels, text, sizeof(text) - 1);
        char value[48];
        number_text(value, metric->value, scale_of(metric));
        done = metric->kind == NOCTULE_HISTOGRAM
                   ? histogram_add(family, metric, text)
                   : sample_add(family, metric->kind == NOCTULE_COUNTER ? "_total" : "", text, "", value);
    }
    if (labels)
        evbuffer_free(labels);
    exposition->failed |= !done;
}

void exposition_add_process(struct exposition *exposition, const char *name, uint32_t kind, const char *help,
                            double value)
{
    const char *unit = ends_with(name, "_bytes") ? "bytes" : ends_with(name, "_seconds") ? "seconds" : "";
    struct family *family = family_of(exposition, name, unit, kind, noctule_string_of(help, strlen(help)));
    char text[48];
    snprintf(text, sizeof(text), "%.17g", value);
    if (family && !sample_add(family, kind == NOCTULE_COUNTER ? "_total" : "", "", "", text))
        exposition->failed = true;
}

/* ---- the whole ---- */

static bool family_write(const struct exposition *exposition, struct family *family, struct evbuffer *out)
{
    static const char *const kinds[] = {
        [NOCTULE_COUNTER] = "counter", [NOCTULE_GAUGE] = "gauge", [NOCTULE_HISTOGRAM] = "histogram"};
    bool open = exposition->format == EXPOSITION_OPENMETRICS;
    const char *end = !open && family->kind == NOCTULE_COUNTER ? "_total" : "";
    bool done = evbuffer_add_printf(out, "# HELP %s%s ", family->name, end) >= 0;
    done &= evbuffer_add_buffer(out, family->help) == 0;
    done &= evbuffer_add_printf(out, "\n# TYPE %s%s %s\n", family->name, end, kinds[family->kind]) >= 0;
    if (open && *family->unit)
        done &= evbuffer_add_printf(out, "# UNIT %s %s\n", family->name, family->unit) >= 0;
    return done & (evbuffer_add_buffer(out, family->samples) == 0);
}

bool exposition_write(struct exposition *exposition, struct evbuffer *out)
{
    for (struct family *family = exposition->first; family; family = family->next)
        if (evbuffer_get_length(family->samples) > 0 && !family_write(exposition, family, out))
            return false;
    if (exposition->format == EXPOSITION_OPENMETRICS && evbuffer_add_printf(out, "# EOF\n") < 0)
        return false;
    return !exposition->failed;
}
