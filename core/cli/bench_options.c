#include <errno.h>
#include <getopt.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/str.h"
#include "core/bench/process.h"
#include "core/bench/topics.h"
#include "core/cli/bench.h"
#include "core/mqtt/packet.h"

/** What the command line said before the defaults are known. */
struct given {
    const char *url;
    const char *host;
    double port;
};

enum kind { KIND_TEXT, KIND_COUNT, KIND_REAL, KIND_FLAG, KIND_SPECIAL };

struct definition {
    const char *name;
    enum kind kind;
    size_t offset; ///< in struct bench_options
    double least;
    double most;
};

#define FIELD(name) offsetof(struct bench_options, name)

enum {
    SPECIAL_URL,
    SPECIAL_HOST,
    SPECIAL_PORT,
    SPECIAL_MQTT,
    SPECIAL_QOS,
    SPECIAL_KEEP_ALIVE,
    SPECIAL_PID,
    SPECIAL_HELP
};

static const double MANY = 16e6;

static const struct definition definitions[] = {
    {"url", KIND_SPECIAL, SPECIAL_URL, 0, 0},
    {"host", KIND_SPECIAL, SPECIAL_HOST, 0, 0},
    {"port", KIND_SPECIAL, SPECIAL_PORT, 1, 65535},
    {"mqtt", KIND_SPECIAL, SPECIAL_MQTT, 0, 0},
    {"qos", KIND_SPECIAL, SPECIAL_QOS, 0, 2},
    {"keep-alive", KIND_SPECIAL, SPECIAL_KEEP_ALIVE, 0, 65535},
    {"pid", KIND_SPECIAL, SPECIAL_PID, 1, 1e9},
    {"username", KIND_TEXT, FIELD(username), 0, 0},
    {"password", KIND_TEXT, FIELD(password), 0, 0},
    {"client-id-prefix", KIND_TEXT, FIELD(client_id), 0, 0},
    {"topic", KIND_TEXT, FIELD(topic), 0, 0},
    {"cafile", KIND_TEXT, FIELD(ca_file), 0, 0},
    {"cert", KIND_TEXT, FIELD(certificate), 0, 0},
    {"key", KIND_TEXT, FIELD(key), 0, 0},
    {"tls-version", KIND_TEXT, FIELD(tls_version), 0, 0},
    {"insecure", KIND_FLAG, FIELD(insecure), 0, 0},
    {"resume", KIND_FLAG, FIELD(resume), 0, 0},
    {"clients", KIND_COUNT, FIELD(clients), 1, 1e6},
    {"publishers", KIND_COUNT, FIELD(publishers), 1, 1e6},
    {"subscribers", KIND_COUNT, FIELD(subscribers), 1, 1e6},
    {"subscriptions", KIND_COUNT, FIELD(subscriptions), 1, MANY},
    {"topics", KIND_COUNT, FIELD(topics), 1, 1e6},
    {"payload", KIND_COUNT, FIELD(payload), BENCH_PAYLOAD_LEAST, 256e6},
    {"count", KIND_COUNT, FIELD(count), 1, 4e9},
    {"batch", KIND_COUNT, FIELD(batch), 1, 10000},
    {"window", KIND_COUNT, FIELD(window), 0, 1e9},
    {"inflight", KIND_COUNT, FIELD(inflight), 1, 65535},
    {"concurrency", KIND_COUNT, FIELD(concurrency), 1, 1e5},
    {"ramp", KIND_REAL, FIELD(ramp), 0.001, 1e7},
    {"rate", KIND_REAL, FIELD(rate), 0.001, 1e8},
    {"duration", KIND_REAL, FIELD(duration), 0.01, 1e6},
    {"warmup", KIND_REAL, FIELD(warmup), 0, 1e4},
    {"hold", KIND_REAL, FIELD(hold), 0, 1e6},
    {"drain", KIND_REAL, FIELD(drain), 0.1, 1e4},
    {"timeout", KIND_REAL, FIELD(timeout), 0.1, 1e5},
    {"plus", KIND_REAL, FIELD(plus), 0, 1},
    {"hash", KIND_REAL, FIELD(hash), 0, 1},
    {"keep", KIND_FLAG, FIELD(keep), 0, 0},
    {"spin", KIND_FLAG, FIELD(spin), 0, 0},
    {"allow-loss", KIND_FLAG, FIELD(allow_loss), 0, 0},
    {"json", KIND_FLAG, FIELD(json), 0, 0},
    {"quiet", KIND_FLAG, FIELD(quiet), 0, 0},
    {"help", KIND_FLAG, 0, 0, 0},
};

