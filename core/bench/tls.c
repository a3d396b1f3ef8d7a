#include "core/bench/connection.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <string.h>

#include "core/base/str.h"

// What OpenSSL says about the last failure.
static const char *tls_words(void)
{
    unsigned long code = ERR_peek_last_error();
    const char *reason = code ? ERR_reason_error_string(code) : NULL;
    return reason ? reason : "TLS failed";
}

// The first session that can be resumed is kept, when it is wanted.
static int session_came(SSL *ssl, SSL_SESSION *session)
{
    struct bench *bench = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    if (bench->session || !SSL_SESSION_is_resumable(session))
        return 0;
    bench->session = session;
    return 1;
}

static void load_files(struct bench *bench)
{
    const struct bench_options *options = bench->options;
    SSL_CTX *tls = bench->tls;
    const char *key = options->key ? options->key : options->certificate;
    if (options->ca_file && SSL_CTX_load_verify_locations(tls, options->ca_file, NULL) != 1)
        bench_fail(bench, BENCH_LOCAL, "--cafile %s: %s", options->ca_file, tls_words());
    else if (!options->ca_file)
        SSL_CTX_set_default_verify_paths(tls);
    if (options->certificate && SSL_CTX_use_certificate_chain_file(tls, options->certificate) != 1)
        bench_fail(bench, BENCH_LOCAL, "--cert %s: %s", options->certificate, tls_words());
    else if (key && SSL_CTX_use_PrivateKey_file(tls, key, SSL_FILETYPE_PEM) != 1)
        bench_fail(bench, BENCH_LOCAL, "--key %s: %s", key, tls_words());
}

void bench_tls_open(struct bench *bench)
{
    const struct bench_options *options = bench->options;
    bench->tls = SSL_CTX_new(TLS_client_method());
    if (!bench->tls) {
        bench_fail(bench, BENCH_LOCAL, "%s", tls_words());
        return;
    }
    SSL_CTX_set_app_data(bench->tls, bench);
    SSL_CTX_set_mode(bench->tls, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                     SSL_MODE_RELEASE_BUFFERS);
    int version = 0;
    if (options->tls_version)
        version = strcmp(options->tls_version, "1.2") == 0 ? TLS1_2_VERSION : TLS1_3_VERSION;
    SSL_CTX_set_min_proto_version(bench->tls, version ? version : TLS1_2_VERSION);
    SSL_CTX_set_max_proto_version(bench->tls, version);
    if (options->resume) {
        SSL_CTX_set_session_cache_mode(bench->tls, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
        SSL_CTX_sess_set_new_cb(bench->tls, session_came);
    }
    load_files(bench);
    if (!options->insecure)
        SSL_CTX_set_verify(bench->tls, SSL_VERIFY_PEER, NULL);
}

void bench_tls_close(struct bench *bench)
{
    SSL_SESSION_free(bench->session);
    SSL_CTX_free(bench->tls);
}

static bool is_address(const char *host)
{
    struct in6_addr address;
    return inet_pton(AF_INET, host, &address) == 1 || inet_pton(AF_INET6, host, &address) == 1;
}

bool bench_tls_start(struct bench *bench, struct connection *connection)
{
    const char *host = bench->options->target.host;
    connection->ssl = SSL_new(bench->tls);
    if (!connection->ssl || SSL_set_fd(connection->ssl, connection->fd) != 1) {
        bench_connection_fail(bench, connection, "%s", tls_words());
        return false;
    }
    if (host && is_address(host)) {
        X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(connection->ssl), host);
    } else if (host) {
        SSL_set_tlsext_host_name(connection->ssl, host);
        SSL_set1_host(connection->ssl, host);
    }
    if (bench->session) {
        // A copy: OpenSSL spends a session of TLS 1.3 with the ticket that replaces it.
        SSL_SESSION *session = SSL_SESSION_dup(bench->session);
        SSL_set_session(connection->ssl, session);
        SSL_SESSION_free(session);
    }
    SSL_set_connect_state(connection->ssl);
    return true;
}

// Why the last call on the connection failed: 0 when it is only to be tried again.
static ssize_t tls_failed(struct bench *bench, struct connection *connection, int result)
{
    int error = SSL_get_error(connection->ssl, result);
    int system_error = errno;
    long verified = SSL_get_verify_result(connection->ssl);
    bool cut_off =
        error == SSL_ERROR_SSL && ERR_GET_REASON(ERR_peek_last_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING;
    if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE)
        return 0;
    if (verified != X509_V_OK && !bench->options->insecure)
        bench_connection_fail(bench, connection, "the broker's certificate: %s",
                              X509_verify_cert_error_string(verified));
    else if (cut_off || error == SSL_ERROR_ZERO_RETURN || (error == SSL_ERROR_SYSCALL && system_error == 0))
        bench_connection_fail(bench, connection, "the broker closed the connection");
    else
        bench_connection_fail(bench, connection, "TLS: %s",
                              error == SSL_ERROR_SYSCALL ? strerror(system_error) : tls_words());
    return -1;
}

bool bench_tls_handshake(struct bench *bench, struct connection *connection)
{
    ERR_clear_error();
    errno = 0;
    int result = SSL_do_handshake(connection->ssl);
    if (result != 1) {
        tls_failed(bench, connection, result);
        return false;
    }
    if (SSL_session_reused(connection->ssl))
        bench->resumed++;
    return true;
}

ssize_t bench_tls_read(struct bench *bench, struct connection *connection, uint8_t *data, size_t size)
{
    size_t total = 0;
    // A record is at most 16 KiB, so that the socket is asked more than once for what one read would hold.
    while (total < size) {
        size_t got = 0;
        ERR_clear_error();
        errno = 0;
        int result = SSL_read_ex(connection->ssl, data + total, size - total, &got);
        if (result == 1) {
            total += got;
            continue;
        }
        if (total > 0)
            break; // the same answer comes again when that is used up
        return tls_failed(bench, connection, result);
    }
    return (ssize_t)total;
}

ssize_t bench_tls_write(struct bench *bench, struct connection *connection, const uint8_t *data, size_t size)
{
    size_t written = 0;
    ERR_clear_error();
    errno = 0;
    int result = SSL_write_ex(connection->ssl, data, size, &written);
    return result == 1 ? (ssize_t)written : tls_failed(bench, connection, result);
}
