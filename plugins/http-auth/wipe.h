// libcurl with a memory that is wiped when it is freed: requests carry passwords, and libcurl copies them.
// Main thread.
// Must not know what is in it.
#ifndef HTTP_AUTH_WIPE_H
#define HTTP_AUTH_WIPE_H

#include <stdbool.h>

/**
 * As curl_global_init; curl_global_cleanup is due afterwards. When somebody else in the process was first,
 * libcurl keeps the memory functions that it has.
 */
bool wipe_global_init(void);

#endif