enum { DEFINITIONS = sizeof definitions / sizeof *definitions, FIRST_LONG = 256 };

static bool number_read(const struct definition *definition, const char *text, double *value, char **problem)
{
    char *end;
    errno = 0;
    *value = strtod(text, &end);
    bool empty = end == text;
    if (*end == 'k')
        *value *= 1e3;
    else if (*end == 'M')
        *value *= 1e6;
    end += *end == 'k' || *end == 'M';
    if (!empty && *end == '\0' && errno == 0 && *value >= definition->least && *value <= definition->most)
        return true;
    *problem = str_format("--%s is a number from %g to %.0f, not '%s'", definition->name, definition->least,
                          definition->most, text);
    return false;
}

static bool version_read(const char *text, uint8_t *version)
{
    static const struct {
        const char *name;
        uint8_t version;
    } names[] = {{"3.1", MQTT_V3_1}, {"3.1.1", MQTT_V3_1_1}, {"311", MQTT_V3_1_1},
                 {"4", MQTT_V3_1_1}, {"5", MQTT_V5},         {"5.0", MQTT_V5}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(text, names[i].name) == 0) {
            *version = names[i].version;
            return true;
        }
    return false;
}

static bool special_read(const struct definition *definition, const char *text, struct bench_options *options,
                         struct given *given, char **problem)
{
    double value = 0;
    if (definition->most > 0 && !number_read(definition, text, &value, problem))
        return false;
    switch (definition->offset) {
    case SPECIAL_URL:
        given->url = text;
        break;
    case SPECIAL_HOST:
        given->host = text;
        break;
    case SPECIAL_PORT:
        given->port = value;
        break;
    case SPECIAL_QOS:
        options->qos = (uint8_t)value;
        break;
    case SPECIAL_KEEP_ALIVE:
        options->keep_alive = (uint16_t)value;
        break;
    case SPECIAL_MQTT:
        if (version_read(text, &options->version))
            break;
        *problem = str_format("--mqtt is 3.1, 3.1.1 or 5, not '%s'", text);
        return false;
    case SPECIAL_PID:
        if (!process_exists((int)value)) {
            *problem = str_format("--pid %s: no such process", text);
            return false;
        }
        if (options->pid_count == BENCH_PIDS) {
            *problem = str_format("--pid: %d processes at most", BENCH_PIDS);
            return false;
        }
        options->pids[options->pid_count++] = (int)value;
        break;
    default:
        break;
    }
    return true;
}

static bool option_read(const struct definition *definition, const char *text, struct bench_options *options,
                        struct given *given, char **problem)
{
    char *field = (char *)options + definition->offset;
    double value = 0;
    switch (definition->kind) {
    case KIND_TEXT:
        memcpy(field, &text, sizeof text);
        return true;
    case KIND_FLAG:
        *(bool *)field = true;
        return true;
    case KIND_COUNT:
        if (!number_read(definition, text, &value, problem))
            return false;
        *(uint32_t *)(void *)field = (uint32_t)value;
        return true;
    case KIND_REAL:
        if (!number_read(definition, text, &value, problem))
            return false;
        *(double *)(void *)field = value;
        return true;
    case KIND_SPECIAL:
        break;
    }
    return special_read(definition, text, options, given, problem);
}

// ---- defaults and what does not go together -------------------------------------------------------------

static bool scenario_read(const char *name, struct bench_options *options, char **problem)
{
    for (unsigned i = 0; i < BENCH_SCENARIOS; i++)
        if (strcmp(name, bench_scenario_name((enum bench_scenario)i)) == 0) {
            options->scenario = (enum bench_scenario)i;
            return true;
        }
    *problem = str_format("unknown scenario '%s'", name);
    return false;
}

