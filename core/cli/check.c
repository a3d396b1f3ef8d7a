#include "core/cli/check.h"

#include <getopt.h>
#include <stdio.h>

#include "config/settings.h"
#include "core/broker/broker.h"
#include "core/plugin/host.h"

static const char usage[] =
    "usage: noctule check -c FILE\n"
    "\n"
    "Checks a configuration, its plugins and the files they name. Silent and exit code 0 when\n"
    "all is well (warnings may be printed); exit code 1 and every error when not.\n"
    "\n"
    "  -c, --config FILE  noctule.yaml(5)\n"
    "  -h, --help         this text\n";

static void print(const struct diagnostics *diagnostics)
{
    for (size_t i = 0; i < diagnostics->count; i++)
        fprintf(stderr, "%s%s\n", diagnostics->items[i].text,
                diagnostics->items[i].warning ? " (warning)" : "");
}

static int check(const char *file)
{
    static const struct plugin_upcalls nobody;
    struct diagnostics diagnostics = DIAGNOSTICS_EMPTY;
    struct settings *settings = settings_load(file, &diagnostics);
    if (settings) {
        struct plugin_host *host = plugin_host_new(&nobody);
        struct generation *generation = generation_build(host, settings, &diagnostics);
        if (generation)
            generation_unref(generation);
        plugin_host_retire(host);
        plugin_host_free(host);
        broker_check_tls(settings, &diagnostics);
        settings_free(settings);
    }
    print(&diagnostics);
    int code = diagnostics.errors > 0;
    diagnostics_clear(&diagnostics);
    return code;
}

int cli_check(int argc, char **argv)
{
    static const struct option options[] = {
        {"config", required_argument, NULL, 'c'}, {"help", no_argument, NULL, 'h'}, {0}};
    const char *file = NULL;
    int option;
    while ((option = getopt_long(argc, argv, "c:h", options, NULL)) != -1) {
        if (option == 'h') {
            fputs(usage, stdout);
            return 0;
        }
        if (option != 'c') {
            fputs(usage, stderr);
            return 2;
        }
        file = optarg;
    }
    if (!file || optind < argc) {
        fprintf(stderr, "noctule check: %s\n%s", file ? "unexpected argument" : "-c FILE is missing", usage);
        return 2;
    }
    return check(file);
}
