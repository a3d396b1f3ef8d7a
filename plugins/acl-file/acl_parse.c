#include "acl_parse.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "acl_tree.h"

#define FILE_BYTES_MAX     (256U * 1024 * 1024)
#define USERNAME_BYTES_MAX 65535
#define SHOWN_BYTES        64

struct slice {
    const char *text;
    size_t length;
};

struct parser {
    struct acl_rules *rules;
    struct acl_problems *problems;
    const char *file_name;
    uint32_t line;
    uint32_t root; /* where `topic` lines go: the block we are in */
    bool out_of_memory;
};

static const struct {
    const char *name;
    uint8_t kinds;
} accesses[] = {
    {"read", ACL_KIND_BIT(ACL_KIND_READ)},
    {"write", ACL_KIND_BIT(ACL_KIND_WRITE)},
    {"readwrite", ACL_KIND_BIT(ACL_KIND_READ) | ACL_KIND_BIT(ACL_KIND_WRITE)},
    {"deny", ACL_KIND_BIT(ACL_KIND_DENY)},
};

static bool slice_is(struct slice slice, const char *word)
{
    return slice.length == strlen(word) && memcmp(slice.text, word, slice.length) == 0;
}

static bool slice_is_but_for_case(struct slice slice, const char *word)
{
    return slice.length == strlen(word) && strncasecmp(slice.text, word, slice.length) == 0;
}

static bool slice_has(struct slice slice, char byte)
{
    return slice.length > 0 && memchr(slice.text, byte, slice.length);
}

/* Takes the next word, up to a space, off the front of `rest`; `rest` then begins at the word after it. */
static struct slice word_take(struct slice *rest)
{
    const char *space = rest->length ? memchr(rest->text, ' ', rest->length) : NULL;
    struct slice word = {rest->text, space ? (size_t)(space - rest->text) : rest->length};
    rest->text += word.length;
    rest->length -= word.length;
    while (rest->length && rest->text[0] == ' ') {
        rest->text++;
        rest->length--;
    }
    return word;
}

/* White space at the end of a line, a carriage return included, is not part of it. */
static void line_trim(struct slice *line)
{
    while (line->length && strchr(" \t\r\v\f", line->text[line->length - 1]) &&
           line->text[line->length - 1] != '\0')
        line->length--;
}

static void error_tab(struct parser *parser)
{
    acl_problem_add(parser->problems, parser->line, true, "words are separated by spaces, not by tabs");
}

/* The kinds that an access word stands for, 0 when it is none. */
static uint8_t access_kinds(struct slice word)
{
    for (size_t i = 0; i < sizeof(accesses) / sizeof(accesses[0]); i++)
        if (slice_is(word, accesses[i].name))
            return accesses[i].kinds;
    return 0;
}

static void error_access(struct parser *parser, struct slice word)
{
    char shown[SHOWN_BYTES];
    acl_text_shown(word.text, word.length, shown, sizeof(shown));
    for (size_t i = 0; i < sizeof(accesses) / sizeof(accesses[0]); i++) {
        if (slice_is_but_for_case(word, accesses[i].name)) {
            acl_problem_add(parser->problems, parser->line, true,
                            "unknown access '%s': keywords are lower case (expected '%s')", shown,
                            accesses[i].name);
            return;
        }
    }
    acl_problem_add(parser->problems, parser->line, true,
                    "unknown access '%s' (expected read, write, readwrite or deny; a filter that holds a "
                    "space needs one of them before it)",
                    shown);
}

/* Reads "[ACCESS] FILTER". A lone word is a filter, even if it reads like an access. False: an error was
 * added. */
static bool access_and_filter(struct parser *parser, const char *keyword, struct slice rest, uint8_t *kinds,
                              struct slice *filter)
{
    if (rest.length == 0) {
        acl_problem_add(parser->problems, parser->line, true, "'%s' without a topic filter", keyword);
        return false;
    }
    struct slice word = word_take(&rest);
    bool lone = rest.length == 0;
    if (slice_has(word, '\t') || (!lone && rest.text[0] == '\t')) {
        error_tab(parser);
        return false;
    }
    *kinds = lone ? access_kinds((struct slice){"readwrite", strlen("readwrite")}) : access_kinds(word);
    *filter = lone ? word : rest;
    if (!*kinds) {
        error_access(parser, word);
        return false;
    }
    const char *fault = acl_filter_fault(filter->text, filter->length);
    if (fault) {
        char shown[SHOWN_BYTES];
        acl_text_shown(filter->text, filter->length, shown, sizeof(shown));
        acl_problem_add(parser->problems, parser->line, true, "'%s' is no topic filter: %s", shown, fault);
    }
    return !fault;
}

