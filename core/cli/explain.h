// `noctule explain`: how a configuration decides about a client, plugin by plugin.
// Main thread.
// Must not listen anywhere.
#ifndef NOCTULE_CLI_EXPLAIN_H
#define NOCTULE_CLI_EXPLAIN_H

/** argv[0] is "explain". Exit code 0: allowed, 1: denied, 2: an error. */
int cli_explain(int argc, char **argv);

#endif
