// The command line: finds the subcommand, which does the rest.
#include <stdio.h>
#include <string.h>

#include "core/cli/bench.h"
#include "core/cli/check.h"
#include "core/cli/clients.h"
#include "core/cli/explain.h"
#include "core/cli/operate.h"
#include "core/cli/passwd.h"
#include "core/cli/plugin.h"
#include "core/cli/run.h"
#include "core/cli/status.h"
#include "core/cli/trace.h"

struct command {
    const char *name;
    const char *summary;
    int (*run)(int argc, char **argv);
};

static int help(int argc, char **argv);

static const struct command commands[] = {
    {"run", "run the broker in the foreground", cli_run},
    {"check", "check a configuration and the files it names", cli_check},
    {"passwd", "add, change or delete users of a password file", cli_passwd},
    {"explain", "show how a configuration decides about a client, plugin by plugin", cli_explain},
    {"status", "show how the running broker is", cli_status},
    {"clients", "list the clients of the running broker", cli_clients},
    {"client", "show all about one client", cli_client},
    {"trace", "show what happens to a client, as it happens", cli_trace},
    {"kick", "disconnect clients", cli_kick},
    {"revoke", "take back what a user or a client was granted", cli_revoke},
    {"reload", "have the running broker read its configuration again", cli_reload},
    {"plugin", "list plugins, or describe one", cli_plugin},
    {"bench", "put load on a broker and measure it", cli_bench},
    {"help", "show help about a command", help},
};

enum { COMMANDS = sizeof commands / sizeof *commands };

static const struct command *find(const char *name)
{
    for (int i = 0; i < COMMANDS; i++)
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    return NULL;
}

static void print_usage(FILE *out)
{
    fprintf(out, "usage: noctule COMMAND [OPTIONS]\n\n");
    for (int i = 0; i < COMMANDS; i++)
        fprintf(out, "  %-8s %s\n", commands[i].name, commands[i].summary);
    fprintf(
        out,
        "\nnoctule help COMMAND tells more; noctule(1) tells all. noctule --version prints the version.\n");
}

static int unknown(const char *name)
{
    fprintf(stderr, "noctule: unknown command '%s'\n", name);
    print_usage(stderr);
    return 2;
}

static int help(int argc, char **argv)
{
    if (argc < 2) {
        print_usage(stdout);
        return 0;
    }
    const struct command *command = find(argv[1]);
    if (!command)
        return unknown(argv[1]);
    if (command->run == help) {
        print_usage(stdout);
        return 0;
    }
    char option[] = "--help";
    char *arguments[] = {argv[1], option, NULL};
    return command->run(2, arguments);
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        print_usage(stderr);
        return 2;
    }
    if (strcmp(argv[1], "--version") == 0) {
        printf("noctule %s\n", NOCTULE_VERSION);
        return 0;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        print_usage(stdout);
        return 0;
    }
    const struct command *command = find(argv[1]);
    return command ? command->run(argc - 1, argv + 1) : unknown(argv[1]);
}
