#include "core/plugin/module.h"

#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/base/memory.h"
#include "core/plugin/catalogue.h"

#ifndef NOCTULE_PLUGIN_DIR
#define NOCTULE_PLUGIN_DIR "/usr/lib/noctule/plugins"
#endif

_Static_assert(PLUGIN_SIZE_MIN == offsetof(struct noctule_plugin, init),
               "identity comes before the functions");

enum { PATHS_MAX = 64 };

// ---- Searching -----------------------------------------------------------------------------------------

static void path_add(char **directories, size_t *count, struct str directory)
{
    if (directory.length > 0 && *count < PATHS_MAX)
        directories[(*count)++] = str_to_c(directory);
}

static void path_add_beside_executable(char **directories, size_t *count)
{
    char executable[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", executable, sizeof executable - 1);
    if (length <= 0)
        return;
    executable[length] = '\0';
    char *slash = strrchr(executable, '/');
    if (!slash)
        return;
    char *directory = str_format("%.*s/plugins", (int)(slash - executable), executable);
    path_add(directories, count, str_of(directory));
    free(directory);
}

char **plugin_path(void)
{
    char **directories = memory_zalloc((PATHS_MAX + 1) * sizeof *directories);
    size_t count = 0;
    const char *rest = getenv("NOCTULE_PLUGIN_PATH");
    while (rest && *rest) {
        size_t length = strcspn(rest, ":");
        path_add(directories, &count, str_make(rest, length));
        rest += length + (rest[length] == ':');
    }
    path_add_beside_executable(directories, &count);
    path_add(directories, &count, str_of(NOCTULE_PLUGIN_DIR));
    return directories;
}

void plugin_path_free(char **directories)
{
    for (char **directory = directories; *directory; directory++)
        free(*directory);
    free(directories);
}

char *module_find(const char *name, char **problem)
{
    if (*name == '\0' || strchr(name, '/')) {
        *problem = str_format("\"%s\" is no module name (a file is named by `path:`)", name);
        return NULL;
    }
    char **directories = plugin_path();
    char *found = NULL;
    char *searched = str_format("%s", "");
    for (char **directory = directories; *directory && !found; directory++) {
        char *path = str_format("%s/%s.so", *directory, name);
        if (access(path, F_OK) == 0) {
            found = path;
            break;
        }
        free(path);
        char *longer = str_format("%s%s%s", searched, *searched ? ", " : "", *directory);
        free(searched);
        searched = longer;
    }
    if (!found)
        *problem = str_format("there is no plugin \"%s\": no %s.so in %s", name, name, searched);
    free(searched);
    plugin_path_free(directories);
    return found;
}

// ---- Checking ------------------------------------------------------------------------------------------

bool module_describe(struct noctule_plugin *plugin, const struct noctule_plugin *given, char **problem)
{
    const uint32_t flags = NOCTULE_FLAG_SERIAL | NOCTULE_FLAG_BLOCKING | NOCTULE_FLAG_REPEATABLE;
    memset(plugin, 0, sizeof *plugin);
    if (!given || given->size < PLUGIN_SIZE_MIN) {
        *problem = str_format("its description is too short to be one (%u bytes)", given ? given->size : 0);
        return false;
    }
    memcpy(plugin, given, given->size < sizeof *plugin ? given->size : sizeof *plugin);
    if (plugin->abi_major != NOCTULE_ABI_MAJOR || plugin->abi_minor > NOCTULE_ABI_MINOR)
        *problem = str_format("it needs plugin ABI %u.%u, and this broker has %d.%d", plugin->abi_major,
                              plugin->abi_minor, NOCTULE_ABI_MAJOR, NOCTULE_ABI_MINOR);
    else if (!plugin->name || !*plugin->name)
        *problem = str_format("it does not say its name");
    else if (plugin->flags & ~flags)
        *problem = str_format("it has flags that this broker does not know (0x%x)", plugin->flags & ~flags);
    else if (plugin->authorize_mask & ~NOCTULE_ACCESS_ALL)
        *problem = str_format("it authorizes accesses that this broker does not know (0x%x)",
                              plugin->authorize_mask & ~NOCTULE_ACCESS_ALL);
    else if (plugin->authorize && !plugin->authorize_mask)
        *problem = str_format("its authorize hook is for nothing: authorize_mask is 0");
    else
        return true;
    return false;
}

typedef const struct noctule_plugin *entry_fn(void);

static entry_fn *symbol_find(void *handle, unsigned major)
{
    char name[32];
    snprintf(name, sizeof name, "noctule_plugin_v%u", major);
    void *symbol = dlsym(handle, name);
    entry_fn *entry;
    memcpy(&entry, &symbol, sizeof entry); // a function pointer, as POSIX wants it
    return entry;
}

static bool file_describe(struct noctule_plugin *plugin, const char *path, char **problem)
{
    // Never closed: threads of the plugin, and pointers into it, may outlive any moment that looks safe.
    void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!handle) {
        // dlerror mostly begins with the path.
        const char *error = dlerror();
        size_t length = strlen(path);
        if (strncmp(error, path, length) == 0 && error[length] == ':')
            error += length + 1 + strspn(error + length + 1, " ");
        *problem = str_format("%s", error);
        return false;
    }
    entry_fn *entry = symbol_find(handle, NOCTULE_ABI_MAJOR);
    for (unsigned other = 0; !entry && other < 16; other++) {
        if (!symbol_find(handle, other))
            continue;
        *problem =
            str_format("it is made for plugin ABI %u, and this broker has %d", other, NOCTULE_ABI_MAJOR);
        return false;
    }
    if (!entry) {
        *problem = str_format("it is no plugin: it has no symbol noctule_plugin_v%d", NOCTULE_ABI_MAJOR);
        return false;
    }
    return module_describe(plugin, entry(), problem);
}

