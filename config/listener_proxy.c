// Clients that come through a proxy: which header tells who they are, and who is believed to be a proxy.
#include <string.h>

#include "config/settings_read.h"
#include "config/tree_build.h"

static void read_range(struct proxy_settings *proxy, const struct config_node *item,
                       struct diagnostics *diagnostics)
{
    const char *text;
    if (!config_node_string(item, &text, diagnostics))
        return;
    if (cidr_parse(str_of(text), &proxy->from[proxy->from_count]))
        proxy->from_count++;
    else
        config_wrong(item, "an address, or a range of them such as 10.0.0.0/8 or fd00::/8", diagnostics);
}

static void read_from(struct listener_settings *listener, struct config_node *map,
                      struct diagnostics *diagnostics)
{
    struct proxy_settings *proxy = &listener->proxy;
    const struct config_node *protocol = config_get(map, "proxy_protocol");
    const struct config_node *node = config_get(map, "proxy_from");
    if (node && proxy->versions == SETTINGS_PROXY_OFF && !listener->websocket) {
        diagnostics_error(diagnostics, node->place,
                          "`proxy_from` is of no use without `proxy_protocol` or `transport: websocket`");
        return;
    }
    if (node && listener->bind && listener->kind == SETTINGS_BIND_UNIX) {
        diagnostics_error(
            diagnostics, node->place,
            "`proxy_from` has no meaning here: who may connect to a unix socket, its `mode` says");
        return;
    }
    if (!node) {
        if (proxy->versions != SETTINGS_PROXY_OFF && listener->bind && listener->kind == SETTINGS_BIND_TCP)
            diagnostics_error(
                diagnostics, protocol->place,
                "`proxy_protocol` needs `proxy_from`, the addresses of the proxies: whoever sends "
                "such a header can claim any address");
        return;
    }
    if (!config_node_list(node, diagnostics))
        return;
    if (!node->items)
        diagnostics_error(diagnostics, node->place, "`proxy_from` needs at least one address");
    proxy->from = config_alloc(map->source->tree, node->count * sizeof *proxy->from);
    for (const struct config_node *item = node->items; item; item = item->next)
        read_range(proxy, item, diagnostics);
}

static void read_username(struct proxy_settings *proxy, struct config_node *map,
                          struct diagnostics *diagnostics)
{
    static const struct config_choice sources[] = {{"none", 0}, {"cn", 1}, {NULL, 0}};
    int source = 0;
    if (config_enum(map, "username_from", sources, &source, diagnostics) != CONFIG_FOUND)
        return;
    const struct config_node *node = config_get(map, "username_from");
    if (!(proxy->versions & SETTINGS_PROXY_V2))
        diagnostics_error(
            diagnostics, node->place,
            "`username_from` of a listener needs `proxy_protocol: v2` or `any`: only such a proxy "
            "tells of certificates");
    else if (config_get_opaque(map, "tls"))
        diagnostics_error(diagnostics, node->place,
                          "`username_from` belongs into `tls` here: clients show their certificates to the "
                          "broker, not to the proxy");
    proxy->username_from_cn = source == 1;
}

void listener_read_proxy(struct listener_settings *listener, struct config_node *map,
                         struct diagnostics *diagnostics)
{
    static const struct config_choice versions[] = {{"off", SETTINGS_PROXY_OFF},
                                                    {"v1", SETTINGS_PROXY_V1},
                                                    {"v2", SETTINGS_PROXY_V2},
                                                    {"any", SETTINGS_PROXY_ANY},
                                                    {NULL, 0}};
    int version = SETTINGS_PROXY_OFF;
    enum config_result result = config_enum(map, "proxy_protocol", versions, &version, diagnostics);
    listener->proxy.versions = (enum settings_proxy)version;
    if (result == CONFIG_WRONG) { // what goes with it cannot be judged
        config_get_opaque(map, "proxy_from");
        config_get_opaque(map, "username_from");
        return;
    }
    read_from(listener, map, diagnostics);
    read_username(&listener->proxy, map, diagnostics);
}

void listener_warn_proxy(const struct listener_settings *listener, struct diagnostics *diagnostics)
{
    for (size_t i = 0; i < listener->proxy.from_count; i++) {
        const struct cidr *range = &listener->proxy.from[i];
        static const uint8_t mapped[12] = {[10] = 0xFF, [11] = 0xFF};
        bool is_v4 = range->bits >= 96 && memcmp(range->address.bytes, mapped, sizeof mapped) == 0;
        if (range->bits == 0 || (is_v4 && range->bits == 96))
            diagnostics_warning(
                diagnostics, listener->place,
                "the listener `%s` believes everybody: whoever reaches %s can claim any address "
                "(`proxy_from`)",
                listener->name, listener->bind);
    }
}
