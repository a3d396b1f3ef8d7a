// Why TLS failed, in words that an operator can act on.
#include <ctype.h>
#include <openssl/err.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/memory.h"
#include "core/net/tls_state.h"

enum { WORDS_MAX = 400 };

struct words {
    int reason; ///< of OpenSSL's SSL library
    const char *text;
};

static const struct words reasons[] = {
    {SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE,
     "the client has sent no certificate, and the listener requires one"},
    {SSL_R_UNSUPPORTED_PROTOCOL,
     "the client offers no version of TLS that the listener allows (min_version)"},
    {SSL_R_VERSION_TOO_LOW, "the client offers no version of TLS that the listener allows (min_version)"},
    {SSL_R_WRONG_VERSION_NUMBER, "bytes that are no TLS"},
    {SSL_R_NO_SHARED_CIPHER, "client and listener have no cipher in common"},
    {SSL_R_NO_CIPHERS_SPECIFIED, "the client offers no cipher"},
    {SSL_R_NO_SUITABLE_KEY_SHARE, "client and listener have no key exchange in common"},
    {SSL_R_NO_SHARED_GROUPS, "client and listener have no key exchange in common"},
    {SSL_R_NO_SHARED_SIGNATURE_ALGORITHMS, "client and listener have no signature algorithm in common"},
    {SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM, "the client accepts no signature that the server's key can make"},
    {SSL_R_DECRYPTION_FAILED_OR_BAD_RECORD_MAC, "a record that does not decrypt"},
    {SSL_R_LENGTH_MISMATCH, "a malformed TLS message"},
    {SSL_R_LENGTH_TOO_SHORT, "a malformed TLS message"},
    {SSL_R_BAD_EXTENSION, "a malformed TLS message"},
    {SSL_R_BAD_RECORD_TYPE, "a record of an unknown type"},
    {SSL_R_ENCRYPTED_LENGTH_TOO_LONG, "a record that is too long"},
    {SSL_R_DATA_LENGTH_TOO_LONG, "a record that is too long"},
    {SSL_R_PACKET_LENGTH_TOO_LONG, "a record that is too long"},
    {SSL_R_EXCESSIVE_MESSAGE_SIZE, "a TLS message that is too long"},
    {SSL_R_UNEXPECTED_MESSAGE, "a TLS message out of place"},
    {SSL_R_UNEXPECTED_RECORD, "a TLS record out of place"},
    {SSL_R_CCS_RECEIVED_EARLY, "a TLS record out of place"},
    {SSL_R_BAD_SIGNATURE, "the client does not have the key of its certificate"},
};

// Alerts that tell what the client thinks of us. [RFC 8446 6.2]
static const struct words alerts[] = {
    {SSL_AD_BAD_CERTIFICATE, "the client does not accept the server's certificate (bad certificate)"},
    {SSL_AD_UNSUPPORTED_CERTIFICATE,
     "the client does not accept the server's certificate (unsupported certificate)"},
    {SSL_AD_CERTIFICATE_REVOKED, "the client does not accept the server's certificate (revoked)"},
    {SSL_AD_CERTIFICATE_EXPIRED, "the client does not accept the server's certificate (expired)"},
    {SSL_AD_CERTIFICATE_UNKNOWN, "the client does not accept the server's certificate"},
    {SSL_AD_UNKNOWN_CA, "the client does not know the authority of the server's certificate (unknown CA)"},
    {SSL_AD_HANDSHAKE_FAILURE, "the client says that nothing is in common (handshake failure)"},
    {SSL_AD_PROTOCOL_VERSION, "the client refuses the version of TLS"},
    {SSL_AD_INSUFFICIENT_SECURITY, "the client finds the security insufficient"},
    {SSL_AD_DECRYPT_ERROR, "the client says that a signature or a key is wrong (decrypt error)"},
    {SSL_AD_BAD_RECORD_MAC, "the client says that a record does not decrypt (bad record MAC)"},
    {SSL_AD_INTERNAL_ERROR, "the client has had an internal error"},
    {SSL_AD_USER_CANCELLED, "the client gave up the TLS handshake"},
    {SSL_AD_UNKNOWN_PSK_IDENTITY, "the client says that the PSK identity is unknown"},
};

static const char *find(const struct words *words, size_t count, int reason)
{
    for (size_t i = 0; i < count; i++)
        if (words[i].reason == reason)
            return words[i].text;
    return NULL;
}

void tls_say(struct tls_layer *layer, const char *format, ...)
{
    if (layer->why)
        return;
    char text[WORDS_MAX];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    layer->why = str_to_c(str_of(text));
}

const char *tls_openssl_words(void)
{
    unsigned long error = ERR_peek_last_error();
    const char *reason = error ? ERR_reason_error_string(error) : NULL;
    ERR_clear_error();
    return reason ? reason : "no reason given";
}

// A wrong PSK shows in many ways, none of which says so.
static bool is_wrong_key(int reason)
{
    return reason == SSL_R_DECRYPTION_FAILED_OR_BAD_RECORD_MAC || reason == SSL_R_DIGEST_CHECK_FAILED ||
           reason == SSL_R_BINDER_DOES_NOT_VERIFY || reason == SSL_AD_REASON_OFFSET + SSL_AD_BAD_RECORD_MAC ||
           reason == SSL_AD_REASON_OFFSET + SSL_AD_DECRYPT_ERROR;
}

// What it comes to when the identity is unknown and there is nothing else to agree on.
static bool is_missing_key(int reason)
{
    return reason == SSL_R_PSK_IDENTITY_NOT_FOUND || reason == SSL_R_NO_SHARED_CIPHER ||
           reason == SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM;
}

void tls_explain(struct tls_layer *layer)
{
    // The last one is nearest to what happened, where it is one of TLS itself.
    unsigned long error = ERR_peek_last_error();
    if (ERR_GET_LIB(error) != ERR_LIB_SSL)
        error = ERR_peek_error();
    int reason = ERR_GET_LIB(error) == ERR_LIB_SSL ? ERR_GET_REASON(error) : 0;
    const char *identity = tls_key_identity(layer);
    if (identity && is_wrong_key(reason)) {
        tls_say(layer, "the client's key for the PSK identity `%s` is another one", identity);
        return;
    }
    const char *unknown = tls_key_unknown(layer);
    if (unknown && is_missing_key(reason)) {
        tls_say(layer, "the PSK identity `%s` is unknown", unknown);
        return;
    }
    const char *words = find(reasons, sizeof reasons / sizeof *reasons, reason);
    if (!words && reason > SSL_AD_REASON_OFFSET)
        words = find(alerts, sizeof alerts / sizeof *alerts, reason - SSL_AD_REASON_OFFSET);
    if (words)
        tls_say(layer, "%s", words);
    else
        tls_say(layer, "TLS: %s", tls_openssl_words());
}

const char *tls_words_for_alert(uint8_t alert)
{
    const char *words = find(alerts, sizeof alerts / sizeof *alerts, alert);
    return words ? words : "the client has ended TLS with an alert";
}

const char *tls_words_for_bytes(const uint8_t *bytes, size_t length)
{
    static const char *const methods[] = {"GET ", "POST ", "HEAD ", "PUT ", "OPTIONS ", "CONNECT "};
    if (bytes[0] == 0x10)
        return "MQTT without TLS on a listener with TLS";
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
        if (length >= strlen(methods[i]) && memcmp(bytes, methods[i], strlen(methods[i])) == 0)
            return "HTTP without TLS on a listener with TLS";
    return "bytes that are no TLS";
}
