// Commands that talk to a running broker, but for those that show something of their own.
// Main thread.
// Each is a main() of its own: arguments from the command's name on, result the exit code.
#ifndef NOCTULE_CLI_OPERATE_H
#define NOCTULE_CLI_OPERATE_H

/** `noctule revoke`. */
int cli_revoke(int argc, char **argv);
/** `noctule kick`. */
int cli_kick(int argc, char **argv);
/** `noctule reload`. */
int cli_reload(int argc, char **argv);

#endif
