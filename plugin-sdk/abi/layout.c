/*
 * What every released header promised, asserted of the header as it is now. Compiles or does not; there is
 * nothing to run. A structure may only grow, and only with the minor version; see released/VERSION/layout.h.
 */
#include <noctule/plugin.h>

#define FIELD(structure, field, offset, size)                                                                \
    _Static_assert(offsetof(struct structure, field) == (offset), #structure "." #field " has moved");       \
    _Static_assert(sizeof(((struct structure *)0)->field) == (size),                                         \
                   #structure "." #field " changed its size");
#define NUMBER(name, value) _Static_assert((long long)(name) == (value), #name " changed its value");

#if NOCTULE_ABI_MINOR == 0
#define SIZE(structure, size)                                                                                \
    _Static_assert(sizeof(struct structure) == (size),                                                       \
                   #structure " changed its size without a minor version");
#else
#define SIZE(structure, size) _Static_assert(sizeof(struct structure) >= (size), #structure " has shrunk");
#endif
#include "released/1.0/layout.h"
#include "released/1.1/layout.h"
