// A line of any bytes as a request of the control socket: what is taken has a command, and every text of it
// is UTF-8.
#include <stdint.h>
#include <stdlib.h>

#include "core/broker/control_request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
    if (!condition)
        abort();
}

static void check_text(struct str text)
{
    require(!text.data || text.length == 0 || str_is_utf8(text));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct control_request request;
    char error[CONTROL_ERROR_MAX];
    struct str line = str_make(data, size);
    if (!control_request_parse(line, &request, error)) {
        require(memchr(error, '\0', sizeof error) != NULL && error[0]);
        require(!request.tree);
        return 0;
    }
    require(request.command.data != NULL);
    check_text(request.client_id);
    check_text(request.username);
    check_text(request.topic);
    check_text(request.address);
    // A text is like itself, and like anything that has one star in the place of a part of it.
    require(control_matches(request.command, request.command) ||
            memchr(request.command.data, '*', request.command.length));
    require(control_matches(STR("*"), request.command));
    control_request_clear(&request);
    return 0;
}
