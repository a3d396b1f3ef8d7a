// WebSocket of a listener: where it is found, from which pages, behind which proxies.
#include <string.h>

#include "config/settings_read.h"
#include "config/tree_build.h"

enum { TRANSPORT_TCP, TRANSPORT_WEBSOCKET, PATH_MAX_BYTES = 255 };

static bool is_visible(const char *text)
{
    for (; *text; text++)
        if (*text <= 0x20 || *text >= 0x7F)
            return false;
    return true;
}

// It is compared with what requests have before a `?`.
static void read_path(struct settings_websocket *websocket, const struct config_node *node,
                      struct diagnostics *diagnostics)
{
    const char *text;
    if (!config_node_string(node, &text, diagnostics))
        return;
    if (*text == '/' && is_visible(text) && !strpbrk(text, "?#") && strlen(text) <= PATH_MAX_BYTES)
        websocket->path = str_of(text);
    else
        config_wrong(
            node,
            "a path as in a URL: a slash, then at most 254 visible ASCII characters, none of them ? or #",
            diagnostics);
}

// As browsers send it: SCHEME://HOST or SCHEME://HOST:PORT, with nothing behind; "null" is that of a page
// without one.
static bool is_origin(const char *text)
{
    const char *host = strstr(text, "://");
    if (strcmp(text, "null") == 0)
        return true;
    return host && host > text && host[3] && !strpbrk(host + 3, "/?#@,*") && is_visible(text);
}

static void read_origins(struct settings *settings, struct settings_websocket *websocket,
                         struct config_node *list, struct diagnostics *diagnostics)
{
    websocket->any_origin = false;
    websocket->origins = config_alloc(settings->tree, list->count * sizeof *websocket->origins);
    for (const struct config_node *item = list->items; item; item = item->next) {
        const char *text;
        if (!config_node_string(item, &text, diagnostics))
            continue;
        if (is_origin(text))
            websocket->origins[websocket->origin_count++] = str_of(text);
        else
            config_wrong(item, "an origin, such as https://app.example or http://localhost:8080",
                         diagnostics);
    }
}

// Keys that say nothing without WebSocket.
static void refuse_keys(struct config_node *map, struct diagnostics *diagnostics)
{
    static const char *const keys[] = {"path", "origins"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const struct config_node *node = config_get_opaque(map, keys[i]);
        if (node)
            diagnostics_error(diagnostics, node->place, "`%s` is for listeners with `transport: websocket`",
                              keys[i]);
    }
}

void listener_read_websocket(struct settings *settings, struct listener_settings *listener,
                             struct config_node *map, struct diagnostics *diagnostics)
{
    static const struct config_choice transports[] = {
        {"tcp", TRANSPORT_TCP}, {"websocket", TRANSPORT_WEBSOCKET}, {NULL, 0}};
    int transport = TRANSPORT_TCP;
    enum config_result result = config_enum(map, "transport", transports, &transport, diagnostics);
    if (result != CONFIG_WRONG && transport == TRANSPORT_TCP) {
        refuse_keys(map, diagnostics);
        return;
    }
    struct settings_websocket *websocket = config_alloc(settings->tree, sizeof *websocket);
    websocket->path = STR("/mqtt");
    websocket->any_origin = true;
    listener->websocket = websocket;
    const struct config_node *path = config_get(map, "path");
    if (path)
        read_path(websocket, path, diagnostics);
    struct config_node *origins;
    if (config_list(map, "origins", &origins, diagnostics) == CONFIG_FOUND)
        read_origins(settings, websocket, origins, diagnostics);
}
