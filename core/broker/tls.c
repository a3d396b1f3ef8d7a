// TLS of the listeners: what their settings ask for, which name a certificate gives a client, who knows PSKs.
#include <stdlib.h>

#include "core/base/log.h"
#include "core/base/memory.h"
#include "core/broker/state.h"
#include "core/plugin/psk.h"

/* ---- names ---- */

static const struct listener_settings *settings_of(const struct connection *connection)
{
    const struct settings *settings = connection_worker(connection)->settings;
    for (size_t i = 0; i < settings->listener_count; i++)
        if (strcmp(settings->listeners[i].name, connection->listener->name) == 0)
            return &settings->listeners[i];
    return NULL;
}

static const char *name_of(const struct transport_facts *facts, enum settings_name_from from)
{
    switch (from) {
    case SETTINGS_NAME_CN:
        return facts->certificate_name;
    case SETTINGS_NAME_SUBJECT:
        return facts->subject;
    case SETTINGS_NAME_SAN:
        return facts->alternative_name;
    default:
        return NULL;
    }
}

// A certificate that lacks the name is refused: else its owner could take whatever name he likes.
static bool take_name(const struct transport_facts *facts, enum settings_name_from from, struct str *name,
                      const char **why)
{
    static const char *const missing[] = {
        [SETTINGS_NAME_CN] = "the client's certificate has no common name",
        [SETTINGS_NAME_SUBJECT] = "the client's certificate has no subject",
        [SETTINGS_NAME_SAN] = "the client's certificate has no alternative name",
    };
    if (from == SETTINGS_NAME_NONE || (!facts->pem && !facts->psk_identity) ||
        (facts->pem && from == SETTINGS_NAME_PSK))
        return true;
    *name = str_of(facts->pem ? name_of(facts, from) : facts->psk_identity);
    if (name->length > 0 && name->length <= UINT16_MAX && str_is_utf8(*name))
        return true;
    *why = name->length == 0 ? missing[from] : "the name in the client's certificate cannot be one in MQTT";
    return false;
}

// Of a certificate that the client has shown to a proxy, and the proxy has verified.
static bool take_proxy_name(const struct connection *connection, struct tls_names *names, const char **why)
{
    struct transport_facts facts;
    transport_facts(connection->stream.transport, &connection->stream, &facts);
    if (!facts.certificate_name)
        return true;
    if (!*facts.certificate_name) {
        *why = "the client's certificate has no common name";
        return false;
    }
    names->username = str_of(facts.certificate_name);
    return true;
}

bool tls_names_of(const struct connection *connection, struct tls_names *names, const char **why)
{
    const struct listener_settings *listener = settings_of(connection);
    const struct settings_tls *tls = listener ? listener->tls : NULL;
    struct transport_facts facts;
    *names = (struct tls_names){0};
    if (listener && listener->proxy.username_from_cn)
        return take_proxy_name(connection, names, why);
    if (!tls || (tls->username_from == SETTINGS_NAME_NONE && tls->client_id_from == SETTINGS_NAME_NONE))
        return true;
    transport_facts(connection->stream.transport, &connection->stream, &facts);
    names->suffices = tls->certificate_suffices;
    if (take_name(&facts, tls->username_from, &names->username, why) &&
        take_name(&facts, tls->client_id_from, &names->client_id, why))
        return true;
    *names = (struct tls_names){0};
    return false;
}

/* ---- PSKs that plugins know ---- */

static void key_found(struct client *client, const struct outcome *outcome, void *argument)
{
    (void)client;
    struct connection *connection = argument;
    connection->pending = NULL;
    tls_layer_answer(&connection->stream, outcome->verdict == NOCTULE_ALLOW ? outcome->psk : (struct str){0});
}

static void ask_key(struct stream *stream, struct str identity)
{
    struct connection *connection = (struct connection *)stream;
    const char *listener = connection->listener->name;
    struct noctule_psk psk = {.size = sizeof psk,
                              .identity = {identity.data, identity.length},
                              .listener = {listener, strlen(listener)}};
    struct decision_call call = {.done = key_found, .argument = connection};
    struct outcome outcome;
    connection->pending = decide_psk(stream->worker, &psk, &call, &outcome);
    if (!connection->pending)
        key_found(NULL, &outcome, connection);
}

