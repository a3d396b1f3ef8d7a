#include "core/cli/run.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/broker/broker.h"
#include "core/cli/first_start.h"

static const char usage[] =
    "usage: noctule run [-c FILE]\n"
    "\n"
    "Runs the broker in the foreground and logs to standard error. SIGHUP reloads the\n"
    "configuration; SIGTERM and SIGINT stop the broker.\n"
    "\n"
    "  -c, --config FILE  noctule.yaml(5); without it, a configuration for a first look:\n"
    "                     127.0.0.1:1883, one user, files in ~/.local/state/noctule\n"
    "  -h, --help         this text\n";

struct run {
    const char *file; ///< NULL: the embedded configuration
    struct first_start first;
};

static struct settings *load(void *argument, struct diagnostics *diagnostics)
{
    struct run *run = argument;
    return run->file ? settings_load(run->file, diagnostics)
                     : settings_default(run->first.folder, diagnostics);
}

static void greet(const char *address, void *argument)
{
    first_start_greet(&((struct run *)argument)->first, address);
}

int cli_run(int argc, char **argv)
{
    static const struct option options[] = {
        {"config", required_argument, NULL, 'c'}, {"help", no_argument, NULL, 'h'}, {0}};
    struct run run = {0};
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
        run.file = optarg;
    }
    if (optind < argc) {
        fprintf(stderr, "noctule run: unexpected argument '%s'\n%s", argv[optind], usage);
        return 2;
    }
    struct broker_options broker = {.load = load, .argument = &run};
    if (!run.file) {
        if (!first_start_prepare(&run.first))
            return 1;
        broker.ready = greet;
    }
    int code = broker_run(&broker);
    first_start_free(&run.first);
    return code;
}
