// `noctule explain --live`: what the running broker says about a connected client.
// Main thread.
// A main() of its own: arguments from the command's name on, result the exit code.
#ifndef NOCTULE_CLI_EXPLAIN_LIVE_H
#define NOCTULE_CLI_EXPLAIN_LIVE_H

#include <stdbool.h>

/** Whether `--live` is among the arguments. */
bool explain_is_live(int argc, char **argv);

int cli_explain_live(int argc, char **argv);

#endif
