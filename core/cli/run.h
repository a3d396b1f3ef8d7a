// `noctule run`: the broker in the foreground.
// Main thread.
// Must not know what the broker is made of.
#ifndef NOCTULE_CLI_RUN_H
#define NOCTULE_CLI_RUN_H

/** argv[0] is "run". Returns the exit code. */
int cli_run(int argc, char **argv);

#endif
