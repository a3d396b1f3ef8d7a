// MQTT over WebSocket: a layer that answers the HTTP upgrade of a connection, then packs and unpacks frames.
// A layer belongs to the worker of its stream; websocket_going_away from any thread.
// Must not know MQTT: what is in the frames is bytes, wherever frames begin and end.
#ifndef NOCTULE_NET_WEBSOCKET_H
#define NOCTULE_NET_WEBSOCKET_H

#include "core/net/transport.h"
#include "core/net/upgrade.h"

/** A frame that says it is larger than this is refused. More than the largest packet of MQTT and what else
 * may be in the same frame. */
#define WEBSOCKET_FRAME_MAX UINT64_C(0x20000000)

/**
 * A layer for one connection, for stream_push; NULL when memory is out. `rules` are copied, but not what they
 * point to: that stays until `release` is called, once the upgrade is done or the connection gone (at once
 * when NULL is returned).
 */
struct transport *websocket_new(const struct upgrade_rules *rules, void (*release)(void *owner), void *owner);

/** From here on clients are told that the server goes away, instead of that all is well. [RFC 6455 7.4.1] */
void websocket_going_away(void);

#endif