static void filter_warn(struct parser *parser, bool is_pattern, struct slice filter)
{
    bool names_any =
        acl_text_names(filter.text, filter.length, 'c') || acl_text_names(filter.text, filter.length, 'u');
    if (!acl_text_is_utf8(filter.text, filter.length))
        acl_problem_add(parser->problems, parser->line, false,
                        "the filter is not valid UTF-8, so it matches no topic");
    if (is_pattern && !names_any)
        acl_problem_add(parser->problems, parser->line, false,
                        "pattern without %%c or %%u applies to every client");
    if (!is_pattern && names_any)
        acl_problem_add(parser->problems, parser->line, false,
                        "%%c and %%u stand for themselves in a 'topic' line (was 'pattern' meant?)");
    if (!is_pattern || !names_any || parser->rules->substitution != ACL_SUBSTITUTION_LEVEL)
        return;
    for (size_t offset = 0; offset <= filter.length;) {
        const char *level = filter.text + offset;
        const char *slash = memchr(level, '/', filter.length - offset);
        size_t length = slash ? (size_t)(slash - level) : filter.length - offset;
        if (!acl_level_is_whole(level, length) &&
            (acl_text_names(level, length, 'c') || acl_text_names(level, length, 'u'))) {
            acl_problem_add(parser->problems, parser->line, false,
                            "%%c and %%u stand for themselves unless they are a whole level "
                            "(substitution: level)");
            return;
        }
        offset += length + 1;
    }
}

/* Stores "FILE:LINE: the line as written", whose end is the filter, and hangs the rule into its tree. */
static void rule_store(struct parser *parser, uint32_t root, bool is_pattern, struct slice line,
                       uint8_t kinds, struct slice filter)
{
    char *reason = NULL;
    int length =
        asprintf(&reason, "%s:%u: %.*s", parser->file_name, parser->line, (int)line.length, line.text);
    uint32_t offset = length < 0 ? UINT32_MAX : acl_tree_store(parser->rules, reason, (size_t)length);
    if (length >= 0)
        free(reason);
    struct acl_rule rule = {
        .line = parser->line,
        .reason = offset,
        .reason_length = (uint32_t)length,
        .filter = offset + (uint32_t)length - (uint32_t)filter.length,
        .filter_length = (uint16_t)filter.length,
        .kinds = kinds,
        .is_pattern = is_pattern,
        .names_user = is_pattern && acl_text_names(filter.text, filter.length, 'u'),
    };
    if (offset == UINT32_MAX || !acl_tree_add(parser->rules, root, &rule))
        parser->out_of_memory = true;
}

static void rule_parse(struct parser *parser, bool is_pattern, struct slice line, struct slice rest)
{
    uint8_t kinds;
    struct slice filter;
    if (!access_and_filter(parser, is_pattern ? "pattern" : "topic", rest, &kinds, &filter))
        return;
    filter_warn(parser, is_pattern, filter);
    rule_store(parser, is_pattern ? ACL_NODE_PATTERNS : parser->root, is_pattern, line, kinds, filter);
}

static void user_parse(struct parser *parser, struct slice name)
{
    if (name.length == 0) {
        acl_problem_add(parser->problems, parser->line, true, "'user' without a name");
        return;
    }
    if (name.text[0] == '\t') {
        error_tab(parser);
        return;
    }
    if (name.length > USERNAME_BYTES_MAX) {
        acl_problem_add(parser->problems, parser->line, true, "the username is longer than 65535 bytes");
        return;
    }
    parser->root = acl_tree_user(parser->rules, name.text, name.length);
    if (parser->root == ACL_NODE_NONE)
        parser->out_of_memory = true;
}

