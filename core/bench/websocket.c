#include "core/bench/websocket.h"

#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/str.h"
#include "core/bench/connection.h"

enum {
    OPCODE_CONTINUATION = 0,
    OPCODE_TEXT = 1,
    OPCODE_BINARY = 2,
    OPCODE_CLOSE = 8,
    OPCODE_PING = 9,
    OPCODE_PONG = 10
};
enum { ANSWER_MAX = 8192 };

// What a server answers to a key. [RFC 6455 4.2.2]
static char *accept_of(const char *key)
{
    char *joined = str_format("%s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", key);
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned length = 0;
    EVP_Digest(joined, strlen(joined), digest, &length, EVP_sha1(), NULL);
    free(joined);
    char text[64];
    EVP_EncodeBlock((uint8_t *)text, digest, (int)length);
    return str_format("%s", text);
}

void bench_websocket_open(struct bench *bench)
{
    const struct bench_target *target = &bench->options->target;
    uint8_t random[16] = {0};
    char key[32];
    RAND_bytes(random, sizeof random);
    EVP_EncodeBlock((uint8_t *)key, random, sizeof random);
    bool brackets = strchr(target->host, ':') != NULL;
    bench->accept = accept_of(key);
    bench->upgrade =
        str_format("GET %s HTTP/1.1\r\nHost: %s%s%s:%u\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                   "Sec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13\r\n"
                   "Sec-WebSocket-Protocol: mqtt\r\n\r\n",
                   target->path, brackets ? "[" : "", target->host, brackets ? "]" : "", target->port, key);
}

// The value of a header field in an answer that ends with a NUL; NULL when it is not there.
static const char *header_value(const char *answer, const char *name)
{
    size_t length = strlen(name);
    for (const char *line = strstr(answer, "\r\n"); line; line = strstr(line, "\r\n")) {
        line += 2;
        if (strncasecmp(line, name, length) == 0 && line[length] == ':')
            return line + length + 1 + strspn(line + length + 1, " \t");
    }
    return NULL;
}

ssize_t bench_websocket_upgraded(const struct bench *bench, const uint8_t *data, size_t length,
                                 char **problem)
{
    const uint8_t *end = memmem(data, length, "\r\n\r\n", 4);
    if (!end) {
        if (length <= ANSWER_MAX)
            return 0;
        *problem = str_format("the answer to the WebSocket handshake has no end");
        return -1;
    }
    size_t size = (size_t)(end - data) + 4;
    char *answer = str_to_c(str_make(data, size));
    const char *accept = header_value(answer, "Sec-WebSocket-Accept");
    ssize_t result = -1;
    if (strncmp(answer, "HTTP/1.1 101", 12) != 0)
        *problem =
            str_format("the WebSocket handshake was refused: %.*s", (int)strcspn(answer, "\r\n"), answer);
    else if (!accept || strncmp(accept, bench->accept, strlen(bench->accept)) != 0)
        *problem = str_format("the answer to the WebSocket handshake is not of a WebSocket server");
    else
        result = (ssize_t)size;
    free(answer);
    return result;
}

uint8_t *bench_websocket_frame(uint8_t *data, size_t size, uint8_t opcode)
{
    static const uint8_t mask[4]; // zero leaves the bytes as they are
    size_t head = size < 126 ? 6 : size < 65536 ? 8 : 14;
    uint8_t *frame = data - head;
    frame[0] = (uint8_t)(0x80 | opcode);
    if (head == 6) {
        frame[1] = (uint8_t)(0x80 | size);
    } else {
        size_t bytes = head - 6;
        frame[1] = head == 8 ? 0x80 | 126 : 0x80 | 127;
        for (size_t i = 0; i < bytes; i++)
            frame[2 + i] = (uint8_t)((uint64_t)size >> (8 * (bytes - 1 - i)));
    }
    memcpy(data - sizeof mask, mask, sizeof mask);
    return frame;
}

// Adds one byte to the head of a frame; true when it is complete. Servers do not mask. [RFC 6455 5.2]
static bool head_complete(struct websocket *websocket, uint8_t byte)
{
    websocket->head[websocket->head_length++] = byte;
    if (websocket->head_length < 2)
        return false;
    uint8_t length = websocket->head[1] & 0x7F;
    size_t bytes = length < 126 ? 0 : length == 126 ? 2 : 8;
    if (websocket->head_length < 2 + bytes)
        return false;
    uint64_t left = bytes == 0 ? length : 0;
    for (size_t i = 0; i < bytes; i++)
        left = left << 8 | websocket->head[2 + i];
    websocket->left = left;
    websocket->opcode = websocket->head[0] & 0x0F;
    websocket->in_frame = true;
    websocket->head_length = 0;
    websocket->control_length = 0;
    return true;
}

static bool head_is_good(const struct websocket *websocket)
{
    bool masked = websocket->head[1] & 0x80;
    if (websocket->opcode >= OPCODE_CLOSE)
        return !masked && websocket->opcode <= OPCODE_PONG && websocket->left <= WEBSOCKET_CONTROL_MAX;
    return !masked && (websocket->opcode == OPCODE_BINARY || websocket->opcode == OPCODE_CONTINUATION);
}

// A control frame is complete. False when the connection has ended with it.
static bool control(struct bench *bench, struct connection *connection)
{
    struct websocket *websocket = connection->websocket;
    if (websocket->opcode == OPCODE_CLOSE) {
        unsigned code =
            websocket->control_length < 2 ? 0 : websocket->control[0] * 256U + websocket->control[1];
        bench_connection_fail(bench, connection, "the broker closed the WebSocket (code %u)", code);
        return false;
    }
    if (websocket->opcode == OPCODE_PING) {
        uint8_t answer[SEND_HEADROOM + WEBSOCKET_CONTROL_MAX];
        uint8_t *data = answer + SEND_HEADROOM;
        memcpy(data, websocket->control, websocket->control_length);
        uint8_t *frame = bench_websocket_frame(data, websocket->control_length, OPCODE_PONG);
        bench_connection_send_raw(bench, connection, frame,
                                  (size_t)(data - frame) + websocket->control_length);
    }
    return connection->state != CONNECTION_CLOSED;
}

ssize_t bench_websocket_unwrap(struct bench *bench, struct connection *connection, uint8_t *data,
                               size_t length)
{
    struct websocket *websocket = connection->websocket;
    const uint8_t *at = data;
    const uint8_t *end = data + length;
    uint8_t *out = data;
    while (at < end || (websocket->in_frame && websocket->left == 0)) {
        if (!websocket->in_frame) {
            if (head_complete(websocket, *at++) && !head_is_good(websocket)) {
                bench_connection_fail(bench, connection,
                                      "the broker sent a WebSocket frame that is not allowed (opcode %u)",
                                      websocket->opcode);
                return -1;
            }
            continue;
        }
        size_t piece = (size_t)(end - at) < websocket->left ? (size_t)(end - at) : (size_t)websocket->left;
        bool is_control = websocket->opcode >= OPCODE_CLOSE;
        memmove(is_control ? websocket->control + websocket->control_length : out, at, piece);
        if (is_control)
            websocket->control_length = (uint8_t)(websocket->control_length + piece);
        else
            out += piece;
        at += piece;
        websocket->left -= piece;
        if (websocket->left == 0) {
            websocket->in_frame = false;
            if (is_control && !control(bench, connection))
                return -1;
        }
    }
    return out - data;
}
