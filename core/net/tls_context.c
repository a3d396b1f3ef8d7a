// A listener's TLS as OpenSSL wants it: one SSL_CTX for each set of names, chosen by the name the client asks
// for.
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/memory.h"
#include "core/net/tls_check.h"
#include "core/net/tls_records.h"
#include "core/net/tls_state.h"

/* ---- what OpenSSL calls during a handshake ---- */

static struct tls_context *context_of(const SSL *ssl)
{
    return tls_layer_of(ssl)->context;
}

static bool is_named(const struct tls_certificates *group, const char *name)
{
    for (int i = 0; i < TLS_KEY_TYPES; i++)
        if (group->of_type[i].certificate &&
            X509_check_host(group->of_type[i].certificate, name, strlen(name), 0, NULL) == 1)
            return true;
    return false;
}

static int choose_name(SSL *ssl, int *alert, void *argument)
{
    (void)alert;
    (void)argument;
    const struct tls_context *context = context_of(ssl);
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    if (!name)
        return SSL_TLSEXT_ERR_NOACK;
    for (size_t i = 0; i < context->group_count; i++)
        if (is_named(&context->groups[i], name)) {
            SSL_set_SSL_CTX(ssl, context->groups[i].ssl);
            return SSL_TLSEXT_ERR_OK;
        }
    return SSL_TLSEXT_ERR_NOACK;
}

// Who offers other protocols only is not sent away: some clients offer what they always offer.
static int choose_protocol(SSL *ssl, const unsigned char **chosen, unsigned char *length,
                           const unsigned char *offered, unsigned offered_length, void *argument)
{
    (void)argument;
    const char *protocol = context_of(ssl)->protocol;
    size_t wanted = strlen(protocol);
    for (unsigned at = 0; at < offered_length; at += 1U + offered[at])
        if (offered[at] == wanted && at + 1 + wanted <= offered_length &&
            memcmp(offered + at + 1, protocol, wanted) == 0) {
            *chosen = offered + at + 1;
            *length = offered[at];
            return SSL_TLSEXT_ERR_OK;
        }
    return SSL_TLSEXT_ERR_NOACK;
}

// A response that is out of date would do more harm than none.
static int staple(SSL *ssl, void *argument)
{
    (void)argument;
    const struct tls_certificates *group = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    const X509 *certificate = SSL_get_certificate(ssl);
    for (int i = 0; group && i < TLS_KEY_TYPES; i++) {
        const struct tls_stapled *stapled = &group->of_type[i];
        if (stapled->certificate != certificate || !stapled->response ||
            (stapled->until && stapled->until < time(NULL)))
            continue;
        unsigned char *copy = OPENSSL_memdup(stapled->response, stapled->length);
        if (copy && SSL_set_tlsext_status_ocsp_resp(ssl, copy, (long)stapled->length))
            return SSL_TLSEXT_ERR_OK;
        OPENSSL_free(copy);
    }
    return SSL_TLSEXT_ERR_NOACK;
}

/* ---- making it ---- */

static bool set_ciphers(struct tls_load *load, SSL_CTX *ssl)
{
    const struct tls_options *options = load->options;
    if (options->ciphers && !SSL_CTX_set_cipher_list(ssl, options->ciphers)) {
        tls_load_error(load, "`ciphers` names no cipher of TLS 1.2 that there is: %s", options->ciphers);
        return false;
    }
    // A PSK is bound to SHA-256, and not used with a suite that has another hash.
    if (!options->ciphersuites && (options->psk_file || options->psk_asked))
        SSL_CTX_set_ciphersuites(
            ssl, "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_256_GCM_SHA384");
    if (options->ciphersuites && !SSL_CTX_set_ciphersuites(ssl, options->ciphersuites)) {
        tls_load_error(load, "`ciphersuites` names one that TLS 1.3 does not have: %s",
                       options->ciphersuites);
        return false;
    }
    return true;
}

