#include "core/net/tls_check.h"

#include <openssl/err.h>
#include <openssl/ocsp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/base/clock.h"
#include "core/base/memory.h"

enum { SOON_DAYS = 30, DAY_S = 24 * 3600 };

static void day_of(time_t time, char text[32])
{
    struct tm broken;
    gmtime_r(&time, &broken);
    strftime(text, 32, "%Y-%m-%d %H:%M UTC", &broken);
}

static void note_expiry(struct tls_context *context, const char *file, const X509_NAME *subject, bool is_crl,
                        time_t not_after)
{
    memory_grow(&context->expiries, &context->expiry_capacity, context->expiry_count,
                sizeof *context->expiries);
    context->expiries[context->expiry_count++] = (struct tls_expiry){
        .file = str_to_c(str_of(file)),
        .subject = str_to_c(str_of(tls_name_of(subject))),
        .is_crl = is_crl,
        .not_after = not_after,
    };
}

// What has expired is an error to `noctule check`. A broker that runs says so and goes on: clients that
// refuse it know better than one that is not there.
static void too_late(struct tls_load *load, const char *what, const char *path, const char *name,
                     const char *day)
{
    static const char text[] = "the %s %s (%s) has expired on %s";
    if (load->options->strict)
        tls_load_error(load, text, what, path, name, day);
    else
        tls_load_warning(load, text, what, path, name, day);
}

static void check_dates(struct tls_load *load, const char *what, const char *path, const X509_NAME *subject,
                        time_t from, time_t until, bool warn_before)
{
    time_t now = (time_t)(clock_wall_ms() / 1000);
    char day[32];
    const char *name = tls_name_of(subject);
    day_of(from > now ? from : until, day);
    if (from > now)
        tls_load_warning(load, "the %s %s (%s) is not valid before %s", what, path, name, day);
    else if (until && until <= now)
        too_late(load, what, path, name, day);
    else if (until && warn_before && until - now < (time_t)SOON_DAYS * DAY_S)
        tls_load_warning(load, "the %s %s (%s) expires on %s", what, path, name, day);
}

void tls_check_permissions(struct tls_load *load, const char *path, const char *what)
{
    struct stat status;
    if (stat(path, &status) == 0 && status.st_mode & S_IRWXO)
        tls_load_warning(load, "the %s %s is open to every user of this machine (mode %03o)", what, path,
                         (unsigned)status.st_mode & 0777);
}

/* ---- chains ---- */

static bool issued(const X509 *issuer, const X509 *certificate)
{
    return X509_check_issued((X509 *)(uintptr_t)issuer, (X509 *)(uintptr_t)certificate) == X509_V_OK;
}

static bool names_its_issuer(const X509 *certificate)
{
    AUTHORITY_INFO_ACCESS *access = X509_get_ext_d2i(certificate, NID_info_access, NULL, NULL);
    bool found = false;
    for (int i = 0; i < sk_ACCESS_DESCRIPTION_num(access); i++)
        found = found || OBJ_obj2nid(sk_ACCESS_DESCRIPTION_value(access, i)->method) == NID_ad_ca_issuers;
    AUTHORITY_INFO_ACCESS_free(access);
    return found;
}

static bool is_trusted_root(X509 *certificate)
{
    X509_STORE *store = X509_STORE_new();
    X509_STORE_CTX *context = X509_STORE_CTX_new();
    X509 *issuer = NULL;
    bool found = store && context && X509_STORE_set_default_paths(store) &&
                 X509_STORE_CTX_init(context, store, NULL, NULL) &&
                 X509_STORE_CTX_get1_issuer(&issuer, context, certificate) == 1;
    X509_free(issuer);
    X509_STORE_CTX_free(context);
    X509_STORE_free(store);
    ERR_clear_error();
    return found;
}

// A client knows roots; what is between a root and the certificate has to be sent. Whether an issuer that is
// not in the file is a root cannot be seen from here, but authorities in between are published where the
// certificate says.
static void check_chain(struct tls_load *load, const char *path, STACK_OF(X509) * chain)
{
    int count = sk_X509_num(chain);
    for (int i = 1; i < count; i++)
        if (!issued(sk_X509_value(chain, i), sk_X509_value(chain, i - 1))) {
            tls_load_warning(load,
                             "the chain in %s is out of order: certificate %d (%s) is not the issuer of the "
                             "one before it",
                             path, i + 1, tls_name_of(X509_get_subject_name(sk_X509_value(chain, i))));
            return;
        }
    X509 *last = sk_X509_value(chain, count - 1);
    if (!issued(last, last) && names_its_issuer(last) && !is_trusted_root(last))
        tls_load_warning(load, "the chain in %s is not complete: the certificate of `%s` should follow", path,
                         tls_name_of(X509_get_issuer_name(last)));
}

