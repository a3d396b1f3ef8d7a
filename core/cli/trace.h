// `noctule trace`: what happens to a client, as it happens.
// Main thread.
// A main() of its own: arguments from the command's name on, result the exit code.
#ifndef NOCTULE_CLI_TRACE_H
#define NOCTULE_CLI_TRACE_H

int cli_trace(int argc, char **argv);

#endif
