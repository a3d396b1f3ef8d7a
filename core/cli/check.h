// `noctule check`: validates a configuration, its plugins and their data files.
// Main thread.
// Must not start anything.
#ifndef NOCTULE_CLI_CHECK_H
#define NOCTULE_CLI_CHECK_H

/** argv[0] is "check". Exit code 0 and silence, or 1 and every error on standard error. */
int cli_check(int argc, char **argv);

#endif
