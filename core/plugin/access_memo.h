// What a client was allowed a moment ago by plugins whose answers can be repeated (NOCTULE_FLAG_REPEATABLE),
// or may be used again for a time (reuse_ms): the check of a topic that comes again is a comparison. The
// client's worker. Must not know who the client is, nor who allowed it.
#ifndef NOCTULE_PLUGIN_ACCESS_MEMO_H
#define NOCTULE_PLUGIN_ACCESS_MEMO_H

#include <stdbool.h>
#include <stdint.h>

#include "noctule/plugin.h"

/** Topics are kept in places that follow from their bytes, one each: a client that goes through more topics
 * than there are places is asked about again. */
enum { ACCESS_MEMO_PLACES = 16 };

struct access_memo;

/** Whether this access was allowed in `epoch`, and still is. */
bool access_memo_has(const struct access_memo *memo, const struct noctule_access *access, uint32_t epoch,
                     uint64_t now_ms);

/** Whether this kind of access was allowed for every topic. */
bool access_memo_has_any(const struct access_memo *memo, uint32_t access, uint32_t epoch, uint64_t now_ms);

/** Keeps that it is, until `until_ms`. Made on the first call; without memory nothing is kept. */
void access_memo_keep(struct access_memo **memo, const struct noctule_access *access, uint32_t epoch,
                      uint64_t until_ms);

/** Keeps that this kind of access (PUBLISH or DELIVER) is allowed for every topic. */
void access_memo_keep_any(struct access_memo **memo, uint32_t access, uint32_t epoch, uint64_t until_ms);

void access_memo_free(struct access_memo *memo);

#endif
