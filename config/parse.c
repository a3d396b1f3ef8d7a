#include "config/tree_build.h"

#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "core/base/map.h"
#include "core/base/memory.h"

#define CORE_TAG "tag:yaml.org,2002:"

struct parse {
    yaml_parser_t parser;
    const struct config_source *source;
    struct diagnostics *diagnostics;
    struct str text;
    struct map anchors; ///< name -> struct anchor
    bool failed;        ///< reported; nothing more can be read
};

struct anchor {
    struct config_node *node; ///< NULL while it is being read
};

static struct place place_at(const struct parse *p, yaml_mark_t mark)
{
    return (struct place){p->source->name, (unsigned)mark.line + 1, (unsigned)mark.column + 1};
}

// The rest of a line from a mark on, which counts characters, not bytes.
static struct str text_at(struct str text, yaml_mark_t mark)
{
    size_t line = mark.line;
    size_t i = 0;
    for (; i < text.length && line > 0; i++)
        line -= text.data[i] == '\n';
    for (size_t column = mark.column; i < text.length && column > 0; column--) {
        i++;
        while (i < text.length && ((unsigned char)text.data[i] & 0xC0) == 0x80)
            i++;
    }
    return str_make(text.data + i, text.length - i);
}

// What people stumble over most, said in their words.
static const char *syntax_hint(const struct parse *p)
{
    const yaml_parser_t *parser = &p->parser;
    if (parser->context && strstr(parser->context, "scanning an alias"))
        return " (a value that begins with `*` needs quotes)";
    if (parser->context && strstr(parser->context, "scanning an anchor"))
        return " (a value that begins with `&` needs quotes)";
    struct str here = text_at(p->text, parser->problem_mark);
    char first = here.length > 0 ? here.data[0] : '\0';
    if (first == '\t')
        return " (indent with spaces, not with tabs)";
    if (first == '@' || first == '`' || first == '%')
        return " (a value that begins with this character needs quotes)";
    if (parser->problem && strstr(parser->problem, "mapping values are not allowed"))
        return " (wrong indentation, or a value with `: ` in it, which needs quotes)";
    if (parser->context && strstr(parser->context, "flow"))
        return " (a value that begins with `[` or `{`, such as an IPv6 address, needs quotes)";
    return "";
}

// Errors of the reader carry an offset in bytes instead of a mark.
static struct place place_of_offset(const struct parse *p, size_t offset)
{
    struct place place = {p->source->name, 1, 1};
    for (size_t i = 0; i < offset && i < p->text.length; i++) {
        if (p->text.data[i] == '\n') {
            place.line++;
            place.column = 1;
        } else if (((unsigned char)p->text.data[i] & 0xC0) != 0x80) {
            place.column++;
        }
    }
    return place;
}

static void report_syntax(struct parse *p)
{
    const yaml_parser_t *parser = &p->parser;
    const char *problem = parser->problem ? parser->problem : "not YAML";
    if (parser->error == YAML_READER_ERROR)
        diagnostics_error(p->diagnostics, place_of_offset(p, parser->problem_offset), "%s", problem);
    else if (parser->context && parser->context_mark.line != parser->problem_mark.line)
        diagnostics_error(p->diagnostics, place_at(p, parser->problem_mark), "%s, %s from line %zu on%s",
                          problem, parser->context, parser->context_mark.line + 1, syntax_hint(p));
    else if (parser->context)
        diagnostics_error(p->diagnostics, place_at(p, parser->problem_mark), "%s, %s%s", problem,
                          parser->context, syntax_hint(p));
    else
        diagnostics_error(p->diagnostics, place_at(p, parser->problem_mark), "%s%s", problem, syntax_hint(p));
}

static bool next_event(struct parse *p, yaml_event_t *event)
{
    if (p->failed)
        return false;
    if (p->parser.error == YAML_NO_ERROR && yaml_parser_parse(&p->parser, event))
        return true;
    report_syntax(p);
    p->failed = true;
    return false;
}

