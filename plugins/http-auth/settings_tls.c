// The files of `tls:`, read and looked through when the configuration is built, and the headers.
#include "settings.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PEM_MAX = 4 << 20 };

void pem_free(struct pem *pem)
{
    if (pem->data)
        explicit_bzero(pem->data, pem->length);
    free(pem->data);
    *pem = (struct pem){0};
}

static void refuse_file(struct settings_reader *reader, const char *path, const char *why)
{
    reader->host->file_error(reader->instance, noctule_string_of(path, strlen(path)), 0,
                             noctule_string_of(why, strlen(why)));
    reader->wrong = true;
}

static bool file_read(struct settings_reader *reader, const char *path, struct pem *pem)
{
    char why[128];
    FILE *file = fopen(path, "rbe");
    if (!file) {
        snprintf(why, sizeof why, "cannot read it: %s", strerror(errno));
        refuse_file(reader, path, why);
        return false;
    }
    pem->data = malloc(PEM_MAX);
    if (pem->data)
        pem->length = fread(pem->data, 1, PEM_MAX, file);
    bool whole = pem->data && !ferror(file) && pem->length < PEM_MAX;
    fclose(file);
    if (!whole)
        refuse_file(reader, path, "cannot read it, or it is larger than 4 MiB");
    return whole;
}

static BIO *pem_open(const struct pem *pem)
{
    return BIO_new_mem_buf(pem->data, (int)pem->length);
}

// The first certificate of a file; NULL: it has none.
static X509 *certificate_of(const struct pem *pem)
{
    BIO *input = pem_open(pem);
    X509 *certificate = input ? PEM_read_bio_X509(input, NULL, NULL, NULL) : NULL;
    BIO_free(input);
    ERR_clear_error();
    return certificate;
}

// A key that has a passphrase is none here: nobody is there to type it.
static int passphrase_of_nobody(char *buffer, int size, int writing, void *argument)
{
    (void)buffer;
    (void)size;
    (void)writing;
    (void)argument;
    return -1;
}

static EVP_PKEY *key_of(const struct pem *pem)
{
    BIO *input = pem_open(pem);
    EVP_PKEY *key = input ? PEM_read_bio_PrivateKey(input, NULL, passphrase_of_nobody, NULL) : NULL;
    BIO_free(input);
    ERR_clear_error();
    return key;
}

static void read_ca(struct settings_reader *reader, const char *path, struct settings *settings)
{
    if (!file_read(reader, path, &settings->ca))
        return;
    X509 *certificate = certificate_of(&settings->ca);
    if (!certificate)
        refuse_file(reader, path, "holds no certificate in PEM format");
    X509_free(certificate);
}

static void read_pair(struct settings_reader *reader, const char *certificate_path, const char *key_path,
                      struct settings *settings)
{
    if (!file_read(reader, certificate_path, &settings->certificate) ||
        !file_read(reader, key_path, &settings->key))
        return;
    X509 *certificate = certificate_of(&settings->certificate);
    EVP_PKEY *key = key_of(&settings->key);
    if (!certificate)
        refuse_file(reader, certificate_path, "holds no certificate in PEM format");
    if (!key)
        refuse_file(reader, key_path, "holds no private key in PEM format without a passphrase");
    if (certificate && key && X509_check_private_key(certificate, key) != 1)
        refuse_file(reader, key_path, "is not the key of the certificate");
    ERR_clear_error();
    X509_free(certificate);
    EVP_PKEY_free(key);
}

static char *read_path(struct settings_reader *reader, const struct noctule_config *map, const char *key)
{
    struct noctule_string path;
    int32_t result = reader->host->config_path(map, key, &path);
    reader->wrong |= result < 0;
    return result > 0 ? settings_copy(reader, path) : NULL;
}