static void defaults_before(struct bench_options *options, char *client_id, size_t size)
{
    static const uint32_t clients[BENCH_SCENARIOS] = {
        [BENCH_CONNECT] = 1000, [BENCH_PAIRS] = 50,          [BENCH_FAN_IN] = 50,  [BENCH_FAN_OUT] = 100,
        [BENCH_LATENCY] = 10,   [BENCH_SUBSCRIPTIONS] = 100, [BENCH_RETAINED] = 1,
    };
    snprintf(client_id, size, "bench-%d-%%i", (int)getpid());
    options->clients = clients[options->scenario];
    options->rate = options->scenario == BENCH_LATENCY ? 1000 : 0;
    options->count = options->scenario == BENCH_RETAINED ? 10000 : 0;
}

// Defaults that depend on what was given. UINT32_MAX: not given.
static void defaults_after(struct bench_options *options)
{
    bool fan_out = options->scenario == BENCH_FAN_OUT;
    bool few = fan_out || options->scenario == BENCH_SUBSCRIPTIONS || options->scenario == BENCH_RETAINED;
    uint64_t publishers = few ? options->publishers : options->clients;
    if (options->window == UINT32_MAX) {
        uint64_t unacknowledged = options->qos > 0 ? publishers * options->inflight : 0;
        options->window = fan_out ? 100 : 500;
        if (unacknowledged > options->window)
            options->window = unacknowledged > 1000000000 ? 1000000000 : (uint32_t)unacknowledged;
    }
    if (options->batch == UINT32_MAX) {
        options->batch = 16;
        if (options->qos > 0 && options->batch > (options->inflight + 1) / 2)
            options->batch = (options->inflight + 1) / 2;
    }
}

// The largest packet the generator makes must fit in MQTT's; a batch of them should fit in memory.
static void bound_batch(struct bench_options *options)
{
    const uint32_t together = 4U << 20;
    while (options->batch > 1 && (uint64_t)options->batch * options->payload > together)
        options->batch /= 2;
}

static char *contradiction(const struct bench_options *options)
{
    enum bench_scenario scenario = options->scenario;
    uint64_t slots = (uint64_t)options->clients * options->topics;
    if (scenario == BENCH_FAN_IN)
        slots *= options->subscribers;
    if (scenario == BENCH_FAN_OUT)
        slots *= options->publishers;
    if (scenario == BENCH_RETAINED)
        slots *= options->count;
    if (slots > 200000000)
        return str_format("that many topics times subscribers are more than can be counted one by one");
    if (options->plus + options->hash > 1)
        return str_format("--plus and --hash together are more than 1");
    if (options->rate > 0 && (scenario == BENCH_CONNECT || scenario == BENCH_RETAINED))
        return str_format("--rate is not for %s", bench_scenario_name(scenario));
    if (scenario == BENCH_SUBSCRIPTIONS &&
        (options->clients > options->subscriptions || options->publishers > options->subscriptions))
        return str_format("more clients or publishers than --subscriptions");
    if (scenario == BENCH_RETAINED &&
        (options->publishers > options->count || options->count > (uint32_t)MANY))
        return str_format("--count is at least the number of publishers, and at most %.0f", MANY);
    if (strlen(options->topic) > TOPIC_PREFIX_MAX || *options->topic == '\0' ||
        strpbrk(options->topic, "+#") || !str_is_utf8(str_of(options->topic)))
        return str_format("--topic is the beginning of topics: at most %d bytes, no wildcards",
                          TOPIC_PREFIX_MAX);
    if (options->tls_version && strcmp(options->tls_version, "1.2") != 0 &&
        strcmp(options->tls_version, "1.3") != 0)
        return str_format("--tls-version is 1.2 or 1.3, not '%s'", options->tls_version);
    if (options->password && !options->username && options->version != MQTT_V5)
        return str_format("--password needs --username, unless with --mqtt 5");
    if (options->key && !options->certificate)
        return str_format("--key needs --cert");
    return NULL;
}