static struct config_node *new_node(struct parse *p, enum config_kind kind, struct place place,
                                    const char *name)
{
    struct config_node *node = config_node_new(p->source, kind, place, name, p->diagnostics);
    if (!node)
        p->failed = true;
    return node;
}

static const char *copy_text(struct parse *p, struct place place, const void *data, size_t length)
{
    struct config_tree *tree = p->source->tree;
    if (length > CONFIG_TEXT_MAX - tree->text_bytes) {
        diagnostics_error(p->diagnostics, place, "the configuration is too large");
        p->failed = true;
        return NULL;
    }
    tree->text_bytes += length;
    return config_copy(tree, str_make(data, length));
}

static struct config_node *read_node(struct parse *p, yaml_event_t *event, const char *name, unsigned depth);

// --- tags -----------------------------------------------------------------------------------------

enum tag { TAG_NONE, TAG_STRING, TAG_PLAIN, TAG_NULL, TAG_LIST, TAG_MAP, TAG_OTHER };

static enum tag tag_of(const yaml_char_t *tag)
{
    static const struct {
        const char *text;
        enum tag tag;
    } known[] = {
        {"!", TAG_STRING},
        {CORE_TAG "str", TAG_STRING},
        {CORE_TAG "int", TAG_PLAIN},
        {CORE_TAG "bool", TAG_PLAIN},
        {CORE_TAG "float", TAG_PLAIN},
        {CORE_TAG "null", TAG_NULL},
        {CORE_TAG "seq", TAG_LIST},
        {CORE_TAG "map", TAG_MAP},
    };
    if (!tag)
        return TAG_NONE;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp((const char *)tag, known[i].text) == 0)
            return known[i].tag;
    return TAG_OTHER;
}

static void check_tag(struct parse *p, struct config_node *node, const yaml_char_t *text)
{
    enum tag tag = tag_of(text);
    bool fits = tag == TAG_NONE || (node->kind == CONFIG_MAP && tag == TAG_MAP) ||
                (node->kind == CONFIG_LIST && tag == TAG_LIST) ||
                (node->kind == CONFIG_NULL && tag == TAG_NULL) ||
                (node->kind == CONFIG_SCALAR && (tag == TAG_STRING || tag == TAG_PLAIN));
    if (fits)
        return;
    char shown[CONFIG_SHOWN];
    config_show((const char *)text, shown);
    if (tag == TAG_OTHER)
        diagnostics_error(p->diagnostics, node->place, "the tag `%s` is not known here", shown);
    else
        diagnostics_error(p->diagnostics, node->place, "the tag `%s` does not fit its value", shown);
    node->broken = true;
}

// --- anchors --------------------------------------------------------------------------------------

static struct anchor *anchor_open(struct parse *p, const yaml_char_t *name)
{
    if (!name)
        return NULL;
    struct anchor *anchor = config_alloc(p->source->tree, sizeof *anchor);
    const char *key = config_copy(p->source->tree, str_of((const char *)name));
    map_put(&p->anchors, str_of(key), anchor);
    return anchor;
}

static struct config_node *copy_node(struct parse *p, const struct config_node *from, const char *name,
                                     unsigned depth)
{
    if (depth > CONFIG_DEPTH_MAX) {
        diagnostics_error(p->diagnostics, from->place, "nested deeper than %d levels", CONFIG_DEPTH_MAX);
        p->failed = true;
        return NULL;
    }
    struct config_node *node = new_node(p, from->kind, from->place, name);
    if (!node)
        return NULL;
    node->quoted = from->quoted;
    node->broken = from->broken;
    node->text = from->text;
    node->written = from->written;
    struct config_node *last_item = NULL;
    for (const struct config_node *item = from->items; item && !p->failed; item = item->next) {
        struct config_node *copy = copy_node(p, item, name, depth + 1);
        if (!copy)
            return NULL;
        copy->is_item = true;
        config_list_append(node, last_item, copy);
        last_item = copy;
    }
    struct config_entry *last_entry = NULL;
    for (const struct config_entry *entry = from->entries; entry; entry = entry->next) {
        struct config_entry *copy = config_alloc(p->source->tree, sizeof *copy);
        copy->key = entry->key;
        copy->place = entry->place;
        copy->value = copy_node(p, entry->value, entry->key, depth + 1);
        if (!copy->value)
            return NULL;
        config_map_append(node, last_entry, copy);
        last_entry = copy;
    }
    return node;
}

