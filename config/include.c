#include "config/tree_build.h"

#include <errno.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/base/map.h"
#include "core/base/memory.h"

// The files that are being read, innermost first: what an include must not name again.
struct open_file {
    const struct open_file *outer;
    dev_t device;
    ino_t inode;
    unsigned depth;
};

static void include_all(struct config_node *root, const struct open_file *opened,
                        struct diagnostics *diagnostics);

static void merge_value(struct config_entry *into, struct config_entry *from, struct diagnostics *diagnostics)
{
    struct config_node *a = into->value;
    struct config_node *b = from->value;
    if (b->kind == CONFIG_NULL && !b->broken)
        return;
    if (a->kind == CONFIG_NULL && !a->broken) {
        into->value = b;
    } else if (a->kind == CONFIG_LIST && b->kind == CONFIG_LIST) {
        struct config_node *last = a->items;
        while (last && last->next)
            last = last->next;
        if (b->items)
            config_list_append(a, last, b->items);
        a->count += b->count - (b->items ? 1 : 0);
    } else if (a->kind == CONFIG_MAP && b->kind == CONFIG_MAP) {
        config_merge(a, b, diagnostics);
    } else {
        char shown[CONFIG_SHOWN];
        diagnostics_error(diagnostics, from->place, "`%s` is already set at %s:%u:%u",
                          config_show(from->key, shown), into->place.file, into->place.line,
                          into->place.column);
    }
}

void config_merge(struct config_node *into, struct config_node *from, struct diagnostics *diagnostics)
{
    struct map keys = {0};
    struct config_entry *last = NULL;
    for (struct config_entry *entry = into->entries; entry; entry = entry->next) {
        map_put(&keys, str_of(entry->key), entry);
        last = entry;
    }
    struct config_entry *next;
    for (struct config_entry *entry = from->entries; entry; entry = next) {
        next = entry->next;
        entry->next = NULL;
        struct config_entry *same = map_get(&keys, str_of(entry->key));
        if (same) {
            merge_value(same, entry, diagnostics);
        } else {
            config_map_append(into, last, entry);
            last = entry;
        }
    }
    map_clear(&keys);
    from->entries = NULL;
    from->count = 0;
    into->broken = into->broken || from->broken;
}

static struct config_node *parse_file(struct config_tree *tree, const char *path, struct place from,
                                      const struct open_file *outer, struct diagnostics *diagnostics)
{
    const char *why;
    size_t length;
    char *text = config_file_read(path, CONFIG_FILE_MAX, &length, &why);
    if (!text) {
        diagnostics_error(diagnostics, from, "cannot read %s: %s", path, why);
        return NULL;
    }
    struct open_file opened = {.outer = outer, .depth = outer ? outer->depth + 1 : 0};
    struct stat status;
    if (stat(path, &status) == 0) {
        opened.device = status.st_dev;
        opened.inode = status.st_ino;
    }
    struct config_node *root = config_parse(config_source_new(tree, path, NULL), text, length, diagnostics);
    explicit_bzero(text, length);
    free(text);
    if (root)
        include_all(root, &opened, diagnostics);
    return root;
}

static bool is_open(const struct open_file *opened, const char *path)
{
    struct stat status;
    if (stat(path, &status) != 0)
        return false;
    for (; opened; opened = opened->outer)
        if (opened->inode != 0 && opened->device == status.st_dev && opened->inode == status.st_ino)
            return true;
    return false;
}

static void include_file(struct config_node *root, const struct config_node *what, const char *path,
                         const struct open_file *opened, struct diagnostics *diagnostics)
{
    struct config_tree *tree = root->source->tree;
    if (is_open(opened, path)) {
        diagnostics_error(diagnostics, what->place, "%s would include itself", path);
    } else if (opened && opened->depth >= CONFIG_INCLUDE_DEPTH_MAX) {
        diagnostics_error(diagnostics, what->place, "files include each other more than %d levels deep",
                          CONFIG_INCLUDE_DEPTH_MAX);
    } else if (++tree->files > CONFIG_INCLUDE_FILES_MAX) {
        if (!tree->full)
            diagnostics_error(diagnostics, what->place, "more than %d files", CONFIG_INCLUDE_FILES_MAX);
        tree->full = true;
    } else {
        struct config_node *included = parse_file(tree, path, what->place, opened, diagnostics);
        if (included)
            config_merge(root, included, diagnostics);
    }
}

