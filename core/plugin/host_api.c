#include "core/plugin/host_api.h"

#include <stdlib.h>

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/plugin/client_state.h"
#include "core/plugin/hook.h"
#include "core/plugin/instance.h"
#include "core/plugin/ticket.h"

_Thread_local struct noctule_instance *initialising_instance;

static void host_log(struct noctule_instance *instance, uint32_t level, struct noctule_string text)
{
    static const enum log_level levels[] = {
        [NOCTULE_LOG_ERROR] = LOG_ERROR,
        [NOCTULE_LOG_WARN] = LOG_WARN,
        [NOCTULE_LOG_INFO] = LOG_INFO,
        [NOCTULE_LOG_DEBUG] = LOG_DEBUG,
    };
    enum log_level known = level < sizeof levels / sizeof *levels ? levels[level] : LOG_DEBUG;
    if (!instance || !log_enabled(known))
        return;
    char message[2048];
    size_t length = text.length < sizeof message ? text.length : sizeof message - 1;
    if (length)
        memcpy(message, text.data, length);
    message[length] = '\0';
    const struct log_field fields[] = {LOG_TEXTF("plugin", instance->name)};
    log_write(known, "plugin", message, fields, 1);
}

static int32_t host_annotate(struct noctule_request *request, const struct noctule_reply *reply)
{
    if (!request || !reply)
        return NOCTULE_E_INVALID;
    if (!hook_current || hook_current->context.request != request)
        return NOCTULE_E_THREAD;
    const char *problem;
    if (answer_read(&request->answer, reply, request->arena, &problem)) {
        request->problem = NULL;
        return NOCTULE_OK;
    }
    request->problem = problem;
    return NOCTULE_E_INVALID;
}

static const struct noctule_client_info *host_client_info(const struct noctule_client *client)
{
    static _Thread_local struct noctule_client_info outside; // of a hook, where no client is good
    if (!client)
        return NULL;
    struct hook *hook = hook_current;
    if (!hook) {
        outside = client_info(client_of(client));
        return &outside;
    }
    if (hook->described != client) {
        hook->described = client;
        hook->client_info = client_info(client_of(client));
    }
    return &hook->client_info;
}

static uint32_t host_worker_count(void)
{
    struct plugin_host *host = atomic_load(&the_plugin_host);
    return host ? atomic_load(&host->worker_count) : 0;
}

static uint32_t host_worker_index(const struct noctule_worker *worker)
{
    return worker ? worker->index : UINT32_MAX;
}

// ---- Messages: only the one whose hook is running ------------------------------------------------------

static bool message_is_here(const struct noctule_message *message)
{
    return message && hook_current && hook_current->message == message;
}

static const struct noctule_message_info *host_message_info(struct noctule_message *message)
{
    return message_is_here(message) ? message_view_info(message) : NULL;
}

static int32_t host_message_set_topic(struct noctule_message *message, struct noctule_string topic)
{
    return message_is_here(message) ? message_view_set_topic(message, topic) : NOCTULE_E_THREAD;
}

static int32_t host_message_set_payload(struct noctule_message *message, struct noctule_string payload)
{
    return message_is_here(message) ? message_view_set_payload(message, payload) : NOCTULE_E_THREAD;
}

static int32_t host_message_set_qos(struct noctule_message *message, uint8_t qos)
{
    return message_is_here(message) ? message_view_set_qos(message, qos) : NOCTULE_E_THREAD;
}

static int32_t host_message_set_retain(struct noctule_message *message, uint8_t retain)
{
    return message_is_here(message) ? message_view_set_retain(message, retain) : NOCTULE_E_THREAD;
}

static int32_t host_message_user_property(struct noctule_message *message, uint32_t index,
                                          struct noctule_string *name, struct noctule_string *value)
{
    if (!name || !value)
        return NOCTULE_E_INVALID;
    return message_is_here(message) ? message_view_user_property(message, index, name, value)
                                    : NOCTULE_E_THREAD;
}

