#include "core/cli/plugin.h"

#include <dirent.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/memory.h"
#include "core/base/str.h"
#include "core/plugin/catalogue.h"

static const char usage[] =
    "usage: noctule plugin list\n"
    "       noctule plugin info MODULE|PATH\n"
    "\n"
    "list shows the plugins in the folders that are searched: NOCTULE_PLUGIN_PATH, `plugins`\n"
    "beside the executable, and the installation's. info shows what one says of itself:\n"
    "version, ABI, hooks, and what it wants to be asked about and told of.\n"
    "\n"
    "  -h, --help  this text\n";

// ---- list ----------------------------------------------------------------------------------------------

static int is_module(const struct dirent *entry)
{
    size_t length = strlen(entry->d_name);
    return length > 3 && strcmp(entry->d_name + length - 3, ".so") == 0;
}

// A module of the same name in an earlier folder is the one that is used.
static bool is_hidden(char **directories, char **upto, const char *file)
{
    for (char **directory = directories; directory < upto; directory++) {
        char *path = str_format("%s/%s", *directory, file);
        FILE *earlier = fopen(path, "re");
        free(path);
        if (!earlier)
            continue;
        fclose(earlier);
        return true;
    }
    return false;
}

static void list_module(const char *directory, const char *file, bool hidden)
{
    char *path = str_format("%s/%s", directory, file);
    int name = (int)strlen(file) - 3;
    struct noctule_plugin plugin;
    char *problem;
    if (!plugin_describe(NULL, path, &plugin, NULL, &problem)) {
        printf("%-20.*s cannot be used: %s\n", name, file, problem);
        free(problem);
    } else {
        printf("%-20.*s %-10s %s%s\n", name, file, plugin.version ? plugin.version : "-",
               plugin.description ? plugin.description : "",
               hidden ? " (not used: an earlier folder has one)" : "");
    }
    free(path);
}

static int list(void)
{
    char **directories = plugin_path();
    for (char **directory = directories; *directory; directory++) {
        struct dirent **files;
        int count = scandir(*directory, &files, is_module, alphasort);
        printf("# %s%s\n", *directory, count < 0 ? " (no such folder)" : "");
        for (int i = 0; i < count; i++) {
            list_module(*directory, files[i]->d_name, is_hidden(directories, directory, files[i]->d_name));
            free(files[i]);
        }
        if (count >= 0)
            free(files);
    }
    plugin_path_free(directories);
    return 0;
}

// ---- info ----------------------------------------------------------------------------------------------

struct bit_name {
    uint32_t bit;
    const char *name;
};

static const struct bit_name accesses[] = {{NOCTULE_ACCESS_PUBLISH, "publish"},
                                           {NOCTULE_ACCESS_SUBSCRIBE, "subscribe"},
                                           {NOCTULE_ACCESS_DELIVER, "deliver"},
                                           {NOCTULE_ACCESS_WILL, "will"}};

static const struct bit_name events[] = {{NOCTULE_EVENT_CONNECTED, "connected"},
                                         {NOCTULE_EVENT_DISCONNECTED, "disconnected"},
                                         {NOCTULE_EVENT_LOGIN_FAILED, "login-failed"},
                                         {NOCTULE_EVENT_SESSION_CREATED, "session-created"},
                                         {NOCTULE_EVENT_SESSION_RESUMED, "session-resumed"},
                                         {NOCTULE_EVENT_SESSION_TAKEN, "session-taken"},
                                         {NOCTULE_EVENT_SESSION_EXPIRED, "session-expired"},
                                         {NOCTULE_EVENT_SUBSCRIBED, "subscribed"},
                                         {NOCTULE_EVENT_UNSUBSCRIBED, "unsubscribed"},
                                         {NOCTULE_EVENT_MESSAGE_DELIVERED, "message-delivered"},
                                         {NOCTULE_EVENT_MESSAGE_ACKED, "message-acked"},
                                         {NOCTULE_EVENT_MESSAGE_DROPPED, "message-dropped"},
                                         {NOCTULE_EVENT_CLIENT_FREED, "client-freed"}};

static const struct bit_name flags[] = {{NOCTULE_FLAG_SERIAL, "serial"}, {NOCTULE_FLAG_BLOCKING, "blocking"}};

static void print_bits(const char *label, uint32_t bits, const struct bit_name *names, size_t count)
{
    if (bits == 0)
        return;
    printf("%-12s", label);
    for (size_t i = 0; i < count; i++)
        if (bits & names[i].bit)
            printf(" %s", names[i].name);
    printf("\n");
}

#define PRINT_BITS(label, bits, names) print_bits((label), (bits), (names), sizeof(names) / sizeof *(names))

static void print_hooks(const struct noctule_plugin *plugin)
{
    const struct {
        bool taken;
        const char *name;
    } hooks[] = {
        {plugin->authenticate != NULL, "authenticate"},  {plugin->auth_step != NULL, "auth_step"},
        {plugin->authorize != NULL, "authorize"},        {plugin->psk != NULL, "psk"},
        {plugin->message_in != NULL, "message_in"},      {plugin->message_out != NULL, "message_out"},
        {plugin->revalidate != NULL, "revalidate"},      {plugin->event != NULL, "event"},
        {plugin->access_wanted != NULL, "access_wanted"}};
    printf("%-12s", "hooks");
    for (size_t i = 0; i < sizeof hooks / sizeof *hooks; i++)
        if (hooks[i].taken)
            printf(" %s", hooks[i].name);
    printf("\n");
}

static void print_text(const char *label, const char *text)
{
    if (text)
        printf("%-12s %s\n", label, text);
}

static int info(const char *what)
{
    size_t length = strlen(what);
    bool is_path = strchr(what, '/') || (length > 3 && strcmp(what + length - 3, ".so") == 0);
    struct noctule_plugin plugin;
    char *file;
    char *problem;
    if (!plugin_describe(is_path ? NULL : what, is_path ? what : NULL, &plugin, &file, &problem)) {
        fprintf(stderr, "noctule plugin info: %s: %s\n", what, problem);
        free(problem);
        return 1;
    }
    print_text("name", plugin.name);
    print_text("version", plugin.version);
    print_text("description", plugin.description);
    print_text("license", plugin.license);
    print_text("file", file);
    printf("%-12s %u.%u (this broker: %d.%d)\n", "abi", plugin.abi_major, plugin.abi_minor, NOCTULE_ABI_MAJOR,
           NOCTULE_ABI_MINOR);
    PRINT_BITS("flags", plugin.flags, flags);
    print_hooks(&plugin);
    PRINT_BITS("authorizes", plugin.authorize ? plugin.authorize_mask : 0, accesses);
    PRINT_BITS("events", plugin.event ? plugin.event_mask : 0, events);
    free(file);
    return 0;
}

int cli_plugin(int argc, char **argv)
{
    static const struct option options[] = {{"help", no_argument, NULL, 'h'}, {0}};
    int option;
    while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        fputs(usage, option == 'h' ? stdout : stderr);
        return option == 'h' ? 0 : 2;
    }
    const char *verb = optind < argc ? argv[optind] : "";
    int arguments = argc - optind - 1;
    if (strcmp(verb, "list") == 0 && arguments == 0)
        return list();
    if (strcmp(verb, "info") == 0 && arguments == 1)
        return info(argv[optind + 1]);
    fputs(usage, stderr);
    return 2;
}