static void error_keyword(struct parser *parser, struct slice word)
{
    static const char *const keywords[] = {"topic", "pattern", "user"};
    char shown[SHOWN_BYTES];
    acl_text_shown(word.text, word.length, shown, sizeof(shown));
    if (slice_has(word, '\t')) {
        error_tab(parser);
        return;
    }
    if (word.text[0] == '#') {
        acl_problem_add(parser->problems, parser->line, true, "a comment must begin in the first column");
        return;
    }
    for (size_t i = 0; i < sizeof(keywords) / sizeof(keywords[0]); i++) {
        if (slice_is_but_for_case(word, keywords[i])) {
            acl_problem_add(parser->problems, parser->line, true,
                            "unknown keyword '%s': keywords are lower case (expected '%s')", shown,
                            keywords[i]);
            return;
        }
    }
    acl_problem_add(parser->problems, parser->line, true,
                    "unknown keyword '%s' (expected topic, pattern or user)", shown);
}

static void line_parse(struct parser *parser, struct slice line)
{
    if (line.length && line.text[0] == '#')
        return;
    line_trim(&line);
    while (line.length && line.text[0] == ' ') {
        line.text++;
        line.length--;
    }
    if (line.length == 0)
        return;
    if (slice_has(line, '\0')) {
        acl_problem_add(parser->problems, parser->line, true, "the line holds a NUL byte");
        return;
    }
    struct slice rest = line;
    struct slice keyword = word_take(&rest);
    if (slice_is(keyword, "topic"))
        rule_parse(parser, false, line, rest);
    else if (slice_is(keyword, "pattern"))
        rule_parse(parser, true, line, rest);
    else if (slice_is(keyword, "user"))
        user_parse(parser, rest);
    else
        error_keyword(parser, keyword);
}

static void lines_parse(struct parser *parser, const char *text, size_t length)
{
    for (size_t offset = 0; offset < length && !parser->out_of_memory;) {
        const char *start = text + offset;
        const char *newline = memchr(start, '\n', length - offset);
        size_t line_length = newline ? (size_t)(newline - start) : length - offset;
        parser->line++;
        line_parse(parser, (struct slice){start, line_length});
        offset += line_length + 1;
    }
}

struct acl_rules *acl_rules_parse(const char *text, size_t length, const char *file_name,
                                  const struct acl_options *options, struct acl_problems *problems)
{
    struct parser parser = {.problems = problems, .file_name = file_name, .root = ACL_NODE_NOBODY};
    size_t errors_before = problems->errors;
    if (length > FILE_BYTES_MAX) {
        acl_problem_add(problems, 0, true, "the file is larger than 256 MiB");
        return NULL;
    }
    parser.rules = acl_tree_new(options->substitution, file_name);
    if (parser.rules)
        lines_parse(&parser, text, length);
    if (!parser.rules || parser.out_of_memory)
        acl_problem_add(problems, parser.line, true, "out of memory");
    if (!parser.rules || problems->errors > errors_before) {
        acl_rules_free(parser.rules);
        return NULL;
    }
    if (parser.rules->rule_count == 0)
        acl_problem_add(problems, 0, false, "there is no rule in it, so it allows nothing");
    return parser.rules;
}

/* Reads a whole file. Returns its text, owned by the caller, or NULL with errno set. */
static char *file_read(const char *path, size_t *length)
{
    FILE *file = fopen(path, "re");
    if (!file)
        return NULL;
    char *text = NULL;
    size_t room = 0;
    int error = 0;
    *length = 0;
    do {
        if (*length == room) {
            room = room ? room * 2 : 16384;
            char *moved = realloc(text, room);
            if (!moved) {
                error = ENOMEM;
                break;
            }
            text = moved;
        }
        errno = 0;
        *length += fread(text + *length, 1, room - *length, file);
        if (ferror(file))
            error = errno ? errno : EIO;
    } while (!error && !feof(file) && *length <= FILE_BYTES_MAX);
    fclose(file);
    if (error) {
        free(text);
        errno = error;
        return NULL;
    }
    return text;
}

struct acl_rules *acl_rules_load(const char *path, const struct acl_options *options,
                                 struct acl_problems *problems)
{
    size_t length;
    char *text = file_read(path, &length);
    if (!text) {
        acl_problem_add(problems, 0, true, "cannot read it: %s", strerror(errno));
        return NULL;
    }
    const char *slash = strrchr(path, '/');
    struct acl_rules *rules = acl_rules_parse(text, length, slash ? slash + 1 : path, options, problems);
    free(text);
    return rules;
}
