/* The command line's face: one process, one operation. Returns the exit status (enum sl_code says which). */
#ifndef SL_CLI_CLI_H
#define SL_CLI_CLI_H

int sl_cli_main(int argc, char **argv);

#endif
