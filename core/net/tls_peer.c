// What the broker and its plugins may know of a peer: names out of its verified certificate, or its PSK
// identity.
#include <arpa/inet.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/memory.h"
#include "core/net/tls_state.h"

struct tls_peer {
    const char *version; ///< of OpenSSL's, static
    char *psk_identity;
    char *name;
    char *subject;
    char *alternative_name;
    char *pem;
};

// Text without NUL inside, or NULL: a name with one could be taken for another.
static char *text_of(const void *data, int length)
{
    if (!data || length <= 0 || memchr(data, 0, (size_t)length))
        return NULL;
    return str_to_c(str_make(data, (size_t)length));
}

static char *text_in(BIO *memory)
{
    char *data;
    long length = BIO_get_mem_data(memory, &data);
    char *text = text_of(data, length > INT32_MAX ? 0 : (int)length);
    BIO_free(memory);
    return text;
}

static char *common_name(const X509 *certificate)
{
    const X509_NAME *name = X509_get_subject_name(certificate);
    int at = -1;
    int last = -1;
    // The last one is the most specific, and what other software takes.
    while ((at = X509_NAME_get_index_by_NID(name, NID_commonName, at)) >= 0)
        last = at;
    if (last < 0)
        return NULL;
    unsigned char *utf8 = NULL;
    int length = ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, last)));
    char *text = text_of(utf8, length);
    OPENSSL_free(utf8);
    return text;
}

static char *subject(const X509 *certificate)
{
    BIO *memory = BIO_new(BIO_s_mem());
    if (!memory)
        return NULL;
    X509_NAME_print_ex(memory, X509_get_subject_name(certificate), 0,
                       XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB);
    return text_in(memory);
}

static char *address_text(const ASN1_OCTET_STRING *address)
{
    char text[INET6_ADDRSTRLEN];
    int length = ASN1_STRING_length(address);
    int family = length == 4 ? AF_INET : AF_INET6;
    if ((length != 4 && length != 16) ||
        !inet_ntop(family, ASN1_STRING_get0_data(address), text, sizeof text))
        return NULL;
    return str_to_c(str_of(text));
}

static char *name_text(const GENERAL_NAME *name)
{
    switch (name->type) {
    case GEN_DNS:
    case GEN_EMAIL:
    case GEN_URI:
        return text_of(ASN1_STRING_get0_data(name->d.ia5), ASN1_STRING_length(name->d.ia5));
    case GEN_IPADD:
        return address_text(name->d.iPAddress);
    default:
        return NULL;
    }
}

static char *alternative_name(const X509 *certificate)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    char *text = NULL;
    for (int i = 0; !text && i < sk_GENERAL_NAME_num(names); i++)
        text = name_text(sk_GENERAL_NAME_value(names, i));
    GENERAL_NAMES_free(names);
    return text;
}

static char *pem(X509 *certificate)
{
    BIO *memory = BIO_new(BIO_s_mem());
    if (!memory)
        return NULL;
    PEM_write_bio_X509(memory, certificate);
    return text_in(memory);
}

struct tls_peer *tls_peer_new(SSL *ssl, const char *psk_identity)
{
    struct tls_peer *peer = memory_zalloc(sizeof *peer);
    peer->version = SSL_get_version(ssl);
    if (psk_identity)
        peer->psk_identity = str_to_c(str_of(psk_identity));
    X509 *certificate = SSL_get0_peer_certificate(ssl);
    if (!certificate || SSL_get_verify_result(ssl) != X509_V_OK)
        return peer;
    peer->name = common_name(certificate);
    peer->subject = subject(certificate);
    peer->alternative_name = alternative_name(certificate);
    peer->pem = pem(certificate);
    return peer;
}

void tls_peer_facts(const struct tls_peer *peer, struct transport_facts *facts)
{
    facts->tls_version = peer->version;
    facts->psk_identity = peer->psk_identity;
    facts->certificate_name = peer->name;
    facts->subject = peer->subject;
    facts->alternative_name = peer->alternative_name;
    facts->pem = peer->pem;
}

void tls_peer_free(struct tls_peer *peer)
{
    if (!peer)
        return;
    free(peer->psk_identity);
    free(peer->name);
    free(peer->subject);
    free(peer->alternative_name);
    free(peer->pem);
    free(peer);
}
