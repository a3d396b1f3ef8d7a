// What an upgrade is answered with.
#include <openssl/evp.h>
#include <stdio.h>

#include "core/net/upgrade.h"

enum { DIGEST_SIZE = 20, DIGEST_BASE64 = 28 };

// [RFC 6455 1.3]
static void accept_key(struct str key, char text[DIGEST_BASE64 + 1])
{
    static const char magic[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    unsigned char joined[24 + sizeof magic];
    unsigned char digest[EVP_MAX_MD_SIZE];
    memcpy(joined, key.data, 24);
    memcpy(joined + 24, magic, sizeof magic - 1);
    EVP_Digest(joined, 24 + sizeof magic - 1, digest, NULL, EVP_sha1(), NULL);
    EVP_EncodeBlock((unsigned char *)text, digest, DIGEST_SIZE);
}

size_t upgrade_accept(const struct upgrade_grant *grant, char *answer)
{
    char key[DIGEST_BASE64 + 1];
    accept_key(grant->key, key);
    return (size_t)snprintf(answer, UPGRADE_ANSWER_MAX,
                            "HTTP/1.1 101 Switching Protocols\r\n"
                            "Upgrade: websocket\r\n"
                            "Connection: Upgrade\r\n"
                            "Sec-WebSocket-Accept: %s\r\n"
                            "Sec-WebSocket-Protocol: %.*s\r\n\r\n",
                            key, STR_ARG(grant->protocol));
}

// Each status with its name, and the headers that belong to it.
static const struct {
    unsigned status;
    const char *name;
    const char *headers;
} statuses[] = {
    {400, "Bad Request", "Connection: close\r\n"},
    {403, "Forbidden", "Connection: close\r\n"},
    {404, "Not Found", "Connection: close\r\n"},
    {405, "Method Not Allowed", "Connection: close\r\nAllow: GET\r\n"},
    {414, "URI Too Long", "Connection: close\r\n"},
    {426, "Upgrade Required",
     "Connection: Upgrade, close\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"},
    {431, "Request Header Fields Too Large", "Connection: close\r\n"},
    {505, "HTTP Version Not Supported", "Connection: close\r\n"},
};

size_t upgrade_refuse(const struct upgrade_refusal *refusal, const struct upgrade_rules *rules, char *answer)
{
    char body[UPGRADE_PATH_MAX + 160];
    size_t i = 0;
    while (i < sizeof statuses / sizeof *statuses && statuses[i].status != refusal->status)
        i++;
    if (i == sizeof statuses / sizeof *statuses)
        return 0;
    int length = snprintf(body, sizeof body,
                          "Refused: %s.\nThis port speaks MQTT over WebSocket, subprotocol mqtt, at %.*s\n",
                          refusal->why, STR_ARG(rules->path));
    // There is nobody to tell behind HEAD, whose answer has no body.
    bool with_body = !str_equal(refusal->what, STR("HEAD"));
    return (size_t)snprintf(answer, UPGRADE_ANSWER_MAX,
                            "HTTP/1.1 %u %s\r\n%sContent-Type: text/plain; charset=utf-8\r\n"
                            "Content-Length: %d\r\n\r\n%s",
                            refusal->status, statuses[i].name, statuses[i].headers, length,
                            with_body ? body : "");
}
