// Notices that files of TLS have changed: certificates that were renewed, secrets that were mounted anew.
// Looking at a few files now and then sees every way of replacing one, links of a link's folder included.
#include <dirent.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/broker/state.h"

enum { LOOK_MS = 1000 };

static uint64_t mix(uint64_t state, const void *data, size_t length)
{
    uint64_t pair[2] = {state, str_hash(str_make(data, length))};
    return str_hash(str_make(pair, sizeof pair));
}

static uint64_t add_file(uint64_t state, const char *path, const struct stat *status)
{
    int64_t numbers[] = {(int64_t)status->st_dev, (int64_t)status->st_ino, status->st_size,
                         status->st_mtim.tv_sec, status->st_mtim.tv_nsec};
    return mix(mix(state, path, strlen(path)), numbers, sizeof numbers);
}

static uint64_t add_folder(uint64_t state, const char *path)
{
    struct dirent **entries = NULL;
    int count = scandir(path, &entries, NULL, alphasort);
    for (int i = 0; i < count; i++) {
        char *file = str_format("%s/%s", path, entries[i]->d_name);
        struct stat status;
        if (entries[i]->d_name[0] != '.' && stat(file, &status) == 0)
            state = add_file(state, file, &status);
        free(file);
        free(entries[i]);
    }
    if (count >= 0)
        free(entries);
    return state;
}

static uint64_t add_path(uint64_t state, const char *path)
{
    struct stat status;
    if (!path)
        return state;
    if (stat(path, &status) != 0)
        return mix(state, path, strlen(path));
    return S_ISDIR(status.st_mode) ? add_folder(state, path) : add_file(state, path, &status);
}

uint64_t tls_files_state(const struct settings_tls *tls)
{
    uint64_t state = 1;
    for (size_t i = 0; i < tls->certificate_count; i++) {
        state = add_path(state, tls->certificates[i].certificate);
        state = add_path(state, tls->certificates[i].key);
        state = add_path(state, tls->certificates[i].ocsp_response);
    }
    state = add_path(state, tls->client_ca);
    state = add_path(state, tls->crl);
    return add_path(state, tls->psk_file);
}

static void nothing(struct broker_worker *here, void *argument)
{
    (void)here;
    (void)argument;
}

static void load_anew(struct broker *broker, struct broker_listener *listener,
                      const struct listener_settings *settings)
{
    struct diagnostics diagnostics = DIAGNOSTICS_EMPTY;
    bool good = tls_prepare(listener, settings, &diagnostics);
    reload_report(&diagnostics);
    diagnostics_clear(&diagnostics);
    if (!good) {
        log_event(LOG_ERROR, "tls_reload_failed",
                  "files of TLS have changed and cannot be used: what was read before stays in force",
                  LOG_TEXTF("listener", listener->name));
        return;
    }
    bool differs = listener->tls_next != atomic_load(&listener->tls);
    tls_replace(listener);
    // Once every worker has ended its turn, none looks at what was there before.
    broker_on_all_workers(broker, nothing, NULL);
    tls_settle(listener);
    if (differs)
        log_event(LOG_INFO, "tls_reloaded", "files of TLS have changed: new connections get what is in them",
                  LOG_TEXTF("listener", listener->name));
}

static void look(struct broker *broker, struct broker_listener *listener,
                 const struct listener_settings *settings)
{
    uint64_t now = clock_monotonic_ms();
    if (now < listener->files_look_ms)
        return;
    listener->files_look_ms = now + LOOK_MS;
    uint64_t state = tls_files_state(settings->tls);
    // Twice the same: nobody is in the middle of replacing a certificate and its key.
    bool settled = state == listener->files_seen;
    listener->files_seen = state;
    if (settled && state != listener->files_read)
        load_anew(broker, listener, settings);
}

void tls_watch(struct broker *broker)
{
    const struct settings *settings = broker->settings;
    for (struct broker_listener *listener = broker->listeners; listener; listener = listener->next)
        for (size_t i = 0; i < settings->listener_count; i++) {
            const struct listener_settings *each = &settings->listeners[i];
            if (each->tls && each->tls->watch && strcmp(each->name, listener->name) == 0)
                look(broker, listener, each);
        }
}
