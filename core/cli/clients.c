#include "core/cli/clients.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/cli/control_client.h"
#include "core/cli/columns.h"

static const char clients_usage[] =
    "usage: noctule clients [--filter NAME=PATTERN]...\n"
    "\n"
    "Lists the clients that have a session: those that are connected, and those that are away and\n"
    "may come back. Exit code 0: done, 2: an error.\n"
    "\n"
    "  --filter NAME=PATTERN  only those whose NAME is like PATTERN, in which * stands for anything;\n"
    "                       NAME is client-id, username, address, listener or state (connected,\n"
    "                       away)\n" CONTROL_USAGE;

static const char client_usage[] =
    "usage: noctule client ID\n"
    "\n"
    "All about one client: its session, subscriptions, and what its login granted. Exit code 0:\n"
    "done, 1: there is no such client, 2: an error.\n"
    "\n" CONTROL_USAGE;

enum { COLUMNS = 9, CELL = 24, TEXT_MAX = 200 };

static void add_client(json_t *line, void *argument)
{
    struct columns *table = argument;
    const json_t *row = json_object_get(line, "row");
    char numbers[3][CELL];
    const char *const names[] = {"subscriptions", "queued", "inflight"};
    for (size_t i = 0; i < 3; i++)
        snprintf(numbers[i], CELL, "%lld", number_of(row, names[i]));
    const char *cells[COLUMNS] = {text_of(row, "client_id"),
                                  text_of(row, "state"),
                                  text_of(row, "username"),
                                  text_of(row, "address"),
                                  text_of(row, "listener"),
                                  text_of(row, "version"),
                                  numbers[0],
                                  numbers[1],
                                  numbers[2]};
    columns_row(table, cells, COLUMNS);
}

// NAME=PATTERN becomes a member of the request.
static bool add_filter(json_t *request, const char *filter)
{
    static const char *const names[][2] = {{"client-id", "client_id"}, {"username", "username"},
                                           {"address", "address"},     {"listener", "listener"},
                                           {"state", "state"},         {"client_id", "client_id"}};
    const char *equals = strchr(filter, '=');
    size_t length = equals ? (size_t)(equals - filter) : 0;
    for (size_t i = 0; equals && i < sizeof names / sizeof *names; i++)
        if (strlen(names[i][0]) == length && strncmp(names[i][0], filter, length) == 0)
            return json_object_set_new(request, names[i][1], json_string(equals + 1)) == 0;
    fprintf(stderr, "noctule clients: no filter: %s\n%s", filter, clients_usage);
    return false;
}

// Filters are given once each or several times: they are taken off before the other options are read.
static bool take_filters(json_t *request, int *argc, char **argv)
{
    int kept = 1;
    for (int i = 1; i < *argc; i++) {
        const char *value = NULL;
        if (strncmp(argv[i], "--filter=", 9) == 0)
            value = argv[i] + 9;
        else if (strcmp(argv[i], "--filter") == 0)
            value = i + 1 < *argc ? argv[++i] : "";
        else
            argv[kept++] = argv[i];
        if (value && !add_filter(request, value))
            return false;
    }
    *argc = kept;
    argv[kept] = NULL;
    return true;
}

int cli_clients(int argc, char **argv)
{
    static const struct control_argument no_arguments[] = {{0}};
    static const char *const heading[COLUMNS] = {"CLIENT",        "STATE",    "USER",
                                                 "ADDRESS",       "LISTENER", "MQTT",
                                                 "SUBSCRIPTIONS", "QUEUED",   "UNACKNOWLEDGED"};
    struct control_options options = {.command = "clients", .usage = clients_usage};
    json_t *request = json_object();
    int code = CONTROL_FAILED;
    if (!take_filters(request, &argc, argv) ||
        !control_parse(&options, no_arguments, argc, argv, request, NULL, &code)) {
        json_decref(request);
        return code;
    }
    struct columns table = {.right = {[6] = true, [7] = true, [8] = true}};
    columns_row(&table, heading, COLUMNS);
    json_t *last = control_ask(&options, request, add_client, &table);
    bool shown = last && !options.json && json_is_true(json_object_get(last, "ok"));
    size_t rows = table.count / COLUMNS - 1;
    if (!shown)
        columns_clear(&table);
    columns_print(&table);
    if (shown)
        printf("%zu client%s\n", rows, rows == 1 ? "" : "s");
    return control_exit_code(&options, last);
}

static void print_value(const char *name, const json_t *value)
{
    printf("%-20s ", name);
    if (json_is_string(value)) {
        print_text(json_string_value(value), TEXT_MAX);
    } else {
        char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
        print_text(text ? text : "", TEXT_MAX);
        free(text);
    }
    puts("");
}

static void print_grant(const json_t *row)
{
    size_t i;
    json_t *access;
    printf("  grant %lld of ", number_of(row, "number"));
    print_text(text_of(row, "plugin"), TEXT_MAX);
    printf(": %s", text_of(row, "effect"));
    json_array_foreach(json_object_get(row, "access"), i, access)
        printf("%s%s", i ? ", " : " ", json_string_value(access));
    putchar(' ');
    print_text(text_of(row, "filter"), TEXT_MAX);
    puts("");
}

static void print_about(json_t *line, void *argument)
{
    (void)argument;
    const json_t *row = json_object_get(line, "row");
    const char *kind = text_of(row, "kind");
    if (strcmp(kind, "subscription") == 0) {
        printf("  subscription qos %lld: ", number_of(row, "qos"));
        print_text(text_of(row, "filter"), TEXT_MAX);
        puts("");
    } else if (strcmp(kind, "grant") == 0) {
        print_grant(row);
    } else {
        const char *name;
        json_t *value;
        json_object_foreach((json_t *)row, name, value) if (strcmp(name, "kind") != 0)
            print_value(name, value);
    }
}

int cli_client(int argc, char **argv)
{
    static const struct control_argument arguments[] = {{"client-id", "client_id", ARGUMENT_TEXT}, {0}};
    struct control_options options = {.command = "client", .usage = client_usage};
    json_t *request = json_object();
    const char *id = NULL;
    int code;
    if (!control_parse(&options, arguments, argc, argv, request, &id, &code)) {
        json_decref(request);
        return code;
    }
    if (id)
        json_object_set_new(request, "client_id", json_string(id));
    if (!json_object_get(request, "client_id")) {
        fprintf(stderr, "noctule client: which one?\n%s", client_usage);
        json_decref(request);
        return CONTROL_FAILED;
    }
    return control_exit_code(&options, control_ask(&options, request, print_about, NULL));
}