bool tls_check_identity(struct tls_load *load, struct tls_context *context,
                        const struct tls_identity *identity, STACK_OF(X509) * chain, EVP_PKEY *key)
{
    X509 *certificate = sk_X509_value(chain, 0);
    const char *path = identity->certificate;
    if (X509_check_private_key(certificate, key) != 1) {
        ERR_clear_error();
        tls_load_error(load, "the key %s does not belong to the certificate %s", identity->key, path);
        return false;
    }
    if (X509_check_purpose(certificate, X509_PURPOSE_SSL_SERVER, 0) != 1)
        tls_load_warning(load, "the certificate %s (%s) is not made for servers (wrong purpose)", path,
                         tls_name_of(X509_get_subject_name(certificate)));
    for (int i = 0; i < sk_X509_num(chain); i++) {
        const X509 *each = sk_X509_value(chain, i);
        time_t until = tls_time_of(X509_get0_notAfter(each));
        note_expiry(context, path, X509_get_subject_name(each), false, until);
        check_dates(load, "certificate", path, X509_get_subject_name(each),
                    tls_time_of(X509_get0_notBefore(each)), until, true);
    }
    check_chain(load, path, chain);
    tls_check_permissions(load, identity->key, "key");
    return true;
}

/* ---- revocation ---- */

bool tls_crl_read(struct tls_load *load, struct tls_context *context, const char *path, X509_STORE *store)
{
    struct str text = tls_file_read(load, path, "crl");
    if (!text.data)
        return false;
    BIO *memory = BIO_new_mem_buf(text.data, (int)text.length);
    if (!memory)
        memory_exhausted();
    int count = 0;
    ERR_clear_error();
    X509_CRL *crl;
    while ((crl = PEM_read_bio_X509_CRL(memory, NULL, NULL, NULL))) {
        time_t until = tls_time_of(X509_CRL_get0_nextUpdate(crl));
        if (until)
            note_expiry(context, path, X509_CRL_get_issuer(crl), true, until);
        check_dates(load, "revocation list", path, X509_CRL_get_issuer(crl),
                    tls_time_of(X509_CRL_get0_lastUpdate(crl)), until, false);
        X509_STORE_add_crl(store, crl);
        X509_CRL_free(crl);
        count++;
    }
    bool ended = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
    if (!ended)
        tls_load_error(load, "the crl %s is damaged: %s", path, tls_openssl_words());
    else if (count == 0)
        tls_load_error(load, "no revocation list in PEM is in the crl %s", path);
    ERR_clear_error();
    BIO_free(memory);
    tls_text_free(text);
    return ended && count > 0;
}

/* ---- OCSP ---- */

// Whether the response is about this certificate, and until when it holds.
static const char *judge_response(OCSP_BASICRESP *basic, STACK_OF(X509) * chain, time_t *until)
{
    X509 *certificate = sk_X509_value(chain, 0);
    OCSP_SINGLERESP *single = NULL;
    for (int i = 0; !single && i < OCSP_resp_count(basic); i++) {
        OCSP_SINGLERESP *each = OCSP_resp_get0(basic, i);
        ASN1_INTEGER *serial = NULL;
        OCSP_id_get0_info(NULL, NULL, NULL, &serial, (OCSP_CERTID *)(uintptr_t)OCSP_SINGLERESP_get0_id(each));
        if (ASN1_INTEGER_cmp(serial, X509_get0_serialNumber(certificate)) == 0)
            single = each;
    }
    if (!single)
        return "it is about another certificate";
    ASN1_GENERALIZEDTIME *next = NULL;
    int reason;
    ASN1_GENERALIZEDTIME *revoked;
    ASN1_GENERALIZEDTIME *this;
    if (OCSP_single_get0_status(single, &reason, &revoked, &this, &next) == V_OCSP_CERTSTATUS_REVOKED)
        return "it says that the certificate is revoked";
    *until = tls_time_of(next);
    return NULL;
}

bool tls_staple_read(struct tls_load *load, const char *path, STACK_OF(X509) * chain,
                     struct tls_stapled *stapled)
{
    struct str text = tls_file_read(load, path, "ocsp_response");
    if (!text.data)
        return false;
    const unsigned char *bytes = (const unsigned char *)text.data;
    OCSP_RESPONSE *response = d2i_OCSP_RESPONSE(NULL, &bytes, (long)text.length);
    OCSP_BASICRESP *basic = response && OCSP_response_status(response) == OCSP_RESPONSE_STATUS_SUCCESSFUL
                                ? OCSP_response_get1_basic(response)
                                : NULL;
    const char *why = basic ? judge_response(basic, chain, &stapled->until) : "it is no response in DER";
    if (why) {
        tls_load_error(load, "the ocsp_response %s cannot be used: %s", path, why);
    } else {
        check_dates(load, "ocsp_response", path, X509_get_subject_name(sk_X509_value(chain, 0)), 0,
                    stapled->until, false);
        stapled->response = memory_alloc(text.length + 1);
        memcpy(stapled->response, text.data, text.length);
        stapled->length = text.length;
    }
    OCSP_BASICRESP_free(basic);
    OCSP_RESPONSE_free(response);
    ERR_clear_error();
    tls_text_free(text);
    return !why;
}
