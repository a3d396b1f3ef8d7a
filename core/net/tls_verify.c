// Whether a client's certificate is good, and if not, why.
#include <openssl/x509v3.h>
#include <stdio.h>

#include "core/net/tls_files.h"
#include "core/net/tls_state.h"

enum { SUBJECT_MAX = 200 };

static void subject_of(const X509 *certificate, char text[SUBJECT_MAX])
{
    snprintf(text, SUBJECT_MAX, "%s", certificate ? tls_name_of(X509_get_subject_name(certificate)) : "");
}

static const char *words_of(int error)
{
    switch (error) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
        return "it has expired";
    case X509_V_ERR_CERT_NOT_YET_VALID:
        return "it is not valid yet";
    case X509_V_ERR_CERT_REVOKED:
        return "it is revoked";
    case X509_V_ERR_INVALID_PURPOSE:
        return "it is not made for clients (wrong purpose)";
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
        return "its authority is not known here (client_ca)";
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
        return "it is signed by itself, by no authority known here (client_ca)";
    case X509_V_ERR_CERT_SIGNATURE_FAILURE:
        return "its signature is wrong";
    case X509_V_ERR_UNABLE_TO_GET_CRL:
        return "there is no revocation list of its authority (crl)";
    case X509_V_ERR_CRL_HAS_EXPIRED:
        return "the revocation list of its authority has expired (crl)";
    case X509_V_ERR_CRL_NOT_YET_VALID:
        return "the revocation list of its authority is not valid yet (crl)";
    case X509_V_ERR_CRL_SIGNATURE_FAILURE:
        return "the signature of its authority's revocation list is wrong (crl)";
    case X509_V_ERR_INVALID_CA:
        return "it is no authority's";
    default:
        return X509_verify_cert_error_string(error);
    }
}

// Called by OpenSSL for every certificate of the chain that is good, and for everything that is wrong with
// one.
int tls_verify_client(int good, X509_STORE_CTX *store)
{
    if (good)
        return good;
    const SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct tls_layer *layer = tls_layer_of(ssl);
    int error = X509_STORE_CTX_get_error(store);
    int depth = X509_STORE_CTX_get_error_depth(store);
    // Authorities in between often have no list of what their own issuer revoked; a certificate's own issuer
    // has.
    bool forgiven = (error == X509_V_ERR_UNABLE_TO_GET_CRL && depth > 0) ||
                    (error == X509_V_ERR_CRL_HAS_EXPIRED && layer->context->accept_expired_crl);
    if (forgiven) {
        X509_STORE_CTX_set_error(store, X509_V_OK);
        return 1;
    }
    char subject[SUBJECT_MAX];
    char issuer[SUBJECT_MAX];
    STACK_OF(X509) *chain = X509_STORE_CTX_get0_chain(store);
    subject_of(chain ? sk_X509_value(chain, 0) : X509_STORE_CTX_get_current_cert(store), subject);
    if (depth > 0) {
        subject_of(X509_STORE_CTX_get_current_cert(store), issuer);
        tls_say(layer, "the client's certificate `%s` is refused for that of its authority `%s`: %s", subject,
                issuer, words_of(error));
    } else {
        tls_say(layer, "the client's certificate `%s` is refused: %s", subject, words_of(error));
    }
    return 0;
}

// A ticket brings the certificate back as it was found good; since then it may have expired. What else may
// have changed (authorities, revocations) makes a new context, whose tickets are others.
bool tls_check_resumed(struct tls_layer *layer)
{
    if (!SSL_session_reused(layer->ssl))
        return true;
    const X509 *certificate = SSL_get0_peer_certificate(layer->ssl);
    if (!certificate || X509_cmp_current_time(X509_get0_notAfter(certificate)) > 0)
        return true;
    char subject[SUBJECT_MAX];
    subject_of(certificate, subject);
    tls_say(layer, "the client's certificate `%s` is refused: %s", subject,
            words_of(X509_V_ERR_CERT_HAS_EXPIRED));
    return false;
}
