// `noctule plugin`: what is installed, and what a plugin says of itself.
// Main thread.
// Must not start any plugin: descriptions only.
#ifndef NOCTULE_CLI_PLUGIN_H
#define NOCTULE_CLI_PLUGIN_H

/** argv[0] is "plugin". Exit code 0, 1 when there is no such plugin or it cannot be used, 2 for wrong usage.
 */
int cli_plugin(int argc, char **argv);

#endif
