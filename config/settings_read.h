// The steps of reading settings that have a file of their own.
// Main thread; only files of this room include it.
// Knows nothing of how a tree is made.
#ifndef NOCTULE_CONFIG_SETTINGS_READ_H
#define NOCTULE_CONFIG_SETTINGS_READ_H

#include "config/settings.h"

/** Reads `listeners` of `root`; plugins and limits have been read before. */
void listeners_read(struct settings *settings, struct config_node *root, struct diagnostics *diagnostics);

/** Reads `bind` and how its sockets are set up: listener_socket.c. */
void listener_read_socket(struct listener_settings *listener, struct config_node *map,
                          struct diagnostics *diagnostics);

/** Reads the keys about proxies, after the socket and WebSocket: listener_proxy.c. */
void listener_read_proxy(struct listener_settings *listener, struct config_node *map,
                         struct diagnostics *diagnostics);

/** Warns when anybody is believed to be a proxy. */
void listener_warn_proxy(const struct listener_settings *listener, struct diagnostics *diagnostics);

/** Reads `transport` and what belongs to `transport: websocket`: listener_websocket.c. */
void listener_read_websocket(struct settings *settings, struct listener_settings *listener,
                             struct config_node *map, struct diagnostics *diagnostics);

/** Whether two listeners cannot listen side by side: they are bound to the same. */
bool listener_is_bound_alike(const struct listener_settings *one, const struct listener_settings *other);

/** Whether only this machine reaches it. */
bool listener_is_local(const struct listener_settings *listener);

/** Reads `tls` of a listener's `map`, if it is there. */
void listener_tls_read(struct settings *settings, struct listener_settings *listener, struct config_node *map,
                       struct diagnostics *diagnostics);

/** Warns of listeners that are open to anyone, or of no use to anyone. */
void listeners_warn(const struct settings *settings, struct diagnostics *diagnostics);

/**
 * The `name` of a listener or of a plugin, or NULL: reported. Letters, digits, `.`, `_`, `-`, at most 64, the
 * first a letter or a digit.
 */
const char *settings_name(struct config_node *map, struct diagnostics *diagnostics);

/** The text of config/default.yaml, compiled in. */
extern const char settings_default_yaml[];

#endif