static int32_t host_message_add_user_property(struct noctule_message *message, struct noctule_string name,
                                              struct noctule_string value)
{
    return message_is_here(message) ? message_view_add_user_property(message, name, value) : NOCTULE_E_THREAD;
}

static int32_t host_message_remove_user_property(struct noctule_message *message, uint32_t index)
{
    return message_is_here(message) ? message_view_remove_user_property(message, index) : NOCTULE_E_THREAD;
}

// ---- Metrics -------------------------------------------------------------------------------------------

static struct noctule_metric *host_metric_new(struct noctule_instance *instance, uint32_t kind,
                                              const char *name, const char *help)
{
    if (!instance || initialising_instance != instance || kind > NOCTULE_HISTOGRAM || !name || !*name)
        return NULL;
    return metric_new(instance, kind, name, help);
}

static void tell_pending(noctule_metric_fn function, void *argument)
{
    struct noctule_metric_value value = {
        .size = sizeof value,
        .kind = NOCTULE_GAUGE,
        .name = NOCTULE_STRING("pending_decisions"),
        .help = NOCTULE_STRING("requests that plugins have put off and not answered yet"),
        .value = (int64_t)tickets_pending(),
    };
    function(&value, argument);
}

void plugin_host_metrics(noctule_metric_fn function, void *argument)
{
    struct plugin_host *host = atomic_load(&the_plugin_host);
    if (!host || !function)
        return;
    tell_pending(function, argument);
    if (host->upcalls.metrics)
        host->upcalls.metrics(function, argument);
    for (unsigned i = 0; i < instance_count(host); i++)
        metrics_of_instance(host->instances[i], function, argument);
}

const struct noctule_host host_api = {
    .size = sizeof host_api,
    .major = NOCTULE_ABI_MAJOR,
    .minor = NOCTULE_ABI_MINOR,
    .log = host_log,
    .annotate = host_annotate,
    .defer = request_defer,
    .complete = request_complete,
    .is_cancelled = request_is_cancelled,
    .client_info = host_client_info,
    .client_data = host_client_data,
    .set_client_data = host_set_client_data,
    .disconnect = host_disconnect,
    .run_on_client = host_run_on_client,
    .invalidate = host_invalidate,
    .worker_count = host_worker_count,
    .worker_index = host_worker_index,
    .run_on_worker = host_run_on_worker,
    .timer_start = host_timer_start,
    .timer_cancel = host_timer_cancel,
    .watch_add = host_watch_add,
    .watch_change = host_watch_change,
    .watch_remove = host_watch_remove,
    .message_info = host_message_info,
    .message_set_topic = host_message_set_topic,
    .message_set_payload = host_message_set_payload,
    .message_set_qos = host_message_set_qos,
    .message_set_retain = host_message_set_retain,
    .message_user_property = host_message_user_property,
    .message_add_user_property = host_message_add_user_property,
    .message_remove_user_property = host_message_remove_user_property,
    .publish = host_publish,
    .monotonic_ms = clock_monotonic_ms,
    .wall_ms = clock_wall_ms,
    .config_string = host_config_string,
    .config_path = host_config_path,
    .config_bool = host_config_bool,
    .config_integer = host_config_integer,
    .config_duration = host_config_duration,
    .config_size = host_config_size,
    .config_choice = host_config_choice,
    .config_map = host_config_map,
    .config_list = host_config_list,
    .config_count = host_config_count,
    .config_at = host_config_at,
    .config_scalar = host_config_scalar,
    .config_error = host_config_error,
    .file_error = host_file_error,
    .file_warning = host_file_warning,
    .metric_new = host_metric_new,
    .metric_add = metric_add,
    .metric_set = metric_set,
    .metric_observe = metric_observe,
    .metric_each = plugin_host_metrics,
    .revoke = host_revoke,
};
