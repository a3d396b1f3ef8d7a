// `noctule status`: how the running broker is.
// Main thread.
// A main() of its own: arguments from the command's name on, result the exit code.
#ifndef NOCTULE_CLI_STATUS_H
#define NOCTULE_CLI_STATUS_H

int cli_status(int argc, char **argv);

#endif
