#include <string.h>

#include "core/bench/report.h"

static double real(json_t *object, const char *name)
{
    return json_number_value(json_object_get(object, name));
}

static unsigned long long count(json_t *object, const char *name)
{
    return (unsigned long long)json_integer_value(json_object_get(object, name));
}

static const char *text(json_t *object, const char *name)
{
    const char *value = json_string_value(json_object_get(object, name));
    return value ? value : "";
}

// Microseconds in the unit that suits them.
static void print_time(FILE *out, const char *label, double us)
{
    if (us < 1000)
        fprintf(out, "%s %.0f us", label, us);
    else if (us < 1e6)
        fprintf(out, "%s %.2f ms", label, us / 1000);
    else
        fprintf(out, "%s %.2f s", label, us / 1e6);
}

static void print_histogram(FILE *out, const char *label, json_t *histogram)
{
    static const char *const names[][2] = {
        {"p50", "p50"}, {"p90", ", p90"}, {"p99", ", p99"}, {"p99_9", ", p99.9"}, {"max", ", max"}};
    if (!histogram)
        return;
    fprintf(out, "  %-12s ", label);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        print_time(out, names[i][1], real(histogram, names[i][0]));
    fputc('\n', out);
}

static void print_load(json_t *report, FILE *out)
{
    json_t *load = json_object_get(report, "load");
    bool connecting = strcmp(text(report, "scenario"), "connect") == 0;
    fprintf(out, "%s  %s, MQTT %s", text(report, "scenario"), text(load, "target"), text(load, "mqtt"));
    if (connecting)
        fprintf(out, ", %llu clients\n", count(load, "clients"));
    else
        fprintf(out, ", QoS %llu, %llu publishers, %llu subscribers, %llu bytes\n", count(load, "qos"),
                count(load, "publishers"), count(load, "subscribers"), count(load, "payload"));
}

static void print_connections(json_t *report, FILE *out)
{
    json_t *connections = json_object_get(report, "connections");
    json_t *resumed = json_object_get(connections, "resumed");
    fprintf(out, "  %-12s %llu connected, %llu failed, %llu lost", "connections",
            count(connections, "connected"), count(connections, "failed"), count(connections, "lost"));
    if (resumed)
        fprintf(out, ", %llu TLS sessions resumed", count(connections, "resumed"));
    fputc('\n', out);
    if (strcmp(text(report, "scenario"), "connect") == 0)
        print_histogram(out, "connecting", json_object_get(connections, "latency_us"));
}

static void print_messages(json_t *report, FILE *out)
{
    json_t *messages = json_object_get(report, "messages");
    if (!messages)
        return;
    fprintf(out, "  %-12s %llu sent, %llu of %llu delivered\n", "messages", count(messages, "sent"),
            count(messages, "delivered"), count(messages, "expected"));
    static const char *const faults[][2] = {
        {"lost", "lost"},
        {"duplicates", "more than once"},
        {"reordered", "not in order"},
        {"misrouted", "to the wrong subscriber"},
        {"wrong_size", "of the wrong size"},
        {"refused", "refused"},
        {"wrong_acknowledgements", "acknowledgements that are wrong"},
        {"stray", "of another run"},
        {"stalls", "times nothing came for a second"},
        {"backlog", "not sent in time"},
    };
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++)
        if (count(messages, faults[i][0]) > 0)
            fprintf(out, "  %-12s %llu %s\n", "", count(messages, faults[i][0]), faults[i][1]);
}

static void print_broker(json_t *report, FILE *out)
{
    static const char *const units[] = {"message", "connection", "subscription", "retained"};
    json_t *broker = json_object_get(report, "broker");
    if (!broker)
        return;
    fprintf(out, "  %-12s %.2f CPUs", "broker", real(broker, "cpus"));
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        char cpu[48];
        char bytes[48];
        snprintf(cpu, sizeof cpu, "cpu_us_per_%s", units[i]);
        snprintf(bytes, sizeof bytes, "bytes_per_%s", units[i]);
        const char *thing = i == 3 ? "retained message" : units[i];
        if (json_object_get(broker, cpu))
            fprintf(out, ", %.3f us per %s", real(broker, cpu), thing);
        if (json_object_get(broker, bytes))
            fprintf(out, ", %.0f bytes per %s", real(broker, bytes), thing);
    }
    fprintf(out, ", resident %.1f MiB\n", (double)count(broker, "resident_after") / (1024 * 1024));
}

static void print_limit(json_t *report, FILE *out)
{
    static const char *const words[][2] = {
        {"broker", "the broker's CPU"},
        {"bench", "this program's CPU"},
        {"window", "neither side's CPU: the window, or other work on this machine"},
        {"rate", "the rate asked for"},
    };
    const char *limit = text(json_object_get(report, "measured"), "limited_by");
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcmp(limit, words[i][0]) == 0)
            fprintf(out, "  %-12s %s\n", "limited by", words[i][1]);
}

void report_print(json_t *report, FILE *out)
{
    json_t *measured = json_object_get(report, "measured");
    bool connecting = strcmp(text(report, "scenario"), "connect") == 0;
    print_load(report, out);
    print_connections(report, out);
    if (real(measured, "seconds") <= 0) // it did not come to that
        return;
    print_messages(report, out);
    fprintf(out, "  %-12s %.0f %s a second", "rate", real(measured, "rate"),
            connecting ? "connections" : "messages");
    if (!connecting)
        fprintf(out, " (%.1f MB/s)", real(measured, "megabytes_per_second"));
    fprintf(out, " over %.2f s\n", real(measured, "seconds"));
    print_histogram(out, "latency", json_object_get(measured, "latency_us"));
    print_histogram(out, "acknowledged", json_object_get(measured, "acknowledge_us"));
    print_histogram(out, "sent late by", json_object_get(measured, "lateness_us"));
    print_broker(report, out);
    print_limit(report, out);
}
