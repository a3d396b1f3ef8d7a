// The table of functions that plugins get, and what its parts need to know of each other.
// See struct noctule_host for the threads of each function.
// Must not know the broker but through struct plugin_upcalls.
#ifndef NOCTULE_PLUGIN_HOST_API_H
#define NOCTULE_PLUGIN_HOST_API_H

#include "core/plugin/types.h"

extern const struct noctule_host host_api;

/** The instance whose init this thread is inside of, or NULL. */
extern _Thread_local struct noctule_instance *initialising_instance;

/** The host of the process: for functions of the table that name no instance. */
extern struct plugin_host *_Atomic the_plugin_host;

/** Inside `build` of `instance` on this thread: where its findings go. */
void config_reports_to(struct noctule_instance *instance, struct diagnostics *diagnostics);
void config_reports_end(void);

/** host_config.c */
int32_t host_config_string(const struct noctule_config *config, const char *key,
                           struct noctule_string *value);
int32_t host_config_path(const struct noctule_config *config, const char *key, struct noctule_string *value);
int32_t host_config_bool(const struct noctule_config *config, const char *key, int32_t *value);
int32_t host_config_integer(const struct noctule_config *config, const char *key, int64_t minimum,
                            int64_t maximum, int64_t *value);
int32_t host_config_duration(const struct noctule_config *config, const char *key, uint64_t minimum_ms,
                             uint64_t maximum_ms, uint64_t *value_ms);
int32_t host_config_size(const struct noctule_config *config, const char *key, uint64_t minimum,
                         uint64_t maximum, uint64_t *bytes);
int32_t host_config_choice(const struct noctule_config *config, const char *key, const char *const *names,
                           int32_t *value);
int32_t host_config_map(const struct noctule_config *config, const char *key,
                        const struct noctule_config **map);
int32_t host_config_list(const struct noctule_config *config, const char *key,
                         const struct noctule_config **list);
size_t host_config_count(const struct noctule_config *list_or_map);
const struct noctule_config *host_config_at(const struct noctule_config *list_or_map, size_t index,
                                            struct noctule_string *key);
int32_t host_config_scalar(const struct noctule_config *scalar, struct noctule_string *value);
void host_config_error(const struct noctule_config *config, const char *key, struct noctule_string text);
void host_file_error(struct noctule_instance *instance, struct noctule_string file, uint32_t line,
                     struct noctule_string text);
void host_file_warning(struct noctule_instance *instance, struct noctule_string file, uint32_t line,
                       struct noctule_string text);

/** host_loop.c */
struct noctule_timer *host_timer_start(struct noctule_instance *instance, struct noctule_worker *worker,
                                       uint64_t after_ms, noctule_timer_fn function, void *argument);
void host_timer_cancel(struct noctule_timer *timer);
struct noctule_watch *host_watch_add(struct noctule_instance *instance, struct noctule_worker *worker, int fd,
                                     uint32_t events, noctule_watch_fn function, void *argument);
int32_t host_watch_change(struct noctule_watch *watch, uint32_t events);
void host_watch_remove(struct noctule_watch *watch);
int32_t host_run_on_worker(struct noctule_instance *instance, uint32_t worker_index,
                           noctule_worker_fn function, void *argument);

/** The instance has come into force on this worker, or gone out of it: its timers and watches rest meanwhile.
 */
void loop_pause(struct noctule_worker *worker, struct noctule_instance *instance);
void loop_resume(struct noctule_worker *worker, struct noctule_instance *instance);

/** Frees what is left of the instance's timers and watches on this worker. */
void loop_clear(struct noctule_worker *worker, struct noctule_instance *instance);

/** host_clients.c */
uint64_t host_client_data(struct noctule_instance *instance, const struct noctule_client *client);
int32_t host_set_client_data(struct noctule_instance *instance, struct noctule_client *client, uint64_t data);
int32_t host_disconnect(struct noctule_instance *instance, uint64_t connection_id, uint8_t reason_code,
                        struct noctule_string reason);
int32_t host_run_on_client(struct noctule_instance *instance, uint64_t connection_id,
                           noctule_client_fn function, void *argument, void (*release)(void *argument));
int32_t host_invalidate(struct noctule_instance *instance, uint64_t connection_id);
int32_t host_publish(struct noctule_instance *instance, const struct noctule_publication *publication);

/** revoke.c */
int32_t host_revoke(struct noctule_instance *instance, const struct noctule_revocation *what);

#endif