static void set_up(SSL_CTX *ssl, const struct tls_context *context, const struct tls_options *options)
{
    SSL_CTX_set_min_proto_version(ssl,
                                  options->min_version == TLS_VERSION_1_3 ? TLS1_3_VERSION : TLS1_2_VERSION);
    SSL_CTX_set_options(ssl, SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE |
                                 SSL_OP_PRIORITIZE_CHACHA | SSL_OP_NO_COMPRESSION);
    SSL_CTX_set_mode(ssl, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_dh_auto(ssl, 1);
    if (options->compact)
        tls_secrets_watch(ssl);
    // Sessions live in tickets that clients keep, not in the broker's memory. One for each connection will
    // do.
    SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_num_tickets(ssl, options->session_tickets ? 1 : 0);
    if (!options->session_tickets)
        SSL_CTX_set_options(ssl, SSL_OP_NO_TICKET);
    SSL_CTX_set_tlsext_servername_callback(ssl, choose_name);
    SSL_CTX_set_tlsext_status_cb(ssl, staple);
    if (context->protocol)
        SSL_CTX_set_alpn_select_cb(ssl, choose_protocol, NULL);
    if (context->psk || context->psk_asked)
        SSL_CTX_set_psk_server_callback(ssl, tls_key_find);
    if (options->psk_hint)
        SSL_CTX_use_psk_identity_hint(ssl, options->psk_hint);
}

static struct tls_certificates *add_group(struct tls_load *load, struct tls_context *context)
{
    SSL_CTX *ssl = SSL_CTX_new(TLS_server_method());
    if (!ssl)
        memory_exhausted();
    set_up(ssl, context, load->options);
    context->groups = memory_resize(context->groups, (context->group_count + 1) * sizeof *context->groups);
    struct tls_certificates *group = &context->groups[context->group_count++];
    *group = (struct tls_certificates){.ssl = ssl};
    return group;
}

static bool same_names(const X509 *a, const X509 *b)
{
    GENERAL_NAMES *names[] = {X509_get_ext_d2i(a, NID_subject_alt_name, NULL, NULL),
                              X509_get_ext_d2i(b, NID_subject_alt_name, NULL, NULL)};
    int count = sk_GENERAL_NAME_num(names[0]);
    bool same = count > 0 && count == sk_GENERAL_NAME_num(names[1]);
    for (int i = 0; same && i < count; i++) {
        bool found = false;
        for (int k = 0; !found && k < count; k++)
            found =
                GENERAL_NAME_cmp(sk_GENERAL_NAME_value(names[0], i), sk_GENERAL_NAME_value(names[1], k)) == 0;
        same = found;
    }
    GENERAL_NAMES_free(names[0]);
    GENERAL_NAMES_free(names[1]);
    return same;
}

static size_t type_of_key(const EVP_PKEY *key)
{
    return EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA ? 0 : 1;
}

// One with a key of another type for the same names joins the first: then either kind of client is content.
static struct tls_certificates *group_for(struct tls_load *load, struct tls_context *context,
                                          const X509 *certificate, size_t type)
{
    for (size_t i = 0; i < context->group_count; i++) {
        struct tls_certificates *group = &context->groups[i];
        const X509 *other = group->of_type[!type].certificate;
        if (!group->of_type[type].certificate && other && same_names(other, certificate))
            return group;
    }
    return add_group(load, context);
}

static bool use(struct tls_load *load, struct tls_context *context, const struct tls_identity *identity,
                STACK_OF(X509) * chain, EVP_PKEY *key)
{
    X509 *certificate = sk_X509_value(chain, 0);
    size_t type = type_of_key(key);
    struct tls_certificates *group = group_for(load, context, certificate, type);
    ERR_clear_error();
    if (!SSL_CTX_use_certificate(group->ssl, certificate) || !SSL_CTX_use_PrivateKey(group->ssl, key)) {
        tls_load_error(load, "the certificate %s cannot be used: %s", identity->certificate,
                       tls_openssl_words());
        return false;
    }
    for (int i = 1; i < sk_X509_num(chain); i++)
        SSL_CTX_add1_chain_cert(group->ssl, sk_X509_value(chain, i));
    struct tls_stapled *stapled = &group->of_type[type];
    stapled->certificate = certificate;
    X509_up_ref(certificate);
    return !identity->ocsp_response || tls_staple_read(load, identity->ocsp_response, chain, stapled);
}

static bool add_identity(struct tls_load *load, struct tls_context *context,
                         const struct tls_identity *identity)
{
    STACK_OF(X509) *chain = tls_certificates_read(load, identity->certificate, "certificate");
    EVP_PKEY *key = tls_key_read(load, identity->key);
    bool good = chain && key && tls_check_identity(load, context, identity, chain, key) &&
                use(load, context, identity, chain, key);
    sk_X509_pop_free(chain, X509_free);
    EVP_PKEY_free(key);
    return good;
}

/* ---- clients' certificates ---- */

static bool add_authorities(struct tls_load *load, const char *path, void *argument)
{
    X509_STORE *store = argument;
    STACK_OF(X509) *all = tls_certificates_read(load, path, "client_ca");
    for (int i = 0; all && i < sk_X509_num(all); i++)
        X509_STORE_add_cert(store, sk_X509_value(all, i));
    sk_X509_pop_free(all, X509_free);
    return all != NULL;
}

// Tells clients whose certificates are welcome, so that one with several sends the right one.
static void name_authorities(const struct tls_context *context, X509_STORE *store)
{
    const STACK_OF(X509_OBJECT) *objects = X509_STORE_get0_objects(store);
    STACK_OF(X509_NAME) *names = sk_X509_NAME_new_null();
    for (int i = 0; names && i < sk_X509_OBJECT_num(objects); i++) {
        const X509 *certificate = X509_OBJECT_get0_X509(sk_X509_OBJECT_value(objects, i));
        X509_NAME *name = certificate ? X509_NAME_dup(X509_get_subject_name(certificate)) : NULL;
        if (name)
            sk_X509_NAME_push(names, name);
    }
    for (size_t i = 0; names && i < context->group_count; i++)
        SSL_CTX_set_client_CA_list(context->groups[i].ssl, SSL_dup_CA_list(names));
    sk_X509_NAME_pop_free(names, X509_NAME_free);
}

struct crl_load {
    struct tls_context *context;
    X509_STORE *store;
};

static bool add_crl(struct tls_load *load, const char *path, void *argument)
{
    struct crl_load *into = argument;
    return tls_crl_read(load, into->context, path, into->store);
}

static bool set_verification(struct tls_load *load, struct tls_context *context)
{
    const struct tls_options *options = load->options;
    if (options->client_certificate == TLS_ASK_NONE)
        return true;
    X509_STORE *store = X509_STORE_new();
    if (!store)
        memory_exhausted();
    unsigned long flags = X509_V_FLAG_PARTIAL_CHAIN;
    struct crl_load crls = {context, store};
    bool good = tls_files_each(load, options->client_ca, "client_ca", add_authorities, store);
    if (options->crl) {
        flags |= X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL;
        good = tls_files_each(load, options->crl, "crl", add_crl, &crls) && good;
    }
    X509_STORE_set_flags(store, flags);
    int mode = SSL_VERIFY_PEER |
               (options->client_certificate == TLS_ASK_REQUIRE ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0);
    for (size_t i = 0; i < context->group_count; i++) {
        SSL_CTX_set1_cert_store(context->groups[i].ssl, store);
        SSL_CTX_set_verify(context->groups[i].ssl, mode, tls_verify_client);
    }
    name_authorities(context, store);
    X509_STORE_free(store);
    return good;
}

static bool read_keys(struct tls_load *load, struct tls_context *context)
{
    const char *path = load->options->psk_file;
    if (!path)
        return true;
    struct str text = tls_file_read(load, path, "psk_file");
    if (!text.data)
        return false;
    context->psk = tls_psk_parse(path, text, load->diagnostics);
    tls_text_free(text);
    tls_check_permissions(load, path, "psk_file");
    return context->psk != NULL;
}

/* ---- the whole ---- */

static void note_text(struct tls_load *load, const char *text)
{
    tls_load_note(load, text ? text : "", text ? strlen(text) : 0);
}

// Paths are noted as well: another file with the same bytes is another configuration.
static void note_options(struct tls_load *load)
{
    const struct tls_options *options = load->options;
    uint32_t numbers[] = {(uint32_t)options->client_certificate,
                          options->accept_expired_crl,
                          (uint32_t)options->min_version,
                          options->session_tickets,
                          options->psk_asked,
                          options->compact};
    tls_load_note(load, numbers, sizeof numbers);
    note_text(load, options->ciphers);
    note_text(load, options->ciphersuites);
    note_text(load, options->protocol);
    note_text(load, options->psk_hint);
    note_text(load, options->client_ca);
    note_text(load, options->crl);
    note_text(load, options->psk_file);
}

static void set_session_context(const struct tls_context *context)
{
    for (size_t i = 0; i < context->group_count; i++) {
        SSL_CTX_set_session_id_context(context->groups[i].ssl, context->digest, SSL_MAX_SID_CTX_LENGTH);
        SSL_CTX_set_app_data(context->groups[i].ssl, &context->groups[i]);
    }
}

static bool load_all(struct tls_load *load, struct tls_context *context)
{
    const struct tls_options *options = load->options;
    note_options(load);
    bool good = read_keys(load, context);
    for (size_t i = 0; i < options->identity_count; i++)
        good = add_identity(load, context, &options->identities[i]) && good;
    if (context->group_count == 0)
        add_group(load, context);
    for (size_t i = 0; i < context->group_count; i++)
        good = set_ciphers(load, context->groups[i].ssl) && good;
    return set_verification(load, context) && good;
}

struct tls_context *tls_context_new(const struct tls_options *options, struct diagnostics *diagnostics)
{
    struct tls_load load = {.options = options, .diagnostics = diagnostics, .digest = EVP_MD_CTX_new()};
    if (!load.digest || !EVP_DigestInit_ex(load.digest, EVP_sha256(), NULL))
        memory_exhausted();
    struct tls_context *context = memory_zalloc(sizeof *context);
    atomic_init(&context->references, 1);
    context->psk_asked = options->psk_asked;
    context->accept_expired_crl = options->accept_expired_crl;
    context->protocol = options->protocol ? str_to_c(str_of(options->protocol)) : NULL;
    size_t errors = diagnostics->errors;
    bool good = load_all(&load, context) && diagnostics->errors == errors;
    EVP_DigestFinal_ex(load.digest, context->digest, NULL);
    EVP_MD_CTX_free(load.digest);
    set_session_context(context);
    ERR_clear_error();
    if (good)
        return context;
    tls_context_unref(context);
    return NULL;
}

struct tls_context *tls_context_ref(struct tls_context *context)
{
    atomic_fetch_add_explicit(&context->references, 1, memory_order_relaxed);
    return context;
}

void tls_context_unref(struct tls_context *context)
{
    if (!context || atomic_fetch_sub_explicit(&context->references, 1, memory_order_acq_rel) > 1)
        return;
    for (size_t i = 0; i < context->group_count; i++) {
        for (int k = 0; k < TLS_KEY_TYPES; k++) {
            X509_free(context->groups[i].of_type[k].certificate);
            free(context->groups[i].of_type[k].response);
        }
        SSL_CTX_free(context->groups[i].ssl);
    }
    for (size_t i = 0; i < context->expiry_count; i++) {
        free((void *)(uintptr_t)context->expiries[i].file);
        free((void *)(uintptr_t)context->expiries[i].subject);
    }
    free(context->expiries);
    free(context->groups);
    tls_psk_free(context->psk);
    free(context->protocol);
    free(context);
}

bool tls_context_equal(const struct tls_context *a, const struct tls_context *b)
{
    return a && b && memcmp(a->digest, b->digest, sizeof a->digest) == 0;
}

const struct tls_expiry *tls_context_expiries(const struct tls_context *context, size_t *count)
{
    *count = context->expiry_count;
    return context->expiries;
}