bool plugin_describe(const char *module, const char *path, struct noctule_plugin *plugin, char **file,
                     char **problem)
{
    char *found = module ? module_find(module, problem) : realpath(path, NULL);
    if (!found) {
        if (!module)
            *problem = str_format("%s", strerror(errno));
        return false;
    }
    if (!file_describe(plugin, found, problem)) {
        free(found);
        return false;
    }
    if (file)
        *file = found;
    else
        free(found);
    return true;
}

// ---- Loading -------------------------------------------------------------------------------------------

static struct module *module_add(struct plugin_host *host, const char *name, char *path,
                                 const struct noctule_plugin *plugin)
{
    struct module *module = memory_zalloc(sizeof *module);
    module->name = str_to_c(str_of(name));
    module->path = path;
    module->plugin = *plugin;
    module->next = host->modules;
    host->modules = module;
    return module;
}

static struct module *file_load(struct plugin_host *host, const char *path, char **problem)
{
    char *resolved = realpath(path, NULL);
    if (!resolved) {
        *problem = str_format("%s: %s", path, strerror(errno));
        return NULL;
    }
    for (struct module *module = host->modules; module; module = module->next) {
        if (module->path && strcmp(module->path, resolved) == 0) {
            free(resolved);
            return module;
        }
    }
    struct noctule_plugin plugin;
    char *what;
    if (!file_describe(&plugin, resolved, &what)) {
        *problem = str_format("%s: %s", path, what);
        free(what);
        free(resolved);
        return NULL;
    }
    return module_add(host, path, resolved, &plugin);
}

struct module *module_load(struct plugin_host *host, const char *name, const char *path, char **problem)
{
    if (path)
        return file_load(host, path, problem);
    for (struct module *module = host->modules; module; module = module->next)
        if (!module->path && strcmp(module->name, name) == 0) {
            struct noctule_plugin checked;
            return module_describe(&checked, &module->plugin, problem) ? module : NULL;
        }
    char *found = module_find(name, problem);
    if (!found)
        return NULL;
    struct module *module = file_load(host, found, problem);
    free(found);
    return module;
}

void plugin_host_register(struct plugin_host *host, const char *name, const struct noctule_plugin *plugin)
{
    struct noctule_plugin copy = {0};
    memcpy(&copy, plugin, plugin->size < sizeof copy ? plugin->size : sizeof copy);
    module_add(host, name, NULL, &copy);
}

void modules_free(struct plugin_host *host)
{
    while (host->modules) {
        struct module *next = host->modules->next;
        free(host->modules->name);
        free(host->modules->path);
        free(host->modules);
        host->modules = next;
    }
}
