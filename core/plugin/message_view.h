// A message as plugins see and change it: copy on write over an immutable message.
// The worker that runs the hooks.
// Must not know which hook it passes.
#ifndef NOCTULE_PLUGIN_MESSAGE_VIEW_H
#define NOCTULE_PLUGIN_MESSAGE_VIEW_H

#include <stdbool.h>
#include <stdint.h>

#include "core/topic/message.h"
#include "noctule/plugin.h"

struct noctule_instance;

/** Zeroed is no message. Strings point into `base`, or to the heap where the `own_` pointer is set. */
struct noctule_message {
    struct message *base;
    bool kept;     ///< holds a reference of `base`
    bool outgoing; ///< message_out: QoS can only go down, retain stays
    bool changed;
    uint8_t qos;
    bool retain;
    struct str topic;
    struct str payload;
    struct str properties;
    char *own_topic;
    char *own_payload;
    char *own_properties;
    struct noctule_message_info info;
};

/** A view of `message`, which is borrowed. `qos`: as it is delivered, for message_out. */
void message_view_init(struct noctule_message *view, struct message *message, bool outgoing, uint8_t qos);

/** Makes the view outlive its message by keeping that. False: no memory. */
bool message_view_keep(struct noctule_message *view);

/** The message that goes on, owned, when anything was changed; NULL: nothing was. `*failed`: no memory. */
struct message *message_view_result(const struct noctule_message *view, bool *failed);

/** Frees what the view owns. */
void message_view_clear(struct noctule_message *view);

/** The functions of struct noctule_host, inside message hooks. */
const struct noctule_message_info *message_view_info(struct noctule_message *view);
int32_t message_view_set_topic(struct noctule_message *view, struct noctule_string topic);
int32_t message_view_set_payload(struct noctule_message *view, struct noctule_string payload);
int32_t message_view_set_qos(struct noctule_message *view, uint8_t qos);
int32_t message_view_set_retain(struct noctule_message *view, uint8_t retain);
int32_t message_view_user_property(struct noctule_message *view, uint32_t index, struct noctule_string *name,
                                   struct noctule_string *value);
int32_t message_view_add_user_property(struct noctule_message *view, struct noctule_string name,
                                       struct noctule_string value);
int32_t message_view_remove_user_property(struct noctule_message *view, uint32_t index);

/** noctule_host.publish's message, with one reference; NULL and why not. */
struct message *publication_message(const struct noctule_instance *instance,
                                    const struct noctule_publication *publication, int32_t *why);

#endif
