#include "config/tree_build.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/memory.h"

// The text that grows while variables are put in.
struct output {
    char *data;
    size_t capacity;
    size_t length;
};

static void put(struct output *output, struct str text)
{
    if (text.length > output->capacity - output->length) {
        output->capacity = output->length + text.length + output->capacity + 64;
        output->data = memory_resize(output->data, output->capacity);
    }
    if (text.length > 0)
        memcpy(output->data + output->length, text.data, text.length);
    output->length += text.length;
}

struct substitution {
    const struct config_source *source;
    struct place place;
    struct diagnostics *diagnostics;
    struct output output;
};

// Room for what is put in is bounded over the whole tree, as one variable may be named many times.
static bool put_value(struct substitution *s, struct str value, const char *what)
{
    struct config_tree *tree = s->source->tree;
    if (!str_is_utf8(value)) {
        diagnostics_error(s->diagnostics, s->place, "the value of `%s` is not UTF-8 text", what);
        return false;
    }
    if (value.length > CONFIG_TEXT_MAX - tree->text_bytes) {
        diagnostics_error(s->diagnostics, s->place, "with `%s` the configuration is too large", what);
        return false;
    }
    tree->text_bytes += value.length;
    put(&s->output, value);
    return true;
}

static bool put_file(struct substitution *s, const char *path, const char *what)
{
    struct config_tree *tree = s->source->tree;
    if (!tree->options.files) {
        diagnostics_error(s->diagnostics, s->place, "`%s`: no files can be read here", what);
        return false;
    }
    if (!*path) {
        diagnostics_error(s->diagnostics, s->place, "`%s` names no file", what);
        return false;
    }
    const char *full = config_path_join(tree, s->source->folder, path);
    const char *why;
    size_t length;
    char *text = config_file_read(full, CONFIG_SECRET_MAX, &length, &why);
    if (!text) {
        diagnostics_error(s->diagnostics, s->place, "`%s`: cannot read %s: %s", what, full, why);
        return false;
    }
    if (length > 0 && text[length - 1] == '\n')
        length--;
    if (length > 0 && text[length - 1] == '\r')
        length--;
    bool good = put_value(s, str_make(text, length), what);
    explicit_bzero(text, length);
    free(text);
    return good;
}

static size_t name_length(const char *text)
{
    size_t length = 0;
    while (isalpha((unsigned char)text[length]) || text[length] == '_' ||
           (length > 0 && isdigit((unsigned char)text[length])))
        length++;
    return length;
}

static bool put_variable(struct substitution *s, char *expression, const char *what)
{
    size_t length = name_length(expression);
    const char *fallback = NULL;
    if (length > 0 && strncmp(expression + length, ":-", 2) == 0)
        fallback = expression + length + 2;
    else if (length == 0 || expression[length] != '\0') {
        diagnostics_error(s->diagnostics, s->place,
                          "`%s` is not a variable: ${NAME}, ${NAME:-default} and ${file:PATH} are "
                          "(write $${ for a literal ${)",
                          what);
        return false;
    }
    expression[length] = '\0';
    const struct config_options *options = &s->source->tree->options;
    const char *value = options->variable ? options->variable(options->context, expression) : NULL;
    if (fallback && (!value || !*value))
        value = fallback;
    if (!value) {
        diagnostics_error(s->diagnostics, s->place,
                          "the variable %s is not set (${%s:-default} would give it a default)", expression,
                          expression);
        return false;
    }
    return put_value(s, str_of(value), what);
}

// One ${...}, `expression` being what stands between the braces.
static bool put_expression(struct substitution *s, struct str expression)
{
    char shown[CONFIG_SHOWN];
    char *text = str_to_c(expression);
    char *what = str_format("${%s}", text);
    config_show(what, shown);
    free(what);
    bool good;
    if (strstr(text, "${")) {
        diagnostics_error(s->diagnostics, s->place, "`%s`: a variable cannot stand inside another", shown);
        good = false;
    } else if (strncmp(text, "file:", 5) == 0) {
        good = put_file(s, text + 5, shown);
    } else {
        good = put_variable(s, text, shown);
    }
    free(text);
    return good;
}

static bool substitute(struct substitution *s, struct str text)
{
    bool good = true;
    while (text.length > 0) {
        const char *dollar = memchr(text.data, '$', text.length);
        size_t before = dollar ? (size_t)(dollar - text.data) : text.length;
        put(&s->output, str_make(text.data, before));
        text = str_make(text.data + before, text.length - before);
        if (str_starts(text, STR("$${"))) {
            put(&s->output, STR("${"));
            text = str_make(text.data + 3, text.length - 3);
        } else if (str_starts(text, STR("${"))) {
            const char *end = memchr(text.data, '}', text.length);
            if (!end) {
                diagnostics_error(s->diagnostics, s->place, "`${` without `}` (write $${ for a literal ${)");
                return false;
            }
            size_t length = (size_t)(end - text.data);
            good = put_expression(s, str_make(text.data + 2, length - 2)) && good;
            text = str_make(end + 1, text.length - length - 1);
        } else if (text.length > 0) {
            put(&s->output, str_make(text.data, 1));
            text = str_make(text.data + 1, text.length - 1);
        }
    }
    return good;
}

bool config_substitute(const struct config_source *source, struct place place, struct str text,
                       const char **out, struct diagnostics *diagnostics)
{
    *out = NULL;
    if (!memmem(text.data, text.length, "${", 2))
        return true;
    struct substitution s = {.source = source, .place = place, .diagnostics = diagnostics};
    bool good = substitute(&s, text);
    if (good)
        *out = config_copy(source->tree, str_make(s.output.data, s.output.length));
    if (s.output.data)
        explicit_bzero(s.output.data, s.output.capacity);
    free(s.output.data);
    return good;
}