static bool target_read(struct bench_options *options, const struct given *given, char **problem)
{
    bool tls = options->ca_file || options->certificate || options->insecure || options->tls_version ||
               options->resume;
    if (given->url && (given->host || given->port > 0)) {
        *problem = str_format("--url stands for --host and --port");
        return false;
    }
    if (given->url) {
        if (!bench_target_parse(given->url, &options->target, problem))
            return false;
        if (!tls || options->target.tls)
            return true;
        *problem = str_format("options of TLS, but %s has none: say mqtts:// or wss://", given->url);
        return false;
    }
    const char *host = given->host ? given->host : "127.0.0.1";
    bool brackets = strchr(host, ':') && *host != '[';
    unsigned port = given->port > 0 ? (unsigned)given->port : tls ? 8883 : 1883;
    char *url = str_format("%s://%s%s%s:%u", tls ? "mqtts" : "mqtt", brackets ? "[" : "", host,
                           brackets ? "]" : "", port);
    bool good = bench_target_parse(url, &options->target, problem);
    free(url);
    return good;
}

// A prefix without %i gets the number behind it.
static const char *numbered(const char *client_id)
{
    static char longer[1024];
    if (strstr(client_id, "%i"))
        return client_id;
    snprintf(longer, sizeof longer, "%.1000s%%i", client_id);
    return longer;
}

static bool options_walk(int argc, char **argv, struct bench_options *options, struct given *given,
                         bool *help, char **problem)
{
    struct option table[DEFINITIONS + 1] = {{0}};
    for (int i = 0; i < DEFINITIONS; i++)
        table[i] = (struct option){definitions[i].name,
                                   definitions[i].kind == KIND_FLAG ? no_argument : required_argument, NULL,
                                   FIRST_LONG + i};
    int option;
    optind = 0; // the program has read its own options before
    opterr = 0;
    while ((option = getopt_long(argc, argv, ":hV:", table, NULL)) != -1) {
        if (option == ':' || option == '?') {
            *problem =
                str_format(option == ':' ? "%s needs a value" : "%s: no such option", argv[optind - 1]);
            return false;
        }
        const struct definition *definition =
            option == 'V' ? &definitions[3] : &definitions[option - FIRST_LONG];
        if (option == 'h' || strcmp(definition->name, "help") == 0) {
            *help = true;
            return true;
        }
        if (!option_read(definition, optarg, options, given, problem))
            return false;
    }
    if (optind < argc)
        *problem = str_format("unexpected argument '%s'", argv[optind]);
    return optind >= argc;
}

enum bench_parsed bench_options_read(int argc, char **argv, struct bench_options *options, char **problem)
{
    static char client_id[64];
    struct given given = {0};
    bool help = false;
    *options = (struct bench_options){.version = MQTT_V3_1_1,
                                      .keep_alive = 60,
                                      .topic = "bench",
                                      .client_id = client_id,
                                      .publishers = 1,
                                      .subscribers = 1,
                                      .subscriptions = 10000,
                                      .topics = 1,
                                      .payload = 64,
                                      .batch = UINT32_MAX,
                                      .window = UINT32_MAX,
                                      .inflight = 20,
                                      .concurrency = 64,
                                      .duration = 5,
                                      .warmup = 0.5,
                                      .hold = 1,
                                      .drain = 3,
                                      .timeout = 10};
    if (argc < 2) {
        *problem = str_format("the scenario is missing");
        return BENCH_WRONG;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
        return BENCH_WANTS_HELP;
    if (!scenario_read(argv[1], options, problem))
        return BENCH_WRONG;
    defaults_before(options, client_id, sizeof client_id);
    if (!options_walk(argc - 1, argv + 1, options, &given, &help, problem))
        return BENCH_WRONG;
    if (help)
        return BENCH_WANTS_HELP;
    defaults_after(options);
    bound_batch(options);
    options->client_id = numbered(options->client_id);
    *problem = contradiction(options);
    return !*problem && target_read(options, &given, problem) ? BENCH_PARSED : BENCH_WRONG;
}
