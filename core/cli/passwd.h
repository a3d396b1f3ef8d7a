// `noctule passwd`: users of a password file, from the command line.
// Main thread only, of a process that runs no broker.
// Must not know the broker or its plugins; password files are the business of plugins/file-auth's library.
#ifndef NOCTULE_CLI_PASSWD_H
#define NOCTULE_CLI_PASSWD_H

/**
 * Runs the subcommand: `argv[0]` is "passwd", options and operands follow. Returns the exit code of the
 * process: 0 done, 1 failed (said on stderr), 2 wrong usage.
 */
int cli_passwd(int argc, char **argv);

#endif
