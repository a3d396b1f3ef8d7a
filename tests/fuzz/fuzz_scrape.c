/* Any bytes as the headers of a scrape, and as name, labels, unit and help of a metric: what comes out is
 * always whole lines of known kinds. */
#include "plugins/prometheus/exposition.h"
#include "plugins/prometheus/request.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
    if (!condition)
        abort();
}

/* What comes before the next byte 0xFE, taken off the front. */
static struct noctule_string take(const uint8_t **data, size_t *size)
{
    const uint8_t *end = *size ? memchr(*data, 0xFE, *size) : NULL;
    size_t length = end ? (size_t)(end - *data) : *size;
    struct noctule_string field = noctule_string_of((const char *)*data, length);
    *data += end ? length + 1 : length;
    *size -= end ? length + 1 : length;
    return field;
}

static void headers(struct noctule_string accept, struct noctule_string authorization)
{
    char *format = strndup(accept.data ? accept.data : "", accept.length);
    char *bearer = strndup(authorization.data ? authorization.data : "", authorization.length);
    request_format(format);
    require(request_is_authorized(bearer, NULL));
    bool allowed = request_is_authorized(bearer, "token");
    require(allowed ==
            (strlen(bearer) >= 12 && strcmp(bearer + strlen(bearer) - 5, "token") == 0 && allowed));
    free(format);
    free(bearer);
}

static void lines(struct evbuffer *out)
{
    size_t length;
    char *line;
    while ((line = evbuffer_readln(out, &length, EVBUFFER_EOL_LF)) != NULL) {
        require(length > 0 && strlen(line) == length);
        require(line[0] == '#' || strncmp(line, "noctule_", 8) == 0);
        for (size_t i = 0; i < length; i++)
            require((unsigned char)line[i] >= 0x20 && line[i] != 0x7F);
        free(line);
    }
    require(evbuffer_get_length(out) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    uint32_t kind = data[0] % 2;
    enum exposition_format format = data[0] & 2 ? EXPOSITION_OPENMETRICS : EXPOSITION_TEXT;
    data++;
    size--;
    struct noctule_string accept = take(&data, &size);
    headers(accept, take(&data, &size));
    struct noctule_metric_label label;
    struct noctule_metric_value metric = {
        .size = sizeof(metric), .kind = kind, .labels = &label, .label_count = 1};
    metric.name = take(&data, &size);
    metric.instance = take(&data, &size);
    metric.unit = take(&data, &size);
    label.name = take(&data, &size);
    label.value = take(&data, &size);
    metric.help = noctule_string_of((const char *)data, size);
    struct exposition *exposition = exposition_new(format);
    struct evbuffer *out = evbuffer_new();
    exposition_add(&metric, exposition);
    exposition_add(&metric, exposition);
    require(exposition_write(exposition, out));
    lines(out);
    exposition_free(exposition);
    evbuffer_free(out);
    return 0;
}