bool tls_begin(struct connection *connection)
{
    struct tls_context *tls = atomic_load(&connection->listener->tls);
    if (!tls)
        return true;
    struct transport *layer = tls_layer_new(tls, ask_key);
    if (!layer)
        return false;
    stream_push(&connection->stream, layer);
    return true;
}

/* ---- contexts ---- */

struct tls_context *tls_load(const struct listener_settings *wanted, bool strict,
                             struct diagnostics *diagnostics)
{
    const struct settings_tls *tls = wanted->tls;
    struct tls_identity *identities = memory_zalloc((tls->certificate_count + 1) * sizeof *identities);
    for (size_t i = 0; i < tls->certificate_count; i++)
        identities[i] = (struct tls_identity){tls->certificates[i].certificate, tls->certificates[i].key,
                                              tls->certificates[i].ocsp_response};
    struct tls_options options = {
        .place = tls->place,
        .identities = identities,
        .identity_count = tls->certificate_count,
        .client_ca = tls->client_ca,
        .client_certificate = (enum tls_ask)tls->client_certificate,
        .crl = tls->crl,
        .accept_expired_crl = tls->accept_expired_crl,
        .min_version = (enum tls_version)tls->min_version,
        .ciphers = tls->ciphers,
        .ciphersuites = tls->ciphersuites,
        .protocol = wanted->websocket ? "http/1.1" : "mqtt", // a browser speaks HTTP first
        .session_tickets = tls->session_tickets,
        .compact = tls->compact,
        .psk_file = tls->psk_file,
        .psk_hint = tls->psk_hint,
        .psk_asked = tls->psk_plugins,
        .strict = strict,
    };
    struct tls_context *context = tls_context_new(&options, diagnostics);
    free(identities);
    return context;
}

void broker_check_tls(const struct settings *settings, struct diagnostics *diagnostics)
{
    for (size_t i = 0; i < settings->listener_count; i++)
        if (settings->listeners[i].tls)
            tls_context_unref(tls_load(&settings->listeners[i], true, diagnostics));
}

bool tls_prepare(struct broker_listener *listener, const struct listener_settings *wanted,
                 struct diagnostics *diagnostics)
{
    if (!wanted->tls)
        return true;
    listener->files_read = tls_files_state(wanted->tls);
    listener->tls_next = tls_load(wanted, false, diagnostics);
    if (!listener->tls_next)
        return false;
    // Nothing is new: tickets that clients have stay good.
    struct tls_context *now = atomic_load(&listener->tls);
    if (tls_context_equal(now, listener->tls_next)) {
        tls_context_unref(listener->tls_next);
        listener->tls_next = tls_context_ref(now);
    }
    return true;
}

static void note_expiries(const struct broker_listener *listener, const struct tls_context *context)
{
    size_t count = 0;
    const struct tls_expiry *all = context ? tls_context_expiries(context, &count) : NULL;
    int64_t first[2] = {0, 0};
    for (size_t i = 0; i < count; i++) {
        int64_t *each = &first[all[i].is_crl];
        if (*each == 0 || all[i].not_after < *each)
            *each = all[i].not_after;
    }
    atomic_store(&listener->counters->certificate_expiry, first[0]);
    atomic_store(&listener->counters->crl_expiry, first[1]);
}

void tls_replace(struct broker_listener *listener)
{
    listener->tls_before = atomic_exchange(&listener->tls, listener->tls_next);
    note_expiries(listener, listener->tls_next);
    listener->tls_next = NULL;
}

void tls_commit(struct broker *broker, const struct settings *settings)
{
    const struct limit_settings *limits = &settings->limits;
    unsigned workers = broker->worker_count;
    tls_limit_handshakes((unsigned)((limits->handshakes + workers - 1) / workers),
                         (unsigned)((limits->handshake_rate + workers - 1) / workers));
    for (struct broker_listener *listener = broker->listeners; listener; listener = listener->next)
        if (listener->stays)
            tls_replace(listener);
}

void tls_settle(struct broker_listener *listener)
{
    tls_context_unref(listener->tls_next);
    tls_context_unref(listener->tls_before);
    listener->tls_next = listener->tls_before = NULL;
}

void tls_forget(struct broker_listener *listener)
{
    tls_settle(listener);
    tls_context_unref(atomic_exchange(&listener->tls, NULL));
}
