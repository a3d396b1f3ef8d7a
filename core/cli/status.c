#include "core/cli/status.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/cli/control_client.h"
#include "core/cli/columns.h"

static const char usage[] =
    "usage: noctule status\n"
    "\n"
    "How the running broker is: clients, rates over the last seconds, workers, plugins with their\n"
    "verdicts and how long they take, memory, and the limits that it comes near to. Exit code 0:\n"
    "it runs, 2: it does not answer.\n"
    "\n" CONTROL_USAGE;

enum { NEAR_PERCENT = 80, CELL = 40 };

/** One row's cells; each is printed into its place. */
struct row {
    char text[COLUMNS_MAX][CELL];
    size_t count;
};

static void add_text(struct row *row, const char *text)
{
    snprintf(row->text[row->count++], CELL, "%s", text);
}

static void add_number(struct row *row, long long number)
{
    snprintf(row->text[row->count++], CELL, "%lld", number);
}

static void put_row(struct columns *table, const struct row *row)
{
    const char *cells[COLUMNS_MAX];
    for (size_t i = 0; i < row->count; i++)
        cells[i] = row->text[i];
    columns_row(table, cells, row->count);
}

static struct columns table_of(const char *const *heading, size_t columns)
{
    struct columns table = {0};
    for (size_t i = 1; i < columns; i++)
        table.right[i] = true;
    columns_row(&table, heading, columns);
    return table;
}

static double rate_of(const json_t *status, const char *name)
{
    return json_real_value(json_object_get(json_object_get(status, "rates"), name));
}

static void print_uptime(long long seconds)
{
    long long days = seconds / 86400;
    if (days)
        printf("%lld day%s ", days, days == 1 ? "" : "s");
    printf("%02lld:%02lld:%02lld", seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
}

static void print_summary(const json_t *status)
{
    const json_t *broker = json_object_get(status, "broker");
    printf("noctule ");
    print_text(text_of(status, "version"), CELL);
    printf(", process %lld, up ", number_of(status, "pid"));
    print_uptime(number_of(status, "uptime_seconds"));
    printf("\n\nclients      %lld connected, %lld sessions, %lld subscriptions\n",
           number_of(broker, "clients_connected"), number_of(broker, "sessions"),
           number_of(broker, "subscriptions"));
    printf("messages     %lld retained, %lld queued, %lld unacknowledged\n",
           number_of(broker, "retained_messages"), number_of(broker, "queued_messages"),
           number_of(broker, "inflight_messages"));
    printf("rates        %.1f connections/s, %.1f messages/s in, %.1f out, %.1f KiB/s in, %.1f out\n",
           rate_of(status, "connections_accepted"), rate_of(status, "publish_received"),
           rate_of(status, "publish_sent"), rate_of(status, "received_bytes") / 1024,
           rate_of(status, "sent_bytes") / 1024);
    printf("memory       %.1f MiB\n", (double)number_of(broker, "resident_memory_bytes") / 1048576);
}

static void print_workers(const json_t *status)
{
    static const char *const heading[] = {"WORKER", "CLIENTS", "MESSAGES IN",
                                          "OUT",    "BACKLOG", "CPU SECONDS"};
    struct columns table = table_of(heading, 6);
    const char *name;
    json_t *worker;
    json_object_foreach(json_object_get(status, "workers"), name, worker)
    {
        struct row row = {0};
        add_text(&row, name);
        add_number(&row, number_of(worker, "clients"));
        add_number(&row, number_of(worker, "publish_received"));
        add_number(&row, number_of(worker, "publish_sent"));
        add_number(&row, number_of(worker, "backlog"));
        snprintf(row.text[row.count++], CELL, "%.2f", (double)number_of(worker, "cpu") / 1e6);
        put_row(&table, &row);
    }
    puts("");
    columns_print(&table);
}

static void print_plugins(const json_t *status)
{
    static const char *const heading[] = {"PLUGIN",   "ALLOWED", "DENIED",  "NEXT", "ERRORS",
                                          "TIMEOUTS", "REUSED",  "PENDING", "MEAN"};
    static const char *const counters[] = {"verdicts_allow", "verdicts_deny", "verdicts_next",
                                           "verdicts_error", "timeouts",      "verdicts_reused",
                                           "pending"};
    struct columns table = table_of(heading, 9);
    const char *name;
    json_t *plugin;
    json_object_foreach(json_object_get(status, "plugins"), name, plugin)
    {
        struct row row = {0};
        add_text(&row, name);
        for (size_t i = 0; i < sizeof counters / sizeof *counters; i++)
            add_number(&row, number_of(plugin, counters[i]));
        double mean =
            json_real_value(json_object_get(json_object_get(plugin, "decision_duration"), "mean_us"));
        snprintf(row.text[row.count++], CELL, "%.3f ms", mean / 1000);
        put_row(&table, &row);
    }
    if (table.count > 9)
        puts("");
    else
        columns_clear(&table);
    columns_print(&table);
}

static void print_limits(const json_t *status)
{
    size_t i;
    json_t *limit;
    bool any = false;
    json_array_foreach(json_object_get(status, "limits"), i, limit)
    {
        double percent = json_real_value(json_object_get(limit, "percent"));
        if (percent < NEAR_PERCENT)
            continue;
        printf("%s%s is near: %lld of %lld (%.0f%%)\n", any ? "" : "\n", text_of(limit, "limit"),
               number_of(limit, "value"), number_of(limit, "bound"), percent);
        any = true;
    }
    if (!any)
        puts("\nno limit is near");
}

int cli_status(int argc, char **argv)
{
    static const struct control_argument no_arguments[] = {{0}};
    struct control_options options = {.command = "status", .usage = usage};
    json_t *request = json_object();
    int code;
    if (!control_parse(&options, no_arguments, argc, argv, request, NULL, &code)) {
        json_decref(request);
        return code;
    }
    json_t *last = control_ask(&options, request, NULL, NULL);
    const json_t *status = json_object_get(last, "status");
    if (status && !options.json) {
        print_summary(status);
        print_workers(status);
        print_plugins(status);
        print_limits(status);
    }
    return control_exit_code(&options, last);
}