static struct config_node *read_alias(struct parse *p, const yaml_event_t *event, const char *name,
                                      unsigned depth)
{
    const char *alias = (const char *)event->data.alias.anchor;
    struct anchor *anchor = map_get(&p->anchors, str_of(alias));
    if (anchor && anchor->node)
        return copy_node(p, anchor->node, name, depth);
    char shown[CONFIG_SHOWN];
    config_show(alias, shown);
    struct place place = place_at(p, event->start_mark);
    if (anchor)
        diagnostics_error(p->diagnostics, place, "`*%s` stands inside of what it refers to", shown);
    else
        diagnostics_error(p->diagnostics, place, "`*%s`: no `&%s` comes before it", shown, shown);
    struct config_node *node = new_node(p, CONFIG_NULL, place, name);
    if (node)
        node->broken = true;
    return node;
}

// --- scalars --------------------------------------------------------------------------------------

static bool is_null_word(const char *text)
{
    static const char *const words[] = {"", "~", "null", "Null", "NULL"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcmp(text, words[i]) == 0)
            return true;
    return false;
}

static void fill_scalar(struct parse *p, struct config_node *node, struct str text, enum tag tag)
{
    if (memchr(node->text, '\0', text.length)) {
        diagnostics_error(p->diagnostics, node->place, "a value must not contain the character NUL");
        node->broken = true;
        return;
    }
    if (!node->quoted && tag != TAG_STRING && is_null_word(node->text)) {
        node->kind = CONFIG_NULL;
        return;
    }
    if (tag == TAG_STRING)
        node->quoted = true;
    else if (tag == TAG_PLAIN)
        node->quoted = false;
    const char *replaced;
    if (!config_substitute(p->source, node->place, text, &replaced, p->diagnostics)) {
        node->broken = true;
    } else if (replaced) {
        // Inside of [ ] and { } a variable has to be quoted to be YAML, and may still stand for a number.
        node->quoted = tag == TAG_STRING;
        node->written = node->text;
        node->text = replaced;
    }
}

static struct config_node *read_scalar(struct parse *p, const yaml_event_t *event, const char *name)
{
    struct place place = place_at(p, event->start_mark);
    struct config_node *node = new_node(p, CONFIG_SCALAR, place, name);
    if (!node)
        return NULL;
    size_t length = event->data.scalar.length;
    node->quoted = event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
    node->text = copy_text(p, place, event->data.scalar.value, length);
    if (!node->text)
        return NULL;
    fill_scalar(p, node, str_make(node->text, length), tag_of(event->data.scalar.tag));
    check_tag(p, node, event->data.scalar.tag);
    return node;
}

// --- lists and maps -------------------------------------------------------------------------------

static struct config_node *read_list(struct parse *p, const yaml_event_t *start, const char *name,
                                     unsigned depth)
{
    struct config_node *list = new_node(p, CONFIG_LIST, place_at(p, start->start_mark), name);
    if (!list)
        return NULL;
    check_tag(p, list, start->data.sequence_start.tag);
    struct config_node *last = NULL;
    yaml_event_t event;
    while (next_event(p, &event)) {
        bool end = event.type == YAML_SEQUENCE_END_EVENT;
        struct config_node *item = end ? NULL : read_node(p, &event, name, depth + 1);
        yaml_event_delete(&event);
        if (end || !item)
            break;
        item->is_item = true;
        config_list_append(list, last, item);
        last = item;
    }
    return p->failed ? NULL : list;
}

