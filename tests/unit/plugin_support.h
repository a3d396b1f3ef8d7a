// A plugin host with scripted plugins and one worker, for the unit tests of core/plugin.
// The test's thread is the worker's, once fixture_start has returned.
// Must not know what a test is about.
#ifndef NOCTULE_TESTS_PLUGIN_SUPPORT_H
#define NOCTULE_TESTS_PLUGIN_SUPPORT_H

#include <check.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/memory.h"
#include "core/plugin/decision.h"
#include "core/plugin/module.h"
#include "core/plugin/psk.h"

enum { SCRIPTS = 4, HELD_MAX = 4096 };

/** What one scripted plugin does, and what it has seen. Modules are named "p0" to "p3". */
struct script {
    // To be set by the test.
    noctule_verdict login;
    noctule_verdict step;
    noctule_verdict access;
    noctule_verdict in;
    noctule_verdict out;
    noctule_verdict valid;
    noctule_verdict psk;
    struct noctule_reply reply; ///< annotated when its size is not 0
    bool defers;                ///< with NOCTULE_PENDING: defers, and holds the handle
    bool defers_anyway;         ///< defers, whatever the verdict
    unsigned sleep_ms;
    int32_t up; ///< result of worker_up
    noctule_verdict (*on_access)(const struct noctule_context *context, const struct noctule_access *access);
    noctule_verdict (*on_login)(const struct noctule_context *context, const struct noctule_login *login);
    noctule_verdict (*on_in)(const struct noctule_context *context, struct noctule_message *message);
    noctule_verdict (*on_out)(const struct noctule_context *context, struct noctule_message *message);
    int32_t (*on_build)(const struct noctule_config *config);
    void (*on_event)(const struct noctule_context *context, const struct noctule_event *event);
    void (*on_revoke)(const struct noctule_context *context, const struct noctule_revocation *what);
    void (*on_init)(void);
    // Seen.
    const struct noctule_host *host;
    struct noctule_instance *instance;
    struct noctule_worker *_Atomic worker;
    _Atomic unsigned logins, steps, accesses, ins, outs, valids, events, builds, retires, ups, downs, finis,
        psks, revocations;
    struct noctule_request *held[HELD_MAX];
    _Atomic unsigned held_places, held_count; ///< places taken; places filled
    _Atomic uint32_t last_access;             ///< its access bit
    _Atomic int running, overlap;             ///< hooks inside at once, and the most there ever were
    uint32_t event_log[64];
};

extern struct script scripts[SCRIPTS];
extern struct noctule_plugin script_plugins[SCRIPTS]; ///< to be changed before fixture_start

struct fixture {
    struct plugin_host *host;
    struct worker *workers;
    struct worker *worker;
    struct settings *settings;
    struct generation *generation;
    struct diagnostics diagnostics;
};

extern struct fixture fixture;

/** What the broker was asked for. */
struct upcall_log {
    unsigned disconnects, rechecks, publications;
    uint8_t code;
    char reason[128];
    char instance[32];
    struct message *published; ///< the last one, owned
};
extern struct upcall_log upcall_log;

/** An outcome that came later. */
struct later {
    unsigned count;
    struct outcome outcome;
    char reason[256];
    char auth_data[64];
};

/** Resets scripts and plugins to their defaults: all hooks taken, NEXT everywhere, authorize for everything.
 */
void scripts_reset(void);

/** Loads `yaml` (its `plugins:` and other keys; a listener "default" is added), which must be right, and
 * starts one worker. */
void fixture_start(const char *yaml);

/** As fixture_start, up to the diagnostics: true when the generation could be built. Ends with fixture_stop.
 */
bool fixture_try(const char *yaml);

/** Puts another configuration in force; false when it was refused. */
bool fixture_reload(const char *yaml);

/** Takes everything down; also when only fixture_try was called. */
void fixture_stop(void);

/** Runs the loop until nothing more happens. */
void settle(void);

/** Runs the loop until `*counter` is at least `wanted` (fails after ten seconds). */
void wait_for(_Atomic unsigned *counter, unsigned wanted);
void wait_later(struct later *later, unsigned wanted);

/** Moves the clock and runs the loop. */
void pass_ms(uint64_t ms);

struct client *a_client(const char *client_id, const char *username);
void drop(struct client *client);

/** The decisions, in the words of the tests. `later` may be NULL when the answer is expected at once. */
struct outcome login_now(struct client *client, const char *username, const char *password);
struct outcome access_now(struct client *client, uint32_t access, const char *topic);
struct decision *login_later(struct client *client, const char *username, struct later *later);
struct decision *access_later(struct client *client, uint32_t access, const char *topic, struct later *later);

void done_later(struct client *client, const struct outcome *outcome, void *argument);

struct noctule_string text(const char *text);

/** A pointer made of a number: what a confused plugin may hand in. */
void *pointer_of(uintptr_t number);

#define PUBLISH   NOCTULE_ACCESS_PUBLISH
#define SUBSCRIBE NOCTULE_ACCESS_SUBSCRIBE
#define DELIVER   NOCTULE_ACCESS_DELIVER
#define WILL      NOCTULE_ACCESS_WILL

/** Runs the suite; the result of main. */
int run_suite(Suite *suite);

#define ck_str(actual, expected)                                                                             \
    do {                                                                                                     \
        struct str ck_actual_ = (actual);                                                                    \
        const char *ck_expected_ = (expected);                                                               \
        ck_assert_msg(str_equal(ck_actual_, str_of(ck_expected_)), "\"%.*s\" is not \"%s\"",                 \
                      STR_ARG(ck_actual_), ck_expected_);                                                    \
    } while (0)

#endif