void settings_read_tls(struct settings_reader *reader, const struct noctule_config *config, bool https,
                       struct settings *settings)
{
    const struct noctule_config *map;
    int32_t result = reader->host->config_map(config, "tls", &map);
    int32_t verify = 1;
    reader->wrong |= result < 0;
    if (result <= 0)
        return;
    char *ca = read_path(reader, map, "ca");
    char *certificate = read_path(reader, map, "certificate");
    char *key = read_path(reader, map, "key");
    reader->wrong |= reader->host->config_bool(map, "verify", &verify) < 0;
    settings->verify = verify != 0;
    if (!https && !reader->wrong)
        settings_refuse(reader, config, "tls", "tls is for https:// URLs, and there is none");
    if (ca && !settings->verify)
        settings_refuse(reader, map, "ca", "ca is of no use with verify: false");
    if ((certificate != NULL) != (key != NULL) && !reader->wrong)
        settings_refuse(reader, map, NULL, "certificate and key belong together");
    if (ca)
        read_ca(reader, ca, settings);
    if (certificate && key)
        read_pair(reader, certificate, key, settings);
    free(ca);
    free(certificate);
    free(key);
}

// ---- Headers -------------------------------------------------------------------------------------------

static bool name_is(struct noctule_string name, const char *text)
{
    return name.length == strlen(text) && strncasecmp(name.data, text, name.length) == 0;
}

// What may stand in a header's name. [RFC 9110, 5.6.2]
static bool is_token(struct noctule_string name)
{
    for (size_t i = 0; i < name.length; i++) {
        char c = name.data[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!letter && (c == '\0' || !strchr("!#$%&'*+-.^_`|~", c)))
            return false;
    }
    return name.length > 0;
}

static bool is_field_value(struct noctule_string value)
{
    for (size_t i = 0; i < value.length; i++)
        if (((uint8_t)value.data[i] < 0x20 && value.data[i] != '\t') || value.data[i] == 0x7F)
            return false;
    return true;
}

static void header_add(struct settings_reader *reader, struct settings *settings, const char *line)
{
    struct curl_slist *longer = curl_slist_append(settings->headers, line);
    if (longer)
        settings->headers = longer;
    else
        settings_refuse(reader, NULL, NULL, "out of memory");
}

static void header_read(struct settings_reader *reader, const struct noctule_config *item,
                        struct noctule_string name, struct noctule_string value, struct settings *settings)
{
    static const char *const own[] = {"Content-Type",      "Content-Length", "Connection",
                                      "Transfer-Encoding", "Expect",         NULL};
    for (size_t i = 0; own[i]; i++) {
        if (!name_is(name, own[i]))
            continue;
        settings_refuse(reader, item, NULL, "the header %s is set by the plugin", own[i]);
        return;
    }
    if (!is_token(name) || !is_field_value(value)) {
        settings_refuse(reader, item, NULL,
                        "that is no header: a name of letters, digits and -, and one line");
        return;
    }
    struct text line = {0};
    text_add(&line, name.data, name.length);
    // libcurl's way to say a header that is empty.
    text_add_c(&line, value.length ? ": " : ";");
    text_add(&line, value.data, value.length);
    text_add_byte(&line, '\0');
    if (line.failed)
        settings_refuse(reader, NULL, NULL, "out of memory");
    else
        header_add(reader, settings, line.data);
    text_free(&line);
}

void settings_read_headers(struct settings_reader *reader, const struct noctule_config *config,
                           struct settings *settings)
{
    static const char agent[] = "User-Agent: noctule-http-auth/" NOCTULE_PLUGIN_VERSION;
    const struct noctule_host *host = reader->host;
    const struct noctule_config *map = NULL;
    bool has_agent = false;
    int32_t result = host->config_map(config, "headers", &map);
    reader->wrong |= result < 0;
    for (size_t i = 0; result > 0 && i < host->config_count(map); i++) {
        struct noctule_string name;
        struct noctule_string value;
        const struct noctule_config *item = host->config_at(map, i, &name);
        has_agent |= name_is(name, "User-Agent");
        if (host->config_scalar(item, &value) > 0)
            header_read(reader, item, name, value, settings);
        else
            reader->wrong = true;
    }
    if (!has_agent)
        header_add(reader, settings, agent);
    header_add(reader, settings,
               settings->params == PARAMS_JSON ? "Content-Type: application/json"
                                               : "Content-Type: application/x-www-form-urlencoded");
    // Asking for leave to send a body costs a round trip.
    header_add(reader, settings, "Expect:");
}