struct map_reader {
    struct config_node *map;
    struct config_entry *last;
    struct map keys;            ///< key -> struct config_entry
    struct config_node *merges; ///< what `<<` names, in order
    struct config_node *last_merge;
};

static void add_entry(struct map_reader *reader, struct config_entry *entry)
{
    map_put(&reader->keys, str_of(entry->key), entry);
    config_map_append(reader->map, reader->last, entry);
    reader->last = entry;
}

// `<<: *base` and `<<: [*a, *b]`: their entries stand in for keys that the map itself does not have.
static void note_merge(struct parse *p, struct map_reader *reader, struct config_node *value)
{
    struct config_node *item = value->kind == CONFIG_LIST ? value->items : value;
    while (item) {
        struct config_node *next = item->next;
        item->next = NULL;
        if (item->kind == CONFIG_MAP) {
            if (reader->last_merge)
                reader->last_merge->next = item;
            else
                reader->merges = item;
            reader->last_merge = item;
        } else if (!item->broken) {
            diagnostics_error(p->diagnostics, item->place, "`<<` expects a map, or a list of maps");
        }
        item = next;
    }
}

static void apply_merges(struct map_reader *reader)
{
    for (struct config_node *from = reader->merges; from; from = from->next) {
        struct config_entry *next;
        for (struct config_entry *entry = from->entries; entry; entry = next) {
            next = entry->next;
            entry->next = NULL;
            if (!map_get(&reader->keys, str_of(entry->key)))
                add_entry(reader, entry);
        }
    }
}

// The key of an event, or NULL when it can be none: reported.
static const char *read_key(struct parse *p, const yaml_event_t *event)
{
    struct place place = place_at(p, event->start_mark);
    const char *problem = NULL;
    if (event->type != YAML_SCALAR_EVENT)
        problem = "a key must be a word";
    else if (event->data.scalar.length == 0)
        problem = "a key must not be empty";
    else if (memchr(event->data.scalar.value, '\0', event->data.scalar.length))
        problem = "a key must not contain the character NUL";
    if (!problem)
        return copy_text(p, place, event->data.scalar.value, event->data.scalar.length);
    diagnostics_error(p->diagnostics, place, "%s", problem);
    return NULL;
}

static void store_entry(struct parse *p, struct map_reader *reader, const char *key, struct place place,
                        struct config_node *value)
{
    struct config_entry *first = map_get(&reader->keys, str_of(key));
    if (first) {
        char shown[CONFIG_SHOWN];
        diagnostics_error(p->diagnostics, place, "duplicate key `%s` (the first is in line %u)",
                          config_show(key, shown), first->place.line);
        return;
    }
    struct config_entry *entry = config_alloc(p->source->tree, sizeof *entry);
    entry->key = key;
    entry->place = place;
    entry->value = value;
    add_entry(reader, entry);
}

// Reads the value behind `key_event` and keeps both, unless the key is none.
static bool read_entry(struct parse *p, struct map_reader *reader, yaml_event_t *key_event, unsigned depth)
{
    struct place place = place_at(p, key_event->start_mark);
    const char *key = read_key(p, key_event);
    if (key_event->type != YAML_SCALAR_EVENT && !read_node(p, key_event, NULL, depth + 1))
        return false;
    bool plain_merge =
        key && strcmp(key, "<<") == 0 && key_event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    yaml_event_t event;
    if (!next_event(p, &event))
        return false;
    struct config_node *value = read_node(p, &event, key, depth + 1);
    yaml_event_delete(&event);
    if (!value)
        return false;
    if (plain_merge)
        note_merge(p, reader, value);
    else if (key)
        store_entry(p, reader, key, place, value);
    return true;
}

