// `noctule clients` and `noctule client`: who is there, and all about one of them.
// Main thread.
// Each is a main() of its own: arguments from the command's name on, result the exit code.
#ifndef NOCTULE_CLI_CLIENTS_H
#define NOCTULE_CLI_CLIENTS_H

int cli_clients(int argc, char **argv);
int cli_client(int argc, char **argv);

#endif