// A folder that is not there is a pattern without matches; one that cannot be read is an error.
static int glob_problem(const char *path, int problem)
{
    (void)path;
    return problem != ENOENT && problem != ENOTDIR;
}

// The folder is taken literally, whatever characters its name has.
static char *glob_pattern(const char *folder, const char *pattern)
{
    if (*pattern == '/')
        folder = "";
    size_t length = strlen(pattern);
    char *whole = memory_alloc(2 * strlen(folder) + length + 1);
    char *end = whole;
    for (const char *c = folder; *c; c++) {
        if (strchr("*?[]\\", *c))
            *end++ = '\\';
        *end++ = *c;
    }
    memcpy(end, pattern, length + 1);
    return whole;
}

static void include_pattern(struct config_node *root, const struct config_node *what,
                            const struct open_file *opened, struct diagnostics *diagnostics)
{
    char *pattern = glob_pattern(what->source->folder, what->text);
    glob_t found;
    int result = glob(pattern, 0, glob_problem, &found);
    if (result == 0) {
        for (size_t i = 0; i < found.gl_pathc; i++)
            include_file(root, what, found.gl_pathv[i], opened, diagnostics);
    } else if (result != GLOB_NOMATCH) {
        diagnostics_error(diagnostics, what->place, "cannot read the folder of `%s`: %s", what->text,
                          strerror(errno));
    }
    globfree(&found);
    free(pattern);
}

static void include_one(struct config_node *root, const struct config_node *what,
                        const struct open_file *opened, struct diagnostics *diagnostics)
{
    const char *path;
    if (!config_node_path(what, &path, diagnostics))
        return;
    if (!root->source->tree->options.files)
        diagnostics_error(diagnostics, what->place, "`include`: no files can be read here");
    else if (strpbrk(what->text, "*?["))
        include_pattern(root, what, opened, diagnostics);
    else
        include_file(root, what, path, opened, diagnostics);
}

// Takes the entry out, so that merging does not see it.
static struct config_node *take_include(struct config_node *root)
{
    for (struct config_entry **link = &root->entries; *link; link = &(*link)->next) {
        struct config_entry *entry = *link;
        if (strcmp(entry->key, "include") != 0)
            continue;
        *link = entry->next;
        root->count--;
        return entry->value;
    }
    return NULL;
}

static void include_all(struct config_node *root, const struct open_file *opened,
                        struct diagnostics *diagnostics)
{
    struct config_node *what = take_include(root);
    if (!what || (what->kind == CONFIG_NULL && !what->broken))
        return;
    if (what->kind == CONFIG_MAP) {
        config_wrong(what, "a path, or a list of paths", diagnostics);
        return;
    }
    if (what->kind != CONFIG_LIST) {
        include_one(root, what, opened, diagnostics);
        return;
    }
    for (const struct config_node *item = what->items; item; item = item->next)
        include_one(root, item, opened, diagnostics);
}

void config_include(struct config_node *root, struct diagnostics *diagnostics)
{
    include_all(root, NULL, diagnostics);
}

static const char *from_environment(void *context, const char *name)
{
    (void)context;
    return getenv(name);
}

struct config_tree *config_tree_load(const char *path, struct diagnostics *diagnostics)
{
    struct config_tree *tree =
        config_tree_new(&(struct config_options){.files = true, .variable = from_environment});
    tree->root = parse_file(tree, path, (struct place){0}, NULL, diagnostics);
    if (tree->root)
        return tree;
    config_tree_free(tree);
    return NULL;
}

struct config_tree *config_tree_parse(const char *text, size_t length, const char *name, const char *folder,
                                      const struct config_options *options, struct diagnostics *diagnostics)
{
    struct config_tree *tree = config_tree_new(options);
    const struct config_source *source = config_source_new(tree, name, folder ? folder : "");
    if (length > CONFIG_FILE_MAX)
        diagnostics_error(diagnostics, (struct place){.file = source->name}, "too large");
    else
        tree->root = config_parse(source, text, length, diagnostics);
    if (!tree->root) {
        config_tree_free(tree);
        return NULL;
    }
    config_include(tree->root, diagnostics);
    return tree;
}
