/* SPDX-License-Identifier: MIT */
/* The program: argv -> the command table in cli/cli.c. Nothing else. */
#include "gateway/cli/cli.h"

int main(int argc, char **argv)
{
    return lode_cli_main(argc, argv);
}
