// The `tls` of a listener. Files are named here, and read by whoever uses them.
#include <stdlib.h>
#include <string.h>

#include "config/settings_read.h"
#include "config/tree_build.h"

static const struct config_choice asks[] = {{"none", SETTINGS_CLIENT_NONE},
                                            {"request", SETTINGS_CLIENT_REQUEST},
                                            {"require", SETTINGS_CLIENT_REQUIRE},
                                            {NULL, 0}};
static const struct config_choice names[] = {{"none", SETTINGS_NAME_NONE},       {"cn", SETTINGS_NAME_CN},
                                             {"subject", SETTINGS_NAME_SUBJECT}, {"san", SETTINGS_NAME_SAN},
                                             {"psk", SETTINGS_NAME_PSK},         {NULL, 0}};
static const struct config_choice versions[] = {
    {"1.2", SETTINGS_TLS_1_2}, {"1.3", SETTINGS_TLS_1_3}, {NULL, 0}};
static const struct config_choice expired[] = {{"refuse", 0}, {"accept", 1}, {NULL, 0}};

static void read_certificate(struct settings_certificate *certificate, struct config_node *map,
                             struct diagnostics *diagnostics)
{
    certificate->place = map->place;
    if (config_path(map, "certificate", &certificate->certificate, diagnostics) == CONFIG_ABSENT)
        config_missing(map, "certificate", diagnostics);
    // One file may hold both.
    certificate->key = certificate->certificate;
    config_path(map, "key", &certificate->key, diagnostics);
    config_path(map, "ocsp_response", &certificate->ocsp_response, diagnostics);
}

// The one of the map itself, and those of `certificates`.
static void read_certificates(struct settings *settings, struct settings_tls *tls, struct config_node *map,
                              struct diagnostics *diagnostics)
{
    bool own = config_get_opaque(map, "certificate") != NULL;
    struct config_node *list = NULL;
    config_list(map, "certificates", &list, diagnostics);
    size_t count = (list ? list->count : 0) + 1;
    tls->certificates = config_alloc(settings->tree, count * sizeof *tls->certificates);
    if (own || (!(list && list->items) && !tls->psk_file && !tls->psk_plugins)) {
        read_certificate(&tls->certificates[tls->certificate_count++], map, diagnostics);
    } else {
        static const char *const lonely[] = {"key", "ocsp_response"};
        for (size_t i = 0; i < sizeof lonely / sizeof *lonely; i++) {
            const struct config_node *node = config_get_opaque(map, lonely[i]);
            if (node)
                diagnostics_error(diagnostics, node->place, "`%s` is of no use without `certificate`",
                                  lonely[i]);
        }
    }
    for (struct config_node *item = list ? list->items : NULL; item; item = item->next)
        if (config_node_map(item, diagnostics))
            read_certificate(&tls->certificates[tls->certificate_count++], item, diagnostics);
}

static void of_no_use(struct config_node *map, const char *key, const char *without,
                      struct diagnostics *diagnostics)
{
    const struct config_node *node = config_get_opaque(map, key);
    if (node)
        diagnostics_error(diagnostics, node->place, "`%s` is of no use without %s", key, without);
}

static void read_clients(struct settings_tls *tls, struct config_node *map, struct diagnostics *diagnostics)
{
    bool has_ca = config_path(map, "client_ca", &tls->client_ca, diagnostics) == CONFIG_FOUND;
    int ask = has_ca ? SETTINGS_CLIENT_REQUIRE : SETTINGS_CLIENT_NONE;
    config_enum(map, "client_certificate", asks, &ask, diagnostics);
    tls->client_certificate = (enum settings_client_certificate)ask;
    config_path(map, "crl", &tls->crl, diagnostics);
    int accept = 0;
    config_enum(map, "expired_crl", expired, &accept, diagnostics);
    tls->accept_expired_crl = accept != 0;
    if (ask != SETTINGS_CLIENT_NONE && !config_get_opaque(map, "client_ca"))
        config_missing(map, "client_ca", diagnostics);
    if (ask == SETTINGS_CLIENT_NONE) {
        of_no_use(map, "client_ca", "asking for certificates: `client_certificate: request` or `require`",
                  diagnostics);
        of_no_use(map, "crl", "`client_ca`", diagnostics);
    }
    if (!config_get_opaque(map, "crl"))
        of_no_use(map, "expired_crl", "`crl`", diagnostics);
}

static void read_names(struct settings_tls *tls, struct config_node *map, struct diagnostics *diagnostics)
{
    int name = SETTINGS_NAME_NONE;
    config_enum(map, "username_from", names, &name, diagnostics);
    tls->username_from = (enum settings_name_from)name;
    name = SETTINGS_NAME_NONE;
    config_enum(map, "client_id_from", names, &name, diagnostics);
    tls->client_id_from = (enum settings_name_from)name;
    config_bool(map, "certificate_suffices", &tls->certificate_suffices, diagnostics);
    if (tls->client_certificate == SETTINGS_CLIENT_NONE && !tls->psk_file && !tls->psk_plugins) {
        of_no_use(map, "username_from", "`client_ca` or a PSK: nobody has a name", diagnostics);
        of_no_use(map, "client_id_from", "`client_ca` or a PSK: nobody has a name", diagnostics);
    }
    if (tls->username_from == SETTINGS_NAME_NONE)
        of_no_use(map, "certificate_suffices", "`username_from`: it says who the client is", diagnostics);
}

void listener_tls_read(struct settings *settings, struct listener_settings *listener, struct config_node *map,
                       struct diagnostics *diagnostics)
{
    struct config_node *node = NULL;
    if (config_map(map, "tls", &node, diagnostics) != CONFIG_FOUND)
        return;
    struct settings_tls *tls = config_alloc(settings->tree, sizeof *tls);
    listener->tls = tls;
    tls->place = node->place;
    tls->session_tickets = true;
    tls->compact = true;
    config_path(node, "psk_file", &tls->psk_file, diagnostics);
    config_bool(node, "psk_plugins", &tls->psk_plugins, diagnostics);
    config_string(node, "psk_hint", &tls->psk_hint, diagnostics);
    if (!tls->psk_file && !tls->psk_plugins)
        of_no_use(node, "psk_hint", "`psk_file` or `psk_plugins`", diagnostics);
    read_certificates(settings, tls, node, diagnostics);
    read_clients(tls, node, diagnostics);
    read_names(tls, node, diagnostics);
    int version = SETTINGS_TLS_1_2;
    config_enum(node, "min_version", versions, &version, diagnostics);
    tls->min_version = (enum settings_tls_version)version;
    config_string(node, "ciphers", &tls->ciphers, diagnostics);
    config_string(node, "ciphersuites", &tls->ciphersuites, diagnostics);
    config_bool(node, "session_tickets", &tls->session_tickets, diagnostics);
    config_bool(node, "compact", &tls->compact, diagnostics);
    config_bool(node, "watch", &tls->watch, diagnostics);
}
