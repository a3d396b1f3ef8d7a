/*
 * A plugin to begin with: clients may publish and subscribe below one topic level that bears their name.
 *
 *   plugins:
 *     - name: example
 *       path: ./example.so
 *       config: { prefix: home }      # user ann: home/ann and everything below it
 *
 * Build it with `make`; look at it with `noctule plugin info ./example.so`; try it with
 * `noctule explain -c noctule.yaml --access publish --topic home/ann/lamp --username ann`.
 */
#include <noctule/plugin.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Of the instance: made once by init, shared by all threads, read-only afterwards. */
struct state {
    const struct noctule_host *host;
    struct noctule_instance *instance;
};

/* Of the configuration: made anew by every build, read-only, freed by retire. */
struct snapshot {
    struct noctule_string prefix; /* belongs to the configuration, which lives as long as the snapshot */
};

static int32_t example_init(const struct noctule_host *host, struct noctule_instance *instance, void **state)
{
    struct state *own = malloc(sizeof *own);
    if (!own)
        return NOCTULE_E_MEMORY;
    own->host = host;
    own->instance = instance;
    *state = own;
    return NOCTULE_OK;
}

static void example_fini(void *state)
{
    free(state);
}

static int32_t example_build(void *state, const struct noctule_config *config, void **snapshot)
{
    const struct state *own = state;
    struct snapshot *made = calloc(1, sizeof *made);
    if (!made)
        return NOCTULE_E_MEMORY;
    made->prefix = NOCTULE_STRING("home");
    if (own->host->config_string(config, "prefix", &made->prefix) < 0) {
        free(made);
        return NOCTULE_E_INVALID; /* the host has reported what is wrong with it, and where */
    }
    *snapshot = made;
    return NOCTULE_OK;
}

static void example_retire(void *state, void *snapshot)
{
    (void)state;
    free(snapshot);
}

/* Whether `topic` is PREFIX/NAME or lies below it. */
static int topic_is_own(struct noctule_string topic, struct noctule_string prefix, struct noctule_string name)
{
    size_t own = prefix.length + 1 + name.length;
    return topic.length >= own && memcmp(topic.data, prefix.data, prefix.length) == 0 &&
           topic.data[prefix.length] == '/' &&
           memcmp(topic.data + prefix.length + 1, name.data, name.length) == 0 &&
           (topic.length == own || topic.data[own] == '/');
}

static noctule_verdict example_authorize(const struct noctule_context *context,
                                         const struct noctule_access *access)
{
    const struct state *own = context->state;
    const struct snapshot *snapshot = context->snapshot;
    struct noctule_string name = own->host->client_info(context->client)->username;
    /* No name, no opinion. A name with a wildcard in it must not become one. */
    if (name.length == 0 || memchr(name.data, '+', name.length) || memchr(name.data, '#', name.length))
        return NOCTULE_NEXT;
    if (!topic_is_own(access->topic, snapshot->prefix, name))
        return NOCTULE_NEXT;
    if (context->want_reason) {
        char reason[128];
        int length = snprintf(reason, sizeof reason, "below %.*s/%.*s", (int)snapshot->prefix.length,
                              snapshot->prefix.data, (int)name.length, name.data);
        struct noctule_reply reply = {.size = sizeof reply};
        if (length > 0 && (size_t)length < sizeof reason)
            reply.reason = noctule_string_of(reason, (size_t)length);
        own->host->annotate(context->request, &reply);
    }
    return NOCTULE_ALLOW;
}

static const struct noctule_plugin plugin = {
    .size = sizeof(struct noctule_plugin),
    .abi_major = NOCTULE_ABI_MAJOR,
    .abi_minor = 0, /* raise it when you use something newer */
    .name = "example",
    .version = "0.1.0",
    .description = "Everybody below their own name",
    .license = "MIT",
    .authorize_mask = NOCTULE_ACCESS_PUBLISH | NOCTULE_ACCESS_SUBSCRIBE,
    .init = example_init,
    .fini = example_fini,
    .build = example_build,
    .retire = example_retire,
    .authorize = example_authorize,
};

NOCTULE_PLUGIN_ENTRY(plugin)
