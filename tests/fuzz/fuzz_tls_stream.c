// A stream under TLS and a client that follows a script: OpenSSL's own, which writes, changes keys and says
// goodbye, until the script has it send bytes that are no TLS or wrong. What the client wrote before that
// comes out, in order; after it, the stream ends.
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/net/stream.h"
#include "core/net/tls.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { KINDS = 4, MOST = 1 << 20 };

static struct worker *worker;
static struct tls_context *contexts[KINDS];

static void require(bool condition)
{
    if (!condition)
        abort();
}

/* ---- the server's side ---- */

static struct {
    struct stream stream;
    size_t received;
    size_t sent; ///< by the client, as TLS
    bool disturbed;
    bool stuck; ///< the client has begun a record that it did not get rid of
    SSL *client;
    bool closed;
    unsigned pause;
} server;

// Bytes that tell where they stand.
static uint8_t byte_at(size_t place)
{
    return (uint8_t)(place * 131 >> 3);
}

static size_t received(struct stream *stream, const uint8_t *data, size_t length, size_t *wanted)
{
    (void)wanted;
    for (size_t i = 0; i < length; i++)
        require(data[i] == byte_at(server.received + i));
    server.received += length;
    require(server.received <= server.sent);
    if (server.pause && server.received % server.pause == 0)
        stream_pause(stream);
    if (length % 3 == 0)
        stream_write(stream, data, length);
    return length;
}

static void drained(struct stream *stream)
{
    (void)stream;
}

static void failed(struct stream *stream, const char *why)
{
    require(why && *why && (server.disturbed || !SSL_is_init_finished(server.client)));
    stream_close(stream, 1000);
}

static void closed(struct stream *stream, int error)
{
    (void)stream;
    (void)error;
    server.closed = true;
}

static const struct stream_events events = {received, drained, failed, closed};

/* ---- certificates ---- */

static void write_identity(const char *certificate_path, const char *key_path)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *certificate = X509_new();
    X509_set_version(certificate, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
    X509_gmtime_adj(X509_getm_notBefore(certificate), -1000);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 100L * 24 * 3600);
    X509_set_pubkey(certificate, key);
    X509_sign(certificate, key, EVP_sha256());
    FILE *file = fopen(certificate_path, "w");
    require(file && PEM_write_X509(file, certificate) && fclose(file) == 0);
    file = fopen(key_path, "w");
    require(file && PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL) && fclose(file) == 0);
    X509_free(certificate);
    EVP_PKEY_free(key);
}

static void set_up(void)
{
    static const char *const suites[KINDS] = {NULL, "TLS_AES_128_GCM_SHA256", "TLS_CHACHA20_POLY1305_SHA256",
                                              "TLS_AES_128_CCM_SHA256"};
    char certificate[] = "/tmp/fuzz-tls-XXXXXX";
    char key[] = "/tmp/fuzz-tls-XXXXXX";
    close(mkstemp(certificate));
    close(mkstemp(key));
    write_identity(certificate, key);
    for (int i = 0; i < KINDS; i++) {
        struct diagnostics diagnostics = DIAGNOSTICS_EMPTY;
        struct tls_identity identity = {.certificate = certificate, .key = key};
        struct tls_options options = {.identities = &identity,
                                      .identity_count = 1,
                                      .ciphersuites = suites[i],
                                      .protocol = "mqtt",
                                      .session_tickets = i % 2};
        contexts[i] = tls_context_new(&options, &diagnostics);
        require(contexts[i] != NULL);
        diagnostics_clear(&diagnostics);
    }
    unlink(certificate);
    unlink(key);
    worker = workers_new(1);
}

/* ---- the client's script ---- */

static void go_on(void)
{
    for (int i = 0; i < 3 && !server.closed; i++)
        worker_turn(worker, false);
    if (!server.closed && server.stream.paused)
        stream_resume(&server.stream);
}

static void write_some(SSL *client, size_t length)
{
    static uint8_t bytes[20000];
    length %= sizeof bytes;
    for (size_t i = 0; i < length; i++)
        bytes[i] = byte_at(server.sent + i);
    if (length == 0 || server.stuck || !SSL_is_init_finished(client))
        return;
    server.sent += length;
    server.stuck = SSL_write(client, bytes, (int)length) != (int)length;
}

static void step(SSL *client, int fd, uint8_t what, uint8_t argument, const uint8_t *rest, size_t left)
{
    static char sink[60000];
    switch (what % 8) {
    case 0:
        SSL_do_handshake(client);
        break;
    case 1:
        write_some(client, argument);
        break;
    case 2:
        write_some(client, argument * 79U);
        break;
    case 3:
        SSL_key_update(client, argument & 1 ? SSL_KEY_UPDATE_REQUESTED : SSL_KEY_UPDATE_NOT_REQUESTED);
        break;
    case 4:
        SSL_read(client, sink, sizeof sink);
        break;
    case 5:
        SSL_shutdown(client);
        break;
    case 6:
        server.pause = argument;
        break;
    default:
        server.disturbed = true;
        send(fd, rest, argument < left ? argument : left, MSG_NOSIGNAL | MSG_DONTWAIT);
    }
    ERR_clear_error();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!worker)
        set_up();
    if (size < 1)
        return 0;
    int ends[2];
    require(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) == 0);
    memset(&server, 0, sizeof server);
    SSL_CTX *client_context = SSL_CTX_new(TLS_client_method());
    if (data[0] & 8)
        SSL_CTX_set_max_proto_version(client_context, TLS1_2_VERSION);
    if (data[0] & 4)
        SSL_CTX_set_ciphersuites(client_context, "TLS_AES_128_CCM_SHA256:TLS_CHACHA20_POLY1305_SHA256:"
                                                 "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384");
    else
        SSL_CTX_set_ciphersuites(client_context, "TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256:"
                                                 "TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_CCM_SHA256");
    SSL *client = server.client = SSL_new(client_context);
    SSL_set_fd(client, ends[1]);
    SSL_set_connect_state(client);
    stream_init(&server.stream, ends[0], &events);
    stream_push(&server.stream, tls_layer_new(contexts[data[0] % KINDS], NULL));
    stream_attach(&server.stream, worker);
    if (data[0] & 16) // most scripts begin with a handshake that succeeds
        for (int i = 0; i < 4; i++) {
            SSL_do_handshake(client);
            go_on();
        }
    for (size_t i = 1; i + 1 < size && !server.closed; i += 2) {
        step(client, ends[1], data[i], data[i + 1], data + i + 2, size - i - 2);
        if (!(data[i] & 128))
            go_on();
    }
    shutdown(ends[1], SHUT_WR);
    for (int i = 0; i < 200 && !server.closed; i++)
        go_on();
    if (!server.closed)
        stream_abort(&server.stream);
    go_on();
    require(server.closed);
    SSL_free(client);
    SSL_CTX_free(client_context);
    close(ends[1]);
    return 0;
}