static struct config_node *read_map(struct parse *p, const yaml_event_t *start, const char *name,
                                    unsigned depth)
{
    struct config_node *map = new_node(p, CONFIG_MAP, place_at(p, start->start_mark), name);
    if (!map)
        return NULL;
    check_tag(p, map, start->data.mapping_start.tag);
    struct map_reader reader = {.map = map};
    yaml_event_t event;
    bool more = true;
    while (more && next_event(p, &event)) {
        more = event.type != YAML_MAPPING_END_EVENT && read_entry(p, &reader, &event, depth);
        yaml_event_delete(&event);
    }
    if (!p->failed)
        apply_merges(&reader);
    map_clear(&reader.keys);
    return p->failed ? NULL : map;
}

// --- documents ------------------------------------------------------------------------------------

static struct config_node *read_node(struct parse *p, yaml_event_t *event, const char *name, unsigned depth)
{
    if (depth > CONFIG_DEPTH_MAX) {
        diagnostics_error(p->diagnostics, place_at(p, event->start_mark), "nested deeper than %d levels",
                          CONFIG_DEPTH_MAX);
        p->failed = true;
        return NULL;
    }
    struct config_node *node;
    struct anchor *anchor;
    if (event->type == YAML_ALIAS_EVENT)
        return read_alias(p, event, name, depth);
    if (event->type == YAML_SCALAR_EVENT) {
        anchor = anchor_open(p, event->data.scalar.anchor);
        node = read_scalar(p, event, name);
    } else if (event->type == YAML_SEQUENCE_START_EVENT) {
        anchor = anchor_open(p, event->data.sequence_start.anchor);
        node = read_list(p, event, name, depth);
    } else {
        anchor = anchor_open(p, event->data.mapping_start.anchor);
        node = read_map(p, event, name, depth);
    }
    if (anchor)
        anchor->node = node;
    return node;
}

// An empty file, and a file that is no map, become an empty map, so that others find a root.
static struct config_node *as_root(struct parse *p, struct config_node *node)
{
    if (node && node->kind == CONFIG_MAP)
        return node;
    if (node && node->kind != CONFIG_NULL)
        config_wrong(node, "a map", p->diagnostics);
    struct config_node *root = new_node(p, CONFIG_MAP, (struct place){.file = p->source->name}, NULL);
    if (root)
        root->broken = node && node->kind != CONFIG_NULL;
    return root;
}

static struct config_node *read_stream(struct parse *p)
{
    struct config_node *root = NULL;
    unsigned documents = 0;
    yaml_event_t event;
    bool more = true;
    while (more && next_event(p, &event)) {
        if (event.type == YAML_STREAM_END_EVENT) {
            more = false;
        } else if (event.type == YAML_DOCUMENT_START_EVENT && documents++ > 0) {
            diagnostics_error(p->diagnostics, place_at(p, event.start_mark),
                              "a second document begins here; a file holds one");
            p->failed = true;
        } else if (event.type != YAML_STREAM_START_EVENT && event.type != YAML_DOCUMENT_START_EVENT &&
                   event.type != YAML_DOCUMENT_END_EVENT) {
            root = read_node(p, &event, NULL, 0);
        }
        yaml_event_delete(&event);
    }
    return p->failed ? NULL : as_root(p, root);
}

struct config_node *config_parse(const struct config_source *source, const char *text, size_t length,
                                 struct diagnostics *diagnostics)
{
    struct parse p = {.source = source, .diagnostics = diagnostics, .text = {text, length}};
    if (!yaml_parser_initialize(&p.parser))
        memory_exhausted();
    yaml_parser_set_encoding(&p.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&p.parser, (const unsigned char *)(text ? text : ""), length);
    struct config_node *root = read_stream(&p);
    map_clear(&p.anchors);
    yaml_parser_delete(&p.parser);
    return root;
}
